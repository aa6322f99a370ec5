"""Time to an event and age, from dates or from the columns that public tables have for them; only where that is unambiguous."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ._clinical import Understood

TIME, EVENT, AGE = "time_days", "event", "age_years"
"""Columns that are derived: days from diagnosis to death or last follow-up, whether that was death, age at diagnosis."""
DAYS_PER_MONTH, DAYS_PER_YEAR = 30.4375, 365.25
DATES = {
    "birth": re.compile(r"birth|(^|[^a-z])dob($|[^a-z])", re.IGNORECASE),
    "diagnosis": re.compile(r"diagnos|(^|[^a-z])dx($|[^a-z])", re.IGNORECASE),
    "death": re.compile(r"death|deceased|died", re.IGNORECASE),
    "follow-up": re.compile(r"follow.?up|last.?(contact|seen|visit|alive|known)|censor", re.IGNORECASE),
}
DAYS_TO_DEATH = re.compile(r"(^|\.)days_to_death$", re.IGNORECASE)
DAYS_TO_FOLLOW_UP = re.compile(r"(^|\.)days_to_last_follow_?up$", re.IGNORECASE)
VITAL_STATUS = re.compile(r"(^|\.)(vital_status|vital\.status|status_vital)$", re.IGNORECASE)
PAIRS = (("OS_MONTHS", "OS_STATUS", DAYS_PER_MONTH), ("OS.time", "OS", 1.0))
"""Overall survival: columns of cBioPortal and of UCSC Xena, and their unit in days."""


def derived(frame: pd.DataFrame, found: Mapping[str, Understood]) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with columns of times beside its own, and lines that say how they were made.

    Nothing is derived where two columns could be meant, and no column that is there is replaced.

    Parameters
    ----------
    frame
        Columns as :func:`understood_table` returns them, dates as ``datetime64``.
    found
        What they were taken for.

    Examples
    --------
    >>> dates = {"diagnosis": pd.to_datetime(["2020-01-01"]), "death": pd.to_datetime(["2020-01-31"])}
    >>> frame = pd.DataFrame(dates | {"last_contact": pd.to_datetime(["2020-01-31"])})
    >>> found = {name: Understood(frame[name], "dates", is_date=True) for name in frame}
    >>> derived(frame, found)[0][["time_days", "event"]].values.tolist()
    [[30.0, 1.0]]
    """
    made, lines = frame.copy(), []
    dates = {role: _only(pattern, [n for n, u in found.items() if u.is_date]) for role, pattern in DATES.items()}
    for columns, line in (
        _age(frame, dates),
        _times_of_dates(frame, dates),
        _times_of_days(frame, found),
        _times_of_pairs(frame, found),
    ):
        new = {name: values for name, values in columns.items() if name not in made}
        if new and len(new) == len(columns):
            made = made.assign(**new)
            lines.append(line)
    return made, lines


def _only(pattern: re.Pattern[str], names: list[str]) -> str | None:
    """Return the one name that a pattern matches; None where there is none or several."""
    matching = [name for name in names if pattern.search(name)]
    return matching[0] if len(matching) == 1 else None


def _age(frame: pd.DataFrame, dates: Mapping[str, str | None]) -> tuple[dict[str, pd.Series], str]:
    birth, diagnosis = dates["birth"], dates["diagnosis"]
    if birth is None or diagnosis is None:
        return {}, ""
    years = (frame[diagnosis] - frame[birth]).dt.days / DAYS_PER_YEAR
    return {AGE: years}, f"{AGE}: years from {birth!r} to {diagnosis!r}"


def _times_of_dates(frame: pd.DataFrame, dates: Mapping[str, str | None]) -> tuple[dict[str, pd.Series], str]:
    start, death, last = dates["diagnosis"], dates["death"], dates["follow-up"]
    if start is None or death is None or last is None:
        return {}, ""
    died = frame[death].notna()
    end = frame[death].where(died, frame[last])
    line = f"from {start!r} to {death!r}, or to {last!r} of those without"
    return _checked((end - frame[start]).dt.days, died.astype(float), line)


def _times_of_days(frame: pd.DataFrame, found: Mapping[str, Understood]) -> tuple[dict[str, pd.Series], str]:
    names = list(found)
    death, last, status = (_only(p, names) for p in (DAYS_TO_DEATH, DAYS_TO_FOLLOW_UP, VITAL_STATUS))
    if death is None or last is None or status is None or not found[status].is_binary:
        return {}, ""
    died = frame[status]
    days = pd.to_numeric(frame[death].where(died == 1, frame[last]), errors="coerce")
    return _checked(days, died, f"{death!r} of those that {status!r} says have died, else {last!r}")


def _times_of_pairs(frame: pd.DataFrame, found: Mapping[str, Understood]) -> tuple[dict[str, pd.Series], str]:
    by_name = {name.lower(): name for name in found}
    for time, event, days in PAIRS:
        time_name, event_name = by_name.get(time.lower()), by_name.get(event.lower())
        if time_name is None or event_name is None or not found[event_name].is_binary:
            continue
        if not pd.api.types.is_numeric_dtype(frame[time_name].dtype):
            continue
        unit = "" if days == 1 else f" × {days:g}"
        return _checked(frame[time_name] * days, frame[event_name], f"{time_name!r}{unit}, event {event_name!r}")
    return {}, ""


def _checked(days: pd.Series, event: pd.Series, line: str) -> tuple[dict[str, pd.Series], str]:
    """Return time and event, missing where either is or the time is negative."""
    days, event = days.astype(np.float64), event.astype(np.float64)
    wrong = days < 0
    known = days.notna() & event.notna() & ~wrong
    said = f"{TIME} and {EVENT} (1 = death) of {int(known.sum()):,} observations: {line}"
    if wrong.any():
        said += f"; {int(wrong.sum())} negative times are left out"
    return {TIME: days.where(known), EVENT: event.where(known)}, said
