"""Objects that are copied or pickled with what was made of them.

An AnnData can be pickled, a MuData (0.4) cannot: it is taken apart for that, and put together again.
"""

from typing import Any

from anndata import AnnData
from mudata import MuData

Parts = dict[str, Any]


def taken_apart(data: AnnData | MuData | None) -> AnnData | Parts | None:
    """Return an object as it can be pickled: a MuData as what it is made of, all else as it is.

    Examples
    --------
    >>> import numpy as np
    >>> sorted(taken_apart(MuData({"rna": AnnData(np.ones((2, 3)))})))[:3]
    ['axis', 'data', 'obs']
    """
    if not isinstance(data, MuData):
        return data
    tables = {name: dict(getattr(data, name)) for name in ("obsm", "varm", "obsp", "varp", "obsmap", "varmap")}
    parts = {"data": dict(data.mod), "obs": data.obs, "var": data.var, "uns": dict(data.uns), "axis": data.axis}
    return {**parts, **tables}


def put_together(parts: AnnData | Parts | None) -> AnnData | MuData | None:
    """Return the object that :func:`taken_apart` took apart."""
    return MuData(**parts) if isinstance(parts, dict) else parts
