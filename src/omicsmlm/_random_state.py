"""The random state of the process, held by one at a time.

Torch's layers draw initial weights and dropout from a state that all threads share. Trainings in two threads would draw from
each other's: each holds it for as long as it draws, and the other waits.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_HELD = threading.RLock()
"""Held by the thread whose random state torch has now; the state is the process's, and so is this."""


@contextmanager
def own_random_state(seed: int | None = None, devices: list[int] | None = None) -> Iterator[None]:
    """Hold torch's random state alone, and leave it as it was.

    Parameters
    ----------
    seed
        What it is seeded with; None leaves that to the caller.
    devices
        CUDA devices whose state is restored, too; None for all of them.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with own_random_state(seed=3, devices=[]):
    ...     drawn = torch.rand(2)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    with _HELD, torch.random.fork_rng(devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield
