"""A training in rounds: so many steps, whatever an epoch is, after which it is validated, kept and written down.

Lightning's loop takes a round for its epoch. An epoch of a small set is one round; a very small set has several epochs in a
round, a large one several rounds in an epoch.
"""

import math
from collections.abc import Iterator

from omicsmlm._types import Batch, Loader

MOST_ROUNDS = 64
"""Rounds of a training at most: a set whose epoch is a step would be validated after each."""
ROUND_BATCHES = 400
"""Batches of a round at most, unless ``MOST_ROUNDS`` asks for more: one pass over a million cells is kept 18 times."""


class Rounds:
    """The batches of a whole training, a round at a time; a round follows from its number alone.

    Parameters
    ----------
    loader
        Batches of an epoch.
    n_batches
        Batches of the training.

    Examples
    --------
    A set of 11 batches, 64 times; of one batch, 700 times; of 7,031 batches, once:

    >>> [(round_size(704, 11)), (round_size(700, 1)), (round_size(7031, 7031))]
    [11, 11, 391]
    """

    def __init__(self, loader: Loader, n_batches: int) -> None:
        self.loader = loader
        self.n_batches = n_batches
        self.size = round_size(n_batches, len(loader))
        self.n_rounds = math.ceil(n_batches / self.size)
        self.round = 0
        self._position = -1
        self._live: Iterator[Batch] = iter(())

    @property
    def sampler(self) -> "Rounds":
        """Return itself: Lightning tells the sampler of a loader which epoch begins."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the round that is gone through next."""
        self.round = epoch

    def __len__(self) -> int:
        """Count the batches of a round; the last one may have fewer."""
        return self.size

    def __iter__(self) -> Iterator[Batch]:
        """Go through a round."""
        first = self.round * self.size
        if first != self._position:  # where the last round ended, reading goes on ahead of it
            self._open(first)
        for _ in range(min(self.size, self.n_batches - first)):
            batch = next(self._live, None)
            if batch is None:
                self._open(self._position)
                batch = next(self._live)
            self._position += 1
            yield batch

    def close(self) -> None:
        """Stop reading ahead."""
        self._live, self._position = iter(()), -1

    def _open(self, position: int) -> None:
        epoch, batch = divmod(position, len(self.loader))
        self.loader.sampler.set_epoch(epoch)
        self.loader.sampler.start_at(batch)
        self._live, self._position = iter(self.loader), position


def round_size(n_batches: int, n_in_epoch: int) -> int:
    """Return the batches of a round: those of an epoch, unless that is very long or the training many times as long."""
    wanted = max(math.ceil(n_batches / MOST_ROUNDS), min(n_in_epoch, ROUND_BATCHES))
    return math.ceil(n_batches / max(1, round(n_batches / wanted)))
