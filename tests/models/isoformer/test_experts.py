"""The experts beside the network: scores of compositions, kernel regressions, and linear ones."""

import numpy as np
import pytest
import torch

from omicsmlm import IsoFormer
from omicsmlm._types import Grid
from omicsmlm.models.isoformer import _experts
from omicsmlm.models.isoformer._derived import ExpertSet
from omicsmlm.models.isoformer._experts import (
    LINEAR_PENALTIES,
    PENALTIES,
    RATES,
    fit_regressions,
    fit_scores,
    has_architecture,
)
from omicsmlm.models.isoformer._module import IsoFormerModule
from omicsmlm.nn import ARCHITECTURE, Composition, GroupRegression, KernelRegression, group_folds
from tests.fixtures.make import FIXTURES
from tests.objects import QUIET, SMALL_ISOFORMER, letters_of, transcripts

TARGETS = "expression"


# ---- scores and kernels -------------------------------------------------------------------------------------------


def sequences(n: int) -> list[str]:
    """Nucleotide sequences whose fraction of A grows with their number."""
    rng = np.random.default_rng(0)
    fractions = np.linspace(0.1, 0.7, n)
    return ["".join(rng.choice(list("ACGT"), 60, p=[f, *[(1 - f) / 3] * 3])) for f in fractions]


def views_of(n: int = 40) -> list[dict]:
    """Two batches of as many observations, of which every fourth has no DNA, and whose target is their fraction of A."""
    views = []
    for texts in (sequences(2 * n)[::2], sequences(2 * n)[1::2]):
        of_obs = [-1 if i % 4 == 0 else i for i in range(n)]
        y_n1 = torch.tensor([[s.count("A") / 60] for s in texts])
        y_n1 = (y_n1 - y_n1.mean()) / y_n1.std()
        target = Grid(y_n1, torch.ones(n, 1, dtype=torch.bool), y_n1[:, 0])
        views.append({"dna": letters_of(*texts, of_obs=of_obs), TARGETS: target})
    return views


def test_scores_are_fitted_to_the_sequences_of_all_batches():
    views = views_of()
    module = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(module, views)
    composition = torch.cat([module.scores["dna"].composition(batch["dna"]) for batch in views])
    torch.testing.assert_close(module.scores["dna"].mean_f, composition.mean(0))
    assert module.scores["dna"].rotation_fk.abs().sum() > 0
    alone = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(alone, [{"dna": letters_of("ACGT")}])
    assert not alone.scores["dna"].rotation_fk.any(), "one sequence has no components"


def test_kernels_are_fitted_to_the_observations_that_have_the_sequence():
    views, module = views_of(), IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(module, views)
    explained, crossed, chosen = fit_regressions(module, views, TARGETS, torch.arange(80), 0.0, seed=0)
    assert explained["dna"] > 0.7, "the fraction of A is in the composition"
    other = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(other, views)
    x = torch.cat([other.features("dna", b)[0] for b in views])
    has_n = torch.cat([b["dna"].of_obs >= 0 for b in views])
    y = torch.cat([b[TARGETS].values for b in views])[has_n]
    generator = torch.Generator().manual_seed(0)
    fold_n = group_folds(torch.arange(60), 5, generator)
    found = other.kernels["dna"].fit(x, y, fold_n, RATES, PENALTIES, generator)
    assert explained["dna"] == found.explained
    torch.testing.assert_close(crossed.predicted_net[has_n, 0], found.predicted_nt)
    assert not crossed.predicted_net[~has_n].any()
    assert torch.equal(crossed.set_n, has_n.long())
    assert torch.equal(crossed.target.values[has_n], y)
    torch.testing.assert_close(module.kernels["dna"].weight_mt, other.kernels["dna"].weight_mt)
    assert chosen == {"dna": found.chosen}
    assert found.chosen[0][0] in RATES
    assert found.chosen[1][0] in PENALTIES
    held = {"dna": ((RATES[0],), (PENALTIES[-1],))}
    assert fit_regressions(other, views, TARGETS, torch.arange(80), 0.0, 0, held).chosen == held
    again = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(again, views)
    assert fit_regressions(again, views, TARGETS, torch.arange(80), 0.0, seed=1)[0] != explained


