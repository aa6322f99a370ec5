"""The weights of the experts' predictions, against least squares in numpy, and the two steps they are fitted in."""

import numpy as np
import pytest
import torch

from omicsmlm import IsoFormer
from omicsmlm._types import Grid
from omicsmlm.models.isoformer import _expert_weights
from omicsmlm.models.isoformer._expert_weights import PRIOR_OBS, Predictions, balanced_weight, fit_weights, stacked
from omicsmlm.models.isoformer._module import IsoFormerModule
from tests.objects import QUIET, SMALL_ISOFORMER, transcripts


def seeded():
    return torch.Generator().manual_seed(0)


def held_out(predicted_net, set_n, truth_nt, visible_nt=None, group_n=None):
    visible_nt = torch.ones_like(truth_nt, dtype=torch.bool) if visible_nt is None else visible_nt
    group_n = torch.arange(len(set_n)) if group_n is None else group_n
    return Predictions(predicted_net, set_n, Grid(truth_nt, visible_nt, truth_nt.sum(1)), group_n)


def slow(a, y, groups, n_groups, weight, prior=None):
    """Ridge regression of (x, e) and (x,), with the differences within the groups below; the prior unless it is given."""
    rows, targets = [a], [y]
    if weight:
        for group in np.unique(groups):
            own = groups == group
            rows.append((a[own] - a[own].mean(0)) * weight**0.5)
            targets.append((y[own] - y[own].mean()) * weight**0.5)
    a, y = np.concatenate(rows), np.concatenate(targets)
    if prior is None:
        prior = np.maximum(1 - ((a - y[:, None]) ** 2).sum(0) / (y**2).sum(), 0.01)
        prior = prior / prior.sum()
    ridge = np.diag((a**2).sum(0)) * PRIOR_OBS / n_groups
    return np.linalg.solve(a.T @ a + ridge, a.T @ y + ridge @ prior)


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_weights_are_the_least_squares_solution_near_what_each_expert_explains(weight):
    predicted_net = torch.randn(60, 2, 2, generator=seeded())
    group_n = torch.arange(60) % 20
    truth_nt = 0.8 * predicted_net[:, 0] + torch.randn(20, 2, generator=seeded())[group_n]
    visible_nt = torch.rand(60, 2, generator=seeded()) > 0.2
    given = held_out(predicted_net, torch.ones(60, dtype=torch.int64), truth_nt, visible_nt, group_n)
    found = stacked(given, torch.tensor([[False, True], [True, True]]), weight)
    seen = visible_nt.numpy()
    a, y = predicted_net.double().numpy().transpose(0, 2, 1)[seen], truth_nt.double().numpy()[seen]
    groups = (group_n[:, None] * 2 + torch.arange(2)).numpy()[seen]
    np.testing.assert_allclose(found[1], slow(a, y, groups, 20, weight), atol=1e-4)
    assert found[0].tolist() == [0, 1], "of a set that no observation has, the prior"


def test_sets_of_sequences_have_weights_of_their_own_and_a_common_prior():
    """Two kernels and the network; of the four sets of kernels, one has no observation."""
    module = IsoFormerModule(["dna", "protein"], {}, {}, 1, SMALL_ISOFORMER)
    predicted_net = torch.randn(300, 3, 1, generator=seeded())
    set_n = torch.arange(300) % 3  # none, dna, protein; never both
    predicted_net[(set_n & 1) == 0, 0] = 0
    predicted_net[(set_n & 2) == 0, 1] = 0
    truth_n1 = 0.5 * predicted_net.sum(1) + 0.3 * torch.randn(300, 1, generator=seeded())
    fit_weights(module, None, held_out(predicted_net, set_n, truth_n1), 0.0)
    a, y, sets = predicted_net[:, :, 0].double().numpy(), truth_n1[:, 0].double().numpy(), set_n.numpy()
    explained = []
    for e, has in enumerate(((sets & 1) > 0, (sets & 2) > 0, sets >= 0)):
        explained.append(max(0.01, 1 - ((a[has, e] - y[has]) ** 2).sum() / (y[has] ** 2).sum()))
    found = module.weight_se.numpy()
    for s in range(4):
        experts = [e for e in (0, 1) if s >> e & 1] + [2]
        prior = np.array(explained)[experts] / sum(explained[e] for e in experts)
        own = sets == s
        expected = slow(a[own][:, experts], y[own], sets[own], own.sum(), 0.0, prior) if own.any() else prior
        np.testing.assert_allclose(found[s, experts], expected, atol=1e-5)
        assert found[s, [e for e in range(3) if e not in experts]].tolist() == [0.0] * (3 - len(experts))


