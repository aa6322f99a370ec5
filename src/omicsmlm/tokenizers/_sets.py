"""Sets of (feature, value) tokens, laid on the grid of the features that a model looks at."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from omicsmlm._types import SPARSE_KINDS, Batch, Grid, Kind, Tokens, measured_in, rows_of


class FeatureSets(nn.Module):
    """Lays each modality's packed tokens on a grid of chosen features.

    Parameters
    ----------
    kinds
        Kind of each modality.
    selected
        Per modality, (g,) positions in the vocabulary of the features that the model looks at, ascending.
    profiles
        Per modality, (v,) expected share of each feature of the vocabulary in a row's total; they sum to 1. A total is
        what it would be if the object lacked no feature but selected ones, which then are as if hidden: the sum over
        the features that it has, divided by their share.

    Notes
    -----
    In counts, a feature that the object (or the row's data set, where it is of several) has and the row does not store is a
    measured zero. In fractions and real values only the stored tokens are measured.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], selected: Mapping[str, Tensor], profiles: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        for position, name in enumerate(kinds):
            lookup = torch.full((len(profiles[name]),), -1, dtype=torch.int64)
            lookup[selected[name]] = torch.arange(len(selected[name]))
            self.register_buffer(f"selected_{position}", selected[name])
            self.register_buffer(f"lookup_{position}", lookup)
            self.register_buffer(f"profile_{position}", profiles[name])

    def forward(self, batch: Batch) -> dict[str, Grid]:
        """Return one (n, g) grid per modality."""
        return {name: self._grid(position, name, batch) for position, name in enumerate(self.kinds)}

    def grid(self, name: str, batch: Batch) -> Grid:
        """Return the (n, g) grid of one modality."""
        return self._grid(list(self.kinds).index(name), name, batch)

    def features(self, name: str) -> tuple[Tensor, Tensor]:
        """Return (g,) the positions of a modality's selected features, and (v,) where each feature stands among them, or -1."""
        position = list(self.kinds).index(name)
        return self.get_buffer(f"selected_{position}"), self.get_buffer(f"lookup_{position}")

    def _grid(self, position: int, name: str, batch: Batch) -> Grid:
        tokens, present_n = batch.tokens[name], batch.present[name]
        selected_g, lookup = self.get_buffer(f"selected_{position}"), self.get_buffer(f"lookup_{position}")
        n, g = len(present_n), len(selected_g)
        row_t = rows_of(tokens)
        whole_nv = None if self.kinds[name] in SPARSE_KINDS else whole_rows(tokens, len(lookup))
        if whole_nv is not None:  # laid out already: what follows would give the same, ten times slower
            values_ng = whole_nv[:, selected_g]
            seen_ng = (tokens.offsets.diff() > 0)[:, None].expand(n, g)
        else:
            column_t = lookup[tokens.ids.long()]
            kept_t = column_t >= 0
            at = row_t[kept_t], column_t[kept_t]
            values_ng = tokens.values.new_zeros(n, g).index_put_(at, tokens.values[kept_t])
            if self.kinds[name] in SPARSE_KINDS:
                seen_ng = present_n[:, None] & measured_in(batch, name)[:, selected_g]
            else:
                seen_ng = torch.zeros_like(values_ng, dtype=torch.bool).index_put_(at, torch.ones_like(kept_t[kept_t]))
        total_n = tokens.values.new_zeros(n).index_add_(0, row_t, tokens.values)
        profile, measured_nv = self.get_buffer(f"profile_{position}"), measured_in(batch, name)
        covered_n = (profile * measured_nv).sum(1).clamp(min=1e-3)
        unmeasured_n = (profile[selected_g] * ~measured_nv[:, selected_g]).sum(1)
        return Grid(values_ng, seen_ng, total_n * (1 - unmeasured_n) / covered_n)


def whole_rows(tokens: Tokens, n_features: int) -> Tensor | None:
    """Give (n, v) values if each row has all features of the vocabulary, in its order, or none; else None.

    Examples
    --------
    >>> whole_rows(Tokens(torch.arange(2), torch.tensor([0.5, 0.0]), torch.tensor([0, 0, 2])), 2)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.0000]])
    """
    lengths_n = tokens.offsets.diff()
    has_n = lengths_n > 0
    if len(tokens.ids) % n_features or not ((lengths_n == n_features) | ~has_n).all():
        return None
    ids_mv = tokens.ids.view(-1, n_features)
    if not torch.equal(ids_mv, torch.arange(n_features, device=ids_mv.device, dtype=ids_mv.dtype).expand_as(ids_mv)):
        return None
    values_nv = tokens.values.new_zeros(len(lengths_n), n_features)
    values_nv[has_n] = tokens.values.view(-1, n_features)
    return values_nv
