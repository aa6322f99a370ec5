import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from omicsmlm import pl
from omicsmlm.pl._reliability import _interval


@pytest.fixture
def table():
    table = pd.DataFrame({"confidence": [0.9, 0.5, 0.3], "accuracy": [0.8, 0.6, 0.0], "n": [30, 10, 0]})
    table.attrs["ECE"] = 0.1
    return table


def test_accuracy_stands_over_confidence_and_bins_without_rows_are_left_out(table, tmp_path):
    figure = pl.reliability(table, title="Toy", save=tmp_path / "reliability.png")
    upper, lower = figure.axes
    curve = upper.lines[1]
    assert (curve.get_xdata().tolist(), curve.get_ydata().tolist()) == ([0.5, 0.9], [0.6, 0.8])
    gaps = [segment.tolist() for segment in upper.collections[1].get_segments()]
    assert gaps == [[[0.5, 0.5], [0.5, 0.6]], [[0.9, 0.9], [0.9, 0.8]]]
    assert [bar.get_height() for bar in lower.patches] == [0.25, 0.75]
    assert [bar.get_x() + bar.get_width() / 2 for bar in lower.patches] == pytest.approx([0.5, 0.9])
    assert [text.get_text() for text in upper.texts] == ["ECE 0.100"]
    assert "40 observations" in lower.get_ylabel()
    assert (tmp_path / "reliability.png").stat().st_size > 5000


def test_without_an_error_none_is_written(table):
    del table.attrs["ECE"]
    assert len(pl.reliability(table).axes[0].texts) == 0


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 10), (1, 1), (990, 1000)])
def test_intervals_are_those_of_wilson(right, n):
    low, high = _interval(np.array([right / n]), np.array([float(n)]))
    wanted = binomtest(right, n).proportion_ci(method="wilson")
    np.testing.assert_allclose([low[0], high[0]], [wanted.low, wanted.high], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"columns": ["confidence"]},
            "table: expected the columns .* got one without 'accuracy', 'n'; pass evaluation",
        ),
        ({"n": 0}, "table: expected at least one bin with observations, got none; pass evaluation.reliability"),
        ({"accuracy": 80}, "table: expected fractions from 0 to 1, got other values; pass evaluation.reliability"),
        ({"accuracy": np.nan}, "table: expected fractions from 0 to 1, got other values"),
    ],
)
def test_wrong_input_gets_a_sentence(table, changes, words):
    wrong = table[changes["columns"]] if "columns" in changes else table.assign(**changes)
    with pytest.raises(ValueError, match=words):
        pl.reliability(wrong)
