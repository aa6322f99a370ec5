"""Sizes of a batch of sequences and vectors, read off the device at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omicsmlm._types import Sequences


class HostSizes(NamedTuple):
    """Sizes of a sequence, or a vector, of some observations, as Python numbers on the host."""

    lengths: list[int]
    """Of each distinct sequence; of a vector, 1 for an observation that has it and 0 for one that has not."""
    of_obs: list[int]
    """Sequence of each observation, -1 for none; empty for a vector."""
    keys: list[tuple[int, int]]
    """Digest of each sequence; empty for a vector."""


def host_sizes(views: Sequence[Any]) -> list[HostSizes]:
    """Return the sizes of all views, read at once: on a device the host waits here, and nowhere else."""
    parts: list[Tensor] = []
    for view in views:
        is_sequence = isinstance(view, Sequences)
        parts += (
            [view.offsets.diff(), view.of_obs, view.digests.flatten()] if is_sequence else [view.visible.any(1).long()]
        )
    numbers, found = torch.cat(parts).tolist(), []
    for view in views:
        sizes = (
            [len(view.offsets) - 1, len(view.of_obs), view.digests.numel()]
            if isinstance(view, Sequences)
            else [len(view.visible)]
        )
        read = []
        for size in sizes:
            read.append(numbers[:size])
            numbers = numbers[size:]
        lengths, of_obs, digests = [*read, [], []][:3]
        found.append(HostSizes(lengths, of_obs, list(zip(digests[::2], digests[1::2], strict=True))))
    return found
