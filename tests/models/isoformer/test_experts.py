"""The experts beside the network: scores of compositions, kernel regressions, and the weights of all predictions."""

import numpy as np
import pytest
import torch

from omicsmlm import IsoFormer
from omicsmlm._types import Grid
from omicsmlm.models.isoformer import _experts
from omicsmlm.models.isoformer._config import ExpertSet
from omicsmlm.models.isoformer._experts import (
    GROUP_WEIGHT,
    LINEAR_PENALTIES,
    PENALTIES,
    PRIOR_OBS,
    RATES,
    fit_regressions,
    fit_scores,
    fit_weights,
    has_architecture,
)
from omicsmlm.models.isoformer._module import IsoFormerModule
from omicsmlm.nn import ARCHITECTURE, Composition, GroupRegression
from tests.fixtures.make import FIXTURES
from tests.objects import QUIET, SMALL_ISOFORMER, letters_of, transcripts

TARGETS = "expression"


@pytest.fixture(scope="module")
def trained():
    """Must not be changed."""
    adata = transcripts()
    IsoFormer.setup_anndata(adata, dna_key="dna", protein_key="protein", group_key="gene")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(4, **QUIET)
    return model


# ---- weights ------------------------------------------------------------------------------------------------------


def test_weights_of_experts_are_the_least_squares_solution_near_what_each_explains():
    module = IsoFormerModule(["dna"], {}, {}, 2, SMALL_ISOFORMER)
    generator = torch.Generator().manual_seed(0)
    predicted_net = torch.randn(400, 2, 2, generator=generator)
    truth_nt = 0.8 * predicted_net[:, 0] + 0.1 * predicted_net[:, 1]
    visible_nt = torch.rand(400, 2, generator=generator) > 0.2
    set_n = torch.ones(400, dtype=torch.int64)
    fit_weights(module, predicted_net, set_n, Grid(truth_nt, visible_nt, truth_nt.sum(1)))
    explained_e = [
        max(
            0.01,
            float(
                1 - (predicted_net[:, e] - truth_nt)[visible_nt].square().sum() / truth_nt[visible_nt].square().sum()
            ),
        )
        for e in range(2)
    ]
    prior_e = np.array(explained_e) / sum(explained_e)
    a_xe, y_x = predicted_net.transpose(1, 2)[visible_nt].double().numpy(), truth_nt[visible_nt].double().numpy()
    ridge = np.diag((a_xe**2).sum(0)) * PRIOR_OBS / 400
    expected = np.linalg.solve(a_xe.T @ a_xe + ridge, a_xe.T @ y_x + ridge @ prior_e)
    np.testing.assert_allclose(module.weight_se[1], expected, atol=1e-5)
    np.testing.assert_allclose(module.weight_se[0], [0, 1], err_msg="rows without DNA have only the network")


def test_sets_of_sequences_have_weights_of_their_own_and_a_common_prior():
    """Two kernels and the network; of the four sets of kernels, one has no observation."""
    module = IsoFormerModule(["dna", "protein"], {}, {}, 1, SMALL_ISOFORMER)
    generator = torch.Generator().manual_seed(0)
    predicted_net = torch.randn(300, 3, 1, generator=generator)
    set_n = torch.arange(300) % 3  # none, dna, protein; never both
    predicted_net[(set_n & 1) == 0, 0] = 0
    predicted_net[(set_n & 2) == 0, 1] = 0
    truth_n1 = 0.5 * predicted_net.sum(1) + 0.3 * torch.randn(300, 1, generator=generator)
    everywhere = torch.ones(300, 1, dtype=torch.bool)
    fit_weights(module, predicted_net, set_n, Grid(truth_n1, everywhere, truth_n1[:, 0]))
    a, y, sets = predicted_net[:, :, 0].double().numpy(), truth_n1[:, 0].double().numpy(), set_n.numpy()
    explained = []
    for e, has in enumerate(((sets & 1) > 0, (sets & 2) > 0, sets >= 0)):
        explained.append(max(0.01, 1 - ((a[has, e] - y[has]) ** 2).sum() / (y[has] ** 2).sum()))
    found = module.weight_se.numpy()
    for s in range(4):
        experts = [e for e in (0, 1) if s >> e & 1] + [2]
        prior = np.array(explained)[experts] / sum(explained[e] for e in experts)
        own = a[sets == s][:, experts]
        expected = prior
        if len(own):
            gram = own.T @ own
            ridge = np.diag(np.diag(gram)) * PRIOR_OBS / len(own)
            expected = np.linalg.solve(gram + ridge, own.T @ y[sets == s] + ridge @ prior)
        np.testing.assert_allclose(found[s, experts], expected, atol=1e-5)
        assert found[s, [e for e in range(3) if e not in experts]].tolist() == [0.0] * (3 - len(experts))


