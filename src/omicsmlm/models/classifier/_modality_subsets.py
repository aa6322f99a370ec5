"""Observations with all of their modalities, and with each of them alone."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from omicsmlm._types import Batch, Tokens
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import ObservationFeatures


def subset_embeddings(model: OmicsModel, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embed observations whole and, where they have several modalities, each of these alone.

    Parameters
    ----------
    model
        A model with its object.
    indices
        (n,) int: positions of the observations.

    Returns
    -------
    tuple of numpy.ndarray
        (m, d) embeddings, and (m,) for each the position in ``indices`` of its observation; the first n are the whole
        observations, in order.
    """
    names, width = list(model.adata_manager.modalities), model.module.n_latent

    def whole(batch: Batch) -> Tensor:
        present = torch.stack([batch.present[name] for name in names], 1)
        return torch.cat([model.embed_batch(batch), present.float()], 1)

    values, _ = model.map_observations(None, indices, None, width + len(names), whole)
    embeddings, positions = [values[:, :width]], [np.arange(len(indices))]
    has_nm = values[:, width:] > 0
    for name, has_n in zip(names, has_nm.T, strict=True):
        several = np.flatnonzero(has_n & (has_nm.sum(1) > 1))
        part, _ = model.map_observations(None, indices[several], None, width, partial(_embedded_alone, model, name))
        embeddings.append(part)
        positions.append(several)
    return np.concatenate(embeddings), np.concatenate(positions)


def subset_features(
    features: ObservationFeatures, model: OmicsModel, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of observations whole and, where they have several modalities, of each of these alone.

    Parameters
    ----------
    features
        How features are scaled.
    model
        A model with its object.
    indices
        (n,) int: positions of the observations.

    Returns
    -------
    tuple of numpy.ndarray
        (m, g) float32 scaled features, 0 for those of other modalities, and (m,) int64 codes of the modality subsets
        (bit k for modality k); in the order of :func:`subset_embeddings`.
    """

    def whole(batch: Batch) -> Tensor:
        return torch.cat([features(batch), features.subset_codes(batch)[:, None].float()], 1)

    features.to(model.device)
    values, _ = model.map_observations(None, indices, None, features.n_features + 1, whole)
    x_ng, subset_n = values[:, :-1], values[:, -1].astype(np.int64)
    blocks, subsets = [x_ng], [subset_n]
    for m, span in enumerate(features.spans.values()):
        several_n = (subset_n >> m & 1 > 0) & (subset_n != 1 << m)
        blocks.append(np.zeros_like(x_ng[several_n]))
        blocks[-1][:, span] = x_ng[several_n, span]
        subsets.append(np.full(int(several_n.sum()), 1 << m))
    return np.concatenate(blocks), np.concatenate(subsets)


def _embedded_alone(model: OmicsModel, name: str, batch: Batch) -> Tensor:
    return model.embed_batch(alone(batch, name))


def alone(batch: Batch, name: str) -> Batch:
    """Return observations as if they had been measured in one modality only."""

    def emptied(tokens: Tokens) -> Tokens:
        return Tokens(tokens.ids[:0], tokens.values[:0], torch.zeros_like(tokens.offsets))

    tokens = {m: t if m == name else emptied(t) for m, t in batch.tokens.items()}
    present = {m: p if m == name else torch.zeros_like(p) for m, p in batch.present.items()}
    return batch._replace(tokens=tokens, present=present)
