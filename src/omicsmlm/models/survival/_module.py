"""A network of risks: the encoder of a model with a deep and wide head, and how it is trained."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from omicsmlm._cox import Times
from omicsmlm._types import Batch, Encoded, Module, Parts
from omicsmlm.data import observation_loader
from omicsmlm.masking import WithFullView
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import Adapters, BothViews, TrainerSettings, copy_of
from omicsmlm.nn import RiskHead
from omicsmlm.objectives import AgreeingViews, ComparingObjective, CoxObjective, DiscreteHazards, log_risk
from omicsmlm.training import Optimisation, fit

from ._config import SurvivalConfig


class Clinical(NamedTuple):
    """Strata and covariates of observations."""

    stratum_n: Tensor
    """(n,) int64 code, -1 where unknown."""
    covariate_nk: Tensor
    """(n, k) float32."""

    def of(self, indices: Tensor) -> "Clinical":
        """Return some observations, on the device of their positions."""
        return Clinical(*(part[indices.cpu()].to(indices.device) for part in self))


class RiskNetwork(Module):
    """An encoder, and the head that predicts risks from its embedding and from the features.

    Parameters
    ----------
    encoder
        Module of a family.
    head
        Head of the width of the embedding and of the features.
    """

    def __init__(self, encoder: Module, head: RiskHead) -> None:
        super().__init__()
        self.n_latent = encoder.n_latent
        self.encoder = encoder
        self.head = head

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed, as the encoder does."""
        return self.encoder.encode(views)

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch of observations, as the encoder does."""
        return self.encoder.embed(views, batch)

    def forward(self, views: dict[str, Any], batch: Batch, clinical: Clinical, x_ng: Tensor) -> Tensor:
        """Compute the (n, o) outputs of the head, with strata, covariates and scaled features of these observations."""
        return self.head(self.embed(views, batch).mean, *clinical, x_ng)

    def log_risk(self, views: dict[str, Any], batch: Batch, clinical: Clinical, x_ng: Tensor) -> Tensor:
        """Compute (n,) log risks of observations of any object."""
        return log_risk(self(views, batch, clinical, x_ng))


class TrainingData(NamedTuple):
    """What a network is given, beside the batch, of the observations that it is trained on, found by their positions."""

    clinical: Clinical
    """Of all observations of the object."""
    x_ng: Tensor
    """(n, g) float32 scaled features of the training observations."""
    position_n: Tensor
    """(n_obs,) int64: where each observation of the object is in ``x_ng``."""

    @classmethod
    def of(cls, clinical: Clinical, x_ng: np.ndarray, indices: np.ndarray) -> "TrainingData":
        """Put it together from the features of the observations at ``indices``."""
        position_n = torch.zeros(len(clinical.stratum_n), dtype=torch.int64)
        position_n[indices] = torch.arange(len(indices))
        return cls(clinical, torch.from_numpy(x_ng), position_n)

    def at(self, indices: Tensor) -> tuple[Clinical, Tensor]:
        """Return strata and covariates of some observations, and their features."""
        return Clinical(*(part[indices] for part in self.clinical)), self.x_ng[self.position_n[indices]]

    def to(self, device: torch.device) -> "TrainingData":
        """Move it to a device."""
        if self.position_n.device == device:
            return self
        clinical = Clinical(*(part.to(device) for part in self.clinical))
        return TrainingData(clinical, self.x_ng.to(device), self.position_n.to(device))


class RiskTraining(Module):
    """A network as it is trained: it looks up what else it is given of the observations of a batch.

    Parameters
    ----------
    network
        Trained in place.
    data
        Of the observations of the object.
    """

    def __init__(self, network: RiskNetwork, data: TrainingData) -> None:
        super().__init__()
        self.n_latent = network.n_latent
        self.network = network
        self.data = data

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed, as the network does."""
        return self.network.encode(views)

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch of observations, as the network does."""
        return self.network.embed(views, batch)

    def forward(self, views: dict[str, Any], batch: Batch) -> Tensor:
        """Compute the (n, o) outputs of the network for training observations."""
        return self.predicted(self.embed(views, batch).mean, batch)

    def predicted(self, z_nd: Tensor, batch: Batch) -> Tensor:
        """Compute the (n, o) outputs of the head for an embedding of training observations."""
        self.data = self.data.to(batch.indices.device)  # it stays there
        clinical, x_ng = self.data.at(batch.indices)
        return self.network.head(z_nd, *clinical, x_ng)


def new_network(
    model: OmicsModel, n_features: int, n_covariates: int, n_strata: int, config: SurvivalConfig
) -> tuple[OmicsModel, RiskNetwork]:
    """Make a network on a copy of a model's encoder; return it after the copy."""
    copy = copy_of(model)
    n_outputs = 1 if config.likelihood == "cox" else config.n_intervals
    sizes = (copy.module.n_latent, n_covariates, n_features, n_strata, n_outputs)
    head = RiskHead(*sizes, hidden_widths=config.hidden_widths)
    return copy, RiskNetwork(copy.module, head).eval()


