"""Dense grids of the selected features, made of packed (feature, value) tokens."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from omicsmlm._stored import StoredValues, UnmaskedGrid, as_float, dense_grid, sums_by_obs
from omicsmlm._types import SPARSE_KINDS, Batch, Grid, Kind, Tokens, obs_of


class FeatureGrids(nn.Module):
    """Turns each modality's packed tokens into a grid of selected features, without waiting for the device.

    Parameters
    ----------
    kinds
        Kind of each modality.
    selected
        Per modality, (g,) positions in the vocabulary of the features that the model uses, ascending.
    profiles
        Per modality, (v,) mean profile: expected fraction of each feature of the vocabulary in an observation's total; sums
        to 1. The total of a grid is the sum over the features that the object has, divided by the fraction that these make
        up, and less that of selected features that it lacks: those are treated as masked.

    Notes
    -----
    In counts, a feature that the object (or the data set of the observation, of several) has and the observation does not
    store is a measured zero. In fractions and real values only the stored tokens are measured.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], selected: Mapping[str, Tensor], profiles: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        self.takes_all = {name: selected[name].tolist() == list(range(len(profiles[name]))) for name in kinds}
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
        """Return (g,) positions of a modality's selected features, and (v,) position of each feature among them, or -1."""
        position = list(self.kinds).index(name)
        return self.get_buffer(f"selected_{position}"), self.get_buffer(f"lookup_{position}")

    def _grid(self, position: int, name: str, batch: Batch) -> Grid:
        """Return the grid of one modality."""
        tokens, selected_g = batch.tokens[name], self.get_buffer(f"selected_{position}")
        n, g = len(batch.present[name]), len(selected_g)
        measured_sv, panel_n = panels_of(batch, name)
        measured_sg = measured_sv if self.takes_all[name] else measured_sv[:, selected_g]
        factor_s = self._factors(position, measured_sv, measured_sg)
        obs_t = obs_of(tokens)
        sum_n = sums_by_obs(obs_t, tokens.values, n)
        total_n = sum_n * factor_s[panel_n]
        if self.kinds[name] in SPARSE_KINDS:
            stored, _ = self._stored(position, name, tokens, obs_t)
            known_n = sum_n if self.takes_all[name] else None
            return UnmaskedGrid.from_stored(stored, total_n, measured_sg, panel_n, known_n)
        whole_nv = complete_observations(tokens, measured_sv.shape[1]) if tokens.ids.device.type == "cpu" else None
        if whole_nv is not None:  # dense already: a view of the values, which only the host can find out
            return Grid(whole_nv[:, selected_g], (tokens.offsets.diff() > 0)[:, None].expand(n, g), total_n)
        stored, is_selected_t = self._stored(position, name, tokens, obs_t)
        visible_ng = dense_grid(stored.at_t, is_selected_t.view(torch.uint8), n, g).view(torch.bool)
        return Grid(dense_grid(stored.at_t, stored.values_t, n, g), visible_ng, total_n)

    def _factors(self, position: int, measured_sv: Tensor, measured_sg: Tensor) -> Tensor:
        """Return, (s,), the factor from the sum of an observation to its total, for each gene panel.

        It is (1 - fraction of the selected features that are not measured) / (fraction of the features that are).
        """
        profile_v, selected_g = self.get_buffer(f"profile_{position}"), self.get_buffer(f"selected_{position}")
        covered_s = (as_float(measured_sv) * profile_v).sum(1).clamp(min=1e-3)
        return (1 - (as_float(~measured_sg) * profile_v[selected_g]).sum(1)) / covered_s

    def _stored(self, position: int, name: str, tokens: Tokens, obs_t: Tensor) -> tuple[StoredValues, Tensor]:
        """Return the positions of the tokens on the grid, and, (t,) bool, whether their features are selected."""
        column_t, values_t = tokens.ids.long(), tokens.values
        if self.takes_all[name]:
            at_t = obs_t * len(self.get_buffer(f"selected_{position}")) + column_t
            return StoredValues(at_t, obs_t, column_t, values_t, tokens.offsets), torch.ones_like(
                at_t, dtype=torch.bool
            )
        column_t = self.get_buffer(f"lookup_{position}").index_select(0, column_t)
        is_selected_t = column_t >= 0
        column_t = column_t.clamp(min=0)
        at_t = (obs_t * len(self.get_buffer(f"selected_{position}")) + column_t) * is_selected_t
        values_t = values_t * as_float(is_selected_t)
        return StoredValues(at_t, obs_t, column_t, values_t, tokens.offsets), is_selected_t


def panels_of(batch: Batch, name: str) -> tuple[Tensor, Tensor]:
    """Return gene panels, (s, v) bool, of which the first measures nothing, and the panel of each observation, (n,) int64.

    Examples
    --------
    >>> nothing, two = torch.zeros(2, 0, dtype=torch.int64), torch.arange(2)
    >>> batch = Batch({}, {"rna": torch.tensor([True, False])}, {"rna": torch.tensor([True, True])}, nothing, two)
    >>> measured_sv, panel_n = panels_of(batch, "rna")
    >>> measured_sv[panel_n].tolist()
    [[True, True], [False, False]]
    """
    measured_sv, panel_n = batch.measured[name][None], batch.present[name].long()
    if name in batch.panels:
        measured_sv, panel_n = batch.panels[name].measured, panel_n * (batch.panels[name].of_obs + 1)
    return torch.cat([torch.zeros_like(measured_sv[:1]), measured_sv]), panel_n


def complete_observations(tokens: Tokens, n_features: int) -> Tensor | None:
    """Return (n, v) values if each observation has all features of the vocabulary, in its order, or none; else None.

    Examples
    --------
    >>> complete_observations(Tokens(torch.arange(2), torch.tensor([0.5, 0.0]), torch.tensor([0, 0, 2])), 2)
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
