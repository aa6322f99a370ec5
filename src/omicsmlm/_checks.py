"""Error messages in one form (where, what was expected, what was found, what to do), and checks behind warnings."""

from collections.abc import Iterable

import pandas as pd

MIN_OBSERVATIONS = 10
"""Fewest observations of a label for which :func:`confounded` speaks: nine could well be of one batch by chance."""
CONFOUNDED_FRACTION = 0.95
"""Fraction of the observations of a label in one batch above which the label counts as confounded with that batch; a few
observations elsewhere (mislabelled, say) cannot tell label and batch apart."""


def value_error(place: str, expected: str, found: str, remedy: str) -> ValueError:
    """Return the error of one sentence for wrong input of the user, which the caller raises.

    Parameters
    ----------
    place
        What is wrong: a modality, an argument, a path.
    expected, found, remedy
        What was expected, what was found, what to do about it.

    Examples
    --------
    >>> str(value_error("rna", "raw counts (non-negative integers)", "values down to -1", 'pass layer="counts"'))
    'rna: expected raw counts (non-negative integers), got values down to -1; pass layer="counts".'
    """
    return ValueError(f"{place}: expected {expected}, got {found}; {remedy}.")


def named(names: Iterable[object], most: int = 5) -> str:
    """Return some names as text for a message: the first few, and how many more there are.

    Examples
    --------
    >>> named(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    listed = list(names)
    quoted = ", ".join(repr(str(name)) for name in listed[:most])
    rest = len(listed) - most
    return f"{quoted} and {rest} more" if rest > 0 else quoted or "none"


def confounded(label_n: pd.Series, batch_n: pd.Series) -> list[str]:
    """Return the labels, of ten observations and more, that (nearly) only one batch has, although there are others.

    Examples
    --------
    >>> confounded(pd.Series(["a", "b"] * 10 + ["c"] * 10), pd.Series(["x"] * 10 + ["y"] * 20))
    ['c']
    """
    counts = pd.crosstab(label_n.to_numpy(dtype=object), batch_n.to_numpy(dtype=object))
    largest = counts.sum(axis=0).max() / max(counts.to_numpy().sum(), 1)
    if counts.shape[1] < 2 or largest >= CONFOUNDED_FRACTION:
        return []  # where one batch is nearly everything, it holds nearly all of each label anyway
    alone = (counts.max(axis=1) / counts.sum(axis=1) >= CONFOUNDED_FRACTION) & (counts.sum(axis=1) >= MIN_OBSERVATIONS)
    return [str(label) for label in counts.index[alone]]
