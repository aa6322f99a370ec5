"""From the sequences of a batch to the input of a sequence model: truncated sequences, vectors and standardised targets."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._sizes import is_on_host
from omicsmlm._types import Batch, Grid, Sequences, View, obs_of, positions_of

TARGETS = "expression"
"""Name of the modality that is predicted."""


class Truncation(NamedTuple):
    """The part of a sequence that is used."""

    length: int
    """Most residues."""
    keep: Literal["start", "end", "centre"]
    """Where they are: the centre of a window around a transcription start site, the end of an RNA (its 3' UTR), the start of
    a protein."""


class TruncatedSequences(nn.Module):
    """Truncates sequences, and turns vectors and targets into standardised grids.

    Parameters
    ----------
    truncations
        One per sequence.
    vectors
        Mean and scale of each dimension, (g,) each, per vector.
    mean_t, scale_t
        Mean and scale of each target, over the training observations.
    """

    def __init__(
        self,
        truncations: Mapping[str, Truncation],
        vectors: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        mean_t: Sequence[float],
        scale_t: Sequence[float],
    ) -> None:
        super().__init__()
        self.truncations = dict(truncations)
        self.dense = [*vectors, TARGETS]
        for i, (mean_g, scale_g) in enumerate([*vectors.values(), (mean_t, scale_t)]):
            self.register_buffer(f"mean_{i}", torch.tensor(list(mean_g), dtype=torch.float32))
            self.register_buffer(f"scale_{i}", torch.tensor(list(scale_g), dtype=torch.float32))

    def __call__(self, batch: Batch) -> dict[str, View]:
        """Return sequences by name, and grids of vectors and targets: 0 where not visible."""
        views: dict[str, View] = {
            name: truncated(batch.sequences[name], truncation) for name, truncation in self.truncations.items()
        }
        for name in self.dense:
            views[name] = self._standardised(batch, name)
        return views

    def unscaled(self, standard_nt: Tensor) -> Tensor:
        """Return (n, t) standardised targets in their own units."""
        mean_t, scale_t = self._statistics(TARGETS)
        return standard_nt * scale_t + mean_t

    def _statistics(self, name: str) -> tuple[Tensor, Tensor]:
        i = self.dense.index(name)
        return self.get_buffer(f"mean_{i}"), self.get_buffer(f"scale_{i}")

    def _standardised(self, batch: Batch, name: str) -> Grid:
        (mean_g, scale_g), tokens = self._statistics(name), batch.tokens[name]
        at, shape = (obs_of(tokens), tokens.ids.long()), (len(batch.indices), len(mean_g))
        values_ng = mean_g.new_zeros(shape).index_put_(at, (tokens.values - mean_g[at[1]]) / scale_g[at[1]])
        found_t = torch.ones_like(tokens.values, dtype=torch.bool)
        return Grid(values_ng, found_t.new_zeros(shape).index_put_(at, found_t), values_ng.sum(1))


def truncated(residues: Sequences, truncation: Truncation) -> Sequences:
    """Return at most so many residues of each sequence; on a device, residues of none may stand behind those of the last.

    Examples
    --------
    >>> acgt = torch.tensor([65, 67, 71, 84], dtype=torch.uint8)
    >>> found = Sequences(acgt, torch.tensor([0, 4]), torch.tensor([0]), torch.zeros(1, 2, dtype=torch.int64))
    >>> bytes(truncated(found, Truncation(3, "end")).residues.tolist())
    b'CGT'
    """
    length_u = residues.offsets.diff()
    kept_u = length_u.clamp(max=truncation.length)
    knows = is_on_host(length_u)
    if knows and torch.equal(kept_u, length_u):
        return residues
    surplus_u = length_u - kept_u
    first_u = {"start": torch.zeros_like(surplus_u), "end": surplus_u, "centre": surplus_u // 2}[truncation.keep]
    offsets = torch.cat([residues.offsets[:1], kept_u.cumsum(0)])
    shift_u = residues.offsets[:-1] + first_u - offsets[:-1]
    n_residues = int(offsets[-1]) if knows else len(residues.residues)
    place_t = torch.arange(n_residues, device=offsets.device)
    if len(shift_u):
        place_t = (place_t + shift_u[positions_of(offsets, n_residues)[0]]).clamp(max=len(residues.residues) - 1)
    return residues._replace(residues=residues.residues[place_t], offsets=offsets)
