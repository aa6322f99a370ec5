"""So many features of each row are shown, drawn from those that were measured, and nothing is told of the others."""

import itertools

import pytest
import torch

from omicsmlm._types import Grid
from omicsmlm.masking import MaskAllBut
from tests.objects import draws_for


def grid(n, g, *, visible=None):
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 3, (n, g), generator=generator).float()  # a third of them zeros
    visible = torch.ones(n, g, dtype=torch.bool) if visible is None else visible
    return Grid(values * visible, visible, (values * visible).sum(1))


def shown(whole, n_visible, weights=None, seed=0):
    masking = MaskAllBut(n_visible, None if weights is None else {"rna": weights})
    return masking({"rna": whole}, draws_for({"rna": whole}, seed)).inputs["rna"]


def fixed(k):
    return lambda n_visible_n: n_visible_n.clamp(max=k)


def test_so_many_are_shown_of_each_row_and_each_row_draws_its_own():
    whole = grid(40, 30)
    inputs = shown(whole, fixed(7))
    assert inputs.visible.sum(1).tolist() == [7] * 40
    assert len({tuple(row.tolist()) for row in inputs.visible}) > 30
    assert torch.equal(inputs.values, whole.values * inputs.visible)
    assert (inputs.visible & (whole.values == 0)).any(), "zeros are shown too"
    torch.testing.assert_close(inputs.total, inputs.values.sum(1))


def test_rows_that_measured_less_show_less():
    visible = torch.zeros(4, 20, dtype=torch.bool)
    for i, measured in enumerate([0, 3, 8, 20]):
        visible[i, :measured] = True
    inputs = shown(grid(4, 20, visible=visible), lambda n_visible_n: (n_visible_n // 2).clamp(max=6))
    assert inputs.visible.sum(1).tolist() == [0, 1, 4, 6]
    assert not (inputs.visible & ~visible).any()


def test_every_feature_is_as_likely_as_another():
    fraction_g = shown(grid(6000, 10), fixed(3)).visible.float().mean(0)
    for fraction in fraction_g.tolist():
        assert fraction == pytest.approx(0.3, abs=0.025)


def test_weights_draw_one_after_the_other_without_replacement():
    weight = torch.tensor([4.0, 2.0, 1.0, 0.0])
    found = shown(grid(20_000, 4), fixed(2), weight).visible.float().mean(0)
    expected = torch.zeros(4)
    for first, second in itertools.permutations(range(3), 2):
        p = weight[first] / 7 * weight[second] / (7 - weight[first])
        expected[[first, second]] += p
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


def test_the_generator_alone_decides():
    whole = grid(20, 9)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = shown(whole, fixed(4), seed=3)
    assert torch.equal(state, torch.get_rng_state()), "the global random state was used"
    torch.manual_seed(2)
    assert torch.equal(first.visible, shown(whole, fixed(4), seed=3).visible)
    assert not torch.equal(first.visible, shown(whole, fixed(4), seed=4).visible)


def test_everything_is_the_target_and_no_rows_are_no_trouble():
    whole = {"rna": grid(5, 4)}
    before = [part.clone() for part in whole["rna"]]
    assert MaskAllBut(fixed(2))(whole, draws_for(whole)).targets is whole
    assert all(torch.equal(a, b) for a, b in zip(whole["rna"], before, strict=True)), "the targets were changed"
    assert shown(grid(0, 4), fixed(2)).visible.shape == (0, 4)


def test_a_weight_of_zero_comes_last_but_before_what_was_not_measured():
    visible = torch.zeros(20, 20, dtype=torch.bool)
    for i in range(20):
        visible[i, [i, (i + 1) % 20, (i + 7) % 20]] = True
    weight = torch.ones(20)
    weight[::2] = 0
    assert torch.equal(shown(grid(20, 20, visible=visible), fixed(3), weight).visible, visible), "all that was measured"
    two = shown(grid(20, 20, visible=visible), fixed(1), weight).visible
    assert torch.equal(two.any(1), torch.ones(20, dtype=torch.bool))
    assert not (two & (weight == 0)).any(), "each has a feature with a weight"


def test_the_upper_bound_is_that_of_an_observation_with_all_features():
    whole = grid(3, 12, visible=torch.arange(12).expand(3, 12) < 6)
    found = shown(whole, lambda n_visible_n: n_visible_n // 2)
    assert found.visible.sum(1).tolist() == [3, 3, 3]
    assert found.most == 6


def test_each_modality_has_weights_of_its_own():
    grids = {"rna": grid(300, 4), "protein": grid(300, 4), "atac": grid(300, 4)}
    weights = {"rna": torch.tensor([1.0, 1, 0, 0]), "atac": torch.tensor([0.0, 0, 1, 1])}
    inputs = MaskAllBut(fixed(2), weights)(grids, draws_for(grids)).inputs
    assert inputs["rna"].visible.sum(0).tolist() == [300, 300, 0, 0]
    assert inputs["atac"].visible.sum(0).tolist() == [0, 0, 300, 300]
    assert all(90 < count < 210 for count in inputs["protein"].visible.sum(0).tolist())
