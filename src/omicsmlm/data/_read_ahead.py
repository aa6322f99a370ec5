"""Prefetching: batches are read by one thread into a bounded queue while others are computed with."""

import threading
import weakref
from collections.abc import Iterable, Iterator
from queue import Empty, Queue
from typing import Any, NamedTuple, Self

import torch

JOIN_TIMEOUT = 10.0
"""Seconds that the end of an iteration waits for a read that is under way; a read takes less than a second."""


class _Failure(NamedTuple):
    """The error that ended the reading, carried to the consumer's thread."""

    error: BaseException


class _End(NamedTuple):
    """Marks the end of the source in the queue."""


class ReadAhead[T](Iterator[T]):
    """Iterator that prefetches items of an iterable in a thread of its own, which starts with the first ``next``.

    An error of the iterable is raised by ``next``. The thread ends with the iterable, with :meth:`close`, when nobody
    holds this iterator any more, and when Python exits.

    Parameters
    ----------
    source
        The iterable.
    n_ahead
        Most items in the queue.

    Examples
    --------
    >>> list(ReadAhead(range(3), 2))
    [0, 1, 2]
    """

    def __init__(self, source: Iterable[T], n_ahead: int) -> None:
        waiting: Queue[Any] = Queue(n_ahead)
        stop = threading.Event()
        thread = threading.Thread(target=_fill, args=(source, waiting, stop), name="omicsmlm-read", daemon=True)
        self._waiting, self._thread = waiting, thread
        # A finalizer, as it runs in all cases: at the end, on an error elsewhere, when dropped, at exit.
        self._finalize = weakref.finalize(self, _end, thread, waiting, stop)

    def __iter__(self) -> Self:
        """Iterate."""
        return self

    def __next__(self) -> T:
        """Return the next item, waiting for it if it has not been read."""
        if not self._finalize.alive:
            raise StopIteration
        if self._thread.ident is None:
            self._thread.start()
        found = self._waiting.get()
        if isinstance(found, _End | _Failure):
            self.close()
        if isinstance(found, _Failure):
            raise found.error
        if isinstance(found, _End):
            raise StopIteration
        return found

    def close(self) -> None:
        """Stop the thread."""
        self._finalize()


def _fill(source: Iterable[Any], waiting: Queue[Any], stop: threading.Event) -> None:
    """Put the items of a source into a queue until there are no more, or until ``stop`` is set."""
    try:
        for item in source:
            waiting.put(item)
            if stop.is_set():
                return
            del item  # else this thread would keep a batch alive while it waits for room in the queue
        last: Any = _End()
    except BaseException as error:  # noqa: BLE001 - raised again by ``next``
        last = _Failure(error)
    waiting.put(last)


def _end(thread: threading.Thread, waiting: Queue[Any], stop: threading.Event) -> None:
    """Stop a thread. The queue is emptied first, as the thread may be blocked in ``put`` and only then looks at ``stop``."""
    stop.set()
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        pass
    if thread.is_alive() and thread is not threading.current_thread():
        thread.join(JOIN_TIMEOUT)


def pinned(batch: Any) -> Any:
    """Return a record whose tensors are copied into page-locked memory, from which a GPU can copy asynchronously."""
    if isinstance(batch, torch.Tensor):
        return batch.pin_memory()
    if isinstance(batch, dict):
        return {name: pinned(part) for name, part in batch.items()}
    if isinstance(batch, tuple):  # the records, which are the only tuples in a batch, are named ones
        return type(batch)(*map(pinned, batch))
    return batch
