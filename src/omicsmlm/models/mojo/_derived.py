"""What MOJO derives from its data: the axis of genes, and the scaling of each modality's values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from omicsmlm._types import SPARSE_KINDS, Batch
from omicsmlm.data import stored_values
from omicsmlm.tokenizers import Scale, fit_feature_scales, fit_scale, observation_depth

from ._axis import coexpression_order, dense_values, fraction_of_counts, genes_of
from ._config import MOJOConfig


@dataclass(frozen=True, kw_only=True)
class MOJODerived:
    """Hyper-parameters that :class:`MOJO` derives from the data."""

    genes: list[str]
    """Genes of the axis, in its order."""
    scales: dict[str, Scale]
    """Scaling of the values of each modality to 0 … 1."""
    profiles: dict[str, list[float]]
    """Each feature's fraction of all counts, of modalities of counts."""
    depths: dict[str, float]
    """Median depth of the observations that have the modality, of modalities of counts."""


def derived_from(sample: Sequence[Batch], states: Mapping[str, Mapping[str, Any]], config: MOJOConfig) -> MOJODerived:
    """Return the axis and the scales of the values of a random sample.

    Parameters
    ----------
    sample
        Batches of samples.
    states
        Of each modality its ``kind`` and its ``vocabulary``, the names of its features, as the manager has them.
    config
        The model's hyper-parameters: which genes are on the axis, their order, and the scaling.

    Raises
    ------
    ValueError
        If no gene is on the axis.
    """
    genes = genes_of({name: state["vocabulary"] for name, state in states.items()}, config.axis)
    derived = MOJODerived(genes=genes, scales={}, profiles={}, depths={})
    parts = []
    for name, state in states.items():
        depths = None
        if state["kind"] in SPARSE_KINDS:
            profile = fraction_of_counts(stored_values(sample, name, len(state["vocabulary"])))
            derived.profiles[name] = profile
            depths = [observation_depth(b.tokens[name], b.measured[name], torch.tensor(profile)) for b in sample]
            has_n = torch.cat([batch.present[name] for batch in sample])
            derived.depths[name] = float(torch.cat(depths)[has_n].median())
        if config.scaling == "genes" or config.order == "coexpression":
            values_nv = dense_values(sample, name, state["kind"], derived.profiles.get(name))
            parts.append((values_nv, pd.Index(genes).get_indexer(state["vocabulary"])))
        if config.scaling == "genes":
            derived.scales[name] = fit_feature_scales(values_nv)
        else:
            tokens = [batch.tokens[name] for batch in sample]
            derived.scales[name] = fit_scale(state["kind"], config.scaling, tokens, depths)
    if config.order == "coexpression":
        ordered = coexpression_order(parts, len(genes))
        derived = replace(derived, genes=[genes[g] for g in ordered])
    return derived
