"""Several bulk data sets with different genes and modalities as one object, to pre-train on all of them."""

from collections.abc import Mapping
from typing import Literal

import anndata as ad
import numpy as np
import pandas as pd
from mudata import MuData

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm._types import DATASET
from omicsmlm.pp import normal_scores


@in_one_sentence_of_types
def pool(sets: Mapping[str, MuData], *, scaling: Literal["ranks"] | None = None) -> MuData:
    """Return data sets of bulk samples as one object, with the union of their genes in each modality, matched by name.

    A gene that a set did not measure is NaN there, and a modality that it lacks is absent: models of continuous values (MOJO,
    OmicsMLM) neither read nor predict them. So a model is pre-trained on all sets, and tuned on one.

    Parameters
    ----------
    sets
        By name, at least one; values are continuous (expression, beta values). Not changed.
    scaling
        "ranks": the values of each set and modality become :func:`omicsmlm.pp.normal_scores`, so that sets in different units
        can be put together. None: they stay as they are.

    Returns
    -------
    MuData
        Dense float32; ``obs``: the columns of all sets, and ``dataset``. Where sets share names of observations, all names
        become ``"<data set>:<name>"``.

    Raises
    ------
    ValueError
        If there is no set, one is no MuData, or the features of a modality have several of one name.

    Examples
    --------
    >>> import pandas as pd
    >>> from anndata import AnnData
    >>> genes = [pd.DataFrame(index=names) for names in (["TP53", "MYC"], ["MYC", "EGFR"])]
    >>> parts = [AnnData(np.ones((2, 2)), pd.DataFrame(index=[f"s{k}a", f"s{k}b"]), genes[k]) for k in range(2)]
    >>> whole = pool({"one": MuData({"rna": parts[0]}), "other": MuData({"rna": parts[1]})})
    >>> whole["rna"].to_df().loc["s0a"].tolist()
    [1.0, 1.0, nan]
    """
    _check(sets)
    shared = pd.Index(np.concatenate([data.obs_names for data in sets.values()])).has_duplicates
    prefix = {name: f"{name}:" if shared else "" for name in sets}
    modalities = list(dict.fromkeys(modality for data in sets.values() for modality in data.mod))
    parts = {}
    for modality in modalities:
        own = {name: data[modality] for name, data in sets.items() if modality in data.mod}
        tables = [_table(part, scaling).rename(index=(prefix[name] + "{}").format) for name, part in own.items()]
        whole = pd.concat(tables, join="outer")
        parts[modality] = ad.AnnData(
            whole.to_numpy(np.float32), pd.DataFrame(index=whole.index), pd.DataFrame(index=whole.columns)
        )
    pooled = MuData(parts)
    obs = [data.obs.rename(index=(prefix[name] + "{}").format).assign(**{DATASET: name}) for name, data in sets.items()]
    columns = pd.concat([frame.astype(dict.fromkeys(_texts(frame), object)) for frame in obs]).loc[pooled.obs_names]
    columns[DATASET] = pd.Categorical(columns[DATASET], categories=list(sets))
    pooled.obs = columns
    return pooled


def _check(sets: Mapping[str, MuData]) -> None:
    if not isinstance(sets, Mapping) or not sets:
        raise value_error("sets", "data sets by name", type(sets).__name__, 'pass {"one": mdata, "other": mdata}')
    for name, data in sets.items():
        if not isinstance(data, MuData):
            remedy = 'wrap it: MuData({"rna": adata})'
            raise value_error(f"sets[{name!r}]", "a MuData", type(data).__name__, remedy)
        for modality, part in data.mod.items():
            if not part.var_names.is_unique:
                twice = named(part.var_names[part.var_names.duplicated()].unique())
                remedy = "run .var_names_make_unique() first"
                raise value_error(f"{name}, {modality}", "distinct feature names", f"duplicates {twice}", remedy)


def _table(part: ad.AnnData, scaling: str | None) -> pd.DataFrame:
    """Return the values of a modality as a table."""
    return (part if scaling is None else normal_scores(part)).to_df().astype(np.float32)


def _texts(frame: pd.DataFrame) -> list[str]:
    """Return the columns with texts or categories, whose types may differ between sets."""
    return [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
