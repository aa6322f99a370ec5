"""A training in rounds: so many steps, whatever an epoch is, after which it is validated and checkpointed.

Lightning's loop takes a round for its epoch. An epoch of a small set is one round; a very small set has several epochs in a
round, a large one several rounds in an epoch.

Why this is not the sampler's work (:class:`omicsmlm.data.ObservationSampler`): the sampler cuts an epoch into batches, and
knows of observations, files and ranks; a round is a run of batches, however many epochs it spans, and knows of none of these.
Heads and pretraining read the same samplers without rounds (validation, the memory bank, embedding), and one sampler serves
trainings of any length.
"""

import math
from collections.abc import Iterator

from omicsmlm._types import Batch, Loader

MOST_ROUNDS = 64
"""Rounds of a training at most: a set whose epoch is a step would be validated after each."""
ROUND_BATCHES = 400
"""Batches of a round at most, unless ``MOST_ROUNDS`` asks for more: one pass over a million cells is validated 18 times."""


class Rounds:
    """The batches of a whole training, a round at a time; a round follows from its number alone.

    Parameters
    ----------
    loader
        Batches of an epoch.
    n_batches
        Batches of the training, about: rounds are of equal size, as Lightning validates whole ones only, so that there may
        be some more, less than one a round.
    at_most
        Whether there must not be more; there may then be less by a hundredth.

    Examples
    --------
    A set of 11 batches, 64 times; of one batch, 700 times; of 7,031 batches, once:

    >>> [n_batches // n_rounds_of(n_batches, n) for n_batches, n in ((704, 11), (700, 1), (7031, 7031))]
    [11, 10, 390]
    """

    def __init__(self, loader: Loader, n_batches: int, *, at_most: bool = False) -> None:
        self.loader = loader
        self.n_rounds = n_rounds_of(n_batches, len(loader))
        if at_most:  # as many rounds as leave at most a hundredth of the batches over
            self.n_rounds = next(n for n in range(self.n_rounds, 0, -1) if 100 * (n_batches % n) <= n_batches)
        self.size = n_batches // self.n_rounds if at_most else math.ceil(n_batches / self.n_rounds)
        self.n_batches = self.n_rounds * self.size
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
        """Count the batches of a round."""
        return self.size

    def __iter__(self) -> Iterator[Batch]:
        """Go through a round."""
        first = self.round * self.size
        if first != self._position:  # where the last round ended, reading goes on ahead of it
            self._open(first)
        for _ in range(self.size):
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


def n_rounds_of(n_batches: int, n_in_epoch: int) -> int:
    """Return how many rounds a training has: one an epoch, unless epochs are very long or many times as many."""
    wanted = max(math.ceil(n_batches / MOST_ROUNDS), min(n_in_epoch, ROUND_BATCHES))
    return max(1, round(n_batches / wanted))
