"""What is hidden leaves no trace, as often as was asked, and the same for the same seed."""

import pytest
import torch

from omicsmlm._stored import StoredGrid, StoredValues, UnmaskedGrid
from omicsmlm._types import Grid
from omicsmlm.masking import MaskFeatures, keep_visible
from omicsmlm.masking._features import dropped_modality
from tests.objects import draws_for


def grid(n, g, seed=0, *, visible=None):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(1, 9, (n, g), generator=generator).float()
    visible = torch.ones(n, g, dtype=torch.bool) if visible is None else visible
    return Grid(values * visible, visible, (values * visible).sum(1) + 5)


def hide(grids, rates=(0.1, 0.8), modality_rate=0.2, seed=0):
    return MaskFeatures(rates, modality_rate)(grids, draws_for(grids, seed))


def test_a_hidden_value_is_zeroed_and_taken_from_the_total():
    whole = grid(50, 20)
    inputs = hide({"rna": whole}).inputs["rna"]
    assert (~inputs.visible).any()
    for i in range(50):
        hidden = 0.0
        for j in range(20):
            if inputs.visible[i, j]:
                assert inputs.values[i, j] == whole.values[i, j]
            else:
                assert inputs.values[i, j] == 0
                hidden += float(whole.values[i, j])
        assert float(inputs.total[i]) == pytest.approx(float(whole.total[i]) - hidden)


def test_everything_is_the_target():
    grids = {"rna": grid(5, 4)}
    before = [part.clone() for part in grids["rna"]]
    masked = hide(grids)
    assert masked.targets is grids
    assert all(torch.equal(a, b) for a, b in zip(grids["rna"], before, strict=True)), "the targets were changed"


def test_what_was_not_seen_stays_unseen():
    visible = torch.rand(40, 30, generator=torch.Generator().manual_seed(1)) < 0.5
    inputs = hide({"rna": grid(40, 30, visible=visible)}).inputs["rna"]
    assert not (inputs.visible & ~visible).any()


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.1, 0.8), (0.0, 1.0)])
def test_the_share_of_hidden_features_is_drawn_per_row(rates):
    fraction_n = (~hide({"rna": grid(4000, 100)}, rates, 0).inputs["rna"].visible).float().mean(1)
    assert float(fraction_n.mean()) == pytest.approx(sum(rates) / 2, abs=0.02)
    noise = 0.05**2  # of a share of 100 features, at most
    spread = (rates[1] - rates[0]) ** 2 / 12
    assert spread - 0.003 <= float(fraction_n.var()) <= spread + noise


def test_all_modalities_of_a_row_share_its_rate():
    inputs = hide({"a": grid(2000, 200), "b": grid(2000, 200, 1)}, (0.0, 1.0), 0).inputs
    shares = torch.stack([(~inputs[name].visible).float().mean(1) for name in "ab"])
    assert float(torch.corrcoef(shares)[0, 1]) > 0.95


def test_nothing_is_hidden_at_rate_zero():
    whole = grid(10, 5)
    inputs = hide({"a": whole, "b": grid(10, 5, 1)}, (0.0, 0.0), 0).inputs
    assert all(torch.equal(a, b) for a, b in zip(inputs["a"], whole, strict=True))


def test_a_row_loses_one_of_its_modalities_at_the_rate_and_each_as_often():
    grids = {name: grid(6000, 6, i) for i, name in enumerate("abc")}
    lost = torch.stack([~hide(grids, (0.0, 0.0), 0.3).inputs[name].visible.any(1) for name in grids], 1)
    assert int(lost.sum(1).max()) == 1
    assert float(lost.any(1).float().mean()) == pytest.approx(0.3, abs=0.02)
    for fraction in lost.float().mean(0):
        assert float(fraction) == pytest.approx(0.1, abs=0.015)


def test_a_row_never_loses_its_last_modality():
    visible = torch.zeros(600, 6, dtype=torch.bool)
    visible[:200] = True
    grids = {
        "a": grid(600, 6),
        "b": grid(600, 6, 1, visible=visible),
        "c": grid(600, 6, 2, visible=torch.zeros_like(visible)),
    }
    inputs = hide(grids, (0.0, 0.0), 1.0).inputs
    has = torch.stack([inputs[name].visible.any(1) for name in grids], 1)
    assert has[:200].sum(1).tolist() == [1] * 200, "rows with two modalities lose one"
    assert has[200:, 0].all(), "rows with one keep it"
    assert 60 < int(has[:200, 0].sum()) < 140, "either of the two is lost"
    assert not has[:, 2].any()


