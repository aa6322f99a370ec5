"""What a trained survival model says of rows: risks, survival probabilities, and how good they are."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from omicsmlm._checks import named, value_error
from omicsmlm._cox import Times
from omicsmlm._risk_scores import brier, calibration, concordances
from omicsmlm._types import Batch
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import ObservationFeatures
from omicsmlm.nn import LinearRisks

from ._covariates import Columns
from ._ensemble import Combination
from ._module import Clinical, RiskNetwork

PARTS = ["own Cox", "pooled Cox", "network"]
"""Names of the scores that are averaged."""
N_GROUPS = 5
"""Groups by risk in which survival is compared with what was predicted."""
DECILES = np.linspace(0.1, 0.9, 9)
"""Of the times of events: where the Brier score is taken."""


class RiskAnswering(ABC):
    """Abstract: exact models and networks on a model, and the questions that they answer together.

    Parameters
    ----------
    model
        A model that is the survival model's own.
    columns
        What is read of ``obs``.
    """

    features: ObservationFeatures
    anchor: LinearRisks
    combination: Combination
    grid_t: np.ndarray
    """Times at which survival probabilities are judged."""

    def __init__(self, model: OmicsModel, columns: Columns) -> None:
        self.model = model
        self.columns = columns
        self.networks: nn.ModuleList = nn.ModuleList()
        self.is_trained = False

    @abstractmethod
    def train(self) -> None:
        """Fit the parts."""

    def predict(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.Series:
        """Give the log of each row's hazard relative to the baseline of its stratum.

        Parameters
        ----------
        data
            The object, with the columns of stratum and covariates; None for the registered one. Features are matched by
            name, modalities may be absent.
        indices
            Row numbers, or one boolean per row; None for all rows.
        batch_size
            Rows to look at at once; None for 1,024.

        Returns
        -------
        pandas.Series
            (n_obs,) float64: the higher, the sooner. To be compared within a stratum only, as each has a baseline hazard
            of its own; a row of an unknown stratum is judged by what all have in common.
        """
        return self.predict_parts(data, indices, batch_size)["log risk"]

    def predict_parts(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Give the scores that :meth:`predict` averages, and what it makes of them.

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        pandas.DataFrame
            (n_obs, 4): ``own Cox`` (the exact model of the row's stratum), ``pooled Cox`` (the exact model of all strata),
            ``network`` (the mean of the networks), each in a unit of its own and NaN where there is none, and
            ``log risk``.
        """
        table, _ = self._risks(data, indices, batch_size)
        return table

    def predict_survival(
        self,
        times: Sequence[float] | np.ndarray,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Give the probability to be without the event at some times (baseline hazard: Breslow).

        Parameters
        ----------
        times
            (t,) times, in the unit of training; after the last event of a stratum nothing more is known, and survival
            stays as it is.
        data, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        pandas.DataFrame
            (n_obs, t), columns named by time.

        Raises
        ------
        ValueError
            If a time is negative or not finite.
        """
        time_t = np.asarray(times, dtype=np.float64).ravel()
        if not (np.isfinite(time_t).all() and time_t.min(initial=0) >= 0):
            raise value_error("times", "times that are not negative", named(time_t, 3), "count from the start")
        table, stratum_n = self._risks(data, indices, batch_size)
        survival_nt = self.combination.survival(table["log risk"].to_numpy(), stratum_n, time_t)
        return pd.DataFrame(survival_nt, index=table.index, columns=time_t)

    def evaluate(self, data: AnnData | MuData | None = None) -> pd.DataFrame:
        """Score risks and survival probabilities.

        Parameters
        ----------
        data
            Object with times, events, strata and covariates; rows that lack a time or an event are left out. None for
            the scores that held-out rows gave in training.

        Returns
        -------
        pandas.DataFrame
            One row per stratum, then ``mean`` and ``weighted`` (over strata, by their number of observations) and ``pooled`` (all
            rows, by their predicted survival at the median time of events, since risks are relative to the stratum).
            Columns: ``C-index``, ``n``, ``events``; ``Brier``, the mean of the Brier scores at the deciles of the times
            of events; ``Brier, no risk``, that of the baseline hazards alone; ``calibration error``, how far survival at
            the median time of events is off, on average over five groups by risk.

        Raises
        ------
        ValueError
            If no row has a time and an event.
        """
        self._check_trained("evaluate")
        if data is None:
            return self.held_out.copy()
        times, known_n = self.columns.times(data)
        indices = np.flatnonzero(known_n)
        if not len(indices):
            raise value_error("evaluate", "rows with a time and an event", "none", "pass an object that holds them")
        table, stratum_n = self._risks(data, indices, None)
        return self._evaluated(table["log risk"].to_numpy(), times.only(indices)._replace(stratum_n=stratum_n))

    held_out: pd.DataFrame

    def _evaluated(self, log_risk_n: np.ndarray, times: Times) -> pd.DataFrame:
        names_n = np.array([*self.columns.strata, "unknown"])[times.stratum_n]
        survival_nt, without_nt = (
            self.combination.survival(eta_n, times.stratum_n, self.grid_t) for eta_n in (log_risk_n, 0 * log_risk_n)
        )
        middle = len(self.grid_t) // 2
        table = concordances(log_risk_n, times.time_n, times.event_n, names_n, -survival_nt[:, middle])
        columns = ["Brier", "Brier, no risk", "calibration error"]
        for name in table.index.drop(["mean", "weighted"]):
            of_n = slice(None) if name == "pooled" else names_n == name
            time_n, event_n = times.time_n[of_n], times.event_n[of_n]
            if not event_n.any() or len(time_n) < 2 * N_GROUPS:
                table.loc[name, columns] = np.nan
                continue
            scores = [
                brier(part_nt[of_n], self.grid_t, time_n, event_n).mean() for part_nt in (survival_nt, without_nt)
            ]
            groups = calibration(survival_nt[of_n, middle], time_n, event_n, self.grid_t[middle], N_GROUPS)
            table.loc[name, columns] = [*scores, groups.attrs["error"]]
        strata = table.drop(["mean", "weighted", "pooled"])
        table.loc["mean", columns] = strata[columns].mean()
        weight = strata["n"] * strata[columns].notna().T
        table.loc["weighted", columns] = (strata[columns].fillna(0).T * weight).sum(axis=1) / weight.sum(axis=1)
        return table

    def _risks(
        self, data: AnnData | MuData | None, indices: Sequence[int] | np.ndarray | None, batch_size: int | None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Give the scores of rows and their strata."""
        self._check_trained("predict")
        whole = self.model.manager_for(data).adata
        clinical = self._clinical(whole)
        device = self.model.device
        for part in (self.features, self.anchor, self.networks):
            part.to(device).eval()

        def compute(batch: Batch) -> Tensor:
            x_ng, own = self.features(batch), clinical.of(batch.indices)
            anchor_n2 = self.anchor(torch.cat([x_ng, own.covariate_nk], 1), own.stratum_n)
            network_n = self._network_mean(batch, own, x_ng)
            return torch.cat([anchor_n2, network_n[:, None], own.stratum_n[:, None].float()], 1)

        values, names = self.model.map_observations(data, indices, batch_size, len(PARTS) + 1, compute)
        stratum_n = values[:, -1].astype(np.int64)
        table = pd.DataFrame(values[:, :-1].astype(np.float64), index=names, columns=PARTS)
        table["log risk"] = self.combination.log_risk(table.to_numpy(), stratum_n)
        return table, stratum_n

    def _network_mean(self, batch: Batch, clinical: Clinical, x_ng: Tensor) -> Tensor:
        """Give (n,) means of the networks' log risks; NaN without networks."""
        if not len(self.networks):
            return torch.full((len(batch.indices),), torch.nan, device=batch.indices.device)
        views = self.model.parts.tokenizer(batch)
        return torch.stack([network.log_risk(views, batch, clinical, x_ng) for network in self._each_network()]).mean(0)

    def _each_network(self) -> Iterator[RiskNetwork]:
        for network in self.networks:
            assert isinstance(network, RiskNetwork)
            yield network

    def _clinical(self, data: AnnData | MuData) -> Clinical:
        columns = self.columns.stratum_codes(data), self.columns.covariates(data)
        return Clinical(*(torch.from_numpy(part) for part in columns))

    def _check_trained(self, verb: str) -> None:
        if not self.is_trained:
            raise value_error(verb, "a trained survival model", "one that is not", "call train() first")