@pytest.mark.parametrize(("n_groups", "is_fitted"), [(80, True), (4, True), (1, False)])
def test_whole_groups_are_held_out(n_groups, is_fitted, monkeypatch):
    views, module = views_of(), IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(module, views)
    held, fit = [], module.kernels["dna"].fit

    def keeping(x_nk, y_nt, fold_n, rates, penalties, generator):
        held.append(fold_n)
        assert rates == (0.3, 0.7, 1.5)
        assert penalties == (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
        return fit(x_nk, y_nt, fold_n, rates, penalties, generator)

    monkeypatch.setattr(module.kernels["dna"], "fit", keeping)
    group_n = torch.arange(80) % n_groups
    assert bool(fit_regressions(module, views, TARGETS, group_n, 0.0, seed=0)[0]) == is_fitted
    if is_fitted:
        has_n = torch.cat([b["dna"].of_obs >= 0 for b in views])
        groups = group_n[has_n]
        out = set(groups[held[0] == 0].tolist())
        assert not out & set(groups[held[0] > 0].tolist())
        assert len(out) == int(np.ceil(0.2 * len(groups.unique())))


@pytest.mark.parametrize(("n", "is_fitted"), [(6, False), (7, True)])
def test_of_very_few_sequences_no_kernel_is_fitted(n, is_fitted):
    """Two batches of 6 have 4 + 4 observations with DNA, of 7 have 5 + 5: ten are enough."""
    views, module = views_of(n), IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(module, views)
    assert bool(fit_regressions(module, views, TARGETS, torch.arange(2 * n), 0.0, seed=0)[0]) == is_fitted


# ---- architecture and vectors -------------------------------------------------------------------------------------


def transcript(rng: np.random.Generator, n_before: int, n_codons: int, n_after: int) -> str:
    """A whole transcript whose longest open reading frame has so many codons between ATG and stop."""
    before, after = ("".join(rng.choice(list("CT"), n)) for n in (n_before, n_after))
    return before + "ATG" + "".join(rng.choice(["GCC", "CTG", "AAA"], n_codons)) + "TAA" + after


def whole_transcripts(n: int = 40) -> list[str]:
    rng = np.random.default_rng(0)
    return [transcript(rng, 5 + 3 * i, 60, 200 - 4 * i) for i in range(n)]


@pytest.mark.parametrize(
    ("sequences", "is_whole"),
    [
        (whole_transcripts(4), True),
        ([*whole_transcripts(2), "ACGT" * 50, "ACGT" * 60], True),  # half of them
        ([*whole_transcripts(1), "ACGT" * 50, "ACGT" * 60], False),
        ([text[text.index("ATG") : text.index("ATG") + 186] for text in whole_transcripts(4)], False),  # coding ones
        (["CCATGAAATAACC" * 3], False),
        ([], False),
    ],
)
def test_whole_transcripts_are_known_by_what_lies_around_their_frames(sequences, is_whole):
    sample = [letters_of(*sequences)] if sequences else [letters_of(of_obs=[-1])]
    assert has_architecture(sample) == is_whole


def rich_module(n: int = 40) -> tuple[IsoFormerModule, list[dict], torch.Tensor]:
    """A module of RNA and a vector with all experts, one batch of which some observations lack one, and the targets."""
    module = IsoFormerModule(["rna"], {"beta": 2}, {}, 1, SMALL_ISOFORMER, experts=ExpertSet(True, True))
    rng = np.random.default_rng(0)
    texts, beta = whole_transcripts(n), torch.from_numpy(rng.normal(size=(n, 2))).float()
    y_n1 = torch.tensor([[float(text.index("ATG"))] for text in texts])
    y_n1 = (y_n1 - y_n1.mean()) / y_n1.std() + 0.5 * beta[:, :1]
    visible = torch.ones(n, 2, dtype=torch.bool)
    visible[::5] = False
    visible[1, 0] = False
    views = {
        "rna": letters_of(*texts, of_obs=[-1 if i % 4 == 0 else i for i in range(n)]),
        "beta": Grid(beta, visible, beta.sum(1)),
        TARGETS: Grid(y_n1, torch.ones(n, 1, dtype=torch.bool), y_n1[:, 0]),
    }
    fit_scores(module, [views])
    return module, [views], y_n1


def test_each_expert_reads_what_is_its_own():
    module, (views,), _ = rich_module()
    assert module.experts == ["rna", "beta", "architecture", "network"]
    values, has_n = module.features("beta", views)
    assert has_n.tolist() == [i % 5 != 0 for i in range(40)]
    assert values[0].tolist() == [0, float(views["beta"].values[1, 1])], "0, the mean, stands for what was not measured"
    parts, has_n = module.features("architecture", views)
    assert has_n.tolist() == [i % 4 != 0 for i in range(40)]
    before = [len(text[: text.index("ATG")]) for i, text in enumerate(whole_transcripts()) if i % 4]
    torch.testing.assert_close(parts[:, 0], torch.tensor(before).float().log1p())
    assert module.scores["rna"].composition.n_features == Composition("nucleotide").n_features + len(ARCHITECTURE)


def test_regressions_are_fitted_to_vectors_and_architecture():
    module, views, y_n1 = rich_module()
    group_n = torch.arange(40) // 2
    explained, crossed, _ = fit_regressions(module, views, TARGETS, group_n, 3.0, seed=0)
    assert set(explained) == {"rna", "beta", "architecture"}
    assert explained["architecture"] > 0.5, "the residues before the frame are in the architecture"
    x_mf, has_n = module.features("architecture", views[0])
    expected = GroupRegression(len(ARCHITECTURE), 1)
    fold_m = group_folds(group_n[has_n], 5, _seeded())
    found = expected.fit(x_mf, y_n1[has_n], group_n[has_n], fold_m, 3.0, LINEAR_PENALTIES)
    torch.testing.assert_close(crossed.predicted_net[has_n, 2], found.predicted_nt)
    assert torch.equal(crossed.set_n, has_n.long() + 2 * (torch.arange(40) % 5 != 0))
    torch.testing.assert_close(module.linear["architecture"].weight_ft, expected.weight_ft)
    assert module.kernels["beta"].landmark_mk.shape == (30, 2)
    with torch.no_grad():
        predicted_net, set_n = module.expert_predictions(views[0])
    assert set_n.tolist() == [(i % 4 != 0) + 2 * (i % 5 != 0) for i in range(40)]
    torch.testing.assert_close(predicted_net[has_n, 2], expected(x_mf))
    assert not predicted_net[~has_n, 2].any()


def test_a_linear_regression_reads_the_short_kmers_of_each_sequence():
    views = views_of()
    module = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER, experts=ExpertSet(short_kmers=True))
    assert module.experts == ["dna", "k-mers of dna", "network"]
    assert module.weight_se.tolist() == [[0, 0, 1], pytest.approx([1 / 3] * 3)]
    fit_scores(module, views)
    explained, crossed, _ = fit_regressions(module, views, TARGETS, torch.arange(80) // 2, 100.0, seed=0)
    assert set(explained) == {"dna", "k-mers of dna"}
    assert isinstance(module.kernels["dna"], KernelRegression)
    x = torch.cat([module.scores["dna"].composition(b["dna"]) for b in views])
    has_n = torch.cat([b["dna"].of_obs >= 0 for b in views])
    of_obs = torch.cat(
        [views[0]["dna"].of_obs, torch.where(views[1]["dna"].of_obs < 0, -1, views[1]["dna"].of_obs + 40)]
    )
    x = x[of_obs[has_n]][:, [*range(320), -1]]
    y = torch.cat([b[TARGETS].values for b in views])[has_n]
    expected, group_n = GroupRegression(321, 1, with_offset=True), (torch.arange(80) // 2)[has_n]
    found = expected.fit(x, y, group_n, group_folds(group_n, 5, _seeded()), 0.0, LINEAR_PENALTIES)
    torch.testing.assert_close(module.linear["k-mers of dna"].weight_ft, expected.weight_ft)
    torch.testing.assert_close(crossed.predicted_net[has_n, 1], found.predicted_nt)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_architecture_counts_where_there_is_rna():
    module, _, _ = rich_module()
    third, half, fourth = 1 / 3, 0.5, 0.25
    expected = [[0, 0, 0, 1], [third, 0, third, third], [0, half, 0, half], [fourth] * 4]
    torch.testing.assert_close(module.weight_se, torch.tensor(expected))


def test_models_of_all_experts_are_saved_and_those_of_before_have_none(tmp_path):
    adata = transcripts(40)
    adata.obs["rna"] = whole_transcripts()
    adata.obsm["beta"] = np.random.default_rng(0).random((40, 2))
    IsoFormer.setup_anndata(adata, rna_key="rna", vector_keys={"beta": "beta"}, group_key="gene")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    assert model.derived.experts == ExpertSet(architecture=True, vectors=True, short_kmers=True, within=True)
    model.train(2, **QUIET)
    model.save(tmp_path / "model")
    again = IsoFormer.load(tmp_path / "model", adata)
    assert again.derived == model.derived
    np.testing.assert_array_equal(again.predict(), model.predict())
    assert IsoFormer.load(FIXTURES / "IsoFormer").derived.experts == ExpertSet(
        architecture=False, vectors=False, short_kmers=False, within=False
    )


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _experts.RATES == (0.3, 0.7, 1.5)
    assert _experts.PENALTIES == (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    assert _experts.N_FOLDS == 5
    assert _experts.MIN_FITTED == 10
    assert _experts.LINEAR_PENALTIES == (1.0, 10.0, 100.0, 1000.0, 10_000.0)
    assert _experts.MIN_FRAME == 150
