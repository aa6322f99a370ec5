"""In which order observations are read: a pure function of the seed, of the epoch and of which observations there are."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

N_STREAMS = 8
"""Streams that a shuffled file is read in: slot j of a global batch is filled from stream j modulo 8."""


class Layout(NamedTuple):
    """How observations of a file are best read."""

    block: int
    """Observations that are read together."""
    window: int
    """Observations that are shuffled among one another."""


class Piece(NamedTuple):
    """Some of the observations of a batch: which slots they fill, from which buffer, and where they are in that."""

    slots: np.ndarray
    buffer: Any
    positions: np.ndarray


class Sizes(NamedTuple):
    """Sizes of the global batches of an epoch: balanced, the first `n_longer` hold one observation more."""

    n_batches: int
    size: int
    n_longer: int

    @classmethod
    def of(cls, n: int, batch_size: int) -> "Sizes":
        """Compute the sizes of as few batches as `n` observations need; they differ by at most one."""
        n_batches = -(-n // batch_size)
        return cls(n_batches, *(divmod(n, n_batches) if n else (0, 0)))

    def of_batch(self, batch: int) -> int:
        """Return the observations of a batch."""
        return self.size + (batch < self.n_longer)

    def start(self, batch: int) -> int:
        """Return the observations of all batches before this one."""
        return batch * self.size + min(batch, self.n_longer)

    def of_stream(self, stream: int, before: int) -> int:
        """Return how many slots a stream fills in all batches before this one."""
        longer = min(before, self.n_longer)
        return longer * fraction(self.size + 1, stream) + (before - longer) * fraction(self.size, stream)


def fraction(size: int, stream: int) -> int:
    """Return how many of the slots of a batch are those of a stream.

    Examples
    --------
    >>> [fraction(10, stream) for stream in range(8)]
    [2, 2, 1, 1, 1, 1, 1, 1]
    """
    return (size - stream + N_STREAMS - 1) // N_STREAMS


class FileOrder:
    """The order of one epoch over a file.

    Blocks of neighbouring observations in random order are cut into eight sections, one a stream. A stream shuffles some
    of its blocks at a time; a batch takes an observation of each stream in turn. A process that fills only every 2nd, 4th
    or 8th slot thus needs no block of the others' streams.

    Parameters
    ----------
    rows
        (n,) int64, ascending.
    sizes
        Sizes of the global batches.
    layout
        Observations of a block and of all buffers together.
    seed
        What the order is drawn from.
    """

    def __init__(self, rows: np.ndarray, sizes: Sizes, layout: Layout, seed: list[int]) -> None:
        self.rows, self.sizes, self.layout, self.seed = rows, sizes, layout, seed
        # Where there are not many blocks, they are smaller, down to single observations.
        is_small = len(rows) < 2 * N_STREAMS * layout.block
        block = max(1, min(layout.block, len(rows) // N_STREAMS**2)) if is_small else layout.block
        self.start_k = np.flatnonzero(np.diff(rows // block, prepend=-1))
        self.length_k = np.diff(self.start_k, append=len(rows))
        self.block_k = np.random.default_rng(seed).permutation(len(self.start_k))
        self.end_k = np.cumsum(self.length_k[self.block_k])
        self.blocks_at_once = max(1, layout.window // (N_STREAMS * block))

    def stream(self, stream: int, start: int, load: Callable[[np.ndarray], Any]) -> "Stream":
        """Give a stream from the slots of batch `start` on; `load` turns the observations of a buffer into what is held."""
        own = [self.sizes.of_stream(g, self.sizes.n_batches) for g in range(stream + 1)]
        first, last = sum(own[:-1]), sum(own)
        inner = self.end_k[np.searchsorted(self.end_k, first, "right") : np.searchsorted(self.end_k, last)]
        cuts = np.array([first, *inner[self.blocks_at_once - 1 :: self.blocks_at_once], last])
        return Stream(self, stream, cuts, first + self.sizes.of_stream(stream, start), load)

    def between(self, first: int, last: int) -> np.ndarray:
        """Return the observations at some places of the sequence of blocks, ascending."""
        found = []
        for k in range(int(np.searchsorted(self.end_k, first, "right")), len(self.end_k)):
            begin = int(self.end_k[k] - self.length_k[self.block_k[k]])
            if begin >= last:
                break
            offset = int(self.start_k[self.block_k[k]]) - begin
            found.append(self.rows[max(first, begin) + offset : min(last, int(self.end_k[k])) + offset])
        return np.sort(np.concatenate(found))


class Stream:
    """One of the streams of an epoch: hands out observations buffer by buffer, each loaded when it is needed."""

    def __init__(
        self, order: FileOrder, number: int, cuts: np.ndarray, at: int, load: Callable[[np.ndarray], Any]
    ) -> None:
        self.order, self.number, self.cuts, self.at, self.load = order, number, cuts, at, load
        self.index = int(np.searchsorted(cuts, at, "right")) - 1
        self.held: Any = None
        self.permutation = np.empty(0, dtype=np.int64)

    def take(self, slots: np.ndarray) -> Iterator[Piece]:
        """Fill slots with the next observations."""
        while len(slots):
            first, last = int(self.cuts[self.index]), int(self.cuts[self.index + 1])
            if self.held is None:
                rows = self.order.between(first, last)
                draw = np.random.default_rng([*self.order.seed, self.number, self.index])
                self.permutation = draw.permutation(len(rows))
                self.held = self.load(rows)
            n = min(len(slots), last - self.at)
            yield Piece(slots[:n], self.held, self.permutation[self.at - first : self.at - first + n])
            slots, self.at = slots[n:], self.at + n
            if self.at == last:
                self.held, self.index = None, self.index + 1


def file_batches(
    order: FileOrder, start: int, rank: int, world_size: int, load: Callable[[np.ndarray], Any]
) -> Iterator[list[Piece]]:
    """Give, from a global batch on, the pieces of each batch of one of several processes; slots count its own."""
    streams: dict[int, Stream] = {}
    # Of two, four or eight processes each has streams of its own; any other number of them go through all streams.
    wanted = [n for n in range(N_STREAMS) if N_STREAMS % world_size or n % world_size == rank]
    for batch in range(start, order.sizes.n_batches):
        pieces = []
        for number in wanted:
            slots = np.arange(number, order.sizes.of_batch(batch), N_STREAMS)
            if len(slots) == 0:
                continue
            if number not in streams:
                streams[number] = order.stream(number, batch, load)
            for piece in streams[number].take(slots):
                own = piece.slots % world_size == rank
                if own.any():
                    pieces.append(Piece(piece.slots[own] // world_size, piece.buffer, piece.positions[own]))
        yield pieces
