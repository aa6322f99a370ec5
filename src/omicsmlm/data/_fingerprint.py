"""What an object was like when it was registered, so that a change made in place since is told and not trained on.

Readers look at the object live. Nothing of it is copied but a few observations of each modality: names and shapes are compared
as a whole, categories as a set, values in that sample. (Single values that became NaN or infinite elsewhere are told when they
are read, see :mod:`omicsmlm.data._dataset`.)
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm._checks import named, value_error

from ._columns import category_codes, find_column, read_column
from ._covariates import CovariatesField
from ._dataset import Field
from ._kinds import check_kind
from ._labels import LabelsField
from ._matrix import Summary
from ._modality import ModalityField
from ._modality_index import modality_of
from ._numbers import NumbersField
from ._packing import Scan, scan
from ._sequences import SequenceField, VectorField

FEWEST, MOST = 8, 64
"""Observations whose values are kept: as many as have about ``SAMPLED_VALUES`` values, within these bounds."""
SAMPLED_VALUES = 8192
ANEW = "set the object up anew and make a new model, or pass it as data=adata.copy() to have it matched by name"
"""What to do where an object was changed in place."""


class SampledRows(NamedTuple):
    """Values of a few rows of a matrix, as they are stored."""

    position: np.ndarray
    """Row times number of columns plus column, of each stored value; may repeat, the values then add up."""
    values: np.ndarray

    @classmethod
    def of(cls, matrix: Any) -> "SampledRows | None":
        """Return the values of evenly spaced rows; None of a matrix in a file, which nobody changes in place."""
        if sparse.issparse(matrix):
            return cls._of_sparse(matrix)
        if not isinstance(matrix, np.ndarray):
            return None
        rows = spaced(len(matrix), matrix.size)
        index = rows[:, None] * matrix.shape[1] + np.arange(matrix.shape[1])
        return cls(index.ravel(), matrix[rows].ravel())

    @classmethod
    def _of_sparse(cls, matrix: Any) -> "SampledRows":
        rows = spaced(matrix.shape[0], matrix.nnz)
        if matrix.format != "csr":
            part = (matrix.astype(np.float32) if matrix.dtype == np.float16 else matrix).tocsr()[rows].tocoo()
            return cls(rows[part.row] * matrix.shape[1] + part.col, part.data)
        bounds = [(matrix.indptr[row], matrix.indptr[row + 1]) for row in rows]
        column = np.concatenate([matrix.indices[start:stop] for start, stop in bounds]).astype(np.int64)
        row_of = np.repeat(rows, [len(matrix.indices[start:stop]) for start, stop in bounds])
        return cls(
            row_of * matrix.shape[1] + column, np.concatenate([matrix.data[start:stop] for start, stop in bounds])
        )

    def equals(self, other: "SampledRows") -> bool:
        """Return whether the values are the same, in whatever order or container they are stored."""
        pairs = ((self, other), (self.summed(), other.summed()))
        return any(
            np.array_equal(one.position, two.position) and np.array_equal(one.values, two.values, equal_nan=True)
            for one, two in pairs
        )

    def summed(self) -> "SampledRows":
        """Return the values in the order of rows and columns, each once, zeros left out."""
        index, position = np.unique(self.position, return_inverse=True)
        values = np.bincount(position, weights=self.values.astype(np.float64), minlength=len(index))
        return SampledRows(index[values != 0], values[values != 0])

    def summary(self) -> Summary:
        """Return the properties of the values."""
        found = scan(Scan(), self.summed().values)
        low, high = (found.minimum, found.maximum) if found.minimum <= found.maximum else (0.0, 0.0)
        return Summary(low, high, found.has_nan, found.has_infinity, found.all_integers, not found.has_nonzero)


class FieldFingerprint(NamedTuple):
    """What one field read; None of what it has not, or of what the object lacks."""

    features: pd.Index | None = None
    """Names of a modality's features: the index itself, so that one that was not touched is compared by identity."""
    values: SampledRows | None = None
    categories: Mapping[str, frozenset[str | None]] | None = None
    """The categories that occur in each column; None among them where values are missing."""
    texts: list[str | None] | None = None
    """Sequences of a few observations."""

    @classmethod
    def of(cls, data: AnnData | MuData, field: Field, state: dict[str, Any]) -> "FieldFingerprint":
        """Return the fingerprint of what a field reads in an object."""
        if isinstance(field, CovariatesField):
            return cls(categories={key: found for key in field.keys if key and (found := _occurring(data, key))})
        if isinstance(field, LabelsField):  # read when a training begins, and checked then
            return cls()
        if isinstance(field, NumbersField):
            return cls(values=SampledRows.of(field.read(data)))
        if isinstance(field, SequenceField):
            return cls(texts=_texts(data, field.key) if field.key in data.obs else None)
        if isinstance(field, VectorField):
            has = field.key in data.obsm
            return cls(values=SampledRows.of(np.asarray(data.obsm[field.key])) if has else None)
        part = modality_of(data, field.source) if state["n_shared"] else None
        if part is None:
            return cls()
        values = part.X if field.layer is None else part.layers.get(field.layer)
        return cls(features=part.var_names, values=SampledRows.of(values))


