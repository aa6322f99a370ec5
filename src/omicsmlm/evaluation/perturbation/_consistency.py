"""Whether observations of one perturbation point the same way."""

from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm.evaluation.perturbation._controls import checked, labels


@in_one_sentence_of_types
def consistency(
    embedding: Any,
    perturbations: Any,
    is_control: Any,
    batches: Any = None,
    *,
    n_null: int = 1000,
    level: float = 0.01,
    min_rows: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Test each perturbation for whether its observations agree more than observations drawn at random.

    The agreement of m observations is their mean leave-one-out cosine,

    .. math:: s = \frac{1}{m} \sum_i \cos\Big(x_i, \sum_{j \ne i} x_j\Big).

    Its null is that of `n_null` draws of as many observations without replacement from all observations, controls among
    them; with batches, of as many observations of each batch as the perturbation has there, so that a batch effect is
    no agreement. The p value is (1 + draws of at least s) / (1 + n_null).

    Parameters
    ----------
    embedding
        (n, d), best centred on controls: cosines then are of directions away from them.
    perturbations
        (n,) names.
    is_control
        (n,) bool: observations that are drawn from, but not tested.
    batches
        (n,) batches, or None.
    n_null
        Draws; more than 1 / `level`.
    level
        A p value below it counts as consistent.
    min_rows
        Perturbations of fewer observations are left out, named in ``attrs["left_out"]``.
    seed
        Seed of the draws.

    Returns
    -------
    DataFrame
        Per perturbation ``n``, ``cosine`` (s), ``null`` (mean of its null) and ``p``. ``attrs["fraction"]``: the fraction
        of perturbations with p < `level`.

    Raises
    ------
    ValueError
        If shapes disagree, the embedding is not finite, there are too few draws, or no perturbation is left.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> names = np.repeat(["control", "a", "b"], 20)
    >>> x = rng.normal(size=(60, 5)) + 3 * (names == "a")[:, None]  # only a does something
    >>> found = consistency(x, names, names == "control")
    >>> (found["p"] < 0.01).to_dict(), found.attrs["fraction"]
    ({'a': True, 'b': False}, 0.5)
    """
    x_nd, control_n, batch_n = checked(embedding, is_control, batches, fewest=0)
    name_n = labels("perturbations", perturbations, len(x_nd))
    if (1 + n_null) * level <= 1:
        raise value_error(
            "n_null", f"more than {1 / level:g} draws for the level {level:g}", str(n_null), "pass 1000, say"
        )
    counts = pd.Series(name_n[~control_n]).value_counts()
    tested = sorted(counts.index[counts >= max(min_rows, 2)])
    if not tested:
        found = "none"
        raise value_error("perturbations", f"one with {min_rows} observations or more", found, "lower min_rows")
    rng, nulls, rows = np.random.default_rng(seed), {}, {}
    members = [np.flatnonzero(batch_n == batch) for batch in np.unique(batch_n)]
    for name in tested:
        own_n = (name_n == name) & ~control_n
        needed = tuple(int(own_n[member].sum()) for member in members)
        if needed not in nulls:
            nulls[needed] = np.array([agreement(x_nd[_drawn(members, needed, rng)]) for _ in range(n_null)])
        cosine = agreement(x_nd[own_n])
        p = (1 + (nulls[needed] >= cosine).sum()) / (1 + n_null)
        rows[name] = {"n": int(own_n.sum()), "cosine": cosine, "null": nulls[needed].mean(), "p": p}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs.update(fraction=float((table["p"] < level).mean()), left_out=sorted(set(counts.index) - set(tested)))
    return table


def agreement(x_md: np.ndarray) -> float:
    """Compute the mean cosine of each of several observations with the sum of all others; 0 where either has no length."""
    sum_d, squares_m = x_md.sum(0), np.square(x_md).sum(1)
    product_m = x_md @ sum_d
    others_m = np.maximum(sum_d @ sum_d - 2 * product_m + squares_m, 0)
    length_m = np.sqrt(squares_m * others_m)
    cosine_m = np.divide(product_m - squares_m, length_m, out=np.zeros(len(x_md)), where=length_m > 1e-12)
    return float(cosine_m.clip(-1, 1).mean())


def _drawn(members: list[np.ndarray], needed: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.choice(rows, n, replace=False) for rows, n in zip(members, needed, strict=True)])
