"""Minibatches of rows, in an order that a seed fixes."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Generator
from torch.utils.data import DataLoader, Sampler

from omicsmlm._types import Batch

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
        for start in range(0, len(rows), self.batch_size):
            yield rows[start : start + self.batch_size].tolist()


def row_loader(
    manager: OmicsManager, rows: Sequence[int] | np.ndarray, batch_size: int, seed: int | None = None
) -> DataLoader[Batch]:
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
    return DataLoader(manager.create_torch_dataset(), sampler=sampler, batch_size=None, generator=own)
