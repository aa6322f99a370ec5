"""Counts as logarithms at one library size, on the grid of the whole vocabulary."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._checks import value_error
from omicsmlm._types import Batch, Grid, measured_in, obs_of

Library = Literal["profiled", "expected", "none"]
"""What a row's counts are brought to the library size by; see :class:`LogCounts`."""

N_ROUNDS = 100
"""Most rounds in which shares and depths are found from each other."""


class LogCounts(nn.Module):
    """Lays log(1 + L · x / depth) on a grid of the whole vocabulary; zeros that were measured are values like others.

    Parameters
    ----------
    name
        The modality.
    fraction_g
        (g,) expected share of each feature in a row's total; they sum to 1.
    library
        The depth of a row. "profiled": what it sums to over the features that were profiled in it. "expected": the same,
        divided by the share of a row that these usually make up, so that rows of few features and rows of all of them have
        values of one size. "none": L, so that counts stay as they are.
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
        """Return the one grid; its total is the sum of the values."""
        counts_ng, visible_ng = self._counts(batch)
        values_ng = torch.log1p(counts_ng * (self.size / self._depth(counts_ng, visible_ng))[:, None])
        return {self.name: Grid(values_ng, visible_ng, values_ng.sum(1))}

    def depth(self, batch: Batch) -> Tensor:
        """Return the depth of each row, (n,); at least 1."""
        return self._depth(*self._counts(batch))

    def _counts(self, batch: Batch) -> tuple[Tensor, Tensor]:
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


def expected_shares(counts: sparse.csr_matrix, profiled: Sequence[np.ndarray], panel_n: np.ndarray) -> np.ndarray:
    r"""Find each feature's share of a row's total, from rows of data sets that profiled different features.

    The share p of feature g and the depth D of data set s, as if it had profiled everything, follow from each other:

    .. math:: p_g = \frac{\sum_{s \ni g} c_{sg}}{\sum_{s \ni g} D_s}, \qquad
        D_s = \frac{\sum_{g \in s} c_{sg}}{\sum_{g \in s} p_g},

    with c the counts of a data set; p is scaled to sum to 1. Data sets without a feature in common are taken to have
    shares of one size.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    profiled
        Per data set, (g,) bool: what it profiled.
    panel_n
        (n,) data set of each row; rows of -1 do not count.

    Returns
    -------
    numpy.ndarray
        (g,) float64, summing to 1; 0 for a feature that has no counts.

    Examples
    --------
    The second set lacks the last feature, which makes up half of the first one:

    >>> counts = sparse.csr_matrix([[1.0, 1, 2], [5, 5, 0]])
    >>> profiled = [np.array([True, True, True]), np.array([True, True, False])]
    >>> expected_shares(counts, profiled, np.array([0, 1])).round(3).tolist()
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
