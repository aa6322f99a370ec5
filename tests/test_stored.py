"""Grids that know their stored values are grids like any other, laid out when they are first looked at."""

import pytest
import torch

from omicsmlm._stored import StoredGrid, StoredValues, UnmaskedGrid, as_float, has_visible
from omicsmlm._types import Grid


@pytest.fixture
def grid():
    """Three observations of four features, of which the last observation was measured in none, the second in two."""
    stored = StoredValues(
        torch.tensor([1, 0, 4]),
        torch.tensor([0, 0, 1]),
        torch.tensor([1, 0, 0]),
        torch.tensor([5.0, 0, 2]),
        torch.tensor([0, 2, 3, 3]),
    )
    measured = torch.tensor([[False] * 4, [True] * 4, [True, True, False, False]])
    return UnmaskedGrid.from_stored(stored, torch.tensor([5.0, 2, 0]), measured, torch.tensor([1, 2, 0]))


VALUES = [[0, 5, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
SEEN = [[True] * 4, [True, True, False, False], [False] * 4]


def test_it_is_laid_out_when_it_is_looked_at(grid):
    assert grid._laid_out is None
    assert grid.shape == (3, 4)
    assert grid.values.tolist() == VALUES
    assert grid.visible.tolist() == SEEN
    assert grid.values is grid.values, "once"
    assert grid.total.tolist() == [5, 2, 0]


def test_it_comes_apart_as_a_grid_does(grid):
    values, visible, total = grid
    assert [values.tolist(), visible.tolist(), total.tolist()] == [VALUES, SEEN, [5, 2, 0]]
    assert grid[0] is values
    assert isinstance(grid, Grid)
    part = Grid(*(one[1:] for one in grid))
    assert part.values.tolist() == VALUES[1:]


def test_what_is_made_of_it_does_not_take_the_stored_values_along(grid):
    changed = grid._replace(values=grid.values + 1)
    assert type(changed) is Grid
    assert changed.values.tolist() == [[value + 1 for value in row] for row in VALUES]
    assert changed.visible.tolist() == SEEN
    assert type(StoredGrid.of(changed, grid.stored)._replace(total=grid.total)) is Grid


def test_whether_an_observation_has_anything(grid):
    assert has_visible(grid).tolist() == [True, True, False]
    assert has_visible(Grid(*grid)).tolist() == [True, True, False]


def test_a_mask_as_numbers_and_a_part_of_one():
    mask = torch.tensor([[True, False], [False, True]])
    for part in (mask, mask.T, mask[:, :1].expand(2, 3)):
        assert torch.equal(as_float(part), part.float())
