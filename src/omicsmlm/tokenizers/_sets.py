"""Sets of (feature, value) tokens, laid on the grid of the features that a model looks at."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from omicsmlm._types import SPARSE_KINDS, Batch, Grid, Kind, Tokens


class FeatureSets(nn.Module):
    """Lays each modality's packed tokens on a grid of chosen features.

    Parameters
    ----------
    kinds
        Kind of each modality.
    selected
        Per modality, (g,) positions in the vocabulary of the features that the model looks at, ascending.
    n_vocabulary
        Per modality, number of features in the vocabulary.

    Notes
    -----
    In counts, a feature that the object has and the row does not store is a measured zero. In fractions and real
    values only the stored tokens are measured.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], selected: Mapping[str, Tensor], n_vocabulary: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        for name, positions in selected.items():
            lookup = torch.full((n_vocabulary[name],), -1, dtype=torch.int64)
            lookup[positions] = torch.arange(len(positions))
            self.register_buffer(f"selected_{name}", positions, persistent=False)
            self.register_buffer(f"lookup_{name}", lookup, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Grid]:
        """Return one (n, g) grid per modality."""
        return {name: self._grid(name, batch) for name in self.kinds}

    def _grid(self, name: str, batch: Batch) -> Grid:
        tokens, present_n = batch.tokens[name], batch.present[name]
        selected_g, lookup = self.get_buffer(f"selected_{name}"), self.get_buffer(f"lookup_{name}")
        n, g = len(present_n), len(selected_g)
        row_t = rows_of(tokens)
        column_t = lookup[tokens.ids.long()]
        kept_t = column_t >= 0
        at = row_t[kept_t], column_t[kept_t]
        values_ng = tokens.values.new_zeros(n, g).index_put_(at, tokens.values[kept_t])
        if self.kinds[name] in SPARSE_KINDS:
            seen_ng = present_n[:, None] & batch.measured[name][selected_g][None, :]
        else:
            seen_ng = torch.zeros_like(values_ng, dtype=torch.bool).index_put_(at, torch.ones_like(kept_t[kept_t]))
        total_n = tokens.values.new_zeros(n).index_add_(0, row_t, tokens.values)
        return Grid(values_ng, seen_ng, total_n)


def rows_of(tokens: Tokens) -> Tensor:
    """Give the row of each token.

    Examples
    --------
    >>> rows_of(Tokens(torch.arange(3), torch.ones(3), torch.tensor([0, 2, 2, 3])))
    tensor([0, 0, 2])
    """
    lengths_n = tokens.offsets.diff()
    rows = torch.arange(len(lengths_n), device=lengths_n.device)
    return torch.repeat_interleave(rows, lengths_n, output_size=len(tokens.ids))
