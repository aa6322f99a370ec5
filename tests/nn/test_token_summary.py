"""The sum of a row's tokens against dense matrices, and its start against the principal components of numpy."""

import numpy as np
import pytest
import torch
from scipy import sparse

from omicsmlm._types import TokenSet, obs_of
from omicsmlm.nn import (
    Fitting,
    TokenSummary,
    ValueBins,
    _token_summary,
    initial_components,
    own_estimates,
    ridge_estimates,
)

KINDS = {"rna": "counts", "atac": "accessibility"}
SIZES = {"rna": 40, "atac": 60}


def counts(n: int, g: int, seed: int) -> np.ndarray:
    """Counts of rows along four axes."""
    rng = np.random.default_rng(seed)
    scores = np.random.default_rng(7).normal(size=(n, 4)) * [0.9, 0.6, 0.4, 0.3]
    return rng.poisson(np.exp(scores @ rng.normal(size=(4, g)) + rng.normal(-0.5, 0.7, g)))


def part_of(x_ng: np.ndarray, present=None) -> TokenSet:
    n, g = x_ng.shape
    present = np.ones(n, bool) if present is None else present
    matrix = sparse.csr_matrix(x_ng * present[:, None])
    return TokenSet(
        ids=torch.from_numpy(matrix.indices).long(),
        values=torch.from_numpy(matrix.data).float(),
        offsets=torch.from_numpy(matrix.indptr).long(),
        fraction=torch.ones(n),
        covered=torch.ones(n),
        measured=torch.ones(g, dtype=torch.bool),
        present=torch.from_numpy(present),
    )


def parts_of(n=150, present=None) -> dict[str, TokenSet]:
    present = present or {}
    return {name: part_of(counts(n, g, i), present.get(name)) for i, (name, g) in enumerate(SIZES.items())}


def dense(part: TokenSet, value_t: torch.Tensor) -> np.ndarray:
    """A value of each token in its place, by a loop."""
    out_ng = np.zeros((len(part.present), len(part.measured)))
    for row, feature, value in zip(obs_of(part).tolist(), part.ids.tolist(), value_t.tolist(), strict=True):
        if feature >= 0:
            out_ng[row, feature] += value
    return out_ng


def levels_of(parts, seed=0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: 5 * torch.rand(len(part.ids), generator=generator) for name, part in parts.items()}


def summed(summary: TokenSummary, parts, levels) -> np.ndarray:
    with torch.no_grad():
        return summary(parts, levels, {name: obs_of(part) for name, part in parts.items()}).double().numpy()


@pytest.fixture
def summary():
    """One whose statistics are any numbers."""
    torch.manual_seed(0)
    summary = TokenSummary(KINDS, SIZES, 6)
    with torch.no_grad():
        for m, g in enumerate(SIZES.values()):
            for name in ("rate", "rarity"):
                summary.get_buffer(f"{name}_{m}").copy_(torch.rand(g))
            summary.get_buffer(f"usual_{m}").fill_(30.0 + m)
        summary.get_buffer("mean_0").copy_(torch.rand(40))
        for vector in (*summary.combination.offset, *summary.combination.absent, *summary.combination.log_precision):
            vector.normal_()
    return summary


def table(summary: TokenSummary, name: str) -> np.ndarray:
    m = list(KINDS).index(name)
    return (summary.get_buffer(f"rate_{m}")[:, None] * summary.table(name)).double().detach().numpy()


def slow_sum(summary: TokenSummary, name: str, part: TokenSet, level_t: torch.Tensor) -> np.ndarray:
    """Centred levels of all measured features times their embeddings, or normalised rarities of open regions."""
    m = list(KINDS).index(name)
    measured_g = part.measured.numpy()
    if name == "rna":
        level_ng = dense(part, level_t / part.fraction[obs_of(part)])
        centred_ng = np.where(measured_g, level_ng - summary.get_buffer(f"mean_{m}").double().numpy(), 0)
        return centred_ng @ table(summary, name)
    rarity_ng = dense(part, (part.values > 0).float()) * summary.get_buffer(f"rarity_{m}").double().numpy()
    length_n1 = np.sqrt((rarity_ng**2).sum(1, keepdims=True))
    return rarity_ng / np.maximum(length_n1, 1e-6) @ table(summary, name)


