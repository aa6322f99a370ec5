"""Reading that runs ahead of computing: one thread, a bounded queue."""

import threading
import weakref
from collections.abc import Iterable, Iterator
from queue import Empty, Queue
from typing import Any, NamedTuple, Self

import torch

PATIENCE = 10.0
"""Seconds that the end of an iteration waits for a read that is under way."""


class _Failure(NamedTuple):
    """What ended the reading."""

    error: BaseException


class _End(NamedTuple):
    """Nothing more to read."""


class ReadAhead[T](Iterator[T]):
    """Takes things from an iterable in a thread of its own, from the first request on, at most so many ahead of them.

    An error of the iterable is raised where the next thing is asked for. The thread ends with the iterable, with
    :meth:`close`, when nobody holds this iterator any more, and when Python exits.

    Parameters
    ----------
    source
        Where things come from.
    n_ahead
        Most things that wait.

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
        """Wait for the next thing."""
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
        """End the thread."""
        self._finalize()


def _fill(source: Iterable[Any], waiting: Queue[Any], stop: threading.Event) -> None:
    """Put things into a queue until there are no more, or until told to stop."""
    try:
        for thing in source:
            waiting.put(thing)
            if stop.is_set():
                return
            del thing
        last: Any = _End()
    except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the next thing
        last = _Failure(error)
    waiting.put(last)


def _end(thread: threading.Thread, waiting: Queue[Any], stop: threading.Event) -> None:
    """Stop a thread: whatever waits is thrown away, so that it can put what it holds and then see that it is over."""
    stop.set()
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        pass
    if thread.is_alive() and thread is not threading.current_thread():
        thread.join(PATIENCE)


def pinned(batch: Any) -> Any:
    """Copy every tensor of a record into page-locked memory, from where a GPU fetches it while computing goes on."""
    if isinstance(batch, torch.Tensor):
        return batch.pin_memory()
    if isinstance(batch, dict):
        return {name: pinned(part) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pinned, batch))
    return batch
