"""Workarounds for other packages, in one place: private paths and names of scvi-tools (pinned to 1.5), and threads in scanpy."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from scvi.data._manager import AnnDataManagerValidationCheck

__all__ = ["AnnDataManagerValidationCheck", "keep_torch_threads", "summary_name"]


@contextmanager
def keep_torch_threads() -> Iterator[None]:
    """Restore torch's number of threads on leaving: numba, which scanpy calls, sets OpenMP's, which torch shares."""
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def summary_name(key: str) -> str:
    """Return under which name the size of a modality or column stands in scvi-tools' summary, whose names hold no dots.

    Examples
    --------
    >>> summary_name("orig.ident")
    'n_orig_ident'
    """
    return f"n_{key.replace('.', '_')}"
