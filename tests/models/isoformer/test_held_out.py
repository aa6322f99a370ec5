"""The terms that weights are fitted to, against loops over groups and targets."""

import pytest
import torch

from omicsmlm._types import Grid
from omicsmlm.models.isoformer._held_out import Predictions, balanced_weight, differences, levels, observed


@pytest.fixture
def given():
    """Forty observations in fourteen groups, the last of one, with two targets of which some are not measured."""
    drawn = torch.Generator().manual_seed(0)
    y_nt, predicted_net = torch.randn(40, 2, generator=drawn), torch.randn(40, 3, 2, generator=drawn)
    visible_nt = torch.rand(40, 2, generator=drawn) > 0.3
    return Predictions(predicted_net, torch.arange(40), Grid(y_nt, visible_nt, y_nt.sum(1)), torch.arange(40) // 3)


def rows(given):
    """Each measured target: its group, target, value and predictions, and the rows of its group and target."""
    visible = given.target.visible
    cells = [(int(given.group_n[n]), t, n) for n in range(40) for t in range(2) if visible[n, t]]
    for group, t, n in cells:
        mates = [m for g, u, m in cells if (g, u) == (group, t)]
        yield group, given.target.values[n, t], given.predicted_net[n, :, t], given.target.values[mates, t], mates, t


def test_levels_are_the_means_of_groups_and_differences_what_is_beyond(given):
    level, beyond, plain = levels(given), differences(given), observed(given, 0.0)
    at = 0
    for x, (group, y, predicted_e, mates_y, mates, t) in enumerate(rows(given)):
        mean_e = given.predicted_net[mates, :, t].mean(0)
        assert plain.group_x[x] == level.group_x[x] == group
        torch.testing.assert_close(plain.target_x[x], y)
        torch.testing.assert_close(plain.predicted_xe[x], predicted_e)
        torch.testing.assert_close(level.target_x[x], mates_y.mean())
        torch.testing.assert_close(level.predicted_xe[x], mean_e)
        if len(mates) > 1:
            torch.testing.assert_close(beyond.target_x[at], y - mates_y.mean())
            torch.testing.assert_close(beyond.predicted_xe[at], predicted_e - mean_e)
            at += 1
    assert at == len(beyond.target_x) < len(level.target_x)
    assert beyond.n_groups == len(beyond.group_x.unique()) <= level.n_groups == 14


def test_differences_stand_below_the_observations_as_often_as_they_count(given):
    found, n = observed(given, 4.0), len(observed(given, 0.0).target_x)
    torch.testing.assert_close(found.target_x[:n], observed(given, 0.0).target_x)
    for x, (group, y, predicted_e, mates_y, mates, t) in enumerate(rows(given)):
        torch.testing.assert_close(found.target_x[n + x], 2 * (y - mates_y.mean()), atol=1e-5, rtol=1e-4)
        expected_e = 2 * (predicted_e - given.predicted_net[mates, :, t].mean(0))
        torch.testing.assert_close(found.predicted_xe[n + x], expected_e, atol=1e-5, rtol=1e-4)
        assert found.group_x[n + x] == group


def test_groups_of_some_terms_are_numbered_anew(given):
    terms = observed(given, 0.0)
    some = terms.of(terms.group_x >= 5)
    assert some.group_x.unique().tolist() == list(range(9))
    assert observed(given.of(given.group_n < 0), 0.0).n_groups == 0


def test_differences_count_as_much_as_observations_with_the_balanced_weight(given):
    (y_nt, visible_nt, _), group_n = given.target, given.group_n
    found = balanced_weight(given.target, group_n)
    whole, within = 0.0, 0.0
    for t in range(2):
        for group in range(14):
            own = y_nt[(group_n == group) & visible_nt[:, t], t].double()
            whole += float(own.square().sum())
            within += float((own - own.mean()).square().sum()) if len(own) else 0.0
    assert found == pytest.approx(whole / within, rel=1e-4)
    assert balanced_weight(Grid(y_nt, visible_nt, y_nt.sum(1)), torch.arange(40)) == 0, "without groups none"