def slow(summary: TokenSummary, parts, levels) -> np.ndarray:
    sums, precisions, h_nd = {}, {}, 0.0
    for m, (name, part) in enumerate(parts.items()):
        sums[name] = slow_sum(summary, name, part, levels[name])
        visible_t = part.values.nan_to_num(0.0) if name == "rna" else (part.values > 0).float()
        amount_n = torch.zeros(len(part.present)).index_add_(0, obs_of(part), visible_t) * part.present
        relative_depth_n = (amount_n / summary.get_buffer(f"usual_{m}")).clamp(max=2).double().numpy()
        np.testing.assert_allclose(summary.relative_depth(name, part, obs_of(part)), relative_depth_n, rtol=1e-5)
        precisions[name] = (
            relative_depth_n[:, None] * summary.combination.log_precision[m].detach().double().exp().numpy()
        )
    total_nd = np.maximum(sum(precisions.values()), 1e-300)
    for m, name in enumerate(parts):
        offset_d, absent_d = (
            vectors[m].detach().double().numpy() for vectors in (summary.combination.offset, summary.combination.absent)
        )
        h_nd = h_nd + precisions[name] / total_nd * (sums[name] + offset_d)
        h_nd = h_nd + (precisions[name].sum(1, keepdims=True) == 0) * absent_d
    return h_nd


def test_it_is_the_dense_sum(summary):
    parts = parts_of(30)
    levels = levels_of(parts)
    np.testing.assert_allclose(summed(summary, parts, levels), slow(summary, parts, levels), rtol=1e-3, atol=1e-3)


def test_what_is_missing_hidden_or_dropped_is_as_in_the_dense_sum(summary):
    parts = parts_of(30, {"rna": np.arange(30) > 4, "atac": np.arange(30) < 20})
    for seed, (name, part) in enumerate(list(parts.items())):
        drawn_t = torch.rand(len(part.ids), generator=torch.Generator().manual_seed(seed))
        parts[name] = part._replace(
            ids=torch.where((drawn_t < 0.2) | (part.ids % 7 == 0), -1, part.ids),
            values=torch.where(drawn_t > 0.7, torch.nan, part.values),
            fraction=torch.linspace(0.3, 1, 30),
            measured=torch.arange(SIZES[name]) % 7 > 0,
        )
    levels = levels_of(parts)
    np.testing.assert_allclose(summed(summary, parts, levels), slow(summary, parts, levels), rtol=1e-3, atol=1e-3)


def test_a_row_of_which_nothing_is_seen_is_what_stands_for_that(summary):
    nothing = np.zeros(3, bool)
    parts = parts_of(3, {"rna": nothing, "atac": nothing})
    expected = sum(vector.detach() for vector in summary.combination.absent)
    np.testing.assert_allclose(summed(summary, parts, levels_of(parts)), expected.expand(3, 6), rtol=1e-5)


def test_rows_do_not_know_each_other(summary):
    parts = parts_of(30)
    levels = levels_of(parts)
    whole = summed(summary, parts, levels)
    for i in (0, 13, 29):
        alone, own_levels = {}, {}
        for name, part in parts.items():
            own = obs_of(part) == i
            ends = torch.tensor([0, int(own.sum())])
            one = {key: getattr(part, key)[i : i + 1] for key in ("fraction", "covered", "present")}
            alone[name] = part._replace(ids=part.ids[own], values=part.values[own], offsets=ends, **one)
            own_levels[name] = levels[name][own]
        np.testing.assert_allclose(summed(summary, alone, own_levels)[0], whole[i], rtol=1e-4, atol=1e-5)


def test_dropping_tokens_does_not_shift_the_sum_of_counts():
    torch.manual_seed(0)
    summary = TokenSummary({"rna": "counts"}, {"rna": 40}, 3)
    summary.get_buffer("rate_0").fill_(1.0)
    summary.get_buffer("mean_0").fill_(0.7)
    part = part_of(counts(1, 40, 0))
    level_t = levels_of({"rna": part})["rna"]
    n = 20_000
    kept = torch.rand(n, len(part.ids), generator=torch.Generator().manual_seed(0)) < 0.4
    lengths_n = kept.sum(1)
    copies = TokenSet(
        ids=part.ids.repeat(n)[kept.flatten()],
        values=part.values.repeat(n)[kept.flatten()],
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), lengths_n.cumsum(0)]),
        fraction=torch.full((n,), 0.4),
        covered=torch.ones(n),
        measured=part.measured,
        present=torch.ones(n, dtype=torch.bool),
    )
    found = summed(summary, {"rna": copies}, {"rna": level_t.repeat(n)[kept.flatten()]})
    error = found.std(0) / np.sqrt(n)
    whole = summed(summary, {"rna": part}, {"rna": level_t})[0]
    assert (np.abs(found.mean(0) - whole) < 4 * error).all()
    naive = summed(
        summary, {"rna": copies._replace(fraction=torch.ones(n))}, {"rna": level_t.repeat(n)[kept.flatten()]}
    )
    assert (np.abs(naive.mean(0) - whole) > 4 * error).any(), "it takes the share"


