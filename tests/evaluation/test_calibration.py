import numpy as np
import pandas as pd
import pytest

from omicsmlm.evaluation import reliability


def test_a_hand_worked_case():
    probabilities = pd.DataFrame({"a": [0.95, 0.95, 0.62, 0.38], "b": [0.05, 0.05, 0.38, 0.62]})
    table = reliability(probabilities, ["a", "b", "a", None], n_bins=10)
    assert table.columns.tolist() == ["confidence", "accuracy", "n"]
    np.testing.assert_allclose(table, [[0.62, 1.0, 1], [0.95, 0.5, 2]])
    assert table.attrs["ECE"] == pytest.approx((0.38 * 1 + 0.45 * 2) / 3)


def test_probabilities_that_are_true_have_next_to_no_error():
    rng = np.random.default_rng(0)
    p_n = rng.uniform(0.5, 1, 100_000)
    truth = np.where(rng.random(len(p_n)) < p_n, "a", "b")
    table = reliability(pd.DataFrame({"a": p_n, "b": 1 - p_n}), truth)
    assert table.attrs["ECE"] < 0.01
    assert table["n"].sum() == len(p_n)
    np.testing.assert_allclose(table["confidence"], table["accuracy"], atol=0.03)


def test_a_label_that_is_no_column_is_a_wrong_call():
    assert reliability(pd.DataFrame({"a": [1.0]}), ["new"]).attrs["ECE"] == 1.0


@pytest.mark.parametrize(
    ("values", "truth", "n_bins", "message"),
    [
        ([0.5, 0.5], ["a", "b"], 15, "one label per observation, got 2 for 1 observations"),
        ([0.9, 0.5], ["a"], 15, "sum to 1 in each row"),
        ([1.5, -0.5], ["a"], 15, "sum to 1 in each row"),
        ([0.5, 0.5], ["a"], 0, "at least 1 bin, got 0"),
        ([0.5, 0.5], [None], 15, "observations with a label, got none"),
    ],
)
def test_wrong_input(values, truth, n_bins, message):
    with pytest.raises(ValueError, match=message):
        reliability(pd.DataFrame([values], columns=["a", "b"]), truth, n_bins)
