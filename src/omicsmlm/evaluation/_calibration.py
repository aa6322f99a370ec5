"""Calibration of probabilities: of the observations predicted with 80 %, 80 % should be right."""

from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error


@in_one_sentence_of_types
def reliability(probabilities: pd.DataFrame, truth: Any, n_bins: int = 15) -> pd.DataFrame:
    r"""Compare, in bins of the largest probability, how sure a classifier is with how often it is right.

    Parameters
    ----------
    probabilities
        (n_obs, n_labels), columns named by label; rows sum to 1.
    truth
        (n_obs,) labels; observations whose label is missing are left out. A label that is no column counts as a wrong
        call.
    n_bins
        Number of bins of equal width from 0 to 1.

    Returns
    -------
    DataFrame
        One row per bin that holds observations: ``confidence`` (mean largest probability), ``accuracy`` (fraction of
        right calls), ``n``. ``attrs["ECE"]`` is the expected calibration error (Guo et al. 2017, equation 3): the mean
        of \|accuracy − confidence\|, weighted by n.

    Raises
    ------
    ValueError
        If lengths disagree, no observation has a label, or the values are no probabilities.

    Examples
    --------
    >>> sure = pd.DataFrame({"a": [0.9, 0.9], "b": [0.1, 0.1]})
    >>> table = reliability(sure, ["a", "b"])
    >>> float(table["accuracy"].iloc[0]), round(table.attrs["ECE"], 3)
    (0.5, 0.4)
    """
    p_nc = probabilities.to_numpy(dtype=np.float64)
    truth_n = pd.Series(np.asarray(truth, dtype=object))
    if len(truth_n) != len(p_nc):
        found = f"{len(truth_n)} for {len(p_nc)} observations"
        raise value_error("reliability", "one label per observation", found, "pass the same observations")
    if not np.isfinite(p_nc).all() or p_nc.min(initial=0) < 0 or not np.allclose(p_nc.sum(1), 1, atol=1e-3):
        remedy = "pass what predict(soft=True) gives"
        raise value_error("reliability", "probabilities that sum to 1 in each row", "other values", remedy)
    if n_bins < 1:
        raise value_error("reliability", "at least 1 bin", str(n_bins), "pass 15, say")
    kept_n = truth_n.notna().to_numpy()
    if not kept_n.any():
        raise value_error("reliability", "observations with a label", "none", "pass the column that holds the truth")
    confidence_n = p_nc[kept_n].max(1)
    called_n = probabilities.columns.astype(str).to_numpy()[p_nc[kept_n].argmax(1)]
    right_n = called_n == truth_n[kept_n].astype(str).to_numpy()
    bin_n = np.minimum((confidence_n * n_bins).astype(int), n_bins - 1)
    rows = pd.DataFrame({"bin": bin_n, "confidence": confidence_n, "accuracy": right_n.astype(float), "n": 1})
    table = rows.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "n": "sum"}).reset_index(drop=True)
    gap_b = (table["accuracy"] - table["confidence"]).abs()
    table.attrs["ECE"] = float((gap_b * table["n"]).sum() / table["n"].sum())
    return table