def test_regressions_are_combined_on_the_training_set_and_with_the_network_on_the_validation_set():
    module = IsoFormerModule(["dna", "protein"], {}, {}, 1, SMALL_ISOFORMER)
    parts = torch.randn(500, 3, 1, generator=seeded())
    truth_n1 = parts[:, 0] + 0.5 * parts[:, 1] + 0.5 * parts[:, 2]
    both = torch.full((500,), 3)
    crossed = held_out(parts[:400, :2], both[:400], truth_n1[:400])
    validation = held_out(parts[400:], both[400:], truth_n1[400:])
    fit_weights(module, crossed, validation, 0.0)
    y = truth_n1[:, 0].double().numpy()
    own = slow(parts[:400, :2, 0].double().numpy(), y[:400], np.arange(400), 400, 0.0)
    combined = parts[400:, :2, 0].double().numpy() @ own
    pair = np.stack([combined, parts[400:, 2, 0].double().numpy()], 1)
    share = slow(pair, y[400:], np.arange(100), 100, 0.0)
    np.testing.assert_allclose(module.weight_se[3], [*(own * share[0]), share[1]], atol=1e-5)
    assert module.weight_se[0].tolist() == [0, 0, pytest.approx(1)], "observations without sequences have the network alone"
    assert (module.weight_se[1, [0, 2]] > 0).all()
    assert module.weight_se[1, 1] == 0


def test_differences_count_as_much_as_observations_with_the_balanced_weight():
    y_nt = torch.randn(40, 2, generator=seeded())
    visible_nt = torch.rand(40, 2, generator=seeded()) > 0.3
    group_n = torch.arange(40) // 3
    found = balanced_weight(Grid(y_nt, visible_nt, y_nt.sum(1)), group_n)
    whole, within = 0.0, 0.0
    for t in range(2):
        for group in range(14):
            own = y_nt[(group_n == group) & visible_nt[:, t], t].double()
            whole += float(own.square().sum())
            within += float((own - own.mean()).square().sum()) if len(own) else 0.0
    assert found == pytest.approx(whole / within, rel=1e-4)
    assert balanced_weight(Grid(y_nt, visible_nt, y_nt.sum(1)), torch.arange(40)) == 0, "without groups none"


@pytest.fixture(scope="module")
def trained():
    """Must not be changed."""
    adata = transcripts()
    IsoFormer.setup_anndata(adata, dna_key="dna", protein_key="protein", group_key="gene")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(4, **QUIET)
    return model


def test_experts_that_have_nothing_to_go_by_do_not_count(trained):
    module = trained.module
    views = trained.parts.tokenizer(trained.adata_manager.create_torch_dataset()[list(range(72))])
    with torch.no_grad():
        predicted_net, set_n = module.expert_predictions(views)
    has_n = torch.tensor(trained.adata.obs["dna"].notna().tolist())
    for expert in ("dna", "k-mers of dna"):
        assert predicted_net[~has_n, module.experts.index(expert)].abs().max() == 0
    assert torch.equal(set_n % 2 == 1, has_n)
    without_dna = module.weight_se[[s for s in range(4) if not s & 1]]
    assert without_dna[:, [0, module.experts.index("k-mers of dna")]].abs().max() == 0


def test_a_second_fit_of_the_weights_finds_the_same(trained):
    """As after fine-tuning for labels: what the regressions predict of the training set is then computed anew."""
    before = trained.module.weight_se.clone()
    trained.finish_training(trained.train_indices)
    torch.testing.assert_close(trained.module.weight_se, before)


def test_how_often_differences_count_can_be_said(trained):
    adata = trained.adata.copy()
    for weight, expected in ((None, 0.0), (2.5, 2.5)):
        IsoFormer.setup_anndata(adata, dna_key="dna", group_key="gene")
        model = IsoFormer(adata, type(SMALL_ISOFORMER)(group_weight=weight))
        assert model._group_weight(np.arange(40)) == expected, "fragments have none by themselves"
    IsoFormer.setup_anndata(adata, dna_key="dna")
    assert IsoFormer(adata, type(SMALL_ISOFORMER)(group_weight=2.5))._group_weight(np.arange(40)) == 0


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _expert_weights.PRIOR_OBS == 30.0
    assert _expert_weights.MIN_EXPLAINED == 0.01
