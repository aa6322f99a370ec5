"""How many known pairs of genes, or of perturbations, stand out in an embedding of them."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm._dense import dense

_MOST_PAIRS = 60_000_000
"""Pairs up to which the two tails are exact; a random sample of as many beyond."""
_COLUMNS = ("gene_a", "gene_b")
_CLASSES = 10
"""Classes of equal size into which names are sorted by the number that they are matched on."""


@in_one_sentence_of_types
def relationship_recall(
    embedding: Any,
    names: Sequence[str] | pd.Index,
    pairs: pd.DataFrame,
    *,
    tail: float = 0.05,
    matched_on: Any = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the fraction of known pairs whose cosine is among the lowest or the highest of all pairs.

    Both tails count: partners of a complex have similar profiles, an inhibitor and what it inhibits opposite ones. By
    chance the recall is 2 · `tail`.

    Known pairs are mostly of abundant genes, and in many embeddings abundant genes have larger cosines, whatever they
    do: each gene's mean expression beside random numbers can recall more than principal components of genes do.
    `matched_on` the mean expression, a pair is compared with pairs of genes as abundant as its own, and that embedding
    is left at chance.

    Parameters
    ----------
    embedding
        (g, d) of genes or perturbations, finite; see :meth:`omicsmlm.TxFM.get_feature_embedding` for post-processing.
    names
        (g,) their names, distinct.
    pairs
        Known pairs in columns ``gene_a`` and ``gene_b``, in any order and more than once, and optionally ``source``.
    tail
        Fraction of all g (g − 1) / 2 pairs in either tail; below a half. Where all cosines are equal, no pair is in a
        tail.
    matched_on
        (g,) a number of each name: names are sorted by it into ten classes of equal size, and each pair is compared
        with the pairs of the same two classes. None: with all pairs.
    seed
        Seed of the sample of pairs from which the tails are taken, where there are more than 60 million.

    Returns
    -------
    DataFrame
        Per source (``all`` without that column): ``n`` distinct pairs of which both are there, ``recall``, and of it
        ``low`` and ``high``. ``attrs``: ``thresholds``, the two cosines, if nothing is matched.

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
    x_gd, index = dense(embedding, np.float64), pd.Index(names)
    _check(x_gd, index, pairs, tail)
    class_g = _classes(matched_on, len(index))
    unit_gd = (x_gd / np.maximum(np.linalg.norm(x_gd, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    low_cc, high_cc = _thresholds(unit_gd, class_g, tail, seed)
    rows = {}
    sources = pairs["source"] if "source" in pairs else pd.Series("all", index=pairs.index)
    for source, known in pairs.groupby(sources):
        a, b = (index.get_indexer(known[column].astype(str)) for column in _COLUMNS)
        there = (a >= 0) & (b >= 0) & (a != b)
        ends = np.unique(np.sort(np.stack([a[there], b[there]], 1), axis=1), axis=0)
        if not len(ends):
            continue
        cosine_p = np.einsum("pd,pd->p", unit_gd[ends[:, 0]], unit_gd[ends[:, 1]])
        low_p, high_p = (part[class_g[ends[:, 0]], class_g[ends[:, 1]]] for part in (low_cc, high_cc))
        is_low, is_high = (
            float((tail_p & (low_p < high_p)).mean()) for tail_p in (cosine_p <= low_p, cosine_p >= high_p)
        )
        rows[source] = {"n": len(ends), "recall": is_low + is_high, "low": is_low, "high": is_high}
    if not rows:
        found = f"none, among names such as {named(index[:2])}"
        raise value_error("pairs", "a pair of which both are there", found, "use the same kind of names in both")
    table = pd.DataFrame.from_dict(rows, orient="index")
    if matched_on is None:
        table.attrs["thresholds"] = float(low_cc[0, 0]), float(high_cc[0, 0])
    return table


def _check(x_gd: np.ndarray, index: pd.Index, pairs: pd.DataFrame, tail: float) -> None:
    if x_gd.ndim != 2 or len(x_gd) != len(index) or len(index) < 3 or not np.isfinite(x_gd).all():
        found = f"shape {x_gd.shape} for {len(index)} names" if np.isfinite(x_gd).all() else "NaN or infinity"
        raise value_error("embedding", "finite values (g, d), one row per name, of 3 names or more", found, "pass such")
    if not index.is_unique:
        raise value_error(
            "names", "distinct names", f"duplicates {named(index[index.duplicated()])}", "leave one of each"
        )
    missing = [column for column in _COLUMNS if column not in pairs]
    if missing:
        raise value_error("pairs", f"columns {named(_COLUMNS)}", f"{named(pairs.columns)}", "rename them")
    if not 0 < tail < 0.5:
        raise value_error("tail", "a share between 0 and 0.5", str(tail), "pass 0.05, say")


def _classes(matched_on: Any, n_names: int) -> np.ndarray:
    """Sort names into classes by a number of each; into one where there is none."""
    if matched_on is None:
        return np.zeros(n_names, dtype=int)
    number_g = np.asarray(matched_on, dtype=np.float64)
    if number_g.shape != (n_names,) or not np.isfinite(number_g).all():
        found = f"shape {number_g.shape} for {n_names} names" if np.isfinite(number_g).all() else "NaN or infinity"
        raise value_error(
            "matched_on", "a finite number of each name", found, "pass the mean expression of the genes, say"
        )
    n_classes = min(_CLASSES, n_names // 2)
    return number_g.argsort(kind="stable").argsort() * n_classes // n_names


def _thresholds(unit_gd: np.ndarray, class_g: np.ndarray, tail: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the cosines that bound the lower and the upper tail of the pairs of any two classes, (c, c) each."""
    members = [unit_gd[class_g == c] for c in range(int(class_g.max()) + 1)]
    n = len(members)
    low_cc, high_cc = np.empty((n, n)), np.empty((n, n))
    most = _MOST_PAIRS // (n * (n + 1) // 2)
    for a, b in itertools.combinations_with_replacement(range(n), 2):
        cosine_p = _cosines(members[a], None if a == b else members[b], most, seed)
        low_cc[[a, b], [b, a]], high_cc[[a, b], [b, a]] = np.quantile(cosine_p, [tail, 1 - tail])
    return low_cc, high_cc


def _cosines(unit_ad: np.ndarray, unit_bd: np.ndarray | None, most: int, seed: int) -> np.ndarray:
    """Cosines of all pairs of two sets, or within one, or of a sample of so many of them, float32."""
    a = len(unit_ad)
    if unit_bd is not None and a * len(unit_bd) <= most:
        return (unit_ad @ unit_bd.T).ravel()
    if unit_bd is None and a * (a - 1) // 2 <= most:
        return np.concatenate([unit_ad[i + 1 :] @ unit_ad[i] for i in range(a - 1)])
    rng = np.random.default_rng(seed)
    first_p = rng.integers(a, size=most)
    if unit_bd is None:
        unit_bd, second_p = unit_ad, (first_p + rng.integers(1, a, size=most)) % a
    else:
        second_p = rng.integers(len(unit_bd), size=most)
    blocks = np.array_split(np.arange(most), 200)
    return np.concatenate([np.einsum("pd,pd->p", unit_ad[first_p[p]], unit_bd[second_p[p]]) for p in blocks])
