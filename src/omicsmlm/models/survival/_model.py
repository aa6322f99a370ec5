"""Time to an event from any model: Cox models of the features, and networks on the encoder, as one risk."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import named, value_error
from omicsmlm._cox import Times
from omicsmlm._random_state import own_random_state
from omicsmlm._stages import Stages
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import ObservationFeatures, TrainerSettings, check_model
from omicsmlm.nn import LinearRisks

from ._config import SurvivalConfig
from ._covariates import Columns, listed
from ._ensemble import RiskEnsemble, complete
from ._linear_models import Penalties, RiskData, event_folds, fit_covariates, fit_cox, fit_stratum_models
from ._module import RiskTraining, TrainingData, train_network, training_risk
from ._prediction import DECILES, RiskPredictor

logger = logging.getLogger(__name__)


class Survival(RiskPredictor):
    """Predicts the risk of an event for a model's observations; made by :meth:`from_model`.

    Three scores of the features, each standardised within its stratum, are averaged: a ridge Cox model of the stratum by
    itself and one of all strata, both fitted to convergence on the features and covariates, and networks that learn with
    the encoder. Where there are covariates, the score of a Cox model of these alone stands beside this average. What
    takes part is chosen on held-out observations, from the simplest on: :attr:`candidates`. What a unit of each is worth,
    :attr:`weights`, and the baseline hazards are fitted to held-out observations too.

    Parameters
    ----------
    model
        A model of any family. The survival model works on a copy.
    columns
        What is read of ``obs``.
    config
        Hyper-parameters.

    Examples
    --------
    >>> import numpy as np, omicsmlm
    >>> adata = omicsmlm.datasets.simulate_rna(120, 40)
    >>> adata.obs["time"] = np.random.default_rng(0).exponential(1 + (adata.obs["cell_type"].cat.codes == 0))
    >>> adata.obs["died"] = 1
    >>> model = omicsmlm.OmicsMLM(adata)
    >>> survival = omicsmlm.Survival.from_model(model, "time", "died", config=omicsmlm.SurvivalConfig(n_networks=0))
    >>> survival.train()
    >>> survival.predict_survival([0.5, 1.0]).shape
    (120, 2)
    """

    @classmethod
    @in_own_surroundings
    def from_model(
        cls,
        model: OmicsModel,
        time_key: str,
        event_key: str,
        stratum_key: str | None = None,
        covariate_keys: str | Sequence[str] = (),
        config: SurvivalConfig | None = None,
    ) -> Self:
        """Make a survival model of the observations of a model's object.

        Parameters
        ----------
        model
            A model, trained, with its object.
        time_key
            Column of ``obs`` (of the object or of its modalities) with the time at which an observation was last seen, in
            any unit. Observations without time, event or stratum are not learned from.
        event_key
            Column that says whether that was the event (1, True) or not (0, False).
        stratum_key
            Column with strata (cohorts, cancer types): observations are compared within them, and each has a baseline
            hazard of its own. None for one stratum.
        covariate_keys
            Columns with numbers, such as age. Missing values count as the mean, and as missing.
        config
            Hyper-parameters; None for the defaults.

        Raises
        ------
        ValueError
            If there is no such column, it does not hold numbers, no observation has the event, or the model reads
            sequences.
        """
        check_model(model)
        if model.adata_manager.sequences:
            found = f"an {type(model).__name__} of {named(model.adata_manager.sequences)}"
            raise value_error("model", "one of values of features", found, "pass an omicsmlm.OmicsMLM, say")
        columns = Columns(time_key, event_key, stratum_key, listed(covariate_keys))
        assert model.adata is not None
        columns.fit(model.adata)
        return cls(model, columns, SurvivalConfig() if config is None else config)

    # ---- training -----------------------------------------------------------------------------------------------

    @in_own_surroundings
    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int = 512,
        progress_bar: bool = True,
        **trainer_options: Any,
    ) -> None:
        """Fit the linear models, train the networks, and calibrate their mean on held-out observations.

        Parameters
        ----------
        max_epochs
            Of the networks; None for ``config.n_steps`` steps.
        accelerator, devices, progress_bar, **trainer_options
            Of the networks, as in :meth:`OmicsModel.train`.
        batch_size
            Observations in a step; as they are compared within it, small batches teach little.

        Raises
        ------
        ValueError
            If the survival model was loaded without an object.
        """
        settings = TrainerSettings(max_epochs, batch_size, accelerator, devices, progress_bar, trainer_options)
        with self._as_it_was_unless_trained():
            indices, data = self._fit(self._registered(), settings)
        self.is_trained = True
        assert self.candidates is not None
        logger.info(
            "Survival: %d observations, %d events, %d strata; held out: mean C-index %.3f; %s: weight of covariates %.2f, "
            "of omics %.2f.",
            len(indices),
            data.times.event_n.sum(),
            len(self.columns.strata),
            self.held_out.loc["mean", "C-index"],
            self.candidates.index[self.candidates["chosen"]][0],
            *self.weights,
        )

    def _fit(self, adata: AnnData | MuData, settings: TrainerSettings) -> tuple[np.ndarray, RiskData]:
        """Fit all parts; return the observations that they learned from, and what of these."""
        indices = self.columns.fit(adata)
        times, _ = self.columns.times(adata)
        self.features = ObservationFeatures.of(self.model, indices)
        data = RiskData(
            self.features.of_observations(self.model, indices),
            self.columns.covariates(adata)[indices],
            times.only(indices),
            event_folds(times.only(indices), self.config.n_folds, self.config.seed),
        )
        self._series = {}
        with Stages("Survival", 1, enabled=settings.progress_bar, redraws=True) as stages:
            stages("Cox models")
            linear_n3 = self._fit_linear_models(data)
        known = TrainingData.of(self._clinical(adata), data.x_ng, indices)
        network_n = self._train_networks(indices, data.fold_n, times, known, settings)
        self._calibrate(np.column_stack([linear_n3, network_n]), data.times, data.fold_n)
        return indices, data

    def _fit_linear_models(self, data: RiskData) -> np.ndarray:
        """Fit the Cox models; return their (n, 3) held-out scores, NaN where there is no model.

        They are those of covariates alone, of the own stratum, and of all strata.
        """
        c, n_strata, n_covariates = self.config, len(self.columns.strata), self.columns.n_covariates
        self.linear_models = LinearRisks(data.x_ng.shape[1] + n_covariates, n_strata, n_covariates)
        covariate_n, own_n, pooled_n = np.full((3, len(data.fold_n)), np.nan)
        if n_covariates:
            weight_k, covariate_n = fit_covariates(data, c.covariate_regularisation)
            self.linear_models.covariate_k.copy_(torch.from_numpy(weight_k))
            self.linear_models.has_covariates.fill_(True)
        if not c.linear_models:
            return np.stack([covariate_n, own_n, pooled_n], 1)
        own = fit_stratum_models(data, n_strata, Penalties(c.n_components, c.covariate_regularisation))
        for stratum, fitted in own.items():
            self.linear_models.own_sf[stratum] = torch.from_numpy(fitted.weight_f)
            self.linear_models.has_own_s[stratum] = True
            own_n[data.times.stratum_n == stratum] = fitted.held_out_n
        if n_strata > 1 or not own:
            pooled = fit_cox(data, Penalties(c.n_pooled_components, c.covariate_regularisation))
            self.linear_models.pooled_f.copy_(torch.from_numpy(pooled.weight_f))
            self.linear_models.has_pooled.fill_(True)
            pooled_n = pooled.held_out_n
            self._series |= {"strength": list(pooled.losses), "held_out_loss": list(pooled.losses.values())}
        return np.stack([covariate_n, own_n, pooled_n], 1)

    def _train_networks(
        self,
        indices: np.ndarray,
        fold_n: np.ndarray,
        times: Times,
        data: TrainingData,
        settings: TrainerSettings,
    ) -> np.ndarray:
        """Train networks, each without a fold; return the (n,) risks of that fold, NaN of folds without a network.

        Parameters
        ----------
        indices, fold_n
            (n,) positions of the training observations, and their folds.
        times, data
            Of all observations of the object.
        settings
            How the training runs.
        """
        held_out_n = np.full(len(indices), np.nan)
        self.networks = torch.nn.ModuleList()
        for fold in range(self.config.n_networks):
            config = replace(self.config, seed=self.config.seed + fold)
            with own_random_state(config.seed, devices=[]):
                model, network = self._new_network()
            training = RiskTraining(network, data)
            losses = train_network(model, training, indices[fold_n != fold], times, config, settings)
            held_out_n[fold_n == fold] = training_risk(model, training, indices[fold_n == fold])
            self._series |= {f"{name}_{fold}": list(column) for name, column in losses.items()}
            self.networks.append(network)
        return held_out_n

    def _calibrate(self, held_out_np: np.ndarray, times: Times, fold_n: np.ndarray) -> None:
        """Choose and weigh scores, and fit the baseline hazards, on held-out scores; keep how good these were."""
        evaluated_n = np.isfinite(held_out_np).any(1)
        self.ensemble, self.candidates = RiskEnsemble.fit(
            held_out_np[evaluated_n], times.only(evaluated_n), fold_n[evaluated_n], len(self.columns.strata)
        )
        self.grid_t = np.quantile(times.time_n[times.event_n], DECILES)
        complete_n = complete(held_out_np)
        evaluated = times.only(complete_n)
        log_risk_n = self.ensemble.log_risk(held_out_np[complete_n], evaluated.stratum_n)
        self.held_out = self._scores(log_risk_n, evaluated)
