"""Grids with their stored (non-zero) values beside them, so that what is 0 elsewhere is computed at those alone."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from ._types import Grid


class StoredValues(NamedTuple):
    """The stored values of a grid, packed by observation.

    A token whose feature the grid does not have stays, at position 0 with the value 0, so that sizes need not be counted.
    """

    at_t: Tensor
    """(t,) int64: position in the flattened grid."""
    obs_t: Tensor
    """(t,) int64: its observation."""
    column_t: Tensor
    """(t,) int64: its feature."""
    values_t: Tensor
    """(t,) float32; 0 where it is masked."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""


class StoredGrid(Grid):
    """A grid of counts with its stored values.

    What is made of its three tensors, by ``_replace`` say, is a plain :class:`Grid`, as the stored values may not fit it.
    """

    stored: StoredValues

    @classmethod
    def of(cls, grid: Grid, stored: StoredValues) -> Self:
        """Return the grid with its stored values."""
        made = cls(*grid)
        made.stored = stored
        return made

    @classmethod
    def _make(cls, iterable: Any) -> Grid:  # type: ignore[override]
        return Grid(*iterable)


class UnmaskedGrid(StoredGrid):
    """A grid without masks whose dense tensors are only computed when they are first used.

    An embedding takes the stored values alone and never the dense tensors, which take several times as long to make: that is
    why this class overrides the fields of a named tuple by properties. Masking, objectives and every other consumer ask for
    a :class:`Grid`, unpack it, index it and call ``_replace``; so it has to be one, and to behave as one that was dense from
    the start. A plain class with the same three properties would need a second branch in each of these places.
    """

    measured_sg: Tensor
    """(s, g) bool: features that each gene panel measures; the first one, of observations without the modality, none."""
    panel_n: Tensor
    """(n,) int64: gene panel of each observation."""
    _laid_out: tuple[Tensor, Tensor] | None = None
    _sum_n: Tensor | None = None

    @classmethod
    def from_stored(
        cls, stored: StoredValues, total_n: Tensor, measured_sg: Tensor, panel_n: Tensor, sum_n: Tensor | None = None
    ) -> Self:
        """Return a grid of stored values; ``sum_n``, (n,), are their sums by observation where these are known already."""
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
        """Return the dense values and what was measured, (n, g) each, computed once."""
        if self._laid_out is None:
            values_ng = dense_grid(self.stored.at_t, self.stored.values_t, *self.shape)
            self._laid_out = values_ng, self.measured_sg.index_select(0, self.panel_n)
        return self._laid_out

    def __iter__(self) -> Iterator[Tensor]:
        return iter((*self._tensors(), self.total))

    def __getitem__(self, index: Any) -> Any:
        return (*self._tensors(), self.total)[index]


def dense_grid(at_t: Tensor, values_t: Tensor, n: int, g: int) -> Tensor:
    """Return (n, g) with values at positions of the flattened grid, 0 elsewhere; several at one position are summed.

    Examples
    --------
    >>> dense_grid(torch.tensor([3, 0]), torch.tensor([5.0, 2.0]), 2, 2)
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


def has_visible(grid: Grid) -> Tensor:
    """Return, (n,) bool, which observations have any visible feature.

    Examples
    --------
    >>> has_visible(Grid(torch.zeros(2, 2), torch.tensor([[False, True], [False, False]]), torch.zeros(2))).tolist()
    [True, False]
    """
    if isinstance(grid, UnmaskedGrid):
        return (as_float(grid.measured_sg).sum(1) > 0)[grid.panel_n]
    return as_float(grid.visible).sum(1) > 0


def as_float(mask: Tensor) -> Tensor:
    """Return booleans as float32.

    Reinterpreting them as bytes first takes a tenth of the time of ``mask.float()``, and multiplying by the result is
    faster than by the mask itself.

    Examples
    --------
    >>> as_float(torch.tensor([True, False]))
    tensor([1., 0.])
    """
    return mask.view(torch.uint8).float()
