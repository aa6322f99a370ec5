import numpy as np
import pandas as pd
import pytest

from omicsmlm import pl
from omicsmlm.pl._dropout import _places


@pytest.fixture
def table():
    columns = pd.MultiIndex.from_product([["both", "RNA only"], ["k-NN", "linear probe"]])
    values = [[0.9, 0.8, 0.7004, 0.6], [0.5, 0.85, 0.7001, np.nan]]
    return pd.DataFrame(values, index=["ours", "theirs"], columns=columns)


def values(figure):
    return {
        text.get_text(): text.get_fontweight()
        for text in figure.axes[0].texts
        if text.get_text()[:1] in "01–" and text.get_text()
    }


def test_the_best_of_each_column_is_bold(table, tmp_path):
    figure = pl.dropout_table(table, title="Toy", save=tmp_path / "dropout.png")
    assert values(figure) == {
        "0.900": "bold",
        "0.500": "normal",
        "0.800": "normal",
        "0.850": "bold",
        "0.700": "bold",
        "0.600": "bold",
        "–": "normal",
    }
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    assert bold.count("0.700") == 2, "what reads alike is equally good"
    assert {"both", "RNA only"} <= set(bold)
    assert (tmp_path / "dropout.png").stat().st_size > 5000


def test_values_stand_in_the_row_and_column_of_their_names(table):
    axes = pl.dropout_table(table, digits=2).axes[0]
    at = {text.get_text(): text.get_position() for text in axes.texts}
    assert at["0.90"] == (0.5, 0)
    assert at["0.85"] == (1.5, 1)
    assert at["0.60"] == (3.75, 0)
    assert (at["ours"][1], at["theirs"][1]) == (0, 1)
    assert at["both"][0] == 1
    assert at["RNA only"][0] == 3.25
    assert _places(["a", "a", "b", "c"]) == [0, 1, 2.25, 3.5]


def test_headings_do_not_overlap():
    measured = ["both", "RNA only", "ATAC only", "RNA at 20 % of its counts"]
    figure = pl.dropout_table(pd.DataFrame(np.eye(3, 4), index=list("abc"), columns=measured))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 + 1 for box in boxes)


def test_a_column_without_values_and_one_that_is_all_alike():
    drawn = values(pl.dropout_table(pd.DataFrame({"a": [np.nan] * 2, "b": [1.0] * 2}, index=["x", "y"])))
    assert drawn == {"–": "normal", "1.000": "bold"}


def test_the_table_stays_as_it_was(table):
    copy = table.copy(deep=True)
    pl.dropout_table(table)
    pd.testing.assert_frame_equal(table, copy)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (pd.DataFrame(), "table: expected at least one method and one column, got an empty table; pass the values"),
        (pd.DataFrame({"a": ["x"]}), r"columns \['a'\]: expected numbers, got other values; leave them out"),
        (
            pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", "b", "c")])),
            "table: expected columns of one or two levels, got 3 levels; keep what is measured and the metric",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        pl.dropout_table(wrong)
