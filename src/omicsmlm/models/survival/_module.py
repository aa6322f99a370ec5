"""A network of risks: the encoder of a model with a deep and wide head, and how it is trained."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from omicsmlm._cox import Times
from omicsmlm._types import Batch, Encoded, Module, Objective, Parts
from omicsmlm.data import observation_loader
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import Adapted, copied
from omicsmlm.nn import RiskHead
from omicsmlm.objectives import CoxObjective, DiscreteHazards, log_risk
from omicsmlm.training import FitOptions, Optimisation, fit

from ._config import SurvivalConfig


class Clinical(NamedTuple):
    """What is known of rows beside their omics."""

    stratum_n: Tensor
    """(n,) int64 code, -1 where not known."""
    covariate_nk: Tensor
    """(n, k) float32."""

    def of(self, indices: Tensor) -> "Clinical":
        """Take some rows, to the device of their numbers."""
        return Clinical(*(part[indices.cpu()].to(indices.device) for part in self))


class RiskNetwork(Module):
    """An encoder, and the head that reads risks off its embedding and off the features.

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
        self.learned: Learned | None = None

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed, as the encoder does."""
        return self.encoder.encode(views)

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch of rows, as the encoder does."""
        return self.encoder.embed(views, batch)

    def forward(self, views: dict[str, Any], batch: Batch) -> Tensor:
        """Give the (n, o) outputs of the head for rows that are learned from."""
        assert self.learned is not None
        self.learned = self.learned.on(batch.indices.device)  # it stays there
        clinical, x_ng = self.learned.of(batch.indices)
        return self.head(self.embed(views, batch).mean, *clinical, x_ng)

    def log_risk(self, views: dict[str, Any], batch: Batch, clinical: Clinical, x_ng: Tensor) -> Tensor:
        """Give (n,) log risks of rows of any object, with what is known of these rows and their scaled features."""
        return log_risk(self.head(self.embed(views, batch).mean, *clinical, x_ng))


class Learned(NamedTuple):
    """What a network that is trained knows of the rows of an object; a batch finds its own by ``batch.indices``."""

    clinical: Clinical
    """Of all rows."""
    x_ng: Tensor
    """(n, g) float32 scaled features of the rows learned from."""
    position_n: Tensor
    """(n_obs,) int64: where each row is in ``x_ng``."""

    @classmethod
    def from_rows(cls, clinical: Clinical, x_ng: np.ndarray, indices: np.ndarray) -> "Learned":
        """Put it together for rows whose features are given."""
        position_n = torch.zeros(len(clinical.stratum_n), dtype=torch.int64)
        position_n[indices] = torch.arange(len(indices))
        return cls(clinical, torch.from_numpy(x_ng), position_n)

    def of(self, indices: Tensor) -> tuple[Clinical, Tensor]:
        """Give what is known of some rows, and their features."""
        return Clinical(*(part[indices] for part in self.clinical)), self.x_ng[self.position_n[indices]]

    def on(self, device: torch.device) -> "Learned":
        """Move it to a device."""
        if self.position_n.device == device:
            return self
        clinical = Clinical(*(part.to(device) for part in self.clinical))
        return Learned(clinical, self.x_ng.to(device), self.position_n.to(device))


def new_network(
    model: OmicsModel, n_features: int, n_covariates: int, n_strata: int, config: SurvivalConfig
) -> tuple[OmicsModel, RiskNetwork]:
    """Make a network on a copy of a model's encoder; give it with the copy."""
    own = copied(model)
    n_outputs = 1 if config.likelihood == "cox" else config.n_intervals
    head = RiskHead(own.module.n_latent, n_covariates, n_features, n_strata, n_outputs)
    return own, RiskNetwork(own.module, head).eval()


def train_network(
    own: OmicsModel,
    network: RiskNetwork,
    indices: np.ndarray,
    times: Times,
    config: SurvivalConfig,
    how: tuple[int, FitOptions, Mapping[str, Any]],
) -> dict[str, list[float]]:
    """Train a network in place.

    Parameters
    ----------
    own, network
        What :func:`new_network` gave; the network has ``learned``.
    indices
        Rows of the model's object to learn from.
    times
        Times of all rows of the object.
    config
        Hyper-parameters.
    how
        Rows in a step, how the training runs, and options of the Trainer.

    Returns
    -------
    dict
        Mean of every logged value per epoch.
    """
    batch_size, options, trainer_options = how
    c, manager = config, own.adata_manager
    z_nd, _ = own.map_observations(None, indices, None, own.module.n_latent, own.embed_batch)
    network.head.cpu().fit_scale(torch.from_numpy(z_nd))
    adapted = Adapted(own, c.tuning, c.rank, options.seed) if c.tuning in ("lora", "ia3") else None
    if c.tuning == "frozen":
        network.encoder.requires_grad_(False)
    parts = Parts(
        own.parts.tokenizer,
        own.fine_tuning_masking(c.hidden_rates, c.modality_rate),
        network,
        _objective(times, indices, config),
    )
    optimisation = Optimisation(learning_rate=c.learning_rate, weight_decay=c.weight_decay)
    loader = observation_loader(manager, indices, batch_size, seed=options.seed)
    losses = fit(parts, optimisation, loader, None, options, trainer_options).losses
    if adapted is not None:
        adapted.merge()
    network.requires_grad_(True)
    return losses


def network_risk(own: OmicsModel, network: RiskNetwork, indices: np.ndarray) -> np.ndarray:
    """Give the (n,) log risks of rows of a model's object that the network knows."""

    def compute(batch: Batch) -> Tensor:
        return log_risk(network(own.parts.tokenizer(batch), batch))[:, None]

    network.to(own.device).eval()
    return own.map_observations(None, indices, None, 1, compute)[0][:, 0]


def _objective(times: Times, indices: np.ndarray, config: SurvivalConfig) -> Objective:
    event_n = torch.from_numpy(times.event_n)
    if config.likelihood == "cox":
        return CoxObjective(torch.from_numpy(times.time_n).float(), event_n, torch.from_numpy(times.stratum_n))
    learned = times.only(indices)
    ends_u = np.quantile(learned.time_n[learned.event_n], np.linspace(0, 1, config.n_intervals + 1)[1:-1])
    return DiscreteHazards(torch.from_numpy(np.searchsorted(ends_u, times.time_n, side="left")), event_n)
