"""The architecture of a transcript: its longest open reading frame, and what lies before and after it.

Tensor axes: u sequences, t residues, f features, m residues of a motif.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from omicsmlm._types import Sequences

from ._residues import ALPHABETS, place_of, sequence_of

ARCHITECTURE = (
    "log(1 + residues before the frame)",
    "log(1 + residues of the frame)",
    "log(1 + residues after the frame)",
    "fraction of the residues in the frame",
    "GC before the frame",
    "GC in the frame",
    "GC after the frame",
    "log(1 + ATG before the frame)",
    "log(1 + ATTTA after the frame)",
    "log(1 + TTATTTA after the frame)",
    "AATAAA in the last 50 residues",
)
"""Features of :func:`architecture`: lengths of the UTRs, start codons upstream, AU-rich elements (Barreau et al. 2005), poly(A)
signal."""
SIGNAL_WINDOW = 50
"""Residues from the end in which the signal of polyadenylation, 10 to 30 before the cut, is looked for."""
_BEYOND = 2**40


class Frames(NamedTuple):
    """The longest open reading frame of each sequence."""

    start_u: Tensor
    """(u,) int64 place of its ATG; 0 where there is none."""
    end_u: Tensor
    """(u,) int64 place behind its stop codon, or behind the last whole codon where none follows; 0 where there is no ATG."""


def architecture(residues: Sequences, code_t: Tensor) -> Tensor:
    """Return the features :data:`ARCHITECTURE` of nucleotide sequences, (u, 11).

    Without an open reading frame all counts as behind it. The GC of a part that is empty is that of the whole sequence.

    Parameters
    ----------
    residues
        The sequences.
    code_t
        (t,) codes of their residues, below 0 for ambiguous ones (:func:`residue_codes`).
    """
    sequence_t, place_t = sequence_of(residues), place_of(residues)
    length_u, frames = residues.offsets.diff(), longest_frames(residues, code_t)
    part_t = (place_t >= frames.start_u[sequence_t]).long() + (place_t >= frames.end_u[sequence_t]).long()

    def counted(is_counted_t: Tensor) -> Tensor:
        """Return how many residues of each part are counted, (u, 3)."""
        total_x = torch.zeros(len(length_u) * 3, device=code_t.device)
        return total_x.index_add_(0, sequence_t * 3 + part_t, is_counted_t.float()).view(-1, 3)

    known_t, gc_t = code_t >= 0, (code_t == 1) | (code_t == 2)
    known_up, gc_up = counted(known_t), counted(gc_t)
    whole_u1 = gc_up.sum(1, keepdim=True) / known_up.sum(1, keepdim=True).clamp(min=1)
    fraction_up = torch.where(known_up > 0, gc_up / known_up.clamp(min=1), whole_u1)
    part_up = counted(torch.ones_like(known_t))
    starts, pentamers, heptamers, signals = (
        _is_motif(code_t, sequence_t, motif) for motif in ("ATG", "ATTTA", "TTATTTA", "AATAAA")
    )
    is_last_t = place_t >= (length_u - SIGNAL_WINDOW)[sequence_t]
    counts_uf = torch.stack([counted(starts)[:, 0], counted(pentamers)[:, 2], counted(heptamers)[:, 2]], 1)
    has_signal_u = counted(signals & is_last_t).sum(1) > 0
    in_frame_u = part_up[:, 1] / length_u.clamp(min=1)
    columns = [part_up.log1p(), in_frame_u[:, None], fraction_up, counts_uf.log1p(), has_signal_u.float()[:, None]]
    return torch.cat(columns, 1)


def longest_frames(residues: Sequences, code_t: Tensor) -> Frames:
    """Return the longest frame from an ATG to a stop codon or the end, the first of equal ones; parameters as above."""
    sequence_t, place_t = sequence_of(residues), place_of(residues)
    length_u = residues.offsets.diff()
    frame_t = sequence_t * 3 + place_t % 3
    order_t = frame_t.argsort(stable=True)
    is_stop_t = _any_motif(code_t, sequence_t, ("TAA", "TAG", "TGA"))[order_t]
    index_t = torch.arange(len(order_t), device=code_t.device)
    # The next stop at or after each codon, among all frames of all sequences one after the other.
    ahead_t = torch.where(is_stop_t, index_t, _BEYOND).flip(0).cummin(0).values.flip(0) if len(index_t) else index_t
    next_t = ahead_t.clamp(max=max(len(index_t) - 1, 0))
    stops_t = (ahead_t < _BEYOND) & (frame_t[order_t][next_t] == frame_t[order_t])
    place_o, length_o = place_t[order_t], length_u[sequence_t[order_t]]
    whole_t = length_o - (length_o - place_o) % 3
    end_t = torch.where(stops_t, place_o[next_t] + 3, whole_t)
    is_start_t = _is_motif(code_t, sequence_t, "ATG")[order_t]
    # One number for the longest, and of these the first.
    rank_t = torch.where(is_start_t, (end_t - place_o) * _BEYOND - place_o, 0)
    best_u = rank_t.new_zeros(len(length_u)).scatter_reduce_(0, sequence_t[order_t], rank_t, "amax")
    extent_u = (best_u + _BEYOND - 1) // _BEYOND
    start_u = extent_u * _BEYOND - best_u
    return Frames(start_u, start_u + extent_u)


def _is_motif(code_t: Tensor, sequence_t: Tensor, motif: str) -> Tensor:
    """Return whether a motif begins at each residue, (t,) bool, whole within its sequence."""
    is_motif_t = torch.zeros_like(code_t, dtype=torch.bool)
    n_starts = len(code_t) - len(motif) + 1
    if n_starts > 0:
        wanted = [ALPHABETS["nucleotide"].index(residue) for residue in motif]
        matches = [code_t[j : n_starts + j] == wanted[j] for j in range(len(motif))]
        is_motif_t[:n_starts] = torch.stack(matches).all(0) & (sequence_t[:n_starts] == sequence_t[len(motif) - 1 :])
    return is_motif_t


def _any_motif(code_t: Tensor, sequence_t: Tensor, motifs: tuple[str, ...]) -> Tensor:
    return torch.stack([_is_motif(code_t, sequence_t, motif) for motif in motifs]).any(0)
