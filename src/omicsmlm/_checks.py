"""Error messages in one form (where, what was expected, what was found, what to do), and checks behind warnings."""

import logging
from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)

MIN_OBSERVATIONS = 10
"""Fewest observations of a label for which :func:`confounded` speaks: nine could well be of one batch by chance."""
CONFOUNDED_FRACTION = 0.95
"""Fraction of the observations of a label in one batch above which the label counts as confounded with that batch; a few
observations elsewhere (mislabelled, say) cannot tell label and batch apart."""

MISSING_TEXTS = ("", "nan", "NaN", "NAN", "NA", "N/A", "<NA>", "NaT", "None", "none", "null", "NULL")
"""What a missing value becomes where it is turned into text, by numpy, pandas, R, Python or a file. Only a whole value counts."""
LARGEST_NUMBER = 2**31 - 1
"""Largest number of epochs, steps or observations that may be asked for."""


def value_error(place: str, expected: str, found: str, remedy: str) -> ValueError:
    """Return the error of one sentence for wrong input of the user, which the caller raises.

    Parameters
    ----------
    place
        What is wrong: a modality, an argument, a path.
    expected, found, remedy
        What was expected, what was found, what to do about it; lines of them are joined.

    Examples
    --------
    >>> str(value_error("rna", "raw counts (non-negative integers)", "values down to -1", 'pass layer="counts"'))
    'rna: expected raw counts (non-negative integers), got values down to -1; pass layer="counts".'
    """
    sentence = f"{place}: expected {expected}, got {found}; {remedy}."
    return ValueError(" ".join(filter(None, map(str.strip, sentence.splitlines()))))


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


def positive_integer(argument: str, number: object, remedy: str) -> int:
    """Return a number that the user gave as an integer; 2.0, which a division or a file may make of 2, counts as one.

    Raises
    ------
    ValueError
        If it is no whole number, or below 1.

    Examples
    --------
    >>> positive_integer("max_epochs", 2.0, "pass 10, say")
    2
    """
    if isinstance(number, bool) or not isinstance(number, int | float | np.number) or not float(number).is_integer():
        found = str(number) if isinstance(number, int | float | np.number) else shortened(number)
        raise value_error(argument, "a whole number, at least 1", found, remedy)
    if not 1 <= number <= LARGEST_NUMBER:
        raise value_error(argument, "at least 1" if number < 1 else f"at most {LARGEST_NUMBER:,}", str(number), remedy)
    return int(number)


def check_type(argument: str, value: object, types: type | tuple[type, ...], wanted: str, remedy: str) -> None:
    """Check that an argument is of one of some types.

    Raises
    ------
    ValueError
        If it is of another; the message begins with its name.

    Examples
    --------
    >>> check_type("title", "a heading", str, "a text", "leave it out")
    """
    if not isinstance(value, types):
        raise value_error(argument, wanted, shortened(value), remedy)


def check_switch(argument: str, value: object) -> None:
    """Check that something is True or False.

    Raises
    ------
    ValueError
        If it is anything else, which Python would take for one of them.

    Examples
    --------
    >>> check_switch("overwrite", True)
    """
    if not isinstance(value, bool | np.bool_):
        raise value_error(argument, "True or False", shortened(value), "pass one of these")


def check_choice(argument: str, value: object, known: Collection[str], remedy: str = "pass one of these") -> None:
    """Check that an argument is one of some names.

    Raises
    ------
    ValueError
        If it is another, or no text.

    Examples
    --------
    >>> check_choice("which", "encoder", ("encoder", "decoder"))
    """
    if not isinstance(value, str) or value not in known:
        raise value_error(argument, f"one of {list(known)}", shortened(value), remedy)


def shortened(value: object, most: int = 60) -> str:
    """Return a value as Python writes it, on one line and cut where it is long.

    Examples
    --------
    >>> shortened("3"), shortened([1] * 100, most=10)
    ("'3'", '[1, 1, 1, …')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[:most]}…"


def are_missing_texts(column: pd.Series) -> np.ndarray:
    """Return whether each value of a column is a missing one that became text, (n,) bool.

    Examples
    --------
    >>> are_missing_texts(pd.Series(["NA", "NAD", None, 3])).tolist()
    [True, False, False, False]
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.array([*map(_is_missing_text, column.cat.categories), False])[column.cat.codes.to_numpy()]
    if not pd.api.types.is_object_dtype(column.dtype) and not pd.api.types.is_string_dtype(column.dtype):
        return np.zeros(len(column), dtype=bool)
    if pd.api.types.infer_dtype(column, skipna=True) == "string":
        return column.isin(MISSING_TEXTS).to_numpy(dtype=bool)
    return np.fromiter(map(_is_missing_text, column), dtype=bool, count=len(column))


def _is_missing_text(value: object) -> bool:
    return isinstance(value, str) and value in MISSING_TEXTS


def without_missing_texts(place: str, column: pd.Series) -> pd.Series:
    """Return a column in which missing values that became text are missing again; a warning counts them.

    Examples
    --------
    >>> without_missing_texts("column 'label'", pd.Series(["T cell", "nan", ""])).tolist()
    ['T cell', None, None]
    """
    is_text_n = are_missing_texts(column)
    if not is_text_n.any():
        return column
    counts = column[is_text_n].astype(str).value_counts()
    found = ", ".join(f"{text!r} ({number})" for text, number in counts.items() if number)
    logger.warning("%s: the texts %s are taken for missing values.", place, found)
    return column.astype(object).where(~is_text_n, None)
