"""The weights of the experts' predictions, against least squares in numpy, and the two steps they are fitted in."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from omicsmlm._types import Grid
from omicsmlm.models.isoformer import _expert_weights
from omicsmlm.models.isoformer._derived import ExpertSet
from omicsmlm.models.isoformer._expert_weights import (
    PRIOR_OBS,
    fit_weights,
    network_fraction,
    parsimonious,
    stacked,
    with_level,
)
from omicsmlm.models.isoformer._held_out import Predictions, differences, observed
from omicsmlm.models.isoformer._module import IsoFormerModule
from tests.objects import SMALL_ISOFORMER


def seeded():
    return torch.Generator().manual_seed(0)


OBSERVED = partial(observed, group_weight=0.0)


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

    def loss(w):
        return ((y - a @ w) ** 2).sum() + (w - prior) @ ridge @ (w - prior)

    bounds = [(0, None)] * len(prior)
    return minimize(loss, prior, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}).x


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_weights_are_the_least_squares_solution_near_what_each_expert_explains(weight):
    predicted_net = torch.randn(60, 2, 2, generator=seeded())
    group_n = torch.arange(60) % 20
    truth_nt = 0.8 * predicted_net[:, 0] + torch.randn(20, 2, generator=seeded())[group_n]
    visible_nt = torch.rand(60, 2, generator=seeded()) > 0.2
    given = held_out(predicted_net, torch.ones(60, dtype=torch.int64), truth_nt, visible_nt, group_n)
    found = stacked(given, torch.tensor([[False, True], [True, True]]), partial(observed, group_weight=weight))
    seen = visible_nt.numpy()
    a, y = predicted_net.double().numpy().transpose(0, 2, 1)[seen], truth_nt.double().numpy()[seen]
    groups = (group_n[:, None] * 2 + torch.arange(2)).numpy()[seen]
    np.testing.assert_allclose(found[1], slow(a, y, groups, 20, weight), atol=1e-4)
    assert found[0].tolist() == [0, 1], "of a set that no observation has, the prior"


def test_an_expert_of_which_no_observation_tells_is_no_better_than_one_that_explains_nothing():
    predicted_net = torch.randn(60, 2, 1, generator=seeded())
    truth_n1, one = predicted_net[:, 0] + torch.randn(60, 1, generator=seeded()), torch.ones(60, dtype=torch.int64)
    has_se = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    assert stacked(held_out(predicted_net, one, truth_n1), has_se, OBSERVED)[3, 1] < 0.1, "no observation has it"
    has_second_n = torch.arange(60) % 2 == 0
    group_n = torch.where(has_second_n, torch.arange(60), 100)  # of those that have it, no two are of a group
    given = held_out(predicted_net, one + 2 * has_second_n, truth_n1, group_n=group_n)
    assert stacked(given, has_se, differences)[3, 1] < 0.1


def test_an_expert_that_is_wrong_has_no_weight():
    """Least squares would give it a negative one."""
    predicted_net = torch.randn(200, 2, 1, generator=seeded())
    truth_n1 = predicted_net[:, 0] - 0.5 * predicted_net[:, 1]
    given = held_out(predicted_net, torch.ones(200, dtype=torch.int64), truth_n1)
    found = stacked(given, torch.tensor([[False, False], [True, True]]), OBSERVED)
    assert found[1, 1] == 0
    assert found[1, 0] > 0.8
    a, y = predicted_net[:, :, 0].double().numpy(), truth_n1[:, 0].double().numpy()
    np.testing.assert_allclose(found[1], slow(a, y, np.arange(200), 200, 0.0), atol=1e-4)
    assert not found[0].any()


def test_sets_of_sequences_have_weights_of_their_own_and_a_common_prior():
    """Three sets of two experts, of which one has no observation."""
    has_se = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    predicted_net = torch.randn(300, 2, 1, generator=seeded())
    set_n = torch.arange(300) % 2 + 1  # never both
    predicted_net = predicted_net * has_se[set_n][:, :, None]
    truth_n1 = predicted_net.sum(1) * 0.5 + 0.3 * torch.randn(300, 1, generator=seeded())
    found = stacked(held_out(predicted_net, set_n, truth_n1), has_se, OBSERVED).numpy()
    a, y, sets = predicted_net[:, :, 0].double().numpy(), truth_n1[:, 0].double().numpy(), set_n.numpy()
    explained = []
    for e in range(2):
        own = sets == e + 1
        explained.append(max(0.01, 1 - ((a[own, e] - y[own]) ** 2).sum() / (y[own] ** 2).sum()))
        expected = slow(a[own][:, [e]], y[own], sets[own], own.sum(), 0.0, np.ones(1))
        np.testing.assert_allclose(found[e + 1, e], expected[0], atol=1e-4)
        assert found[e + 1, 1 - e] == 0
    np.testing.assert_allclose(found[3], np.array(explained) / sum(explained), atol=1e-5)
    assert not found[0].any()


def slow_limits(pair, truth_nt, n_groups, weight):
    """a - 2 s and a + 2 s from 0 to 1, of groups of as many rows each: least squares, and each group left out in turn."""
    beyond, rest = (part.double().numpy() for part in (pair[:, 1] - pair[:, 0], truth_nt - pair[:, 0]))
    per_group = len(beyond) // n_groups
    if weight:
        means = [np.repeat(part.reshape(n_groups, per_group, -1).mean(1), per_group, axis=0) for part in (beyond, rest)]
        pairs = zip((beyond, rest), means, strict=True)
        beyond, rest = (np.concatenate([part, weight**0.5 * (part - mean)], 1) for part, mean in pairs)
    group = np.repeat(np.arange(n_groups), per_group)
    fits = [(beyond[group != g] * rest[group != g]).sum() / (beyond[group != g] ** 2).sum() for g in range(n_groups)]
    error = np.sqrt((n_groups - 1) / n_groups * ((np.array(fits) - np.mean(fits)) ** 2).sum())
    best = (beyond * rest).sum() / (beyond**2).sum()
    return np.clip([best - 2 * error, best + 2 * error], 0, 1)


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_the_network_has_the_least_share_that_the_validation_set_allows(weight):
    pair, noise = (
        torch.randn(90, 2, 2, generator=seeded()),
        torch.randn(90, 2, generator=torch.Generator().manual_seed(1)),
    )
    group_n, set_n = torch.arange(90) // 3, torch.ones(90, dtype=torch.int64)
    found_a, expected_a = [], []
    for share in np.linspace(0, 0.8, 9):
        truth_nt = (1 - share) * pair[:, 0] + share * pair[:, 1] + noise
        found_s = network_fraction(
            held_out(pair, set_n, truth_nt, group_n=group_n), torch.tensor([False, True, True]), weight
        )
        assert found_s[0] == 1, "nothing else predicts"
        assert found_s[1] == found_s[2], "a set without observations has the share of all"
        found_a.append(float(found_s[1]))
        expected_a.append(slow_limits(pair, truth_nt, 30, weight)[0])
    assert found_a[0] < 0.03
    assert 0.3 < found_a[-1] < 0.9
    np.testing.assert_allclose(found_a, expected_a, atol=0.02)


def test_a_network_that_is_sure_has_its_whole_share_and_a_worse_one_none():
    pair = torch.randn(80, 2, 2, generator=seeded())
    group_n, set_n, has_s = torch.arange(80) // 2, torch.ones(80, dtype=torch.int64), torch.tensor([False, True])
    for share, expected in ((0.4, 0.4), (1.0, 1.0), (-0.5, 0.0)):
        truth_nt = (1 - share) * pair[:, 0] + share * pair[:, 1]
        found = network_fraction(held_out(pair, set_n, truth_nt, group_n=group_n), has_s, 0.0)
        assert float(found[1]) == pytest.approx(expected, abs=1e-4)
    one = held_out(pair, set_n, pair[:, 1], group_n=0 * group_n)
    assert network_fraction(one, has_s, 0.0)[1] == 0, "one group has no standard error"


def test_a_set_has_a_share_of_its_own_where_its_observations_rule_out_that_of_all():
    """The network is right in the second set and wrong in the first and third; the third has too few groups to tell."""
    pair = torch.randn(200, 2, 2, generator=seeded())
    set_n = torch.tensor([1] * 120 + [2] * 60 + [3] * 20)
    noise = 0.3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    truth_nt = torch.where((set_n == 2)[:, None], pair[:, 1], pair[:, 0]) + noise
    found = network_fraction(held_out(pair, set_n, truth_nt), torch.tensor([False, True, True, True]), 0.0).numpy()
    low, _ = slow_limits(pair, truth_nt, 200, 0.0)
    assert 0.1 < low < 0.4
    assert found[3] == pytest.approx(low, abs=0.01)
    assert found[1] == pytest.approx(slow_limits(pair[:120], truth_nt[:120], 120, 0.0)[1], abs=0.01)
    assert found[2] == pytest.approx(slow_limits(pair[120:180], truth_nt[120:180], 60, 0.0)[0], abs=0.01)
    assert found[1] < low < found[2]


def test_regressions_are_combined_on_the_training_set_and_with_the_network_on_the_validation_set():
    module = IsoFormerModule(["dna", "protein"], {}, {}, 1, SMALL_ISOFORMER)
    parts = torch.randn(500, 3, 1, generator=seeded())
    truth_n1 = parts[:, 0] + 0.5 * parts[:, 1] + 0.5 * parts[:, 2]
    both = torch.full((500,), 3)
    crossed = held_out(parts[:400, :2], both[:400], truth_n1[:400])
    validation = held_out(parts[400:], both[400:], truth_n1[400:])
    fit_weights(module, crossed, validation, 0.0, seeded())
    has_se = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    own_se = stacked(crossed, has_se, OBSERVED)
    pair = torch.stack([(parts[400:, :2] * own_se[3][:, None]).sum(1), parts[400:, 2]], 1)
    fraction_s = network_fraction(validation._replace(predicted_net=pair), has_se.any(1), 0.0)
    assert 0.05 < fraction_s[3] < 0.95
    expected = torch.cat([own_se * (1 - fraction_s[:, None]), fraction_s[:, None]], 1)
    torch.testing.assert_close(module.weight_se, expected)
    assert module.weight_se[0].tolist() == [0, 0, 1], "observations without sequences have the network alone"


def of_levels_and_differences(noise=0.0, n_groups=60):
    """Pairs whose level the first expert predicts, and whose difference the second; the third follows chance."""
    drawn = torch.Generator().manual_seed(3)
    group_n = torch.arange(2 * n_groups) // 2
    level_n1, sign_n1 = torch.randn(n_groups, 1, generator=drawn)[group_n], torch.tensor([1.0, -1.0]).repeat(n_groups)
    size_n1 = torch.randn(n_groups, 1, generator=drawn)[group_n] * sign_n1[:, None]
    noise_n1 = torch.randn(n_groups, 1, generator=drawn)[group_n] * sign_n1[:, None]
    level_of_n1 = level_n1 + noise_n1  # of which nothing stays in the mean
    chance_n1 = torch.randn(2 * n_groups, 1, generator=drawn)
    size_of_n1 = size_n1 + 0.3 * torch.randn(2 * n_groups, 1, generator=drawn)
    predicted_net = torch.stack([level_of_n1, size_of_n1, chance_n1], 1)
    truth_n1 = level_n1 + size_n1 + noise * torch.randn(2 * n_groups, 1, generator=drawn)
    return held_out(predicted_net, torch.ones(2 * n_groups, dtype=torch.int64), truth_n1, group_n=group_n)


def held_out_errors(terms, fold, fit):
    """Squared errors by group, (groups,) float64, of what the other folds fit."""
    a, y, group = (part.double().numpy() for part in terms)
    error = np.zeros(len(y))
    for own in np.unique(fold):
        here = fold == own
        error[here] = (y[here] - a[here] @ fit(a[~here], y[~here], group[~here])) ** 2
    return np.bincount(group.astype(int), error)


def by_the_rule(given):
    """Weights of two experts by the one-standard-error rule with folds by number, and whether they are of both."""
    terms = OBSERVED(given)
    a, y = terms.predicted_xe.double().numpy(), terms.target_x.double().numpy()
    prior = np.maximum(1 - ((a - y[:, None]) ** 2).sum(0) / (y**2).sum(), 0.01)
    prior /= prior.sum()

    def one(e):
        return lambda a, y, _: np.eye(2)[e] * max(0, a[:, e] @ y / (a[:, e] @ a[:, e]))

    def together(a, y, group):
        return slow(a, y, group, len(np.unique(group)), 0.0, prior)

    fold = terms.group_x.numpy() % 5
    alone = [held_out_errors(terms, fold, one(e)) for e in range(2)]
    best = int(np.argmin([error.sum() for error in alone]))
    gain = alone[best] - held_out_errors(terms, fold, together)
    is_sum = gain.sum() > gain.std(ddof=1) * len(gain) ** 0.5
    return (together(a, y, terms.group_x.numpy()) if is_sum else one(best)(a, y, None)), is_sum


def test_one_expert_stays_alone_unless_all_are_a_standard_error_better(monkeypatch):
    """The second expert tells more and more of what the first leaves."""
    monkeypatch.setattr(_expert_weights, "group_folds", lambda group_x, n_folds, generator: group_x % n_folds)
    outcomes = []
    for second in (0.0, 0.15, 0.3, 0.6):
        drawn = torch.Generator().manual_seed(5)
        predicted_net = torch.randn(240, 2, 1, generator=drawn)
        noise_n1 = torch.randn(240, 1, generator=drawn)
        truth_n1 = predicted_net[:, 0] + second * predicted_net[:, 1] + noise_n1
        set_n, group_n = torch.ones(240, dtype=torch.int64), torch.arange(240) // 2
        given = held_out(predicted_net, set_n, truth_n1, group_n=group_n)
        has_se = torch.tensor([[False, False], [True, True]])
        found_se = parsimonious(given, has_se, OBSERVED, None, seeded())
        expected_e, is_sum = by_the_rule(given)
        np.testing.assert_allclose(found_se[1], expected_e, atol=1e-3)
        outcomes.append(bool(is_sum))
    assert not outcomes[0]
    assert outcomes[-1]


def test_a_preferred_expert_is_compared_in_the_place_of_the_best():
    given = of_levels_and_differences(noise=1.0)
    has_se = torch.tensor([[False] * 3, [True] * 3])
    assert parsimonious(given, has_se, differences, None, seeded())[1].nonzero().tolist() == [[1]]
    assert parsimonious(given, has_se, differences, 1, seeded())[1].nonzero().tolist() == [[1]]
    worse = parsimonious(given, has_se, differences, 2, seeded())[1]
    assert worse[1] > 0.3, "chance is a standard error worse than all, whose weights are then taken"
    few = of_levels_and_differences(noise=1.0, n_groups=20)
    torch.testing.assert_close(
        parsimonious(few, has_se, differences, None, seeded()), stacked(few, has_se, differences)
    )


def test_levels_and_differences_of_groups_have_weights_of_their_own():
    """Each by the expert that predicts it; with one weight an expert, neither."""
    given = of_levels_and_differences(noise=0.1)
    named = ExpertSet(within=True)
    module = IsoFormerModule(
        ["rna", "protein"], {"beta": 1}, {}, 1, SMALL_ISOFORMER, experts=named._replace(vectors=True)
    )
    assert module.experts == ["rna", "protein", "beta", "network"]
    every = given._replace(set_n=torch.full_like(given.set_n, 7))
    chance = torch.randn(120, 1, 1, generator=seeded())
    validation = every._replace(predicted_net=torch.cat([every.predicted_net, chance], 1))
    fit_weights(module, every, validation, 1.0, seeded())
    assert module.level_se[7].argmax() == 0
    assert module.within_se[7].argmax() == 1
    assert module.level_se[7, 3] == module.within_se[7, 3] < 0.02, "the network follows chance"
    parts = [
        torch.einsum("net,e->nt", validation.predicted_net, of_se[7]) for of_se in (module.level_se, module.within_se)
    ]
    error = (with_level(*parts, given.group_n) - given.target.values).square().mean()
    alone_n1 = torch.einsum("net,e->nt", validation.predicted_net, module.weight_se[7])
    assert error < 0.4 * (alone_n1 - given.target.values).square().mean()
    fit_weights(module, every, validation, 0.0, seeded())
    for name in ("level_se", "within_se"):
        torch.testing.assert_close(module.get_buffer(name), module.weight_se)


def test_without_regressions_the_network_predicts():
    module = IsoFormerModule(["dna"], {}, {}, 1, type(SMALL_ISOFORMER)(kernel_expert=False))
    predicted_n11 = torch.randn(20, 1, 1, generator=seeded())
    fit_weights(
        module, None, held_out(predicted_n11, torch.zeros(20, dtype=torch.int64), predicted_n11[:, 0]), 0.0, seeded()
    )
    assert module.weight_se.tolist() == [[1]]


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


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _expert_weights.PRIOR_OBS == 30.0
    assert _expert_weights.MIN_EXPLAINED == 0.01
    assert _expert_weights.MIN_GROUPS == 30
    assert _expert_weights.N_FOLDS == 5
