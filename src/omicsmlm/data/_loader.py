"""Minibatches of rows, in an order that a seed fixes."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from torch import Generator
from torch.utils.data import DataLoader, Sampler

from omicsmlm._types import Loader

from ._manager import OmicsManager


class RowSampler(Sampler[list[int]]):
    """Yields lists of row numbers, shuffled anew each epoch if a seed is given.

    The order of an epoch depends only on the seed and on the number of the epoch (``set_epoch``, which Lightning
    calls), so that a resumed training goes through the same batches as an uninterrupted one.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, seed: int | None) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._first = 0
        self._rank, self._n_ranks = 0, 1

    def start_at(self, batch: int) -> None:
        """Begin the next iteration, and only that, at this batch of the epoch."""
        self._first = batch

    def divide(self, rank: int, n_ranks: int) -> None:
        """Leave to this process every ``n_ranks``-th row of each batch, from ``rank`` on."""
        self._rank, self._n_ranks = rank, n_ranks

    @property
    def smallest_batch(self) -> int:
        """Rows of the smallest batch."""
        return min((len(part) for part in self._batches(self.rows)), default=0)

    def _batches(self, rows: np.ndarray) -> list[np.ndarray]:
        if self.seed is not None:
            return np.array_split(rows, len(self)) if len(rows) else []
        return [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Count the batches."""
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Go through all rows once."""
        rows = self.rows
        if self.seed is not None:
            rows = np.random.default_rng([self.seed, self.epoch]).permutation(rows)
        first, self._first = self._first, 0
        for part in self._batches(rows)[first:]:
            yield part[self._rank :: self._n_ranks].tolist()


def row_loader(
    manager: OmicsManager, rows: Sequence[int] | np.ndarray, batch_size: int, seed: int | None = None
) -> Loader:
    """Load rows of a registered object in batches: in the given order, or shuffled each epoch by a seed.

    Parameters
    ----------
    manager
        Manager of the object.
    rows
        Row numbers.
    batch_size
        Rows in a batch; the last one may be smaller.
    seed
        Seed of the shuffling, or None to keep the order.
    """
    sampler = RowSampler(np.asarray(rows), batch_size, seed)
    own = Generator()  # without it, a loader takes a number from the caller's random state
    return cast(Loader, DataLoader(manager.create_torch_dataset(), sampler=sampler, batch_size=None, generator=own))
