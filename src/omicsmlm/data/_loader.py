"""Minibatches of observations, in an order that a seed fixes, from memory or from files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from omicsmlm._checks import value_error
from omicsmlm._types import Batch

from ._dataset import Buffer, ObservationDataset
from ._manager import OmicsManager
from ._order import BatchPart, BatchSizes, FileLayout, FileOrder, file_batches
from ._read_ahead import ReadAhead, pinned

N_AHEAD = 4
"""Batches read ahead from a file: enough to bridge the reading of a buffer, and little memory."""


class ObservationSampler(Sampler[list[int]]):
    """Yields lists of observations, shuffled anew each epoch if a seed is given.

    The order of an epoch depends only on the seed, on the number of the epoch (``set_epoch``, which Lightning calls) and
    on the observations, so that a resumed training goes through the same batches as an uninterrupted one, and several
    processes divide the same batches among them.

    Parameters
    ----------
    indices
        (n,) observations.
    batch_size
        Most observations of a global batch. Shuffled batches are balanced: their sizes differ by at most one.
    seed
        Seed of the shuffling, or None to keep the order.
    layout
        Blocks and buffers of a file; None for what is in memory, where any order costs the same.
    """

    def __init__(
        self, indices: np.ndarray, batch_size: int, seed: int | None, layout: FileLayout | None = None
    ) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.layout = layout
        self.epoch = 0
        self.rank, self.world_size = 0, 1
        self._first = 0
        if layout is not None and seed is not None and (np.diff(self.indices) < 0).any():
            self.indices = np.sort(self.indices)

    @property
    def smallest_batch(self) -> int:
        """Number of observations of the smallest global batch."""
        return self._size(len(self) - 1) if len(self) else 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is drawn next."""
        self.epoch = epoch

    def start_at(self, batch: int) -> None:
        """Start the next iteration, and no later one, with this global batch of the epoch."""
        if not 0 <= batch <= len(self):
            raise value_error("start_at", f"a batch from 0 to {len(self)}", str(batch), "count batches within an epoch")
        self._first = batch

    def divide(self, rank: int, world_size: int) -> None:
        """Restrict the sampler to the slots ``[rank::world_size]`` of each global batch: the part of one of several processes.

        Raises
        ------
        ValueError
            If a batch would have fewer observations than there are processes.
        """
        if not 0 <= rank < world_size:
            raise value_error(
                "divide", "a rank below the number of processes", f"{rank} of {world_size}", "count from 0"
            )
        smallest = min(self._size(0), self._size(len(self) - 1)) if len(self) else world_size
        if smallest < world_size:
            wanted = f"batches of at least {world_size} observations, one for each process"
            found = f"{smallest} observations in the smallest"
            raise value_error("batch_size", wanted, found, "use larger batches or fewer processes")
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        """Return the number of global batches of an epoch."""
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over the batches of an epoch."""
        if not self.in_blocks:
            return (indices.tolist() for indices in self._whole_batches())
        return map(_indices_of, self.pieces(lambda indices: indices))

    @property
    def in_blocks(self) -> bool:
        """Whether observations come from blocks of a file that are shuffled in buffers."""
        return self.layout is not None and self.seed is not None

    def pieces(self, load: Callable[[np.ndarray], Any]) -> Iterator[list[BatchPart]]:
        """Iterate over an epoch of a shuffled file; `load` reads the observations of a buffer when they are needed."""
        assert self.layout is not None
        assert self.seed is not None
        first, self._first = self._first, 0
        if len(self.indices) <= self.layout.window:
            return self._from_one_buffer(first, load)
        order = FileOrder(self.indices, self._sizes, self.layout, [self.seed, self.epoch])
        return file_batches(order, first, self.rank, self.world_size, load)

    def _from_one_buffer(self, first: int, load: Callable[[np.ndarray], Any]) -> Iterator[list[BatchPart]]:
        """Iterate over a file that fits one buffer: in the same order as the same data in memory."""
        assert self.seed is not None
        positions = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.indices))
        buffer = load(self.indices)
        for batch in range(first, len(self)):
            start = self._start(batch)
            own = positions[start : start + self._size(batch)][self.rank :: self.world_size]
            yield [BatchPart(np.arange(len(own)), buffer, own)]

    def _whole_batches(self) -> Iterator[np.ndarray]:
        first, self._first = self._first, 0
        indices = self.indices
        if self.seed is not None:
            indices = np.random.default_rng([self.seed, self.epoch]).permutation(indices)
        bounds = [(self._start(batch), self._size(batch)) for batch in range(first, len(self))]
        own = slice(self.rank, None, self.world_size)
        return (indices[start : start + size][own] for start, size in bounds)

    def _start(self, batch: int) -> int:
        return batch * self.batch_size if self.seed is None else self._sizes.start(batch)

    def _size(self, batch: int) -> int:
        if self.seed is not None:
            return self._sizes.of_batch(batch)
        return min(self.batch_size, len(self.indices) - batch * self.batch_size)

    @property
    def _sizes(self) -> BatchSizes:
        return BatchSizes.of(len(self.indices), self.batch_size)


def _indices_of(pieces: Sequence[BatchPart]) -> list[int]:
    """Return the observations of a batch whose buffers hold their indices."""
    indices = np.empty(sum(len(piece.slots) for piece in pieces), dtype=np.int64)
    for piece in pieces:
        indices[piece.slots] = piece.buffer[piece.positions]
    return indices.tolist()


class ObservationLoader:
    """Batches of a registered object: each iteration is an epoch.

    Parameters
    ----------
    dataset
        The observations.
    sampler
        Their order.
    n_ahead
        Batches to read ahead in a thread; 0 to read each when it is needed.
    pin_memory
        Whether batches come in page-locked memory; needs CUDA.
    """

    batch_sampler = None
    """Lightning reads this attribute of a loader; None, as the sampler itself yields batches."""

    def __init__(
        self, dataset: ObservationDataset, sampler: ObservationSampler, n_ahead: int, pin_memory: bool
    ) -> None:
        self.dataset = dataset
        self.sampler = sampler
        self.batch_size = sampler.batch_size
        self.n_ahead = n_ahead
        self.pin_memory = pin_memory

    def __len__(self) -> int:
        """Return the number of global batches of an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the epoch that is set when the first batch is read, as Lightning sets it after making the iterator."""
        batches = self._batches()
        return ReadAhead(batches, self.n_ahead) if self.n_ahead else batches

    def _batches(self) -> Iterator[Batch]:
        if self.sampler.in_blocks:
            pieces = self.sampler.pieces(partial(Buffer.of, self.dataset))
            batches: Iterator[Batch] = map(self.dataset.from_pieces, pieces)
        else:
            batches = map(self.dataset.__getitem__, self.sampler)
        yield from map(pinned, batches) if self.pin_memory else batches


def observation_loader(
    manager: OmicsManager,
    indices: Sequence[int] | np.ndarray,
    batch_size: int,
    seed: int | None = None,
    *,
    pin_memory: bool = False,
    n_ahead: int | None = None,
) -> ObservationLoader:
    """Return a loader of observations of a registered object: in the given order, or shuffled each epoch by a seed.

    Parameters
    ----------
    manager
        Manager of the object.
    indices
        Indices of the observations. Where they are shuffled in a file, the given order does not matter.
    batch_size
        Observations in a batch; without a seed, the last one may be smaller.
    seed
        Seed of the shuffling, or None to keep the order.
    pin_memory
        Whether batches come in page-locked memory; needs CUDA.
    n_ahead
        Batches to read ahead in a thread; None for 4 where observations are read from files, else 0.
    """
    dataset = manager.observation_dataset()
    sampler = ObservationSampler(np.asarray(indices), batch_size, seed, dataset.layout)
    n_ahead = (0 if dataset.layout is None else N_AHEAD) if n_ahead is None else n_ahead
    return ObservationLoader(dataset, sampler, n_ahead, pin_memory)