def test_the_generator_alone_decides():
    grids = {"a": grid(20, 9), "b": grid(20, 9, 1)}
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = hide(grids, seed=3).inputs
    assert torch.equal(state, torch.get_rng_state()), "the global random state was used"
    torch.manual_seed(2)
    again, other = hide(grids, seed=3).inputs, hide(grids, seed=4).inputs
    assert all(torch.equal(first[name].visible, again[name].visible) for name in grids)
    assert not all(torch.equal(first[name].visible, other[name].visible) for name in grids)


def test_a_row_of_nothing_is_no_trouble():
    visible = torch.zeros(3, 4, dtype=torch.bool)
    inputs = hide({"a": grid(3, 4, visible=visible), "b": grid(3, 4, visible=visible)}, modality_rate=1.0).inputs
    assert not inputs["a"].visible.any()
    assert inputs["a"].total.tolist() == [5, 5, 5]


def test_show_keeps_what_is_named():
    shown = keep_visible(
        Grid(torch.tensor([[2.0, 3.0]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([9.0])),
        torch.tensor([[True, False]]),
    )
    assert shown.values.tolist() == [[2, 0]]
    assert shown.visible.tolist() == [[True, False]]
    assert shown.total.tolist() == [6]


def test_stored_values_are_masked_with_the_grid():
    stored = StoredValues(
        at_t=torch.tensor([1, 3, 4, 0]),
        obs_t=torch.tensor([0, 1, 1, 0]),
        column_t=torch.tensor([1, 0, 1, 0]),
        values_t=torch.tensor([5.0, 2.0, 7.0, 0.0]),  # the last one is of a feature that the grid does not have
        offsets=torch.tensor([0, 1, 4]),
    )
    measured, panel_n = torch.tensor([[False] * 3, [True] * 3]), torch.ones(2, dtype=torch.int64)
    whole = UnmaskedGrid.from_stored(stored, torch.tensor([6.0, 10.0]), measured, panel_n)
    masked = keep_visible(whole, torch.tensor([[True, True, False], [True, False, True]]))
    assert type(masked) is StoredGrid
    assert masked.stored.values_t.tolist() == [5, 2, 0, 0]
    assert torch.equal(masked.stored.at_t, stored.at_t)
    assert masked.values.tolist() == [[0, 5, 0], [2, 0, 0]]
    assert masked.total.tolist() == [6, 3]
    assert whole.stored.values_t.tolist() == [5, 2, 7, 0], "the grid itself stays"


def test_one_modality_alone_is_never_dropped():
    draws = draws_for({"a": grid(5, 3)})
    assert not dropped_modality(torch.ones(5, 1, dtype=torch.bool), 1.0, draws).any()
    assert dropped_modality(torch.ones(5, 2, dtype=torch.bool), 1.0, draws).sum(1).tolist() == [1] * 5
    assert not dropped_modality(torch.ones(5, 2, dtype=torch.bool), 0.0, draws).any()
    assert dropped_modality(torch.ones(5, 2, dtype=torch.bool), 1.0, draws).dtype == torch.bool


def test_a_dropped_modality_is_masked_as_a_whole_and_the_rest_at_its_rate():
    grids = {"a": grid(400, 50), "b": grid(400, 50, 1)}
    inputs = hide(grids, (0.25, 0.25), 1.0).inputs
    fraction_nm = torch.stack([(~inputs[name].visible).float().mean(1) for name in "ab"], 1)
    lost_nm = fraction_nm == 1
    assert lost_nm.sum(1).tolist() == [1] * 400
    assert float(fraction_nm[~lost_nm].mean()) == pytest.approx(0.25, abs=0.01)


def test_an_empty_grid_stays_one():
    stored = StoredValues(*(torch.empty(0, dtype=torch.int64) for _ in range(3)), torch.empty(0), torch.zeros(1))
    empty = StoredGrid.of(Grid(torch.empty(0, 3), torch.empty(0, 3, dtype=torch.bool), torch.empty(0)), stored)
    assert keep_visible(empty, torch.empty(0, 3, dtype=torch.bool)).values.shape == (0, 3)
