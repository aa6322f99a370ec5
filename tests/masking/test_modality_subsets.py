"""Each observation twice: as it is, and without one of its modalities."""

import pytest
import torch

from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked
from omicsmlm.masking import MaskBins, WithModalitySubsets

N = 40


class Nothing:
    """Masks nothing."""

    def __init__(self, evaluated=None):
        self.evaluated = evaluated

    def __call__(self, views, draws):
        return Masked(views, views, self.evaluated)


@pytest.fixture
def grids():
    """Three modalities; the first five observations have the first alone, and the next five the last two."""
    values = torch.arange(1.0, 3 * N + 1).view(N, 3)
    made = {
        name: Grid(values * scale, torch.ones(N, 3).bool(), values.sum(1) * scale)
        for name, scale in zip("abc", (1, 10, 100), strict=True)
    }
    for name, lacking in {"a": slice(5, 10), "b": slice(0, 5), "c": slice(0, 5)}.items():
        for part in made[name]:
            part[lacking] = 0
    return made


def present(grids, half):
    return torch.stack([grid.visible[half].any(1) for grid in grids.values()], 1)


def test_the_second_half_lacks_one_of_several_modalities(grids):
    inputs = WithModalitySubsets(Nothing())(grids, Draws(0, torch.arange(N))).inputs
    first, second = present(inputs, slice(None, N)), present(inputs, slice(N, None))
    before = present(grids, slice(None))
    assert torch.equal(first, before)
    n_lost = (before & ~second).sum(1)
    assert n_lost.tolist() == [0] * 5 + [1] * (N - 5), "the only modality stays"
    assert not (second & ~before).any()
    assert ((before & ~second)[10:].sum(0) > 3).all(), "each of them now and then"
    for name, grid in grids.items():
        assert torch.equal(inputs[name].values[:N], grid.values)
        kept_n1 = second[:, list(grids).index(name), None]
        assert torch.equal(inputs[name].values[N:], grid.values * kept_n1)
        assert torch.equal(inputs[name].total[N:], grid.total * kept_n1[:, 0])


def test_targets_are_whole_in_both_halves(grids):
    evaluated = {name: grid.visible & (grid.values % 2 == 0) for name, grid in grids.items()}
    masked = WithModalitySubsets(Nothing(evaluated))(grids, Draws(0, torch.arange(N)))
    for name, grid in grids.items():
        for found, whole in zip(masked.targets[name], grid, strict=True):
            assert torch.equal(found, torch.cat([whole, whole]))
        assert torch.equal(masked.evaluated[name], torch.cat([evaluated[name], evaluated[name]]))
    assert WithModalitySubsets(Nothing())(grids, Draws(0, torch.arange(N))).evaluated is None


def test_what_the_masking_hides_is_hidden_in_both_halves(grids):
    masked = WithModalitySubsets(MaskBins(300, 0.5))(grids, Draws(0, torch.arange(N)))
    for grid in masked.inputs.values():
        both = grid.visible[N:].any(1)
        assert torch.equal(grid.visible[:N][both], grid.visible[N:][both])