def train_network(
    model: OmicsModel,
    training: RiskTraining,
    indices: np.ndarray,
    times: Times,
    config: SurvivalConfig,
    settings: TrainerSettings,
) -> dict[str, list[float]]:
    """Train a network in place.

    Parameters
    ----------
    model
        The copy of a model whose encoder the network has.
    training
        The network, with what it is given of the observations.
    indices
        Observations of the model's object to learn from.
    times
        Times of all observations of the object.
    config
        Hyper-parameters; its seed is that of the training.
    settings
        How the training runs.

    Returns
    -------
    dict
        Mean of every logged value per epoch.
    """
    c, network = config, training.network
    z_nd, _ = model.map_observations(None, indices, None, model.module.n_latent, model.embed_batch)
    network.head.cpu().fit_scale(torch.from_numpy(z_nd))
    masking, objective = model.fine_tuning_masking(c.mask_rates, c.modality_rate), _objective(times, indices, config)
    parts = Parts(model.parts.tokenizer, masking, training, objective)
    if c.agreement:
        agreeing = AgreeingViews(objective, c.agreement, c.agreement_form)
        parts = Parts(model.parts.tokenizer, WithFullView(masking), BothViews(training), agreeing)
    n_epochs = max(1, round(c.n_steps / np.ceil(len(indices) / settings.batch_size)))
    adapters = Adapters(model, c.tuning, c.rank, c.seed) if c.tuning in ("lora", "ia3") else None
    try:
        if c.tuning == "frozen":
            network.encoder.requires_grad_(False)
        return fit(
            parts,
            Optimisation(learning_rate=c.learning_rate, weight_decay=c.weight_decay),
            observation_loader(model.adata_manager, indices, settings.batch_size, seed=c.seed),
            None,
            settings.fit_options(n_epochs, c.seed),
            settings.trainer_options,
        ).losses
    finally:  # also of a training that was interrupted
        if adapters is not None:
            adapters.merge()
        network.requires_grad_(True)


def training_risk(model: OmicsModel, training: RiskTraining, indices: np.ndarray) -> np.ndarray:
    """Compute the (n,) log risks of observations of a model's object whose features the training data hold."""

    def compute(batch: Batch) -> Tensor:
        return log_risk(training(model.parts.tokenizer(batch), batch))[:, None]

    training.to(model.device).eval()
    return model.map_observations(None, indices, None, 1, compute)[0][:, 0]


def _objective(times: Times, indices: np.ndarray, config: SurvivalConfig) -> ComparingObjective:
    event_n = torch.from_numpy(times.event_n)
    if config.likelihood == "cox":
        return CoxObjective(torch.from_numpy(times.time_n).float(), event_n, torch.from_numpy(times.stratum_n))
    trained = times.only(indices)
    ends_u = np.quantile(trained.time_n[trained.event_n], np.linspace(0, 1, config.n_intervals + 1)[1:-1])
    return DiscreteHazards(torch.from_numpy(np.searchsorted(ends_u, times.time_n, side="left")), event_n)
