"""How well counts are predicted linearly from an embedding."""

from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm.evaluation.perturbation._controls import finite, labels

_STRENGTHS = np.logspace(-1, 5, 7)
"""Ridge strengths among which leave-one-out error on the training observations chooses."""


@in_one_sentence_of_types
def inversion(embedding: Any, log_counts: Any, batches: Any) -> pd.DataFrame:
    r"""Predict log counts from an embedding by ridge regression, in batches held out from it.

    Parameters
    ----------
    embedding
        (n, d), finite; standardised on the training observations.
    log_counts
        (n, g) dense log counts, such as log(1 + 10⁴ x / depth).
    batches
        (n,) batches, two at least; each is held out in turn.

    Returns
    -------
    DataFrame
        Per held-out batch and ``mean``: ``R2``, :math:`1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2` over all
        observations and genes, with the gene means of the training observations; ``pearson``, the mean over genes that
        vary there of the correlation of y and ŷ.

    Raises
    ------
    ValueError
        If shapes disagree, values are not finite, or there are not two batches.
    """
    from sklearn.linear_model import RidgeCV

    x_nd, y_ng = finite(embedding), finite(log_counts)
    batch_n = labels("batches", batches, len(x_nd))
    if len(y_ng) != len(x_nd):
        raise value_error(
            "log_counts",
            f"{len(x_nd)} observations, as the embedding has",
            str(len(y_ng)),
            "pass the same observations",
        )
    if len(np.unique(batch_n)) < 2:
        raise value_error("batches", "at least two", "1", "pass another column")
    rows = {}
    for batch in np.unique(batch_n):
        test_n = batch_n == batch
        mean_d, deviation_d = x_nd[~test_n].mean(0), x_nd[~test_n].std(0)
        scaled_nd = (x_nd - mean_d) / np.where(deviation_d > 1e-9, deviation_d, 1)
        guess_mg = RidgeCV(_STRENGTHS).fit(scaled_nd[~test_n], y_ng[~test_n]).predict(scaled_nd[test_n])
        guess_mg = np.asarray(guess_mg).reshape(-1, y_ng.shape[1])
        truth_mg, base_g = y_ng[test_n], y_ng[~test_n].mean(0)
        r2 = 1 - np.square(truth_mg - guess_mg).sum() / max(np.square(truth_mg - base_g).sum(), 1e-12)
        rows[batch] = {"R2": float(r2), "pearson": _correlation(truth_mg, guess_mg)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return pd.concat([table, table.mean().to_frame("mean").T])


def _correlation(truth_mg: np.ndarray, guess_mg: np.ndarray) -> float:
    """Average the correlation over genes that vary; it is 0 of one whose prediction does not."""
    truth_mg, guess_mg = truth_mg - truth_mg.mean(0), guess_mg - guess_mg.mean(0)
    size_g, guessed_g = np.square(truth_mg).sum(0), np.square(guess_mg).sum(0)
    varies_g = size_g > 1e-12
    length_g = np.sqrt(size_g * guessed_g)
    r_g = np.divide((truth_mg * guess_mg).sum(0), length_g, out=np.zeros(len(size_g)), where=length_g > 1e-12)
    return float(r_g[varies_g].mean()) if varies_g.any() else float("nan")
