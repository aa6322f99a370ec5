"""Counts normalised to one library size, in logarithms, on the grid of the whole vocabulary."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._checks import value_error
from omicsmlm._types import Batch, Grid, measured_in, obs_of

Library = Literal["profiled", "expected", "none"]
"""What the counts of an observation are normalised by; see :class:`LogCounts`."""

N_ROUNDS = 100
"""Most iterations of the fixed point of :func:`expected_fractions`, which converges in some ten."""


class LogCounts(nn.Module):
    """Returns log(1 + L · x / depth) on a grid of the whole vocabulary; measured zeros are values like others.

    Parameters
    ----------
    name
        The modality.
    fraction_g
        (g,) expected fraction of each feature in an observation's total; they sum to 1.
    library
        The depth of an observation. "profiled": its sum over the features that were measured in it. "expected": the same,
        divided by the fraction of a total that these usually make up, so that observations of a small gene panel and of the
        whole transcriptome have values on one scale. "none": L, so that counts stay as they are.
    size
        L.

    Raises
    ------
    ValueError
        If there is no library of that name.
    """

    def __init__(self, name: str, fraction_g: Tensor, library: Library, size: float) -> None:
        super().__init__()
        if library not in get_args(Library):
            wanted = ", ".join(map(repr, get_args(Library)))
            raise value_error("library", f"one of {wanted}", repr(library), "leave it out for the default")
        self.name, self.library, self.size = name, library, size
        self.register_buffer("fraction_g", fraction_g)

    def forward(self, batch: Batch) -> dict[str, Grid]:
        """Return the grid of the modality; its total is the sum of the values."""
        counts_ng, visible_ng = self._counts(batch)
        values_ng = torch.log1p(counts_ng * (self.size / self._depth(counts_ng, visible_ng))[:, None])
        return {self.name: Grid(values_ng, visible_ng, values_ng.sum(1))}

    def depth(self, batch: Batch) -> Tensor:
        """Return the depth of each observation, (n,); at least 1."""
        return self._depth(*self._counts(batch))

    def _counts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return counts and what was measured, (n, g) each."""
        tokens, fraction_g = batch.tokens[self.name], self.get_buffer("fraction_g")
        visible_ng = batch.present[self.name][:, None] & measured_in(batch, self.name)
        counts_ng = tokens.values.new_zeros(len(batch.indices), len(fraction_g))
        counts_ng.index_put_((obs_of(tokens), tokens.ids.long()), tokens.values)
        return counts_ng * visible_ng, visible_ng

    def _depth(self, counts_ng: Tensor, visible_ng: Tensor) -> Tensor:
        if self.library == "none":
            return torch.full_like(counts_ng[:, 0], self.size)
        total_n = counts_ng.sum(1)
        if self.library == "expected":
            total_n = total_n / (visible_ng * self.get_buffer("fraction_g")).sum(1).clamp(min=1e-3)
        return total_n.clamp(min=1)


def expected_fractions(counts: sparse.csr_matrix, profiled: Sequence[np.ndarray], panel_n: np.ndarray) -> np.ndarray:
    r"""Return each feature's expected fraction of a total, from data sets that measured different features.

    The fraction p of feature g and the depth D of data set s, as if it had measured everything, follow from each other, which
    is iterated to a fixed point:

    .. math:: p_g = \frac{\sum_{s \ni g} c_{sg}}{\sum_{s \ni g} D_s}, \qquad
        D_s = \frac{\sum_{g \in s} c_{sg}}{\sum_{g \in s} p_g},

    with c the summed counts of a data set; p is scaled to sum to 1. Of data sets without a common feature, the measured
    features are taken to make up fractions in proportion to their number.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    profiled
        Per data set, (g,) bool: the features that it measured.
    panel_n
        (n,) data set of each observation; those of -1 are left out.

    Returns
    -------
    numpy.ndarray
        (g,) float64, summing to 1; 0 for a feature that has no counts.

    Examples
    --------
    The second set lacks the last feature, which makes up half of the first one:

    >>> counts = sparse.csr_matrix([[1.0, 1, 2], [5, 5, 0]])
    >>> profiled = [np.array([True, True, True]), np.array([True, True, False])]
    >>> expected_fractions(counts, profiled, np.array([0, 1])).round(3).tolist()
    [0.25, 0.25, 0.5]
    """
    profiled_sg = np.array(profiled)
    counts_sg = np.stack([np.asarray(counts[panel_n == s].sum(0)).ravel() for s in range(len(profiled_sg))])
    counts_sg = counts_sg * profiled_sg
    fraction_g = np.full(counts.shape[1], 1 / counts.shape[1])
    for _ in range(N_ROUNDS):
        depth_s = counts_sg.sum(1) / np.maximum(profiled_sg @ fraction_g, 1e-12)
        found_g = counts_sg.sum(0) / np.maximum(depth_s @ profiled_sg, 1e-12)
        found_g /= max(found_g.sum(), 1e-12)
        if np.abs(found_g - fraction_g).sum() < 1e-9:
            break
        fraction_g = found_g
    return found_g
