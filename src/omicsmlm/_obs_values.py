"""Columns of ``obs`` for those who take them from any object: pictures and scores."""

import anndata as ad
import mudata as md
import pandas as pd


def obs_values(data: ad.AnnData | md.MuData, name: str) -> pd.Series | None:
    """Return a column of ``.obs`` by ``obs_names``, None where there is none of that name.

    Of a MuData that has the column in modalities alone, as when it is made of AnnData objects, each observation has the value
    of the first modality that has one: as the models read a ``batch_key``.

    Parameters
    ----------
    data
        AnnData or MuData.
    name
        Name of the column.

    Examples
    --------
    >>> names = pd.DataFrame({"batch": ["1", "2"]}, ["a", "b"])
    >>> obs_values(ad.AnnData(obs=names), "batch").to_dict()
    {'a': '1', 'b': '2'}
    """
    if name in data.obs:
        return pd.Series(data.obs[name].array, data.obs_names, name=name)
    found: pd.Series | None = None
    for part in data.mod.values() if isinstance(data, md.MuData) else ():
        if name in part.obs:
            values = pd.Series(part.obs[name].astype(object).array, part.obs_names).reindex(data.obs_names).rename(name)
            found = values if found is None else found.where(found.notna(), values)
    return found if found is None else found.infer_objects()
