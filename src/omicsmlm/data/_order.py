"""The order in which observations of a file are read: a pure function of the seed, the epoch and the observations."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

N_STREAMS = 8
"""Streams that a shuffled file is read in: slot j of a global batch is filled from stream j modulo 8.

Eight, as machines have 1, 2, 4 or 8 GPUs: each process then reads whole streams, which no other process reads.
"""


class FileLayout(NamedTuple):
    """How observations of a file are read and shuffled."""

    block: int
    """Neighbouring observations that are read together."""
    window: int
    """Observations that all buffers hold together, to be shuffled among one another."""


class BatchPart(NamedTuple):
    """Some of the observations of a batch: the slots they fill, and from which positions of which buffer."""

    slots: np.ndarray
    """(k,) positions in the batch."""
    buffer: Any
    """What was read of a buffer's observations."""
    positions: np.ndarray
    """(k,) positions in the buffer."""


class BatchSizes(NamedTuple):
    """Sizes of the global batches of an epoch: balanced, the first `n_longer` hold one observation more."""

    n_batches: int
    size: int
    n_longer: int

    @classmethod
    def of(cls, n: int, batch_size: int) -> "BatchSizes":
        """Return the sizes of the fewest batches for `n` observations; they differ by at most one."""
        n_batches = -(-n // batch_size)
        return cls(n_batches, *(divmod(n, n_batches) if n else (0, 0)))

    def of_batch(self, batch: int) -> int:
        """Return the number of observations of a batch."""
        return self.size + (batch < self.n_longer)

    def start(self, batch: int) -> int:
        """Return the number of observations of all batches before this one."""
        return batch * self.size + min(batch, self.n_longer)

    def of_stream(self, stream: int, before: int) -> int:
        """Return the number of slots that a stream fills in all batches before this one."""
        longer = min(before, self.n_longer)
        return longer * n_slots(self.size + 1, stream) + (before - longer) * n_slots(self.size, stream)


def n_slots(size: int, stream: int) -> int:
    """Return the number of slots of a stream in a batch of some size.

    Examples
    --------
    >>> [n_slots(10, stream) for stream in range(8)]
    [2, 2, 1, 1, 1, 1, 1, 1]
    """
    return (size - stream + N_STREAMS - 1) // N_STREAMS


class FileOrder:
    """The order of one epoch over a file.

    Blocks of neighbouring observations, in random order, are cut into eight sections, one per stream. A stream shuffles some
    of its blocks at a time in a buffer; a batch has an observation of each stream in turn. A process that fills only every
    2nd, 4th or 8th slot thus needs no block of the others' streams.

    Parameters
    ----------
    indices
        (n,) int64, ascending.
    sizes
        Sizes of the global batches.
    layout
        Observations of a block and of all buffers together.
    seed
        Seed of the order.
    """

    def __init__(self, indices: np.ndarray, sizes: BatchSizes, layout: FileLayout, seed: list[int]) -> None:
        self.indices, self.sizes, self.layout, self.seed = indices, sizes, layout, seed
        # Where there are not many blocks, they are smaller, down to single observations.
        is_small = len(indices) < 2 * N_STREAMS * layout.block
        block = max(1, min(layout.block, len(indices) // N_STREAMS**2)) if is_small else layout.block
        self.start_k = np.flatnonzero(np.diff(indices // block, prepend=-1))
        self.length_k = np.diff(self.start_k, append=len(indices))
        self.block_k = np.random.default_rng(seed).permutation(len(self.start_k))
        self.end_k = np.cumsum(self.length_k[self.block_k])
        self.blocks_at_once = max(1, layout.window // (N_STREAMS * block))

    def stream(self, stream: int, start: int, load: Callable[[np.ndarray], Any]) -> "Stream":
        """Return a stream from the slots of batch `start` on; `load` reads the observations of a buffer."""
        own = [self.sizes.of_stream(g, self.sizes.n_batches) for g in range(stream + 1)]
        first, last = sum(own[:-1]), sum(own)
        inner = self.end_k[np.searchsorted(self.end_k, first, "right") : np.searchsorted(self.end_k, last)]
        cuts = np.array([first, *inner[self.blocks_at_once - 1 :: self.blocks_at_once], last])
        return Stream(self, stream, cuts, first + self.sizes.of_stream(stream, start), load)

    def observations_between(self, first: int, last: int) -> np.ndarray:
        """Return the observations from position `first` to `last` of the shuffled sequence of blocks, ascending."""
        found = []
        for k in range(int(np.searchsorted(self.end_k, first, "right")), len(self.end_k)):
            begin = int(self.end_k[k] - self.length_k[self.block_k[k]])
            if begin >= last:
                break
            offset = int(self.start_k[self.block_k[k]]) - begin
            found.append(self.indices[max(first, begin) + offset : min(last, int(self.end_k[k])) + offset])
        return np.sort(np.concatenate(found))


class Stream:
    """One of the streams of an epoch: yields observations buffer by buffer, each loaded when it is needed."""

    def __init__(
        self, order: FileOrder, number: int, cuts: np.ndarray, at: int, load: Callable[[np.ndarray], Any]
    ) -> None:
        self.order, self.number, self.cuts, self.at, self.load = order, number, cuts, at, load
        self.index = int(np.searchsorted(cuts, at, "right")) - 1
        self.buffer: Any = None
        self.permutation = np.empty(0, dtype=np.int64)

    def fill(self, slots: np.ndarray) -> Iterator[BatchPart]:
        """Yield parts of a batch that fill these slots with the next observations."""
        while len(slots):
            first, last = int(self.cuts[self.index]), int(self.cuts[self.index + 1])
            if self.buffer is None:
                indices = self.order.observations_between(first, last)
                draw = np.random.default_rng([*self.order.seed, self.number, self.index])
                self.permutation = draw.permutation(len(indices))
                self.buffer = self.load(indices)
            n = min(len(slots), last - self.at)
            yield BatchPart(slots[:n], self.buffer, self.permutation[self.at - first : self.at - first + n])
            slots, self.at = slots[n:], self.at + n
            if self.at == last:
                self.buffer, self.index = None, self.index + 1


def file_batches(
    order: FileOrder, start: int, rank: int, world_size: int, load: Callable[[np.ndarray], Any]
) -> Iterator[list[BatchPart]]:
    """Yield, from a global batch on, the parts of each batch of one of several processes; slots count its own."""
    streams: dict[int, Stream] = {}
    # Of two, four or eight processes each has streams of its own; any other number of them reads all streams.
    wanted = [n for n in range(N_STREAMS) if N_STREAMS % world_size or n % world_size == rank]
    for batch in range(start, order.sizes.n_batches):
        pieces = []
        for number in wanted:
            slots = np.arange(number, order.sizes.of_batch(batch), N_STREAMS)
            if len(slots) == 0:
                continue
            if number not in streams:
                streams[number] = order.stream(number, batch, load)
            for piece in streams[number].fill(slots):
                own = piece.slots % world_size == rank
                if own.any():
                    pieces.append(BatchPart(piece.slots[own] // world_size, piece.buffer, piece.positions[own]))
        yield pieces
