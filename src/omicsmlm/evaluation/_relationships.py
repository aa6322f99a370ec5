"""How many known pairs of genes, or of perturbations, stand out in an embedding of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._checks import mistake, named

_MOST_PAIRS = 60_000_000
"""Pairs up to which the two tails are exact; a random sample of as many beyond."""
_COLUMNS = ("gene_a", "gene_b")


def relationship_recall(
    embedding: Any, names: Sequence[str] | pd.Index, pairs: pd.DataFrame, *, tail: float = 0.05, seed: int = 0
) -> pd.DataFrame:
    """Give the share of known pairs whose cosine is among the lowest or the highest of all pairs.

    Both tails count: partners of a complex have similar profiles, an inhibitor and what it inhibits opposite ones. By
    chance the recall is 2 · `tail`.

    Parameters
    ----------
    embedding
        (g, d) of genes or perturbations, finite; see :meth:`omicsmlm.TxFM.get_feature_embedding` for post-processing.
    names
        (g,) their names, distinct.
    pairs
        Known pairs in columns ``gene_a`` and ``gene_b``, in any order and more than once, and optionally ``source``.
    tail
        Share of all g (g − 1) / 2 pairs in either tail; below a half.
    seed
        Seed of the sample of pairs from which the tails are taken, where there are more than 60 million.

    Returns
    -------
    DataFrame
        Per source (``all`` without that column): ``n`` distinct pairs of which both are there, ``recall``, and of it
        ``low`` and ``high``. ``attrs``: ``thresholds``, the two cosines.

    Raises
    ------
    ValueError
        If shapes disagree, names repeat, there are fewer than three, a column lacks, or no pair is there.

    Examples
    --------
    >>> angle = np.radians([0, 1, 60, 120, 170])
    >>> table = pd.DataFrame({"gene_a": ["a"], "gene_b": ["b"]})
    >>> relationship_recall(np.stack([np.cos(angle), np.sin(angle)], 1), list("abcde"), table)["recall"].tolist()
    [1.0]
    """
    x_gd, index = np.asarray(embedding, dtype=np.float64), pd.Index(names)
    _check(x_gd, index, pairs, tail)
    unit_gd = (x_gd / np.maximum(np.linalg.norm(x_gd, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    low, high = np.quantile(_cosines(unit_gd, seed), [tail, 1 - tail])
    rows = {}
    sources = pairs["source"] if "source" in pairs else pd.Series("all", index=pairs.index)
    for source, known in pairs.groupby(sources):
        a, b = (index.get_indexer(known[column].astype(str)) for column in _COLUMNS)
        there = (a >= 0) & (b >= 0) & (a != b)
        ends = np.unique(np.sort(np.stack([a[there], b[there]], 1), axis=1), axis=0)
        if not len(ends):
            continue
        cosine_p = np.einsum("pd,pd->p", unit_gd[ends[:, 0]], unit_gd[ends[:, 1]])
        is_low, is_high = float((cosine_p <= low).mean()), float((cosine_p >= high).mean())
        rows[source] = {"n": len(ends), "recall": is_low + is_high, "low": is_low, "high": is_high}
    if not rows:
        found = f"none, among names such as {named(index[:2])}"
        raise mistake("pairs", "a pair of which both are there", found, "use the same kind of names in both")
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs["thresholds"] = float(low), float(high)
    return table


def _check(x_gd: np.ndarray, index: pd.Index, pairs: pd.DataFrame, tail: float) -> None:
    if x_gd.ndim != 2 or len(x_gd) != len(index) or len(index) < 3 or not np.isfinite(x_gd).all():
        found = f"shape {x_gd.shape} for {len(index)} names" if np.isfinite(x_gd).all() else "NaN or infinity"
        raise mistake("embedding", "finite values (g, d), one row per name, of 3 names or more", found, "pass such")
    if not index.is_unique:
        raise mistake("names", "distinct names", f"duplicates {named(index[index.duplicated()])}", "leave one of each")
    missing = [column for column in _COLUMNS if column not in pairs]
    if missing:
        raise mistake("pairs", f"columns {named(_COLUMNS)}", f"{named(pairs.columns)}", "rename them")
    if not 0 < tail < 0.5:
        raise mistake("tail", "a share between 0 and 0.5", str(tail), "pass 0.05, say")


def _cosines(unit_gd: np.ndarray, seed: int) -> np.ndarray:
    """Cosines of all pairs, or of a sample of them, float32."""
    g = len(unit_gd)
    if g * (g - 1) // 2 <= _MOST_PAIRS:
        return np.concatenate([unit_gd[i + 1 :] @ unit_gd[i] for i in range(g - 1)])
    rng = np.random.default_rng(seed)
    a, shift = rng.integers(g, size=_MOST_PAIRS), rng.integers(1, g, size=_MOST_PAIRS)
    blocks = np.array_split(np.arange(_MOST_PAIRS), 200)
    return np.concatenate([np.einsum("pd,pd->p", unit_gd[a[p]], unit_gd[(a[p] + shift[p]) % g]) for p in blocks])
