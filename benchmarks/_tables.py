"""Targets and how a table over seeds is printed, for all scripts of this folder."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd


class Target(NamedTuple):
    """What the mean over seeds of a row has to reach: a number, or the best of some baselines less a slack."""

    column: str
    at_least: float | None = None
    beats: tuple[str, ...] = ()  # methods, see is_rival()
    slack: float = 0.0
    row: str = "OmicsMLM"


def is_rival(name: str, beaten: str) -> bool:
    """Whether a row is the method, of any dimension; "PCA (" stands for PCA of the model's dimension only."""
    return name.startswith(beaten) if beaten.endswith("(") else name == beaten or name.startswith(f"{beaten} (")


def verdicts(targets: Iterable[Target], means: pd.DataFrame) -> list[str]:
    """A line per target: reached or missed."""
    lines = []
    for target in targets:
        rivals = [name for name in means.index if any(is_rival(name, beaten) for beaten in target.beats)]
        if target.row not in means.index or (target.beats and not rivals):
            continue
        got = means.loc[target.row, target.column]
        best = max(rivals, key=lambda name: means.loc[name, target.column], default=None)
        bar = target.at_least if best is None else means.loc[best, target.column] - target.slack
        wanted = (
            f">= {bar:.3f}" if best is None else f"> {bar:.3f} ({best}{f' less {target.slack}' * (target.slack > 0)})"
        )
        reached = got >= bar if best is None or target.slack else got > bar
        lines.append(verdict(reached, f"{target.row}: {target.column} {got:.3f}, wanted {wanted}"))
    return lines


def verdict(reached: bool, what: str) -> str:
    """A line of the list of targets."""
    return f"{'reached' if reached else 'missed':8s} {what}"


def shown(tables: pd.DataFrame, columns: Sequence[str], sort_by: str) -> pd.DataFrame:
    """Mean and, for several seeds, standard deviation over seeds of each method, as text, the best first."""
    columns = [column for column in columns if column in tables]
    grouped = tables.groupby(level=0, sort=False)[columns]
    means, spreads, counts = grouped.mean(), grouped.std(), grouped.size()
    text = pd.DataFrame(index=means.index)
    for column in columns:
        digits = 0 if column in ("dimensions", "CPU-s") else 3
        text[column] = [
            "" if np.isnan(mean) else f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if n > 1 and digits else "")
            for mean, spread, n in zip(means[column], spreads[column], counts, strict=True)
        ]
    return text.loc[means[sort_by].sort_values(ascending=False).index]