class Fingerprint:
    """Fingerprint of a registered object.

    Parameters
    ----------
    data
        The object.
    fields
        Its fields.
    registry
        State of each field by registry key.
    """

    def __init__(self, data: AnnData | MuData, fields: Sequence[Field], registry: dict[str, dict[str, Any]]) -> None:
        self.n_obs = data.n_obs
        self.fields = fields
        self.registry = registry
        self.before = self._of(data)

    def _of(self, data: AnnData | MuData) -> list[FieldFingerprint]:
        states = (self.registry[field.registry_key]["state_registry"] for field in self.fields)
        return [FieldFingerprint.of(data, *pair) for pair in zip(self.fields, states, strict=True)]

    def check(self, data: AnnData | MuData) -> None:
        """Check that the object is as it was registered.

        Raises
        ------
        ValueError
            If observations or features were taken out, renamed or reordered, values or sequences changed, or a column of a
            covariate is gone or has other categories.
        """
        if data.n_obs != self.n_obs:
            raise value_error("data", f"the {self.n_obs} observations that were registered", str(data.n_obs), ANEW)
        for field, before, now in zip(self.fields, self.before, self._of(data), strict=True):
            state = self.registry[field.registry_key]["state_registry"]
            if isinstance(field, CovariatesField):
                _check_categories(data, before.categories or {}, now.categories or {}, state)
            elif isinstance(field, LabelsField):
                continue
            elif isinstance(field, NumbersField):
                if not _same(before.values, now.values):
                    place = f"columns {named(field.columns)}"
                    raise value_error(place, "the numbers that were registered", "others, changed since", ANEW)
            elif isinstance(field, ModalityField):
                _check_modality(field.name, state["kind"], before, now)
            elif before != now if isinstance(field, SequenceField) else not _same(before.values, now.values):
                found = "others, changed or taken out since"
                raise value_error(field.name, f"what {field.key!r} held when it was registered", found, ANEW)


def spaced(n_rows: int, n_values: int) -> np.ndarray:
    """Return evenly spaced rows of a matrix, ascending, the first and the last among them.

    Examples
    --------
    >>> spaced(3, 30).tolist(), len(spaced(100_000, 200_000_000))
    ([0, 1, 2], 8)
    """
    per_row = max(1, n_values // max(1, n_rows))
    n = min(n_rows, max(FEWEST, min(MOST, SAMPLED_VALUES // per_row)))
    return np.unique(np.linspace(0, max(n_rows - 1, 0), n).astype(np.int64))


def _check_modality(name: str, kind: str, before: FieldFingerprint, now: FieldFingerprint) -> None:
    if before.features is None:
        return
    if now.features is None:
        raise value_error(name, "the modality that was registered", "an object without it", ANEW)
    if not (before.features is now.features or before.features.equals(now.features)):
        place = _first_difference(before.features, now.features)
        expected = "the features that were registered, in their order"
        raise value_error(name, expected, f"{len(now.features)} features, {place}", ANEW)
    if _same(before.values, now.values):
        return
    summary = None if now.values is None else now.values.summary()
    if summary is not None and not (summary.all_zero and not summary.has_infinity):
        check_kind(name, kind, summary)
    remedy = f"keep other values in a layer of their own; {ANEW}"
    raise value_error(name, "the values that were registered", "values that were changed in place since", remedy)


def _first_difference(before: pd.Index, now: pd.Index) -> str:
    if len(before) != len(now):
        return f"not {len(before)}"
    first = int(np.argmax(before.to_numpy() != now.to_numpy()))
    return f"{str(now[first])!r} in the place of {str(before[first])!r}"


def _same(before: SampledRows | None, now: SampledRows | None) -> bool:
    """Return whether values agree; those of a file are not compared."""
    return before is None or (now is not None and before.equals(now))


def _check_categories(
    data: AnnData | MuData,
    before: Mapping[str, frozenset[str | None]],
    now: Mapping[str, frozenset[str | None]],
    state: dict[str, Any],
) -> None:
    known = dict(zip(state["keys"], state["categories"], strict=True))
    for key, categories in before.items():
        if key not in now:
            find_column(data, key)  # says where it was searched
            raise value_error(f"column {key!r}", "a category for each observation", "none", ANEW)
        new = sorted("missing values" if c is None else c for c in now[key] - categories - set(known[key]))
        if new:
            expected = f"the categories that were registered, {named(known[key])}"
            raise value_error(f"column {key!r}", expected, named(new), f"name them as they were; {ANEW}")
        gone = sorted(c for c in categories - now[key] if c is not None)
        if gone:
            expected = f"observations of each category that was registered, {named(known[key])}"
            raise value_error(f"column {key!r}", expected, f"none of {named(gone)}", ANEW)


def _occurring(data: AnnData | MuData, key: str) -> frozenset[str | None]:
    """Return the categories that occur in a column; none where the object has no such column."""
    try:
        code_n, names = category_codes(find_column(data, key))
    except ValueError:
        return frozenset()
    return frozenset(None if code < 0 else names[code] for code in np.unique(code_n))


def _texts(data: AnnData | MuData, key: str) -> list[str | None]:
    """Return the values of a column in evenly spaced observations, missing ones as None."""
    values = read_column(data.obs, key).iloc[spaced(data.n_obs, data.n_obs)]
    return [None if is_missing else str(value) for value, is_missing in zip(values, values.isna(), strict=True)]
