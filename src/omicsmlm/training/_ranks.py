"""Communication between the processes (ranks) that train one model."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import all_gather, all_reduce, get_rank, get_world_size, is_initialized


class Ranks(NamedTuple):
    """The place of this process among those that train one model."""

    rank: int
    n_ranks: int
    device: torch.device
    """Where it trains."""


def current_ranks(device: torch.device) -> Ranks:
    """Return the place of this process among those that have joined, which is alone where none have."""
    if not is_initialized():
        return Ranks(0, 1, device)
    return Ranks(get_rank(), get_world_size(), device)


def is_first_rank() -> bool:
    """Return whether this process is the one that writes files."""
    return not is_initialized() or get_rank() == 0


def gathered(part_n: Tensor, n_ranks: int) -> Tensor:
    """Return the rows of all ranks, (sum of n, ...), in the order of ranks; alike on each."""
    if n_ranks == 1:
        return part_n
    length = torch.tensor([len(part_n)], device=part_n.device)
    lengths = [torch.zeros_like(length) for _ in range(n_ranks)]
    all_gather(lengths, length)
    sizes = [int(size) for size in lengths]
    padded_m = part_n.new_zeros(max(sizes), *part_n.shape[1:])
    padded_m[: len(part_n)] = part_n
    parts = [torch.empty_like(padded_m) for _ in range(n_ranks)]
    all_gather(parts, padded_m.contiguous())
    return torch.cat([part_m[:size] for part_m, size in zip(parts, sizes, strict=True)])


def count_over_ranks(n: int, n_ranks: int, device: torch.device) -> int | Tensor:
    """Return the sum over ranks of a number that each has, without waiting for the device."""
    if n_ranks == 1:
        return n
    count = torch.full((), n, dtype=torch.int64, device=device)
    all_reduce(count)
    return count


def averaged(value_s: Tensor, n_ranks: int) -> Tensor:
    """Return the mean over ranks of numbers, (s,), that each rank has."""
    if n_ranks == 1:
        return value_s
    total_s = value_s.clone()
    all_reduce(total_s)
    return total_s / n_ranks