def test_experts_that_have_nothing_to_go_by_do_not_count(trained):
    module = trained.module
    views = trained.parts.tokenizer(trained.adata_manager.create_torch_dataset()[list(range(72))])
    with torch.no_grad():
        predicted_net, set_n = module.expert_predictions(views)
    has_n = torch.tensor(trained.adata.obs["dna"].notna().tolist())
    assert predicted_net[~has_n, module.experts.index("dna")].abs().max() == 0
    assert torch.equal(set_n % 2 == 1, has_n)
    without_dna = module.weight_se[[s for s in range(4) if not s & 1], 0]
    assert without_dna.abs().max() == 0


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
    explained = fit_regressions(module, views, TARGETS, torch.arange(80), seed=0)
    assert explained["dna"] > 0.7, "the fraction of A is in the composition"
    other = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(other, views)
    x = torch.cat([other.features("dna", b)[0] for b in views])
    has_n = torch.cat([b["dna"].of_obs >= 0 for b in views])
    y = torch.cat([b[TARGETS].values for b in views])[has_n]
    generator = torch.Generator().manual_seed(0)
    is_held_n = torch.randperm(60, generator=generator) < 0.2 * 60
    assert explained["dna"] == other.kernels["dna"].fit(x, y, is_held_n, RATES, PENALTIES, generator)
    torch.testing.assert_close(module.kernels["dna"].weight_mt, other.kernels["dna"].weight_mt)
    again = IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(again, views)
    assert fit_regressions(again, views, TARGETS, torch.arange(80), seed=1) != explained


