"""Errors worded alike: where, what was expected, what was found, what to do; and what a user should be warned of."""

from collections.abc import Iterable

import pandas as pd

LEAST_ROWS = 10
"""Rows of a label from which on it can be said where they are."""
ONE_BATCH = 0.95
"""Share of the rows of a label from which on one batch is said to hold it alone."""


def value_error(place: str, expected: str, found: str, remedy: str) -> ValueError:
    """Build the one sentence that a user meets on wrong input; the caller raises it.

    Parameters
    ----------
    place
        What is wrong: a modality, an argument, a path.
    expected, found, remedy
        What was wanted, what was there, what to do about it.

    Examples
    --------
    >>> str(value_error("rna", "raw counts (non-negative integers)", "values down to -1", 'pass layer="counts"'))
    'rna: expected raw counts (non-negative integers), got values down to -1; pass layer="counts".'
    """
    return ValueError(f"{place}: expected {expected}, got {found}; {remedy}.")


def named(names: Iterable[object], most: int = 5) -> str:
    """List some names for a message: the first few, and how many more there are.

    Examples
    --------
    >>> named(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    listed = list(names)
    shown = ", ".join(repr(str(name)) for name in listed[:most])
    rest = len(listed) - most
    return f"{shown} and {rest} more" if rest > 0 else shown or "none"


def confounded(label_n: pd.Series, batch_n: pd.Series) -> list[str]:
    """Name the labels of ten rows and more that one batch alone holds, although it is not nearly all there is.

    Examples
    --------
    >>> confounded(pd.Series(["a", "b"] * 10 + ["c"] * 10), pd.Series(["x"] * 10 + ["y"] * 20))
    ['c']
    """
    counts = pd.crosstab(label_n.to_numpy(dtype=object), batch_n.to_numpy(dtype=object))
    usual = counts.sum(axis=0).max() / max(counts.to_numpy().sum(), 1)
    if counts.shape[1] < 2 or usual >= ONE_BATCH:
        return []
    alone = (counts.max(axis=1) / counts.sum(axis=1) >= ONE_BATCH) & (counts.sum(axis=1) >= LEAST_ROWS)
    return [str(label) for label in counts.index[alone]]
