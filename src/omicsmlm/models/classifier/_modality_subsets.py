"""Rows as a whole, and as each of their modalities alone shows them."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from omicsmlm._types import Batch, Tokens
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import ObservationFeatures


def embedded_views(model: OmicsModel, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embed rows as a whole and, where they have several modalities, as each of them alone.

    Parameters
    ----------
    model
        A model with its object.
    indices
        (n,) int: row numbers.

    Returns
    -------
    tuple of numpy.ndarray
        (m, d) embeddings, and for each the position in ``indices`` of its row; the first n are the whole rows, in order.
    """
    names, width = list(model.adata_manager.modalities), model.module.n_latent

    def whole(batch: Batch) -> Tensor:
        present = torch.stack([batch.present[name] for name in names], 1)
        return torch.cat([model.embed_batch(batch), present.float()], 1)

    values, _ = model.map_observations(None, indices, None, width + len(names), whole)
    embeddings, positions = [values[:, :width]], [np.arange(len(indices))]
    has_nm = values[:, width:] > 0
    for name, has_n in zip(names, has_nm.T, strict=True):
        shown = np.flatnonzero(has_n & (has_nm.sum(1) > 1))
        part, _ = model.map_observations(None, indices[shown], None, width, partial(_embedded_alone, model, name))
        embeddings.append(part)
        positions.append(shown)
    return np.concatenate(embeddings), np.concatenate(positions)


def shown_views(features: ObservationFeatures, model: OmicsModel, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the features of rows as a whole and, where they have several modalities, of each of them alone.

    Parameters
    ----------
    features
        How features are scaled.
    model
        A model with its object.
    indices
        (n,) int: row numbers.

    Returns
    -------
    tuple of numpy.ndarray
        (m, g) float32 scaled features, 0 for those of modalities that are not shown, and (m,) int64 codes of those that
        are; in the order of :func:`embedded_views`.
    """

    def whole(batch: Batch) -> Tensor:
        return torch.cat([features(batch), features.patterns(batch)[:, None].float()], 1)

    features.to(model.device)
    values, _ = model.map_observations(None, indices, None, features.n_features + 1, whole)
    x_ng, pattern_n = values[:, :-1], values[:, -1].astype(np.int64)
    blocks, patterns = [x_ng], [pattern_n]
    for m, span in enumerate(features.spans.values()):
        shown_n = (pattern_n >> m & 1 > 0) & (pattern_n != 1 << m)
        blocks.append(np.zeros_like(x_ng[shown_n]))
        blocks[-1][:, span] = x_ng[shown_n, span]
        patterns.append(np.full(int(shown_n.sum()), 1 << m))
    return np.concatenate(blocks), np.concatenate(patterns)


def _embedded_alone(model: OmicsModel, name: str, batch: Batch) -> Tensor:
    return model.embed_batch(alone(batch, name))


def alone(batch: Batch, name: str) -> Batch:
    """Show rows as if they had been measured in one modality only."""

    def emptied(tokens: Tokens) -> Tokens:
        return Tokens(tokens.ids[:0], tokens.values[:0], torch.zeros_like(tokens.offsets))

    tokens = {m: t if m == name else emptied(t) for m, t in batch.tokens.items()}
    present = {m: p if m == name else torch.zeros_like(p) for m, p in batch.present.items()}
    return batch._replace(tokens=tokens, present=present)