# ---- the start -----------------------------------------------------------------------------------------------------


def level_matrix(x_ng: np.ndarray, n_bins: int) -> np.ndarray:
    """Means of the bins of log values, in the place of the values; by numpy alone."""
    log_ng = np.log1p(1e4 * x_ng / x_ng.sum(1, keepdims=True))
    cuts = np.quantile(log_ng[x_ng > 0], np.linspace(0, 1, n_bins + 1)[1:-1])
    bin_ng = np.where(x_ng > 0, 1 + np.searchsorted(np.unique(cuts), log_ng), 0)
    level_b = [log_ng[bin_ng == b].mean() if (bin_ng == b).any() else 0 for b in range(n_bins + 1)]
    return np.array([0.0, *level_b[1:]])[bin_ng]


def tf_idf(x_ng: np.ndarray) -> np.ndarray:
    open_ng = (x_ng > 0) * np.log(1 + len(x_ng) / np.maximum((x_ng > 0).sum(0), 1))
    return open_ng / np.linalg.norm(open_ng, axis=1, keepdims=True)


def scores(x_ng: np.ndarray, skipped: int, k: int) -> np.ndarray:
    """Scores on the leading right singular vectors, of unit variance."""
    vt = np.linalg.svd(x_ng, full_matrices=False)[2][skipped : skipped + k]
    score_nk = x_ng @ vt.T
    return score_nk / score_nk.std(0)


def started(parts, chosen, n_components, width=12):
    """Bins, a summary and its components, as a model starts them."""
    torch.manual_seed(0)
    kinds = {name: KINDS[name] for name in parts}
    bins = ValueBins(kinds, dict.fromkeys(parts, 6) | ({"atac": 1} if "atac" in parts else {}))
    summary = TokenSummary(kinds, {name: SIZES[name] for name in parts}, width)
    levels, x = {}, {}
    for name, part in parts.items():
        bins.fit(name, [part])
        levels[name] = bins.level(name)[bins(name, part, obs_of(part))]
        x[name] = summary.fit(name, [part], [levels[name]], chosen[name])
    has = {name: part.present.numpy() for name, part in parts.items()}
    components = initial_components(x, has, n_components, Fitting(0))
    summary.initialize(components, chosen)
    return summary, levels, x, components


CHOSEN = {"rna": torch.arange(40)[torch.arange(40) % 5 > 0], "atac": torch.arange(3, 60)}


def correlations(a_nk, b_nk) -> np.ndarray:
    return np.abs([np.corrcoef(a, b)[0, 1] for a, b in zip(a_nk.T, b_nk.T, strict=True)])


def test_of_counts_it_starts_as_the_principal_components_of_scaled_levels():
    parts = {"rna": parts_of()["rna"]}
    summary, levels, x, _ = started(parts, CHOSEN, {"rna": 4})
    level_ng = level_matrix(counts(150, 40, 0), 6)[:, CHOSEN["rna"]]
    scaled_ng = (level_ng - level_ng.mean(0)) / (level_ng.std(0) + 1e-4)
    np.testing.assert_allclose(x["rna"], scaled_ng, rtol=1e-3, atol=1e-3)
    found = summed(summary, parts, levels)[:, :4]
    assert (correlations(found, scores(scaled_ng, 0, 4)) > 0.999).all()
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-3)


def test_of_regions_it_starts_as_the_components_of_their_normalised_rarities():
    parts = {"atac": parts_of()["atac"]}
    chosen = {"atac": torch.arange(60)}
    summary, levels, x, _ = started(parts, chosen, {"atac": 4})
    expected = tf_idf(counts(150, 60, 1))
    np.testing.assert_allclose(x["atac"].toarray(), expected, rtol=1e-4, atol=1e-6)
    found = summed(summary, parts, levels)[:, :4]
    assert (correlations(found, scores(expected, 1, 4)) > 0.999).all()


def test_of_two_modalities_each_has_components_that_both_estimate():
    parts = parts_of()
    summary, levels, x, components = started(parts, CHOSEN, {"rna": 4, "atac": 3})
    assert [(c.first, len(c.strength_k)) for c in components.values()] == [(0, 4), (4, 3)]
    level_ng = level_matrix(counts(150, 40, 0), 6)[:, CHOSEN["rna"]]
    rna_nk = scores((level_ng - level_ng.mean(0)) / (level_ng.std(0) + 1e-4), 0, 4)
    atac_nk = scores(tf_idf(counts(150, 60, 1))[:, CHOSEN["atac"]], 1, 3)
    nothing = np.zeros(150, bool)
    for name, own_nk, other in (("rna", rna_nk, "atac"), ("atac", atac_nk, "rna")):
        first, k = components[name].first, own_nk.shape[1]
        alone = {**parts, other: parts_of(present={other: nothing})[other]}
        found = summed(summary, alone, {**levels, other: torch.zeros(0)})[:, first : first + k]
        assert (correlations(found, own_nk) > 0.999).all(), "alone, a modality gives its own components"
    both = summed(summary, parts, levels)[:, :7]
    relative_depth = {
        name: summary.relative_depth(name, part, obs_of(part)).numpy()[:, None] for name, part in parts.items()
    }
    for name, component in components.items():
        weights_gk = component.estimates[name].weights_gk
        other = next(m for m in parts if m != name)
        found = {
            name: own_estimates(x[name], weights_gk, 0),
            other: ridge_estimates(x[other], x[name] @ weights_gk, 0),
        }
        estimate_nk = {m: x[m] @ e.weights_gk + e.offset_k for m, e in found.items()}
        precision_nk = {m: relative_depth[m] * e.precision_k for m, e in found.items()}
        mean_nk = sum(precision_nk[m] * estimate_nk[m] for m in parts) / sum(precision_nk.values())
        columns = slice(component.first, component.first + weights_gk.shape[1])
        np.testing.assert_allclose(both[:, columns], mean_nk, rtol=1e-2, atol=1e-2)


def test_rows_of_which_few_are_paired_do_not_tell_each_others_components():
    present = {"rna": np.arange(150) < 100, "atac": np.arange(150) > 50}
    parts = parts_of(present=present)
    summary, levels, _, components = started(parts, CHOSEN, {"rna": 4, "atac": 3})
    assert all(set(c.estimates) == {name} for name, c in components.items())
    level_ng = level_matrix(counts(150, 40, 0)[:100], 6)[:, CHOSEN["rna"]]
    own_nk = scores((level_ng - level_ng.mean(0)) / (level_ng.std(0) + 1e-4), 0, 4)
    found = summed(summary, parts, levels)[:51, :4]
    assert (correlations(found, own_nk[:51]) > 0.999).all()


def test_statistics_are_read_off_rows_that_have_the_modality():
    has = np.arange(150) % 3 > 0
    whole = part_of(counts(150, 60, 1), has)
    summary = TokenSummary({"atac": "accessibility"}, {"atac": 60}, 4)
    x = summary.fit("atac", [whole], [torch.zeros(len(whole.ids))], torch.arange(60))
    open_ng = counts(150, 60, 1)[has] > 0
    assert x.shape == (100, 60)
    np.testing.assert_allclose(summary.get_buffer("rarity_0"), np.log1p(100 / np.maximum(open_ng.sum(0), 1)), rtol=1e-5)
    assert float(summary.get_buffer("usual_0")) == pytest.approx(np.median(open_ng.sum(1)), abs=1)


def test_features_that_are_not_chosen_are_tokens_but_not_in_the_sum():
    parts = parts_of()
    summary, levels, _, _ = started(parts, CHOSEN, {"rna": 4, "atac": 3})
    for m, (name, chosen) in enumerate(CHOSEN.items()):
        rate_g = summary.get_buffer(f"rate_{m}")
        assert set(rate_g.nonzero()[:, 0].tolist()) == set(chosen.tolist())
        assert torch.isfinite(summary.table(name)).all()
    before = summed(summary, parts, levels)
    with torch.no_grad():
        summary.table("rna")[0] = 99.0
    np.testing.assert_array_equal(summed(summary, parts, levels), before)


def test_the_embeddings_start_with_size_one_on_the_components():
    summary, *_ = started(parts_of(), CHOSEN, {"rna": 4, "atac": 3}, width=64)
    for name, chosen in CHOSEN.items():
        size_g = summary.table(name)[chosen].detach().square()[:, :7].mean(1).sqrt()
        np.testing.assert_allclose(size_g, 1, rtol=1e-4)
        rest = summary.table(name)[chosen, 7:].detach()
        assert 0.05 < float(rest.std()) < 0.2, "little where no component leads"


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _token_summary.UNUSED_SIZE == 0.1
