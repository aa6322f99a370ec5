"""The table of scores, of strata whose risks are known to be right or wrong."""

import re

import numpy as np
import pytest

from omicsmlm._cox import Times
from omicsmlm.models.survival import _evaluation
from omicsmlm.models.survival._evaluation import SCORES, Predicted, checked_times, score_table


def test_strata_are_scored_by_themselves_and_averaged():
    n = 30
    time_n = np.concatenate([np.arange(1.0, 21), np.arange(1.0, 11)])
    times = Times(time_n, np.ones(n, dtype=bool), np.repeat([0, 1], [20, 10]))
    risk_n = np.concatenate([-time_n[:20], time_n[20:]])  # all right in the first, all wrong in the second
    grid_t = np.array([3.0, 5.0, 7.0])
    exact_nt = (time_n[:, None] > grid_t).astype(float)
    wrong_nt = np.where(times.stratum_n[:, None] == 0, exact_nt, 1 - exact_nt)
    table = score_table(Predicted(risk_n, wrong_nt, np.full((n, 3), 0.5)), grid_t, times, ["north", "south"])
    assert table["C-index"].loc[["north", "south", "mean"]].tolist() == [1, 0, 0.5]
    assert table["C-index"]["weighted"] == pytest.approx(2 / 3)
    np.testing.assert_allclose(table["Brier"].loc[["north", "south", "mean"]].astype(float), [0, 1, 0.5], atol=1e-6)
    assert table["Brier"]["weighted"] == pytest.approx(1 / 3)
    np.testing.assert_allclose(table["Brier, no risk"].astype(float), 0.25, atol=1e-6)
    assert table["calibration error"]["north"] < 0.05
    # of five groups of two, that of the times 5 and 6 holds one that is predicted of each kind: right on average
    assert table["calibration error"]["south"] == pytest.approx(0.8)
    few = score_table(
        Predicted(risk_n[:9], exact_nt[:9], exact_nt[:9]), grid_t, times.only(np.arange(9)), ["north", "south"]
    )
    assert few.loc["north", SCORES].isna().all()


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _evaluation.N_GROUPS == 5


def test_times_are_checked():
    assert checked_times(3).tolist() == [3.0]
    assert checked_times([]).tolist() == []
    for times, message in (
        ("soon", "times: expected numbers, got 'soon'; pass times in the unit of training"),
        (np.ones((2, 2)), "times: expected one list of times, got an array of shape (2, 2); pass times.ravel()"),
        ([1, -2], "times: expected times that are not negative, got "),
        ([np.nan], "times: expected times that are not negative, got "),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            checked_times(times)
