"""What a trained survival model predicts: risks, survival probabilities, and how good they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from omicsmlm._checks import named, value_error
from omicsmlm._cox import Times
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch
from omicsmlm.models.base import OmicsModel, state_under
from omicsmlm.models.heads import HeadModel, ObservationFeatures
from omicsmlm.nn import LinearRisks

from ._candidates import PARTS
from ._config import FORMER_CONFIG, SurvivalConfig
from ._covariates import Columns
from ._derived import SurvivalDerived
from ._ensemble import RiskEnsemble
from ._evaluation import Predicted, checked_times, score_table
from ._module import Clinical, RiskNetwork, new_network

DECILES = np.linspace(0.1, 0.9, 9)
"""Of the times of events: where the Brier score is taken."""
FEATURES, LINEAR_MODELS, NETWORKS, ENSEMBLE = "features.", "anchor.", "networks.", "combination."
"""Where the names of their weights begin, in the files of a survival model."""


class RiskPredictor(HeadModel):
    """Abstract: linear models and networks on a model, and what they predict together.

    Parameters
    ----------
    model
        A model of any family, which is copied.
    columns
        What is read of ``obs``.
    config
        Hyper-parameters.
    """

    noun = "survival model"
    config_class = SurvivalConfig
    former_config = FORMER_CONFIG

    features: ObservationFeatures
    linear_models: LinearRisks
    ensemble: RiskEnsemble
    grid_t: np.ndarray
    """Times at which survival probabilities are evaluated."""
    held_out: pd.DataFrame
    candidates: pd.DataFrame | None
    """What was chosen among, from the simplest on, and why: see ``docs/survival.md``; None in models saved by 0.1."""

    def __init__(self, model: OmicsModel, columns: Columns, config: SurvivalConfig) -> None:
        super().__init__(model, config)
        self.columns = columns
        self.networks: nn.ModuleList = nn.ModuleList()

    # ---- prediction ---------------------------------------------------------------------------------------------

    @in_own_surroundings
    def predict(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.Series:
        """Predict the log of each observation's hazard relative to the baseline of its stratum.

        Parameters
        ----------
        data
            The object, with the columns of stratum and covariates; None for the registered one. Features are matched by
            name, modalities may be absent.
        indices
            Positions of the observations, or one boolean per observation; None for all.
        batch_size
            Observations embedded at once; None for 1,024.

        Returns
        -------
        pandas.Series
            (n_obs,) float64: the higher, the sooner. To be compared within a stratum only, as each has a baseline hazard
            of its own; one of an unknown stratum is predicted by what all strata have in common.
        """
        return self.predict_parts(data, indices, batch_size)["log risk"]

    @in_own_surroundings
    def predict_parts(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Predict the scores that :meth:`predict` weighs, and what it makes of them.

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        pandas.DataFrame
            (n_obs, 5): ``covariates`` (the linear model of these alone), ``own Cox`` (that of the observation's stratum),
            ``pooled Cox`` (that of all strata), ``network`` (the mean of the networks), each in a unit of its own and NaN
            where there is none, and ``log risk``.
        """
        table, _ = self._risks(data, indices, batch_size)
        return table

    @property
    def weights(self) -> pd.Series:
        """What the scores of ``covariates`` and of ``omics``, the mean of the rest, are worth; 0: they take no part."""
        self.check_trained("weights")
        covariates, omics, _ = self.ensemble.weights
        return pd.Series({"covariates": covariates, "omics": omics}, name="weight")

    @in_own_surroundings
    def predict_survival(
        self,
        times: Sequence[float] | np.ndarray,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Predict the probability to be without the event at some times (baseline hazard: Breslow 1972).

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
        time_t = checked_times(times)
        table, stratum_n = self._risks(data, indices, batch_size)
        survival_nt = self.ensemble.survival(table["log risk"].to_numpy(), stratum_n, time_t)
        return pd.DataFrame(survival_nt, index=table.index, columns=time_t)

    @in_own_surroundings
    def evaluate(self, data: AnnData | MuData | None = None) -> pd.DataFrame:
        """Score risks and survival probabilities.

        Parameters
        ----------
        data
            Object with times, events, strata and covariates; observations that lack a time or an event are left out. None
            for the scores of held-out observations in training.

        Returns
        -------
        pandas.DataFrame
            One row per stratum, then ``mean`` and ``weighted`` (over strata, by their number of observations) and
            ``pooled`` (all observations, by their predicted survival at the median time of events, since risks are
            relative to the stratum). Columns: ``C-index``, ``n``, ``events``; ``Brier``, the mean of the Brier scores at
            the deciles of the times of events; ``Brier, no risk``, that of the baseline hazards alone; ``calibration
            error``, how far survival at the median time of events is off, on average over five groups by risk.

        Raises
        ------
        ValueError
            If no observation has a time and an event.
        """
        self.check_trained("evaluate")
        if data is None:
            return self.held_out.copy()
        times, known_n = self.columns.times(data)
        indices = np.flatnonzero(known_n)
        if not len(indices):
            wanted = "observations with a time and an event"
            raise value_error("evaluate", wanted, "none", "pass an object that holds them")
        table, stratum_n = self._risks(data, indices, None)
        return self._scores(table["log risk"].to_numpy(), times.only(indices)._replace(stratum_n=stratum_n))

    def _scores(self, log_risk_n: np.ndarray, times: Times) -> pd.DataFrame:
        """Score log risks; see :meth:`evaluate`."""
        survival_nt, without_nt = (
            self.ensemble.survival(eta_n, times.stratum_n, self.grid_t) for eta_n in (log_risk_n, 0 * log_risk_n)
        )
        return score_table(Predicted(log_risk_n, survival_nt, without_nt), self.grid_t, times, self.columns.strata)

    def _risks(
        self, data: AnnData | MuData | None, indices: Sequence[int] | np.ndarray | None, batch_size: int | None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Compute the scores of observations; return them with the codes of their strata."""
        self.check_trained("predict")
        whole = self.model.manager_for(data).adata
        clinical = self._clinical(whole)
        device = self.model.device
        for part in (self.features, self.linear_models, self.networks):
            part.to(device).eval()

        def compute(batch: Batch) -> Tensor:
            x_ng, own = self.features(batch), clinical.of(batch.indices)
            linear_n3 = self.linear_models(torch.cat([x_ng, own.covariate_nk], 1), own.stratum_n)
            network_n = self._network_mean(batch, own, x_ng)
            return torch.cat([linear_n3, network_n[:, None], own.stratum_n[:, None].float()], 1)

        values, names = self.model.map_observations(data, indices, batch_size, len(PARTS) + 1, compute)
        stratum_n = values[:, -1].astype(np.int64)
        table = pd.DataFrame(values[:, :-1].astype(np.float64), index=names, columns=PARTS)
        table["log risk"] = self.ensemble.log_risk(table.to_numpy(), stratum_n)
        return table, stratum_n

    def _network_mean(self, batch: Batch, clinical: Clinical, x_ng: Tensor) -> Tensor:
        """Compute (n,) means of the networks' log risks; NaN without networks."""
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

    def _new_network(self) -> tuple[OmicsModel, RiskNetwork]:
        sizes = self.columns.n_covariates, len(self.columns.strata)
        return new_network(self.model, self.features.n_features, *sizes, self.config)

    # ---- what is saved ------------------------------------------------------------------------------------------

    def _derived(self) -> SurvivalDerived:
        return SurvivalDerived(
            model=type(self.model).__name__,
            columns=self.columns,
            features=self.features.sizes,
            grid_t=self.grid_t,
            held_out=self.held_out,
            candidates=self.candidates,
        )

    def _weights(self) -> dict[str, Tensor]:
        networks = {
            name: value
            for name, value in self.networks.state_dict(prefix=NETWORKS).items()
            # a frozen encoder is still the model's, which is saved too
            if not (self.config.tuning == "frozen" and ".encoder." in name)
        }
        parts = (self.features.state_dict(prefix=FEATURES), self.linear_models.state_dict(prefix=LINEAR_MODELS))
        ensemble = {f"{ENSEMBLE}{name}": value for name, value in self.ensemble.state_dict().items()}
        return {**networks, **parts[0], **parts[1], **ensemble}

    @classmethod
    def _restored(cls, model: OmicsModel, config: Any, choice: Mapping[str, Any], weights: dict[str, Tensor]) -> Self:
        derived = SurvivalDerived.from_json(choice)
        made = cls(model, derived.columns, config)
        made.features = ObservationFeatures(**derived.features).eval()
        n_inputs = made.features.n_features + derived.columns.n_covariates
        made.linear_models = LinearRisks(n_inputs, len(derived.columns.strata), derived.columns.n_covariates)
        if derived.candidates is None:  # saved by 0.1, which had no model of covariates alone
            own = made.linear_models.state_dict(prefix=LINEAR_MODELS)
            weights = {**{name: own[name] for name in own if "covariate" in name}, **weights}
        for prefix, part in ((FEATURES, made.features), (LINEAR_MODELS, made.linear_models)):
            part.load_state_dict(state_under(weights, prefix))
        made.networks = nn.ModuleList([made._new_network()[1] for _ in range(config.n_networks)])
        made.networks.load_state_dict(state_under(weights, NETWORKS), strict=False)  # frozen encoders are the model's
        made.ensemble = RiskEnsemble.restore(state_under(weights, ENSEMBLE))
        made.grid_t, made.held_out, made.candidates = derived.grid_t, derived.held_out, derived.candidates
        return made

    def _fitted_in_place(self) -> dict[str, Any]:
        return {"columns": self.columns}

    def _targets(self) -> dict[str, str]:
        columns, strata = self.columns, "one"
        if columns.stratum_key is not None:
            strata = f"{named(columns.strata)} of column {columns.stratum_key!r}"
        return {
            "event": f"column {columns.event_key!r} at the time of {columns.time_key!r}",
            "strata": strata,
            "covariates": named(columns.covariate_keys),
        }
