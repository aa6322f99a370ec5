"""Several samples of one modality as one object."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData, concat
from scipy import sparse

from omicsmlm._checks import value_error
from omicsmlm.datasets import read_many

FEWEST_SHARED = 0.5
"""Fraction of the regions of the smallest sample that all samples must have: below, each has peaks of its own."""


def renamed_apart[R: str](parts: Mapping[R, Mapping[str, AnnData]]) -> tuple[dict[R, dict[str, AnnData]], str | None]:
    """Return samples of modalities with names of observations that are distinct, and what was done.

    Parameters
    ----------
    parts
        By modality, then by sample. Names are changed in all of them or in none, so that modalities still pair.

    Examples
    --------
    >>> cells = [AnnData(np.ones((1, 1)), obs=pd.DataFrame(index=["AAAC-1"])) for _ in range(2)]
    >>> made, line = renamed_apart({"rna": {"a": cells[0], "b": cells[1]}})
    >>> made["rna"]["b"].obs_names[0], line
    ('b:AAAC-1', "names of observations begin with that of their sample, as in 'a:AAAC-1'")
    """
    copied = {role: dict(samples) for role, samples in parts.items()}
    twice = any(
        not pd.Index(np.concatenate([part.obs_names for part in samples.values()])).is_unique
        for samples in parts.values()
        if len(samples) > 1
    )
    if not twice:
        return copied, None
    example = ""
    for samples in copied.values():
        if len(samples) < 2:
            continue
        for sample, part in samples.items():
            part = part.copy()
            part.obs_names = pd.Index([f"{sample}:{name}" for name in part.obs_names])
            samples[sample] = part
        first = next(iter(samples.values()))
        example = example or str(first.obs_names[0])
    return copied, f"names of observations begin with that of their sample, as in {example!r}"


def joined(place: str, samples: Mapping[str, AnnData], batch_key: str, *, are_counts: bool) -> tuple[AnnData, str]:
    """Return samples as one object with their names in ``obs[batch_key]``, and what was done about their features.

    Counts of samples with different features are joined as :func:`omicsmlm.datasets.read_many` does, which records what each
    sample measured; of other values, what was not measured is NaN.

    Raises
    ------
    ValueError
        If the samples have regions of their own.
    """
    for name, part in samples.items():
        part.obs[batch_key] = pd.Categorical([name] * part.n_obs)
    first, *others = [part.var_names for part in samples.values()]
    n_all = len(set(first).intersection(*others))
    n_union = len(set(first).union(*others))
    smallest = min(len(names) for names in (first, *others))
    if place == "atac" and n_all < FEWEST_SHARED * smallest:
        found = f"{n_all:,} in all, of {smallest:,} in the smallest"
        remedy = "map each sample's peaks to common regions with omicsmlm.pp.map_regions first"
        raise value_error(place, "samples with the same regions", found, remedy)
    same = n_all == n_union
    if same:
        parts = [part[:, first].copy() for part in samples.values()]
        made = concat(parts, merge="first")
    elif are_counts:
        made = read_many(dict(samples))
    else:
        dense = [_dense(part) for part in samples.values()]
        made = concat(dense, join="outer", merge="first", fill_value=np.nan)
    made.obs[batch_key] = pd.Categorical(made.obs[batch_key].astype(str), categories=list(samples))
    shared = "the same features" if same else f"{n_union:,} features, of which {n_all:,} in all"
    return made, f"{len(samples)} samples with {shared}"


def _dense(part: AnnData) -> AnnData:
    if sparse.issparse(part.X):
        part = part.copy()
        part.X = part.X.toarray()  # type: ignore[union-attr]
    return part
