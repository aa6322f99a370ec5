"""The axis of genes: which are on it, what their values are, and in which order they stand."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omicsmlm._checks import named, value_error
from omicsmlm._types import SPARSE_KINDS, Batch, Kind
from omicsmlm.data import stored_values
from omicsmlm.tokenizers import log_per_million, observation_depth

logger = logging.getLogger(__name__)

MOST_SAMPLES = 2000
"""Samples from which quantiles and the order of genes are taken; the first of the model's random sample where there are more."""
ORDER_COMPONENTS = 16
"""Components of each modality by which co-expression is judged: the main programmes of a tissue, and not the noise."""


def genes_of(vocabularies: Mapping[str, list[str]], axis: str) -> list[str]:
    """Return the genes of the axis, in the order of the first modality, then of the next ones.

    Raises
    ------
    ValueError
        If there is none.
    """
    union = list(dict.fromkeys(gene for vocabulary in vocabularies.values() for gene in vocabulary))
    shared = set.intersection(*(set(vocabulary) for vocabulary in vocabularies.values()))
    found = "; ".join(f"{named(vocabulary[:2])} of {name}" for name, vocabulary in vocabularies.items())
    remedy = "name features by gene, as omicsmlm.pp.aggregate_methylation does"
    if axis == "intersection" and not shared:
        raise value_error("modalities", "genes that all of them have", found, f'{remedy}, or pass axis="union"')
    if not shared:
        logger.warning("MOJO: the modalities have no gene in common (%s); %s.", found, remedy)
    return [gene for gene in union if gene in shared] if axis == "intersection" else union


def dense_values(sample: Sequence[Batch], name: str, kind: Kind, profile: Sequence[float] | None) -> np.ndarray:
    """Return the values of a modality, (n, v) float32, of up to ``MOST_SAMPLES`` samples that have it; NaN where not measured.

    Parameters
    ----------
    sample
        Batches of samples.
    name, kind
        The modality.
    profile
        Of counts, each feature's fraction of all; they become log10(1 + counts per million), as in :class:`AxisBins`.
    """
    blocks, n = [], 0
    for batch in sample:
        ids, values, offsets = batch.tokens[name]
        n_features = len(batch.measured[name])
        has_n = batch.present[name].numpy()
        if kind in SPARSE_KINDS:
            assert profile is not None
            depth_n = observation_depth(batch.tokens[name], batch.measured[name], torch.tensor(profile))
            counts = torch.from_numpy(stored_values([batch], name, n_features).toarray())
            block = log_per_million(counts, depth_n[:, None]).numpy()
        else:
            block = np.full((len(has_n), n_features), np.nan, dtype=np.float32)
            block[np.repeat(np.arange(len(has_n)), np.diff(offsets.numpy())), ids.numpy()] = values.numpy()
        blocks.append(block[has_n])
        n += len(blocks[-1])
        if n >= MOST_SAMPLES:
            break
    return np.concatenate(blocks)[:MOST_SAMPLES]


def coexpression_order(parts: Sequence[tuple[np.ndarray, np.ndarray]], n_genes: int) -> np.ndarray:
    """Return an order of genes in which neighbours vary together, (g,) int64.

    The loadings of each gene on the first principal components of each modality are halved along their main direction, and each
    half again; halves are turned so that like ends meet.

    Parameters
    ----------
    parts
        Of each modality its values, (n, v), NaN where not measured, and the gene of each feature, (v,), -1 for none.
    n_genes
        g.
    """
    features_gk = np.concatenate([_loadings(values, column_v, n_genes) for values, column_v in parts], 1)
    return _divided(features_gk, np.arange(n_genes), None)


def on_axis(values_vb: Tensor, column_v: np.ndarray, n_genes: int) -> Tensor:
    """Return the rows of a modality's features, (v, b), at their places on the axis, (g, b); 0 for genes that it lacks.

    Parameters
    ----------
    values_vb
        A row of each feature.
    column_v
        Place of each feature on the axis, -1 for none.
    n_genes
        g.
    """
    found_gb = values_vb.new_zeros(n_genes, values_vb.shape[1])
    has_v = column_v >= 0
    found_gb[torch.from_numpy(column_v[has_v])] = values_vb[torch.from_numpy(has_v)]
    return found_gb


def _loadings(values_nv: np.ndarray, column_v: np.ndarray, n_genes: int) -> np.ndarray:
    """Return the loadings of genes on the first components times their singular values, (g, k)."""
    found_gk = np.zeros((n_genes, ORDER_COMPONENTS))
    if not len(values_nv):
        return found_gk
    visible_nv = ~np.isnan(values_nv)
    n_v = np.maximum(visible_nv.sum(0), 1)
    centred_nv = np.where(visible_nv, values_nv, 0.0) - visible_nv * (np.where(visible_nv, values_nv, 0.0).sum(0) / n_v)
    deviation_v = np.sqrt(np.square(centred_nv).sum(0) / n_v)
    x_nv = centred_nv / np.where(deviation_v > 1e-6, deviation_v, np.inf)
    # The smaller of the two Gram matrices has the same components.
    if len(x_nv) <= x_nv.shape[1]:
        square_k, left_nk = np.linalg.eigh(x_nv @ x_nv.T)
        loading_vk = x_nv.T @ left_nk[:, ::-1][:, :ORDER_COMPONENTS]
    else:
        square_k, right_vk = np.linalg.eigh(x_nv.T @ x_nv)
        scale_k = np.sqrt(np.maximum(square_k[::-1][:ORDER_COMPONENTS], 0))
        loading_vk = right_vk[:, ::-1][:, :ORDER_COMPONENTS] * scale_k
    loading_vk = loading_vk * np.where(
        (loading_vk**3).sum(0) < 0, -1.0, 1.0
    )  # the same sign whatever the order of genes
    found_gk[column_v[column_v >= 0], : loading_vk.shape[1]] = loading_vk[column_v >= 0]
    return found_gk


def _divided(features_gk: np.ndarray, genes: np.ndarray, towards_k: np.ndarray | None) -> np.ndarray:
    """Return genes in an order whose end points towards a direction."""
    if len(genes) <= 1:
        return genes
    part_gk = features_gk[genes]
    centred_gk = part_gk - part_gk.mean(0)
    direction_k = np.linalg.eigh(centred_gk.T @ centred_gk)[1][:, -1]
    largest = direction_k[np.abs(direction_k).argmax()]
    if (largest if towards_k is None else direction_k @ towards_k) < 0:  # an eigenvector has no sign of its own
        direction_k = -direction_k
    ordered = genes[np.argsort(centred_gk @ direction_k, kind="stable")]
    if len(genes) <= 2:
        return ordered
    low, high = ordered[: len(genes) // 2], ordered[len(genes) // 2 :]
    between_k = features_gk[high].mean(0) - features_gk[low].mean(0)
    return np.concatenate([_divided(features_gk, low, between_k), _divided(features_gk, high, between_k)])


def fraction_of_counts(values: Any) -> list[float]:
    """Return each feature's fraction of all counts."""
    sums_g = np.asarray(values.sum(0), dtype=np.float64).ravel()
    return [float(f"{fraction:.6g}") for fraction in sums_g / max(sums_g.sum(), 1.0)]
