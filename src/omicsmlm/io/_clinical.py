"""Columns of a table of observations: numbers, yes and no, events, dates and categories, from text."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from omicsmlm._checks import named

CODES: dict[str, dict[str, float]] = {
    "died": {"deceased": 1, "dead": 1, "died": 1, "living": 0, "alive": 0, "lost to follow-up": 0},
    "yes": {"yes": 1, "no": 0},
    "true": {"true": 1, "false": 0},
    "event": {"event": 1, "censored": 0},
    "y": {"y": 1, "n": 0},
}
"""Texts, in lower case, that are 1 and 0."""
CODED = re.compile(r"([01])\s*:\s*(.+)")
"""Of cBioPortal: ``1:DECEASED``."""
SEXES = {"male": 1.0, "m": 1.0, "female": 0.0, "f": 0.0}
ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})([T ]\d{2}:\d{2}.*)?$")
NUMBERS_FIRST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4})$")
MOST_CATEGORIES = 50
"""Distinct texts up to which a column counts as one of categories, unless most of its texts occur once."""


class Understood(NamedTuple):
    """A column and what it was taken for."""

    column: pd.Series
    meaning: str
    is_date: bool = False
    is_binary: bool = False


def understood(name: str, column: pd.Series) -> Understood:
    """Return a column of texts as what it holds, and what that is in words.

    Parameters
    ----------
    name
        Its name.
    column
        Texts, missing where nothing is known.

    Returns
    -------
    Understood
        Numbers as float64; yes and no, living and deceased, 0:… and 1:… as 1.0 and 0.0; dates as ``datetime64``; other texts
        as categories, or as they are where most occur once.

    Examples
    --------
    >>> found = understood("OS_STATUS", pd.Series(["1:DECEASED", "0:LIVING", None]))
    >>> found.column.tolist(), found.meaning
    ([1.0, 0.0, nan], '1 = DECEASED, 0 = LIVING')
    """
    if not _is_text(column):
        is_whole = pd.api.types.is_bool_dtype(column.dtype)
        return Understood(column.astype(float) if is_whole else column, "as it is", is_binary=is_whole)
    texts = column.dropna().astype(str).str.strip()
    if not len(texts):
        return Understood(column.astype(object), "nothing known")
    as_number = pd.to_numeric(texts, errors="coerce")
    if as_number.notna().all():
        is_binary = bool(as_number.isin([0, 1]).all())
        return Understood(as_number.reindex(column.index).astype(float), "numbers", is_binary=is_binary)
    coded = _as_code(texts)
    if coded is not None:
        return Understood(coded.column.reindex(column.index), coded.meaning, is_binary=True)
    dates = _as_dates(texts)
    if dates is not None:
        return dates._replace(column=dates.column.reindex(column.index))
    n_distinct = texts.nunique()
    if n_distinct <= MOST_CATEGORIES and n_distinct <= max(2, len(texts) / 2):
        values = pd.Categorical(texts.reindex(column.index))
        return Understood(pd.Series(values, index=column.index, name=name), f"{n_distinct} categories")
    return Understood(column.astype(object).where(column.notna(), None), "texts")


def male(column: pd.Series) -> pd.Series | None:
    """Return 1 for male and 0 for female if that is what a column holds, else None.

    Examples
    --------
    >>> male(pd.Series(["Male", "FEMALE", None])).tolist()
    [1.0, 0.0, nan]
    """
    texts = column.dropna().astype(str).str.strip().str.lower()
    if not len(texts) or not texts.isin(list(SEXES)).all() or texts.nunique() < 2:
        return None
    return texts.map(SEXES).reindex(column.index)


def _is_text(column: pd.Series) -> bool:
    kind = column.dtype
    return pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind)


def _as_code(texts: pd.Series) -> Understood | None:
    """Return texts that are two codes as 1.0 and 0.0."""
    matches = [CODED.fullmatch(text) for text in texts]
    if all(matches):
        codes = pd.Series([float(match[1]) for match in matches if match], index=texts.index)
        meanings = {match[1]: match[2] for match in matches if match}
        return Understood(codes, ", ".join(f"{code} = {meanings[code]}" for code in sorted(meanings, reverse=True)))
    lowered = texts.str.lower()
    distinct = set(lowered)
    for known in CODES.values():
        if distinct <= set(known) and (len(distinct) > 1 or "y" not in known):
            meaning = ", ".join(f"{known[text.lower()]:g} = {text}" for text in sorted(set(texts)))
            return Understood(lowered.map(known), meaning)
    return None


def _as_dates(texts: pd.Series) -> Understood | None:
    """Return dates; None of texts that are none, or in which day and month cannot be told apart."""
    if all(ISO.fullmatch(text) for text in texts):
        parsed = pd.to_datetime(texts.str.replace(r"[/.]", "-", regex=True), errors="coerce", format="mixed")
        return None if parsed.isna().any() else Understood(parsed.astype("datetime64[ns]"), "dates", is_date=True)
    matches = [NUMBERS_FIRST.fullmatch(text) for text in texts]
    if not all(matches):
        return None
    first = max(int(match[1]) for match in matches if match)
    second = max(int(match[3]) for match in matches if match)
    dotted = all(match[2] == "." for match in matches if match)
    if not dotted and (first > 12) == (second > 12):
        return Understood(
            texts.astype(object), "texts: dates whose day and month cannot be told apart; write them as YYYY-MM-DD"
        )
    day, month = ("%d", "%m") if dotted or first > 12 else ("%m", "%d")
    normal = texts.str.replace(r"[./]", "-", regex=True)
    order = f"{day}-{'%m' if day == '%d' else month}-%Y" if day == "%d" else "%m-%d-%Y"
    parsed = pd.to_datetime(normal, format=order, errors="coerce")
    said = "day first" if day == "%d" else "month first"
    return None if parsed.isna().any() else Understood(parsed, f"dates, {said}", is_date=True)


def understood_table(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Understood], list[str]]:
    """Return a table of texts with its columns as what they hold, what each was taken for, and lines that say it.

    A column of sexes is a category, beside which ``<name>_male`` holds 1 and 0, so that it can be a covariate.
    """
    found = {str(name): understood(str(name), frame[name]) for name in frame.columns}
    columns = {name: part.column for name, part in found.items()}
    lines = []
    for name, part in list(found.items()):
        sex = male(part.column) if not part.is_binary and not part.is_date else None
        if sex is not None:
            columns[f"{name}_male"] = sex
            lines.append(f"column {name!r}: beside it {name}_male, 1 = male, 0 = female")
    by_meaning: dict[str, list[str]] = {}
    for name, part in found.items():
        by_meaning.setdefault(part.meaning, []).append(name)
    lines += [f"{named(names, 8)}: {meaning}" for meaning, names in by_meaning.items()]
    return pd.DataFrame(columns, index=frame.index), found, lines


def writable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose dates are texts (YYYY-MM-DD), as h5ad files hold no dates.

    Examples
    --------
    >>> writable(pd.DataFrame({"seen": pd.to_datetime(["2020-02-01", None])}))["seen"].tolist()
    ['2020-02-01', None]
    """
    changed = {}
    for name in frame.columns:
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype):
            texts = frame[name].dt.strftime("%Y-%m-%d").astype(object)
            changed[name] = texts.where(frame[name].notna(), None)
        elif pd.api.types.is_numeric_dtype(frame[name].dtype):
            changed[name] = frame[name].astype(np.float64) if frame[name].isna().any() else frame[name]
    return frame.assign(**changed)
