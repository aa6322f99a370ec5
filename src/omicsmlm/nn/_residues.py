"""Packed sequences: codes of residues, and states of positions.

Tensor axes: u distinct sequences, l residues of the longest one, p positions (states) of all of them, n observations, d width.
"""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from omicsmlm._types import MASK_BIT, Sequences

ALPHABETS = {"nucleotide": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}
"""Residues that have a code of their own, from 0 on; all others are ambiguous."""
UNKNOWN, MASKED = -1, -2


class PackedStates(NamedTuple):
    """States of positions, packed: sequence, or observation, i owns the states ``offsets[i]:offsets[i + 1]``."""

    states: Tensor
    """(p, d)."""
    offsets: Tensor
    """(u + 1,) int64."""
    lengths: list[int]
    """The same on the host, as u lengths."""

    @classmethod
    def of(cls, states_pd: Tensor, offsets: Tensor) -> Self:
        """Read the lengths off the offsets; the host waits for the device."""
        return cls(states_pd, offsets, offsets.diff().tolist())

    def of_observations(self, of_obs: Tensor, on_host: list[int] | None = None) -> Self:
        """Return the states of the sequence of each of n observations; none where ``of_obs`` is -1.

        Where ``of_obs`` is known on the host as well, it need not wait for the device.
        """
        on_host = of_obs.tolist() if on_host is None else on_host
        lengths = [self.lengths[u] if u >= 0 else 0 for u in on_host]
        has_n = of_obs >= 0
        length_n = self.offsets.diff()[of_obs.clamp(min=0)] * has_n if len(self.offsets) > 1 else of_obs * 0
        offsets = torch.cat([length_n.new_zeros(1), length_n.cumsum(0)])
        start_n = self.offsets[:-1][of_obs.clamp(min=0)] if len(self.offsets) > 1 else of_obs * 0
        place_p = torch.repeat_interleave(start_n - offsets[:-1], length_n, output_size=sum(lengths))
        place_p = place_p + torch.arange(len(place_p), device=place_p.device)
        return self._replace(states=self.states[place_p], offsets=offsets, lengths=lengths)

    def pooled(self) -> Tensor:
        """Return (n, d) means; zeros where there is no state."""
        length_n = self.offsets.diff()
        sum_nd = self.states.new_zeros(len(length_n), self.states.shape[1]).index_add(0, sequence_of(self), self.states)
        return sum_nd / length_n.clamp(min=1)[:, None]


def residue_codes(kind: str) -> Tensor:
    """Return the code of each of 256 bytes: its place in the alphabet, UNKNOWN, or MASKED where the bit of the mask is set.

    Examples
    --------
    >>> codes = residue_codes("nucleotide")
    >>> [int(codes[ord(residue)]) for residue in "ATN"], int(codes[ord("A") | MASK_BIT])
    ([0, 3, -1], -2)
    """
    codes = torch.full((256,), UNKNOWN, dtype=torch.int64)
    codes[MASK_BIT:] = MASKED
    for code, residue in enumerate(ALPHABETS[kind]):
        codes[ord(residue)] = code
    return codes


def sequence_of(packed: Sequences | PackedStates) -> Tensor:
    """Return the sequence of each residue, or state, (t,) int64."""
    length_u = packed.offsets.diff()
    sequence_u = torch.arange(len(length_u), device=length_u.device)
    return torch.repeat_interleave(sequence_u, length_u, output_size=len(packed[0]))


def place_of(packed: Sequences | PackedStates) -> Tensor:
    """Return the place of each residue, or state, in its sequence, (t,) int64."""
    sequence_t = sequence_of(packed)
    return torch.arange(len(sequence_t), device=sequence_t.device) - packed.offsets[:-1][sequence_t]


def chosen(residues: Sequences, index_g: Tensor, lengths: list[int], on_host: list[int]) -> Sequences:
    """Return some of the sequences, whose lengths are known, in this order; none is assigned to an observation."""
    found = PackedStates(residues.residues[:, None], residues.offsets, lengths).of_observations(index_g, on_host)
    return Sequences(found.states[:, 0], found.offsets, index_g.new_zeros(0), residues.digests[index_g])


def on_host(residues: Sequences) -> list[np.ndarray]:
    """Return the residues of each sequence, (l,) uint8, where the host can read them."""
    whole, ends = residues.residues.cpu().numpy(), residues.offsets.tolist()
    return [whole[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]


def windowed(states: PackedStates, n_windows: int) -> PackedStates:
    """Average the states of each sequence over at most so many windows of (nearly) equal length.

    State i of l goes into window floor(i · w / l), w = min(l, n_windows).

    Examples
    --------
    >>> four = PackedStates.of(torch.tensor([[1.0], [3.0], [5.0], [9.0]]), torch.tensor([0, 4]))
    >>> windowed(four, 2).states.flatten().tolist()
    [2.0, 7.0]
    """
    length_u = states.offsets.diff()
    window_u = length_u.clamp(max=n_windows)
    if max(states.lengths, default=0) <= n_windows:
        return states
    offsets = torch.cat([window_u.new_zeros(1), window_u.cumsum(0)])
    owner_p, place_p = sequence_of(states), place_of(states)
    window_p = offsets[:-1][owner_p] + place_p * window_u[owner_p] // length_u[owner_p]
    lengths = [min(length, n_windows) for length in states.lengths]
    count_w = offsets.new_zeros(sum(lengths)).index_add_(0, window_p, torch.ones_like(window_p)).clamp(min=1)
    sum_wd = states.states.new_zeros(sum(lengths), states.states.shape[1]).index_add(0, window_p, states.states)
    return PackedStates(sum_wd / count_w[:, None].to(sum_wd.dtype), offsets, lengths)
