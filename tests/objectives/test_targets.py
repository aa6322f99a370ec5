"""Squared error of measured targets, against a loop."""

from typing import NamedTuple

import pytest
import torch

from omicsmlm._types import Grid, Masked
from omicsmlm.objectives import TargetError
from tests.objects import NO_BATCH


class Outputs(NamedTuple):
    predicted: torch.Tensor


def case():
    generator = torch.Generator().manual_seed(0)
    y, said = torch.randn(2, 7, 3, generator=generator)
    visible = torch.rand(7, 3, generator=generator) < 0.6
    return said, Grid(y * visible, visible, (y * visible).sum(1))


def evaluated(said, grid):
    masked = Masked({}, {"y": grid, "other": None})
    return TargetError("y")(Outputs(said), masked, NO_BATCH, 0.5)


def test_it_is_the_mean_over_what_was_measured():
    said, grid = case()
    squares = [float(said[i, j] - grid.values[i, j]) ** 2 for i, j in grid.visible.nonzero().tolist()]
    terms = evaluated(said, grid)
    assert list(terms) == ["squared_error"]
    assert float(terms["squared_error"]) == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    assert 0 < len(squares) < 21


def test_what_is_said_of_the_unmeasured_costs_nothing():
    said, grid = case()
    off = torch.where(grid.visible, said, 1e3)
    assert torch.equal(evaluated(off, grid)["squared_error"], evaluated(said, grid)["squared_error"])
    nothing = Grid(grid.values * 0, torch.zeros_like(grid.visible), grid.total)
    assert float(evaluated(said, nothing)["squared_error"]) == 0


def test_half_precision_is_judged_in_full():
    said, grid = case()
    found = evaluated(said.bfloat16(), grid)["squared_error"]
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(evaluated(said, grid)["squared_error"]), rel=2e-2)