@pytest.mark.parametrize(("n_groups", "is_fitted"), [(80, True), (4, True), (1, False)])
def test_whole_groups_are_held_out(n_groups, is_fitted, monkeypatch):
    views, module = views_of(), IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(module, views)
    held, fit = [], module.kernels["dna"].fit

    def keeping(x_nk, y_nt, is_held_n, rates, penalties, generator):
        held.append(is_held_n)
        assert rates == (0.3, 0.7, 1.5)
        assert penalties == (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
        return fit(x_nk, y_nt, is_held_n, rates, penalties, generator)

    monkeypatch.setattr(module.kernels["dna"], "fit", keeping)
    group_n = torch.arange(80) % n_groups
    assert bool(fit_regressions(module, views, TARGETS, group_n, seed=0)) == is_fitted
    if is_fitted:
        has_n = torch.cat([b["dna"].of_obs >= 0 for b in views])
        groups = group_n[has_n]
        out = set(groups[held[0]].tolist())
        assert not out & set(groups[~held[0]].tolist())
        assert len(out) == int(np.ceil(0.2 * len(groups.unique())))


@pytest.mark.parametrize(("n", "is_fitted"), [(6, False), (7, True)])
def test_of_very_few_sequences_no_kernel_is_fitted(n, is_fitted):
    """Two batches of 6 have 4 + 4 observations with DNA, of 7 have 5 + 5: ten are enough."""
    views, module = views_of(n), IsoFormerModule(["dna"], {}, {}, 1, SMALL_ISOFORMER)
    fit_scores(module, views)
    assert bool(fit_regressions(module, views, TARGETS, torch.arange(2 * n), seed=0)) == is_fitted


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
    explained = fit_regressions(module, views, TARGETS, group_n, seed=0)
    assert set(explained) == {"rna", "beta", "architecture"}
    assert explained["architecture"] > 0.5, "the residues before the frame are in the architecture"
    x_mf, has_n = module.features("architecture", views[0])
    expected = GroupRegression(len(ARCHITECTURE), 1)
    is_held_m = torch.isin(group_n[has_n], group_n[has_n].unique()[torch.randperm(20, generator=_seeded()) < 4])
    expected.fit(x_mf, y_n1[has_n], group_n[has_n], is_held_m, GROUP_WEIGHT, LINEAR_PENALTIES)
    torch.testing.assert_close(module.linear["architecture"].weight_ft, expected.weight_ft)
    assert module.kernels["beta"].landmark_mk.shape == (30, 2)
    with torch.no_grad():
        predicted_net, set_n = module.expert_predictions(views[0])
    assert set_n.tolist() == [(i % 4 != 0) + 2 * (i % 5 != 0) for i in range(40)]
    torch.testing.assert_close(predicted_net[has_n, 2], expected(x_mf))
    assert not predicted_net[~has_n, 2].any()


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_architecture_counts_where_there_is_rna():
    module, _, _ = rich_module()
    third, half, fourth = 1 / 3, 0.5, 0.25
    expected = [[0, 0, 0, 1], [third, 0, third, third], [0, half, 0, half], [fourth] * 4]
    torch.testing.assert_close(module.weight_se, torch.tensor(expected))


def test_weights_count_differences_within_groups():
    module = IsoFormerModule(["dna"], {}, {}, 2, SMALL_ISOFORMER)
    generator = torch.Generator().manual_seed(0)
    predicted_net = torch.randn(60, 2, 2, generator=generator)
    group_n = torch.arange(60) % 20
    truth_nt = 0.8 * predicted_net[:, 0] + torch.randn(20, 2, generator=generator)[group_n]
    visible_nt = torch.rand(60, 2, generator=generator) > 0.2
    set_n, target = torch.ones(60, dtype=torch.int64), Grid(truth_nt, visible_nt, truth_nt.sum(1))
    fit_weights(module, predicted_net, set_n, target)
    without = module.weight_se.clone()
    fit_weights(module, predicted_net, set_n, target, torch.arange(60))
    torch.testing.assert_close(module.weight_se, without, msg="groups of one have no differences")
    fit_weights(module, predicted_net, set_n, target, group_n)
    gram, moment, error, total = np.zeros((2, 2)), np.zeros(2), np.zeros(2), 0.0
    for t in range(2):
        for group in [None, *range(20)]:
            rows = np.arange(60) if group is None else np.arange(group, 60, 20)
            rows = rows[visible_nt[rows, t].numpy()]
            a, y = predicted_net[rows, :, t].double().numpy(), truth_nt[rows, t].double().numpy()
            if group is not None and len(rows):
                a, y = (a - a.mean(0)) * GROUP_WEIGHT**0.5, (y - y.mean()) * GROUP_WEIGHT**0.5
            gram, moment = gram + a.T @ a, moment + a.T @ y
            error, total = error + ((a - y[:, None]) ** 2).sum(0), total + (y**2).sum()
    explained = np.maximum(1 - error / total, 0.01)
    ridge = np.diag(np.diag(gram)) * PRIOR_OBS / 20
    expected = np.linalg.solve(gram + ridge, moment + ridge @ (explained / explained.sum()))
    np.testing.assert_allclose(module.weight_se[1], expected, atol=1e-4)


def test_models_of_all_experts_are_saved_and_those_of_before_have_none(tmp_path):
    adata = transcripts(40)
    adata.obs["rna"] = whole_transcripts()
    adata.obsm["beta"] = np.random.default_rng(0).random((40, 2))
    IsoFormer.setup_anndata(adata, rna_key="rna", vector_keys={"beta": "beta"}, group_key="gene")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    assert model.derived.experts == ExpertSet(architecture=True, vectors=True)
    model.train(2, **QUIET)
    model.save(tmp_path / "model")
    again = IsoFormer.load(tmp_path / "model", adata)
    assert again.derived == model.derived
    np.testing.assert_array_equal(again.predict(), model.predict())
    assert IsoFormer.load(FIXTURES / "IsoFormer").derived.experts == ExpertSet(architecture=False, vectors=False)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _experts.RATES == (0.3, 0.7, 1.5)
    assert _experts.PENALTIES == (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    assert _experts.HELD_OUT == 0.2
    assert _experts.MIN_FITTED == 10
    assert _experts.PRIOR_OBS == 30.0
    assert _experts.MIN_EXPLAINED == 0.01
    assert _experts.LINEAR_PENALTIES == (1.0, 10.0, 100.0, 1000.0)
    assert _experts.GROUP_WEIGHT == 10.0
    assert _experts.MIN_FRAME == 150
