"""Time to an event from any model: exact Cox models of the features, and networks on the encoder, as one risk."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import named, value_error
from omicsmlm._cox import Times
from omicsmlm.models.base import OmicsModel, Saved, read_model, state_under, write_model
from omicsmlm.models.heads import MODEL, ObservationFeatures, check_model, copied, load_model
from omicsmlm.nn import LinearRisks
from omicsmlm.training import FitOptions

from ._config import SurvivalConfig
from ._covariates import Columns, listed
from ._ensemble import Combination, complete
from ._linear_models import Penalties, Seen, folds, own_models, solve
from ._module import Learned, RiskNetwork, network_risk, new_network, train_network
from ._prediction import DECILES, RiskAnswering

logger = logging.getLogger(__name__)


class Survival(RiskAnswering):
    """Reads the risk of an event off a model's rows; made by :meth:`from_model`.

    Three scores, each standardised within its stratum, are averaged: a ridge Cox model of the stratum by itself and one
    of all strata, both solved exactly on the features and covariates, and networks that learn with the encoder. What a
    unit of the average is worth, and the baseline hazards, are fitted to rows that were held out.

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

    def __init__(self, model: OmicsModel, columns: Columns, config: SurvivalConfig) -> None:
        super().__init__(copied(model), columns)
        self.config = config
        self._series: dict[str, list[float]] = {}

    @classmethod
    def from_model(
        cls,
        model: OmicsModel,
        time_key: str,
        event_key: str,
        stratum_key: str | None = None,
        covariate_keys: str | Sequence[str] = (),
        config: SurvivalConfig | None = None,
    ) -> Self:
        """Make a survival model of the rows of a model's object.

        Parameters
        ----------
        model
            A model, trained, with its object.
        time_key
            Column of ``obs`` (of the object or of its modalities) with the time at which a row was last seen, in any
            unit. Rows without time, event or stratum are not learned from.
        event_key
            Column that says whether that was the event (1, True) or not (0, False).
        stratum_key
            Column with strata (cohorts, cancer types): rows are compared within them, and each has a baseline hazard of
            its own. None for one stratum.
        covariate_keys
            Columns with numbers, such as age. Missing values count as the mean, and as missing.
        config
            Hyper-parameters; None for the defaults.

        Raises
        ------
        ValueError
            If there is no such column, it does not hold numbers, no row has the event, or the model reads sequences.
        """
        check_model(model)
        if model.adata_manager.sequences:
            found = f"an {type(model).__name__} of {named(model.adata_manager.sequences)}"
            raise value_error("model", "one of values of features", found, "pass an omicsmlm.OmicsMLM, say")
        columns = Columns(time_key, event_key, stratum_key, listed(covariate_keys))
        assert model.adata is not None
        columns.learn(model.adata)
        return cls(model, columns, config or SurvivalConfig())

    # ---- training -----------------------------------------------------------------------------------------------

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
        """Solve the exact models, train the networks, and calibrate their mean on rows that were held out.

        Parameters
        ----------
        max_epochs
            Of the networks; None for ``config.n_steps`` steps.
        accelerator, devices, progress_bar, **trainer_options
            Of the networks, as in :meth:`OmicsModel.train`.
        batch_size
            Rows in a step; as rows are compared within it, small batches teach little.
        """
        if self.model.adata is None:
            raise value_error("train", "a survival model with its object", "one loaded alone", "load it with adata=…")
        indices = self.columns.learn(self.model.adata)
        times, _ = self.columns.times(self.model.adata)
        self.features = ObservationFeatures.of(self.model, indices)
        visible = Seen(
            self.features.of_rows(self.model, indices),
            self.columns.covariates(self.model.adata)[indices],
            times.only(indices),
            folds(times.only(indices), self.config.n_folds, self.config.seed),
        )
        self._series = {}
        options = FitOptions(max_epochs or 0, accelerator, devices, progress_bar=progress_bar, seed=self.config.seed)
        own_n, pooled_n = self._solve(visible)
        network_n = self._train_networks(indices, times, visible, (batch_size, options, trainer_options))
        held_np = np.stack([own_n, pooled_n, network_n], 1)
        evaluated_n, n_strata = np.isfinite(held_np).any(1), len(self.columns.strata)
        self.combination = Combination.fit(held_np[evaluated_n], visible.times.only(evaluated_n), n_strata)
        self.grid_t = np.quantile(visible.times.time_n[visible.times.event_n], DECILES)
        whole_n = complete(held_np)
        evaluated = visible.times.only(whole_n)
        self.held_out = self._evaluated(self.combination.log_risk(held_np[whole_n], evaluated.stratum_n), evaluated)
        self.is_trained = True
        logger.info(
            "Survival: %d rows, %d events, %d strata; held out: mean C-index %.3f.",
            len(indices),
            visible.times.event_n.sum(),
            n_strata,
            self.held_out.loc["mean", "C-index"],
        )

    def _solve(self, visible: Seen) -> tuple[np.ndarray, np.ndarray]:
        """Solve the exact models; give the (n,) scores of rows held out from them, NaN where there is none."""
        c, n_strata = self.config, len(self.columns.strata)
        self.anchor = LinearRisks(visible.x_ng.shape[1] + self.columns.n_covariates, n_strata)
        own_n, pooled_n = (np.full(len(visible.fold_n), np.nan) for _ in range(2))
        if not c.anchor:
            return own_n, pooled_n
        own = own_models(visible, n_strata, Penalties(c.n_components, c.covariate_strength))
        for stratum, solved in own.items():
            self.anchor.own_sf[stratum] = torch.from_numpy(solved.weight_f)
            self.anchor.has_own_s[stratum] = True
            own_n[visible.times.stratum_n == stratum] = solved.held_out_n
        if n_strata > 1 or not own:
            pooled = solve(visible, Penalties(c.n_pooled_components, c.covariate_strength))
            self.anchor.pooled_f.copy_(torch.from_numpy(pooled.weight_f))
            self.anchor.has_pooled.fill_(True)
            pooled_n = pooled.held_out_n
            self._series |= {"strength": list(pooled.losses), "held_out_loss": list(pooled.losses.values())}
        return own_n, pooled_n

    def _train_networks(
        self, indices: np.ndarray, times: Times, visible: Seen, how: tuple[int, FitOptions, dict[str, Any]]
    ) -> np.ndarray:
        """Train networks, each without a fold; give the (n,) risks of rows held out from them, NaN elsewhere."""
        c, (batch_size, options, trainer_options) = self.config, how
        held_n = np.full(len(indices), np.nan)
        self.networks = torch.nn.ModuleList()
        assert self.model.adata is not None
        known, fold_n = Learned.from_rows(self._clinical(self.model.adata), visible.x_ng, indices), visible.fold_n
        for fold in range(c.n_networks):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(c.seed + fold)
                own, network = self._new_network()
            network.learned = known
            learned, held = indices[fold_n != fold], indices[fold_n == fold]
            n_epochs = options.max_epochs or max(1, round(c.n_steps / np.ceil(len(learned) / batch_size)))
            run = replace(options, max_epochs=n_epochs, seed=c.seed + fold)
            values = train_network(own, network, learned, times, c, (batch_size, run, trainer_options))
            held_n[fold_n == fold] = network_risk(own, network, held)
            network.learned = None
            self._series |= {f"{name}_{fold}": list(column) for name, column in values.items()}
            self.networks.append(network)
        return held_n

    def _new_network(self) -> tuple[OmicsModel, RiskNetwork]:
        sizes = self.columns.n_covariates, len(self.columns.strata)
        return new_network(self.model, self.features.n_features, *sizes, self.config)

    # ---- saving and loading -------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write the survival model, with the model that it reads, to a directory; nothing is pickled.

        Parameters
        ----------
        dir_path
            Directory to make.
        overwrite
            Whether a survival model that is there may be replaced.
        """
        self._check_trained("save")
        choice = {
            "model": type(self.model).__name__,
            "columns": asdict(self.columns),
            "features": self.features.sizes,
            "grid": self.grid_t.tolist(),
            "held_out": self.held_out.to_dict(orient="split"),
        }
        config = {"class": type(self).__name__, "config": asdict(self.config), "choice": choice}
        write_model(dir_path, Saved(self._state(), config, {}, self._series), overwrite=overwrite)
        self.model.save(Path(dir_path) / MODEL, overwrite=overwrite)

    def _state(self) -> dict[str, torch.Tensor]:
        """Give all weights but those of the model, and of encoders that are still the model's."""
        networks = {
            name: value
            for name, value in self.networks.state_dict(prefix="networks.").items()
            if not (self.config.tuning == "frozen" and ".encoder." in name)
        }
        parts = (self.features.state_dict(prefix="features."), self.anchor.state_dict(prefix="anchor."))
        combination = {f"combination.{name}": value for name, value in self.combination.state_dict().items()}
        return {**networks, **parts[0], **parts[1], **combination}

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | MuData | None = None) -> Self:
        """Read a survival model and its model from a directory.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.
        adata
            Object to register with it, matched by feature name; None to load it alone.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged survival model of this or an older version.
        """
        saved = read_model(dir_path, cls.__name__)
        choice = saved.config["choice"]
        model = load_model(dir_path, choice["model"], adata, "survival model")
        made = cls(model, Columns(**choice["columns"]), SurvivalConfig(**saved.settings))
        made.features = ObservationFeatures(**choice["features"]).eval()
        n_strata = len(made.columns.strata)
        made.anchor = LinearRisks(made.features.n_features + made.columns.n_covariates, n_strata)
        for name, part in (("features", made.features), ("anchor", made.anchor)):
            part.load_state_dict(state_under(saved.weights, f"{name}."))
        made.networks = torch.nn.ModuleList([made._new_network()[1] for _ in range(made.config.n_networks)])
        made.networks.load_state_dict(state_under(saved.weights, "networks."), strict=False)
        made.combination = Combination.restore(state_under(saved.weights, "combination."))
        made.grid_t = np.array(choice["grid"])
        made.held_out = pd.DataFrame(**choice["held_out"]).rename_axis("stratum")
        made._series, made.is_trained = saved.history, True
        return made

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """The held-out loss of each strength of the ridge, and the losses of the networks, epoch by epoch."""
        return {name: pd.DataFrame({name: values}).rename_axis("step") for name, values in self._series.items()}
