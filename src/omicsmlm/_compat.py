"""What other packages make us do, in one place: private paths of scvi-tools, pinned to 1.5, and scanpy's threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from scvi.data._manager import AnnDataManagerValidationCheck

__all__ = ["AnnDataManagerValidationCheck", "threads_kept"]


@contextmanager
def threads_kept() -> Iterator[None]:
    """Leave torch as many threads as it had: scanpy's loops in numba set those of OpenMP, and with them those of torch."""
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
