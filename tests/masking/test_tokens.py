"""What is dropped or hidden leaves no trace, as often as was asked, and a closed region is as common as an open one."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from omicsmlm import _sizes, _types
from omicsmlm._draws import Draws
from omicsmlm._types import Masked, TokenSet, cached_lengths, masked_positions, obs_of
from omicsmlm.masking import MaskTokens, _negatives, _tokens
from tests.objects import draws_for

KINDS = {"rna": False, "atac": True}
"""Whether hidden tokens bring closed ones."""


def token_set(n=40, g=30, density=0.5, seed=0, present=None, tagged=False) -> TokenSet:
    """Rows of which each feature is found in some; ``tagged`` gives each token a value of its own."""
    rng = np.random.default_rng(seed)
    present = np.ones(n, bool) if present is None else present
    popular_g = np.clip(density * rng.gamma(2, 0.5, g), 0.02, 0.9)
    row, feature = np.nonzero((rng.random((n, g)) < popular_g) & present[:, None])
    values = 1.0 + np.arange(len(row)) if tagged else rng.integers(1, 9, len(row))
    return TokenSet(
        ids=torch.from_numpy(feature),
        values=torch.from_numpy(values).float(),
        offsets=torch.from_numpy(np.concatenate([[0], np.bincount(row, minlength=n).cumsum()])),
        fraction=torch.from_numpy(rng.uniform(0.5, 1, n)).float(),
        covered=torch.from_numpy(rng.uniform(0.5, 1, n)).float(),
        measured=torch.ones(g, dtype=torch.bool),
        present=torch.from_numpy(present),
    )


def sets_of(**changes) -> dict[str, TokenSet]:
    return {name: token_set(seed=i, **changes) for i, name in enumerate(KINDS)}


def hide(
    sets,
    drop=(0.1, 0.8),
    modality=0.2,
    value=0.3,
    identity=0.2,
    most=10_000,
    seed=0,
    closed=KINDS,
    in_sight=False,
    value_in_sight=True,
) -> Masked:
    common = {name: lambda name: common_of(sets[name]) for name, brings in closed.items() if brings}
    shown = {"identity_in_sight": in_sight, "value_in_sight": value_in_sight}
    hiding = MaskTokens(drop, modality, value, identity, most, common, **shown)
    return hiding(sets, draws_for(sets, seed))


def common_of(part: TokenSet) -> torch.Tensor:
    """Share of the rows that have each feature."""
    return torch.bincount(part.ids, minlength=len(part.measured)) / part.present.sum().clamp(min=1)


def same(a: dict[str, TokenSet], b: dict[str, TokenSet]) -> bool:
    return all(
        torch.equal(x.nan_to_num(-9), y.nan_to_num(-9)) for m in a for x, y in zip(a[m][:7], b[m][:7], strict=True)
    )


def pairs(ids, part) -> list[tuple[int, int]]:
    """Row and feature of each token."""
    return list(zip(obs_of(part).tolist(), ids.tolist(), strict=True))


# ---- what is left --------------------------------------------------------------------------------------------------


def test_each_row_keeps_some_of_its_own_tokens_in_order():
    sets = sets_of(tagged=True)
    masked = hide(sets)
    for name, part in masked.inputs.items():
        truth, whole, obs_t = masked.evaluated[name], sets[name], obs_of(part)
        assert part.offsets[0] == 0
        assert part.offsets[-1] == len(part.ids) == len(part.values) == len(truth.values) == len(truth.identity_masked)
        owner = dict(zip(whole.values.tolist(), pairs(whole.ids, whole), strict=True))
        own = truth.values > 0
        assert own.all() == (name == "rna")
        for i in range(40):
            kept = truth.values[own & (obs_t == i)].tolist()
            assert kept == sorted(set(kept)), "in the order of the whole, none twice"
        assert 0.2 < int(own.sum()) / len(whole.ids) < 0.8
        for t in own.nonzero()[:, 0].tolist():
            i, feature = owner[float(truth.values[t])]
            assert int(obs_t[t]) == i
            assert int(part.ids[t]) == (-1 if truth.identity_masked[t] else feature)
            assert part.values[t].isnan() or part.values[t] == truth.values[t]


def test_everything_is_the_target():
    sets = sets_of()
    before = {name: [x.clone() for x in part[:7]] for name, part in sets.items()}
    masked = hide(sets)
    assert masked.targets is sets
    assert all(torch.equal(a, b) for name in sets for a, b in zip(sets[name][:7], before[name], strict=True))


def test_what_is_hidden_or_dropped_leaves_no_trace():
    tagged = sets_of(tagged=True)
    shown = {name: part.values for name, part in hide(tagged).inputs.items()}
    changed = {}
    for name, part in tagged.items():
        unseen = ~torch.isin(part.values, shown[name])
        assert 0.3 < unseen.float().mean() < 0.9
        changed[name] = part._replace(values=torch.where(unseen, part.values * 3 + 7, part.values))
    assert same(hide(tagged).inputs, hide(changed).inputs)
    visible = {name: part._replace(values=part.values * 3 + 7) for name, part in tagged.items()}
    assert not same(hide(tagged).inputs, hide(visible).inputs)


def test_what_is_dropped_or_hidden_of_a_feature_leaves_no_trace_either():
    tagged = {"rna": token_set(tagged=True)}
    masked = hide(tagged, closed={"rna": False})
    part, truth = masked.inputs["rna"], masked.evaluated["rna"]
    named = torch.isin(tagged["rna"].values, truth.values[~truth.identity_masked])
    changed = tagged["rna"]._replace(ids=torch.where(named, tagged["rna"].ids, 29 - tagged["rna"].ids))
    assert same({"rna": part}, hide({"rna": changed}, closed={"rna": False}).inputs)


def test_nothing_is_hidden_at_rates_of_zero():
    sets = sets_of()
    masked = hide(sets, (0.0, 0.0), 0.0, 0.0, 0.0)
    assert same(masked.inputs, sets)
    for name, part in sets.items():
        assert torch.equal(masked.evaluated[name].values, part.values)
        assert not masked.evaluated[name].identity_masked.any()


# ---- how much -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.0, 0.6)])
def test_the_share_of_dropped_tokens_is_drawn_per_row_for_all_modalities(rates):
    sets = {name: token_set(1500, 200, seed=i) for i, name in enumerate("ab")}
    inputs = hide(sets, rates, 0, 0.3, 0.2, closed={"a": False, "b": False}).inputs
    shares = torch.stack([1 - inputs[name].offsets.diff() / sets[name].offsets.diff() for name in "ab"])
    assert float(shares.mean()) == pytest.approx(sum(rates) / 2, abs=0.01)
    spread = (rates[1] - rates[0]) ** 2 / 12
    assert spread - 0.002 <= float(shares[0].var()) <= spread + 0.25 / 60
    correlation = float(torch.corrcoef(shares)[0, 1])
    assert abs(correlation) < 0.1 if spread == 0 else correlation > 0.8


def test_values_and_identities_are_hidden_at_their_rates_and_never_both():
    sets = {name: token_set(400, 60, seed=i) for i, name in enumerate("ab")}
    masked = hide(sets, (0.2, 0.2), 0.0, 0.3, 0.2, closed={"a": False, "b": False})
    for name in sets:
        part, truth = masked.inputs[name], masked.evaluated[name]
        hides_value, hides_identity = part.values.isnan(), part.ids < 0
        assert not (hides_value & hides_identity).any()
        assert torch.equal(hides_identity, truth.identity_masked)
        assert float(hides_value.float().mean()) == pytest.approx(0.3, abs=0.015)
        assert float(hides_identity.float().mean()) == pytest.approx(0.2, abs=0.015)


def test_values_of_tokens_with_masked_identity_are_masked_too_where_asked_for_and_are_not_predicted():
    sets = sets_of()
    masked, shown = hide(sets, value_in_sight=False), hide(sets)
    for name, part in masked.inputs.items():
        other, truth = shown.inputs[name], masked.evaluated[name]
        assert truth.identity_masked.any()
        assert torch.equal(part.ids, other.ids)
        assert torch.equal(part.values.isnan(), other.values.isnan() | (part.ids < 0))
        assert torch.equal(masked_positions(part), other.values.isnan().nonzero()[:, 0])
        assert torch.equal(masked_positions(part._replace(cache=None)), masked_positions(part))
        torch.testing.assert_close(truth.total, shown.evaluated[name].total)
        torch.testing.assert_close(part.covered, other.covered * (1 - 0.3 - 0.2) / (1 - 0.3))
        torch.testing.assert_close(part.fraction, other.fraction)


def test_of_a_token_with_nothing_visible_nothing_shows():
    tagged = {"rna": token_set(tagged=True)}
    masked = hide(tagged, closed={"rna": False}, value_in_sight=False)
    truth, whole = masked.evaluated["rna"], tagged["rna"]
    is_it_t = torch.isin(whole.values, truth.values[truth.identity_masked])
    changed = whole._replace(
        ids=torch.where(is_it_t, 29 - whole.ids, whole.ids), values=torch.where(is_it_t, 7 * whole.values, whole.values)
    )
    assert same(masked.inputs, hide({"rna": changed}, closed={"rna": False}, value_in_sight=False).inputs)


def test_identities_in_sight_are_asked_for_all_the_same():
    sets = sets_of()
    masked, hidden = hide(sets, in_sight=True), hide(sets)
    for name, part in masked.inputs.items():
        truth = masked.evaluated[name]
        assert truth.identity_masked.any()
        assert torch.equal(truth.identity_masked, hidden.evaluated[name].identity_masked)
        assert (part.ids >= 0).all()
        assert torch.equal(part.values.isnan(), hidden.inputs[name].values.isnan())
        assert (part.fraction > hidden.inputs[name].fraction).any()


def test_share_and_coverage_say_how_much_is_seen():
    """With one rate for all rows, what they should be is known."""
    sets = sets_of()
    for in_sight, named in ((False, 0.8), (True, 1.0)):
        inputs = hide(sets, (0.4, 0.4), 0.0, 0.3, 0.2, in_sight=in_sight).inputs
        for name, part in sets.items():
            torch.testing.assert_close(inputs[name].fraction, part.fraction * 0.6 * named)
            torch.testing.assert_close(inputs[name].covered, part.covered * 0.6 * 0.7)
            assert torch.equal(inputs[name].present, part.present)
            assert torch.equal(inputs[name].measured, part.measured)


def repeated(part: TokenSet, n: int) -> TokenSet:
    """The same rows n times over."""
    lengths_n = part.offsets.diff().repeat(n)
    return TokenSet(
        ids=part.ids.repeat(n),
        values=part.values.repeat(n),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), lengths_n.cumsum(0)]),
        fraction=part.fraction.repeat(n),
        covered=part.covered.repeat(n),
        measured=part.measured,
        present=part.present.repeat(n),
    )


def test_sums_over_the_visible_tokens_tell_on_average_those_over_all():
    sets = sets_of(n=8)
    inputs = hide({name: repeated(part, 2000) for name, part in sets.items()}, (0.1, 0.6), 0.0, 0.3, 0.2).inputs
    for name, part in inputs.items():
        obs_t, whole = obs_of(part), torch.zeros(8).index_add_(0, obs_of(sets[name]), sets[name].values)
        both = torch.where((part.ids >= 0) & ~part.values.isnan(), part.values, 0.0)  # 0.5 of the 0.8 with identity
        sum_n = torch.zeros(16000).index_add_(0, obs_t, both / part.fraction[obs_t] / 0.625)
        total_n = torch.zeros(16000).index_add_(0, obs_t, part.values.nan_to_num(0.0)) / part.covered
        torch.testing.assert_close(sum_n.view(2000, 8).mean(0), whole / sets[name].fraction, rtol=0.04, atol=0.0)
        torch.testing.assert_close(total_n.view(2000, 8).mean(0), whole / sets[name].covered, rtol=0.04, atol=0.0)


@pytest.mark.parametrize("most", [5, 20])
def test_longer_rows_drop_more(most):
    sets = {name: token_set(800, 60, seed=i) for i, name in enumerate("ab")}
    inputs = hide(sets, (0.0, 0.0), 0.0, most=most, closed={"a": False, "b": False}).inputs
    length_n = sum(part.offsets.diff() for part in sets.values())
    left_n = sum(part.offsets.diff() for part in inputs.values()).float()
    assert int(length_n.min()) > 20
    assert float(left_n.mean()) == pytest.approx(most, rel=0.05)
    assert float(left_n.std()) < 1.1 * most**0.5, "no more than chance makes of it"
    for name, part in inputs.items():
        torch.testing.assert_close(part.covered, sets[name].covered * most / length_n * 0.7)


def test_rows_within_the_limit_drop_no_more_for_it():
    sets = sets_of()
    assert same(hide(sets, most=60).inputs, hide(sets, most=10_000).inputs)


def test_the_true_total_of_a_row_is_that_of_all_its_tokens():
    sets = sets_of()
    masked = hide(sets)
    for name, part in sets.items():
        for i in range(40):
            own = part.values[part.offsets[i] : part.offsets[i + 1]]
            total = float(own.double().sum() / part.covered[i])
            assert float(masked.evaluated[name].total[i]) == pytest.approx(total, rel=1e-5)


# ---- closed regions -------------------------------------------------------------------------------------------------


def test_closed_regions_are_not_in_the_row_and_hidden():
    sets = sets_of(n=200, g=60, density=0.1)
    masked = hide(sets)
    part, truth = masked.inputs["atac"], masked.evaluated["atac"]
    open_pairs = set(pairs(sets["atac"].ids, sets["atac"]))
    found = [pair for pair, value in zip(pairs(part.ids, part), truth.values.tolist(), strict=True) if value == 0]
    assert len(found) > 100
    assert len(set(found)) == len(found), "none twice in a row"
    assert not open_pairs.intersection(found)
    closed = truth.values == 0
    assert part.values[closed].isnan().all()
    assert not truth.identity_masked[closed].any()
    assert (part.ids[closed] >= 0).all()
    assert not (masked.evaluated["rna"].values == 0).any(), "a modality of values brings none"


@pytest.mark.parametrize("density", [0.05, 0.2])
def test_closed_regions_are_as_many_and_as_common_as_hidden_open_ones(density):
    sets = {"atac": token_set(600, 400, density)}
    is_open, ids = [], []
    for seed in range(3):
        masked = hide(sets, (0.0, 0.6), value=0.2, seed=seed, closed={"atac": True})
        part, truth = masked.inputs["atac"], masked.evaluated["atac"]
        hidden = part.values.isnan()
        is_open.append(truth.values[hidden] > 0)
        ids.append(part.ids[hidden])
    is_open, ids = torch.cat(is_open), torch.cat(ids)
    assert float(is_open.float().mean()) == pytest.approx(0.5, abs=0.05)
    popular_g = torch.bincount(sets["atac"].ids, minlength=400)
    assert roc_auc_score(is_open, popular_g[ids]) == pytest.approx(0.5, abs=0.025)
    at_random = torch.randint(400, (len(ids),), generator=torch.Generator().manual_seed(0))
    scores = popular_g[torch.where(is_open, ids, at_random)]
    assert roc_auc_score(is_open, scores) > 0.55, "popularity would tell regions drawn alike"


def rows_only(part: TokenSet, rows: list[int]) -> TokenSet:
    """Some of the rows."""
    own = torch.cat([torch.arange(int(part.offsets[i]), int(part.offsets[i + 1])) for i in rows])
    lengths = part.offsets.diff()[rows]
    return part._replace(
        ids=part.ids[own],
        values=part.values[own],
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]),
        fraction=part.fraction[rows],
        covered=part.covered[rows],
        present=part.present[rows],
    )


def test_what_happens_to_a_row_does_not_depend_on_the_others():
    """So that two ranks do as one process; closed regions are drawn by how common they are in all of the data."""
    sets, chosen = sets_of(), [31, 4, 17]
    common = {"atac": lambda name: common_of(sets[name])}
    hiding = MaskTokens((0.1, 0.6), 0.3, 0.3, 0.2, 25, common)
    whole = hiding(sets, Draws(5, torch.arange(40)))
    few = {name: rows_only(part, chosen) for name, part in sets.items()}
    alone = hiding(few, Draws(5, torch.tensor(chosen)))
    for name, part in alone.inputs.items():
        wanted = rows_only(whole.inputs[name], chosen)
        for found, expected in zip(part[:7], wanted[:7], strict=True):
            assert torch.equal(found.nan_to_num(-9), expected.nan_to_num(-9))
    assert (alone.evaluated["atac"].values == 0).any()


def test_a_row_that_has_every_region_has_no_closed_one():
    whole = token_set(6, 4, seed=1)
    full = whole._replace(
        ids=torch.arange(4).repeat(6), values=torch.ones(24), offsets=torch.arange(0, 25, 4), fraction=torch.ones(6)
    )
    masked = hide({"atac": full}, value=0.9, identity=0.0, closed={"atac": True})
    assert (masked.evaluated["atac"].values == 1).all()


# ---- whole modalities -----------------------------------------------------------------------------------------------


def test_a_row_loses_one_of_its_modalities_at_the_rate_and_each_as_often():
    sets = {name: token_set(3000, 5, 0.9, i) for i, name in enumerate("abc")}
    masked = hide(sets, (0.0, 0.0), 0.3, 0.3, 0.2, closed=dict.fromkeys("abc", True))
    lost = torch.stack([~masked.inputs[name].present for name in "abc"], 1)
    assert int(lost.sum(1).max()) == 1
    assert float(lost.any(1).float().mean()) == pytest.approx(0.3, abs=0.03)
    for m, name in enumerate("abc"):
        assert float(lost[:, m].float().mean()) == pytest.approx(0.1, abs=0.02)
        part = masked.inputs[name]
        assert not part.offsets.diff()[lost[:, m]].any(), "nothing of it is left, nor closed ones brought"
        assert not part.fraction[lost[:, m]].any()
        assert (part.fraction[~lost[:, m]] > 0).all()


def test_a_row_never_loses_its_last_modality():
    half = np.arange(400) < 200
    sets = {
        "a": token_set(400, 20, seed=0),
        "b": token_set(400, 20, seed=1, present=half),
        "c": token_set(400, 20, seed=2, present=np.zeros(400, bool)),
    }
    inputs = hide(sets, (0.0, 0.0), 1.0, closed=dict.fromkeys(sets, False)).inputs
    has = torch.stack([part.present for part in inputs.values()], 1)
    assert has[:200].sum(1).tolist() == [1] * 200, "rows with two modalities lose one"
    assert has[200:, 0].all(), "rows with one keep it"
    assert 60 < int(has[:200, 0].sum()) < 140, "either of the two is lost"
    assert not has[:, 2].any()


@pytest.mark.parametrize("with_negatives", [False, True])
def test_a_modality_without_tokens_is_no_trouble(with_negatives):
    none = token_set(40, 30, present=np.zeros(40, bool))
    masked = hide({"rna": token_set(), "atac": none}, modality=1.0, closed={"rna": False, "atac": with_negatives})
    part = masked.inputs["atac"]
    assert len(part.ids) == len(part.values) == 0
    assert part.offsets.tolist() == [0] * 41
    assert not part.present.any()
    assert masked.evaluated["atac"].total.tolist() == [0.0] * 40
    assert len(masked.inputs["rna"].ids) > 0


# ---- randomness -----------------------------------------------------------------------------------------------------


def test_the_generator_alone_decides():
    sets = sets_of()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = hide(sets, seed=3)
    assert torch.equal(state, torch.get_rng_state()), "the global random state was used"
    torch.manual_seed(2)
    again, other = hide(sets, seed=3), hide(sets, seed=4)
    assert same(first.inputs, again.inputs)
    assert all(torch.equal(a, b) for m in sets for a, b in zip(first.evaluated[m], again.evaluated[m], strict=True))
    assert [len(part.ids) for part in first.inputs.values()] != [len(part.ids) for part in other.inputs.values()]


# ---- on a device -----------------------------------------------------------------------------------------------------


def test_tokens_of_no_observation_stay_out(monkeypatch):
    """On a device some may stand behind those of the last observation."""
    sets = sets_of()
    expected = hide(sets)
    for module in (_negatives, _sizes, _types):
        monkeypatch.setattr(module, "is_on_host", lambda tensor: False)
    more = {
        name: part._replace(
            ids=torch.cat([part.ids, torch.arange(25)]), values=torch.cat([part.values, torch.full((25,), 1e3)])
        )
        for name, part in sets.items()
    }
    common = {"atac": lambda name: common_of(sets[name])}
    found = MaskTokens((0.1, 0.8), 0.2, 0.3, 0.2, 10_000, common)(more, draws_for(sets))
    assert same(found.inputs, expected.inputs)
    for name in sets:
        for a, b in zip(found.evaluated[name], expected.evaluated[name], strict=True):
            torch.testing.assert_close(a, b)


def test_the_host_knows_lengths_and_masked_tokens():
    masked = hide(sets_of())
    for part in masked.inputs.values():
        assert cached_lengths(part) == part.offsets.diff().tolist()
        assert masked_positions(part) is part.cache.masked
        assert torch.equal(part.cache.masked, part.values.isnan().nonzero()[:, 0])
        assert part.offsets.dtype == torch.int64


def test_as_many_negatives_are_provided_for_as_values_may_be_masked(monkeypatch):
    asked = []
    monkeypatch.setattr(_tokens, "binomial_bound", lambda n, rate: asked.append((n, rate)) or n)
    sets = sets_of()
    hide(sets, drop=(0.2, 0.7), value=0.3)
    assert asked == [(len(sets["atac"].ids), pytest.approx(0.8 * 0.3))]


def test_one_token_is_masked_in_one_way_and_rates_say_which():
    """At rates of 0.5 each, every token that is left is masked in one of two ways."""
    sets = {"a": token_set(50, 30)}
    masked = hide(sets, (0.0, 0.0), 0.0, 0.5, 0.5, closed={"a": False})
    part = masked.inputs["a"]
    assert torch.equal(part.values.isnan(), part.ids >= 0)
    assert torch.equal(masked.evaluated["a"].identity_masked, part.ids == -1)
    assert not hide(sets, (0.0, 0.0), 0.0, 1.0, 0.0, closed={"a": False}).evaluated["a"].identity_masked.any()
    assert hide(sets, (0.0, 0.0), 0.0, 1.0, 0.0, closed={"a": False}).inputs["a"].values.isnan().all()


def test_lengths_of_both_modalities_count_towards_the_limit():
    sets = {name: token_set(300, 40, 0.6, i) for i, name in enumerate("ab")}
    length_n = sum(part.offsets.diff() for part in sets.values())
    masked = hide(sets, (0.5, 0.5), 0.0, 0.0, 0.0, most=int(length_n.max()), closed={"a": False, "b": False})
    left = sum(len(part.ids) for part in masked.inputs.values())
    assert left / int(length_n.sum()) == pytest.approx(0.5, abs=0.03), "within the limit, half of them is dropped"


def test_dtypes():
    masked = hide(sets_of())
    for name, part in masked.inputs.items():
        truth = masked.evaluated[name]
        assert (part.ids.dtype, part.offsets.dtype) == (torch.int64, torch.int64)
        assert (part.values.dtype, truth.values.dtype, truth.total.dtype) == (torch.float32,) * 3
        assert (part.present.dtype, truth.identity_masked.dtype) == (torch.bool, torch.bool)
