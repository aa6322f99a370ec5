"""Grids that still know which of their values were stored, so that what is 0 elsewhere is computed at those alone."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from ._types import Grid


class Stored(NamedTuple):
    """The stored values of a grid, one after the other; those that the grid has no place for stand at 0 with the value 0."""

    at_t: Tensor
    """(t,) int64: place in the flattened grid."""
    obs_t: Tensor
    """(t,) int64: its observation."""
    column_t: Tensor
    """(t,) int64: its feature."""
    values_t: Tensor
    """(t,) float32; 0 where it is masked."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""


class StoredGrid(Grid):
    """A grid of counts with its stored values. What is made of its three tensors, by ``_replace`` say, is a plain grid."""

    stored: Stored

    @classmethod
    def of(cls, grid: Grid, stored: Stored) -> Self:
        """Return the grid with its stored values."""
        made = cls(*grid)
        made.stored = stored
        return made

    @classmethod
    def _make(cls, iterable: Any) -> Grid:  # type: ignore[override]
        return Grid(*iterable)


class UnmaskedGrid(StoredGrid):
    """A grid of which nothing is masked, laid out when it is first looked at: an embedding takes the stored values alone."""

    measured_sg: Tensor
    """(s, g) bool: what there is to be measured in."""
    panel_n: Tensor
    """(n,) int64: which of these each observation was measured in."""
    _laid_out: tuple[Tensor, Tensor] | None = None
    _sum_n: Tensor | None = None

    @classmethod
    def laid_out_later(
        cls, stored: Stored, total_n: Tensor, measured_sg: Tensor, panel_n: Tensor, sum_n: Tensor | None = None
    ) -> Self:
        """Return a grid of stored values, whose sums by observation may be known already."""
        made = tuple.__new__(cls, (stored.values_t, measured_sg, total_n))
        made.stored, made.measured_sg, made.panel_n, made._sum_n = stored, measured_sg, panel_n, sum_n
        return made

    @property
    def sum_n(self) -> Tensor:
        """(n,) float32: sums of the values."""
        if self._sum_n is None:
            self._sum_n = sums_by_obs(self.stored.obs_t, self.stored.values_t, len(self.panel_n))
        return self._sum_n

    @property
    def values(self) -> Tensor:  # type: ignore[override]
        """(n, g) float32; 0 where nothing is stored."""
        return self._tensors()[0]

    @property
    def visible(self) -> Tensor:  # type: ignore[override]
        """(n, g) bool: what was measured."""
        return self._tensors()[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Observations and features."""
        return len(self.panel_n), self.measured_sg.shape[1]

    def _tensors(self) -> tuple[Tensor, Tensor]:
        if self._laid_out is None:
            values_ng = laid_out(self.stored.at_t, self.stored.values_t, *self.shape)
            self._laid_out = values_ng, self.measured_sg.index_select(0, self.panel_n)
        return self._laid_out

    def __iter__(self) -> Iterator[Tensor]:
        return iter((*self._tensors(), self.total))

    def __getitem__(self, index: Any) -> Any:
        return (*self._tensors(), self.total)[index]


def laid_out(at_t: Tensor, values_t: Tensor, n: int, g: int) -> Tensor:
    """Return (n, g) with values at places of the flattened grid, 0 elsewhere; those at one place are added up.

    Examples
    --------
    >>> laid_out(torch.tensor([3, 0]), torch.tensor([5.0, 2.0]), 2, 2)
    tensor([[2., 0.],
            [0., 5.]])
    """
    if g == 0:
        return values_t.new_zeros(n, g)
    return values_t.new_zeros(n * g).index_add_(0, at_t, values_t).view(n, g)


def sums_by_obs(obs_t: Tensor, x_t: Tensor, n: int) -> Tensor:
    """Return (n,) sums of packed numbers by observation.

    Examples
    --------
    >>> sums_by_obs(torch.tensor([0, 0, 2]), torch.tensor([1.0, 2.0, 3.0]), 3)
    tensor([3., 0., 3.])
    """
    return x_t.new_zeros(n).index_add_(0, obs_t, x_t)


def has_any(grid: Grid) -> Tensor:
    """Tell which observations have any feature of a grid, (n,) bool.

    Examples
    --------
    >>> has_any(Grid(torch.zeros(2, 2), torch.tensor([[False, True], [False, False]]), torch.zeros(2))).tolist()
    [True, False]
    """
    if isinstance(grid, UnmaskedGrid):
        return (as_numbers(grid.measured_sg).sum(1) > 0)[grid.panel_n]
    return as_numbers(grid.visible).sum(1) > 0


def as_numbers(mask: Tensor) -> Tensor:
    """Return booleans as float32: a tenth of the time of ``mask.float()``, and a product with it of one with the mask.

    Examples
    --------
    >>> as_numbers(torch.tensor([True, False]))
    tensor([1., 0.])
    """
    return mask.view(torch.uint8).float()
