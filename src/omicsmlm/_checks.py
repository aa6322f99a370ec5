"""Errors worded alike: where, what was expected, what was found, what to do."""

from collections.abc import Iterable


def mistake(place: str, expected: str, found: str, remedy: str) -> ValueError:
    """Build the one sentence that a user meets on wrong input; the caller raises it.

    Parameters
    ----------
    place
        What is wrong: a modality, an argument, a path.
    expected, found, remedy
        What was wanted, what was there, what to do about it.

    Examples
    --------
    >>> str(mistake("rna", "raw counts (non-negative integers)", "values down to -1", 'pass layer="counts"'))
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
