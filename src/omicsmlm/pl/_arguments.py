"""What figures are given, checked before anything is drawn: tables, objects, names of columns, headings."""

from collections.abc import Iterable
from typing import Any

import anndata as ad
import mudata as md
import pandas as pd

from omicsmlm._checks import check_type, named, shortened, value_error

OBJECTS = (ad.AnnData, md.MuData)


def check_table(value: object, *, numbers: Iterable[str] | None = ()) -> None:
    """Check that an argument ``table`` is a DataFrame, each of whose columns is there once.

    Parameters
    ----------
    value
        What the user gave.
    numbers
        Columns that hold numbers; None for all.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> check_table(pd.DataFrame({"accuracy": [0.5]}), numbers=None)
    """
    remedy = "pass the table that the function of omicsmlm.evaluation returns"
    check_type("table", value, pd.DataFrame, "a DataFrame", remedy)
    assert isinstance(value, pd.DataFrame)
    if not value.columns.is_unique:
        raise value_error("table", "each column once", "columns twice", remedy)
    asked = list(value) if numbers is None else [name for name in numbers if name in value]
    odd = [str(name) for name in asked if not pd.api.types.is_numeric_dtype(value[name])]
    if odd:
        raise value_error("table", f"numbers in the columns {named(odd)}", "other values", remedy)


def check_heading(value: object) -> None:
    """Check that an argument ``title`` is a text, or None."""
    check_type("title", value, (str, type(None)), "a text", "leave it out for none")


def check_object(value: object, argument: str = "data") -> None:
    """Check that an argument is an AnnData or MuData."""
    check_type(argument, value, OBJECTS, "an AnnData or MuData", "pass the object that the model was made of")


def check_imputed(value: object) -> None:
    """Check that an argument ``imputed`` is a DataFrame, or None."""
    check_type("imputed", value, (pd.DataFrame, type(None)), "a DataFrame", "pass model.impute(…)")


def names_of(argument: str, value: Any) -> list[str]:
    """Return names that the user gave as one text or several.

    Raises
    ------
    ValueError
        If they are anything else.

    Examples
    --------
    >>> names_of("color", "batch"), names_of("color", ("batch", "type"))
    (['batch'], ['batch', 'type'])
    """
    listed = [value] if isinstance(value, str) else value
    is_listed = isinstance(listed, Iterable) and not isinstance(listed, bytes | type)
    names = list(listed) if is_listed else [value]
    if not all(isinstance(name, str) for name in names):
        raise value_error(argument, "a name, or a list of names", shortened(value), "pass names as text")
    return names
