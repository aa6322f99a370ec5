"""What a sequence is made of: frequencies of its k-mers, whole and by region, its length, and its architecture.

Tensor axes: u sequences, t residues, f features.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._types import Sequences

from ._architecture import ARCHITECTURE, architecture
from ._residues import ALPHABETS, place_of, residue_codes, sequence_of


class Kmers(NamedTuple):
    """Which k-mers are counted."""

    length: int
    """Residues of a k-mer."""
    n_regions: int = 1
    """Equal regions of the sequence, from its start to its end, in which they are counted apart."""
    step: int = 1
    """Residues from the start of a k-mer to that of the next: 3 for codons."""


KMERS: dict[str, tuple[Kmers, ...]] = {
    "nucleotide": (Kmers(3, step=3), Kmers(4), Kmers(6), Kmers(4, n_regions=8)),
    "protein": (Kmers(1), Kmers(2), Kmers(1, n_regions=4)),
}
"""Ours: chosen on the validation split of the 61-tissue table (docs/experiments.md)."""


MAX_SHORT = 500
"""Most k-mers of a block that a linear regression reads beside the kernels: codons and 4-mers, single residues and pairs (ours)."""


class Composition(nn.Module):
    """Frequencies of k-mers, then the logarithm of the length, then the architecture: (u, f), nothing to learn.

    Parameters
    ----------
    kind
        "nucleotide" or "protein".
    with_architecture
        Whether the features of :func:`architecture` are among them; the sequences are then whole transcripts.
    """

    def __init__(self, kind: str, with_architecture: bool = False) -> None:
        super().__init__()
        self.kmers = KMERS[kind]
        self.n_residues = len(ALPHABETS[kind])
        self.register_buffer("codes", residue_codes(kind), persistent=False)
        self.block_sizes = [w.n_regions * self.n_residues**w.length for w in self.kmers] + [1]
        self.with_architecture = with_architecture
        if with_architecture:
            self.block_sizes.append(len(ARCHITECTURE))
        self.n_features = sum(self.block_sizes)
        is_short = [w.n_regions == 1 and self.n_residues**w.length <= MAX_SHORT for w in self.kmers] + [True]
        is_short += [False] * with_architecture
        is_short_f = torch.repeat_interleave(torch.tensor(is_short), torch.tensor(self.block_sizes))
        self.register_buffer("short", is_short_f.nonzero().flatten(), persistent=False)

    def forward(self, residues: Sequences) -> Tensor:
        """Return (u, f); k-mers with an ambiguous or masked residue are left out."""
        code_t = self.get_buffer("codes")[residues.residues.long()]
        sequence_t, place_t = sequence_of(residues), place_of(residues)
        length_u = residues.offsets.diff()
        blocks = [self._frequencies(code_t, sequence_t, place_t, length_u, kmers) for kmers in self.kmers]
        blocks.append(length_u.clamp(min=1).float().log()[:, None])
        if self.with_architecture:
            blocks.append(architecture(residues, code_t))
        return torch.cat(blocks, 1)

    def architecture(self, residues: Sequences) -> Tensor:
        """Return the architecture alone, (u, 11)."""
        return architecture(residues, self.get_buffer("codes")[residues.residues.long()])

    def _frequencies(
        self, code_t: Tensor, sequence_t: Tensor, place_t: Tensor, length_u: Tensor, kmers: Kmers
    ) -> Tensor:
        """Return (u, regions · k-mers): how often each k-mer is found in each region, as a fraction of those found there."""
        k, n_kmers = kmers.length, self.n_residues**kmers.length
        n_counted = kmers.n_regions * n_kmers
        counts_uf = code_t.new_zeros(len(length_u) * n_counted, dtype=torch.float32)
        n_starts = len(code_t) - k + 1
        if n_starts > 0:
            parts = [code_t[j : n_starts + j] for j in range(k)]
            kmer_t = sum(part * self.n_residues ** (k - 1 - j) for j, part in enumerate(parts))
            sequence_t, place_t = sequence_t[:n_starts], place_t[:n_starts]
            starts_u = length_u - k + 1
            is_kmer = torch.stack(parts).amin(0) >= 0
            is_kmer &= (place_t < starts_u[sequence_t]) & (place_t % kmers.step == 0)
            region_t = place_t * kmers.n_regions // starts_u[sequence_t].clamp(min=1)
            at_t = (sequence_t * kmers.n_regions + region_t) * n_kmers + kmer_t
            counts_uf = counts_uf.index_add_(0, torch.where(is_kmer, at_t, 0), is_kmer.float())
        counts_urw = counts_uf.view(len(length_u), kmers.n_regions, n_kmers)
        return (counts_urw / counts_urw.sum(2, keepdim=True).clamp(min=1)).flatten(1)


class CompositionScores(nn.Module):
    """Composition, standardised, and its leading principal components, so that blocks of features count alike.

    Parameters
    ----------
    kind
        "nucleotide" or "protein".
    n_components
        Components; unused ones stay 0.
    with_architecture
        As of :class:`Composition`.
    with_short
        Whether :meth:`short` is to be had: it is cached, too.
    """

    def __init__(self, kind: str, n_components: int, with_architecture: bool = False, with_short: bool = False) -> None:
        super().__init__()
        self.with_short, self.n_components = with_short, n_components
        self.composition = Composition(kind, with_architecture)
        self.register_buffer("mean_f", torch.zeros(self.composition.n_features))
        self.register_buffer("rotation_fk", torch.zeros(self.composition.n_features, n_components))
        self._known: dict[tuple[int, int], Tensor] = {}
        self._known_of = (0, 0)

    def fit(self, composition_uf: Tensor) -> None:
        """Fit mean and rotation to sequences: each feature to unit variance, each block of k-mers to the same weight."""
        n_components = self.get_buffer("rotation_fk").shape[1]
        mean_f, scale_f = composition_uf.mean(0), composition_uf.std(0)
        scale_f[scale_f < 1e-8] = torch.inf
        sizes = torch.tensor(self.composition.block_sizes)
        weight_f = torch.repeat_interleave(sizes.double().rsqrt(), sizes).float() / scale_f
        x_uf = (composition_uf - mean_f) * weight_f
        k = min(n_components, *x_uf.shape)
        gram = x_uf @ x_uf.T if x_uf.shape[0] <= x_uf.shape[1] else x_uf.T @ x_uf
        value_k, vector_k = (part.flip(-1)[..., :k] for part in torch.linalg.eigh(gram.double()))
        vector_k = vector_k * (value_k > 1e-9 * value_k[0])
        if x_uf.shape[0] <= x_uf.shape[1]:
            vector_k = (x_uf.T.double() @ vector_k) / value_k.clamp(min=1e-12).sqrt()
        self.get_buffer("mean_f").copy_(mean_f)
        self.get_buffer("rotation_fk").zero_()[:, :k] = weight_f[:, None] * vector_k.float()

    @property
    def n_short(self) -> int:
        """Number of the features that :meth:`short` returns."""
        return len(self.composition.get_buffer("short"))

    def forward(self, residues: Sequences, keys: list[tuple[int, int]] | None = None) -> Tensor:
        """Return (u, k) scores; those of a sequence that was met before are cached under its digest."""
        return self._features(residues, keys)[:, : self.n_components]

    def short(self, residues: Sequences) -> Tensor:
        """Return the frequencies of short k-mers in whole sequences, and log(length), (u, f); cached as the scores are."""
        return self._features(residues, None)[:, self.n_components :]

    def _features(self, residues: Sequences, keys: list[tuple[int, int]] | None) -> Tensor:
        """Return scores, and beside them what :meth:`short` returns, if that is to be had."""
        rotation_fk = self.get_buffer("rotation_fk")
        state = id(rotation_fk), rotation_fk._version
        if self._known_of != state:
            self._known, self._known_of = {}, state
        keys = [(int(a), int(b)) for a, b in residues.digests.tolist()] if keys is None else keys
        if any(key not in self._known for key in keys):
            with torch.autocast(
                residues.offsets.device.type, enabled=False
            ):  # they are cached, also for other precisions
                composition_uf = self.composition(residues)
                found_uk = (composition_uf - self.get_buffer("mean_f")) @ rotation_fk
                if self.with_short:
                    short_f = self.composition.get_buffer("short")
                    found_uk = torch.cat([found_uk, composition_uf.index_select(1, short_f)], 1)
            self._known.update(zip(keys, found_uk.detach().clone(), strict=True))
        if not keys:
            return rotation_fk.new_zeros(0, self.n_components + self.n_short * self.with_short)
        return torch.stack([self._known[key] for key in keys])
