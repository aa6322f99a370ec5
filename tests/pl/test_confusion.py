import numpy as np
import pandas as pd
import pytest

from omicsmlm import pl
from omicsmlm.pl._confusion import _arranged, _counted

TRUTH = ["B", "B", "B", "B", "T", "T", "new", None]
CALLED = ["B", "B", "T", "Unknown", "T", "T", "Unknown", "B"]


def drawn(figure):
    """The texts of each cell by its names, from where they stand."""
    axes = figure.axes[0]
    columns = dict(zip(np.round(axes.get_xticks(), 2), [t.get_text() for t in axes.get_xticklabels()], strict=True))
    rows = dict(zip(np.round(axes.get_yticks(), 2), [t.get_text() for t in axes.get_yticklabels()], strict=True))
    cells = {}
    for text in (text for text in axes.texts if not text.get_text().startswith("Per cent")):
        x, y = text.get_position()
        row = rows[min(rows, key=lambda at: abs(at - y))]
        cells.setdefault((row, columns[round(x, 2)]), []).append(text.get_text())
    return cells


def test_each_cell_says_per_cent_and_number(tmp_path):
    figure = pl.confusion(TRUTH, CALLED, title="Toy", save=tmp_path / "confusion.png")
    assert drawn(figure) == {
        ("B  (4)", "B"): ["50", "2"],
        ("B  (4)", "T"): ["25", "1"],
        ("B  (4)", "Unknown"): ["25", "1"],
        ("T  (2)", "T"): ["100", "2"],
        ("new  (1)", "Unknown"): ["100", "1"],
    }
    assert (tmp_path / "confusion.png").stat().st_size > 5000


def test_what_is_unknown_stands_apart():
    axes = pl.confusion(TRUTH, pd.Categorical(CALLED, categories=["Unknown", "T", "B"])).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["T", "B", "Unknown"], "the order of the categories"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["T  (2)", "B  (4)", "new  (1)"]
    np.testing.assert_allclose(np.diff(axes.get_xticks()), [1, 1.4])
    np.testing.assert_allclose(np.diff(axes.get_yticks()), [1, 1.4])


def test_a_label_that_is_never_called_keeps_its_column():
    table = _counted(["a", "b"], ["a", "a"], "Unknown")
    assert table.to_numpy().tolist() == [[1, 0], [1, 0]]
    assert list(table.columns) == ["a", "b"]


def test_a_table_is_taken_as_it_is_and_left_as_it_was():
    table = pd.DataFrame([[0, 3, 1], [9990, 10, 0]], index=["x", "b"], columns=["Unknown", "b", "c"])
    copy = table.copy(deep=True)
    cells = drawn(pl.confusion(table, unknown="Unknown"))
    assert cells[("b  (10,000)", "b")] == ["<1", "10"]
    assert cells[("b  (10,000)", "Unknown")] == ["100", "9,990"]
    assert list(_arranged(table, "Unknown")[0].columns) == ["b", "c", "Unknown"]
    pd.testing.assert_frame_equal(table, copy)


def test_a_row_of_zeros_stays_empty():
    cells = drawn(pl.confusion(pd.DataFrame([[2, 0], [0, 0]], index=["a", "b"], columns=["a", "b"])))
    assert cells == {("a  (2)", "a"): ["100", "2"]}


def test_long_labels_do_not_overlap():
    labels = [f"a long name of a cell type {k:02d}" for k in range(15)]
    figure = pl.confusion(labels * 3, labels * 3, unknown="none")
    figure.canvas.draw()
    for ticks in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(figure.bbox.x0 <= box.x0 and box.y1 <= figure.bbox.y1 for box in boxes), "inside the figure"


@pytest.mark.parametrize(
    ("table", "predicted", "words"),
    [
        (["a"], None, "table_or_truth: expected a table of counts, or two arrays of labels, got a list alone; pass"),
        (
            ["a", "b"],
            ["a"],
            "predicted: expected one label per observation, got 1 for 2 true labels; pass labels of the same",
        ),
        (["a"], [None], "table: expected at least one observation with both labels, got none; check the labels"),
        (
            pd.DataFrame({"a": [-1]}, index=["a"]),
            None,
            "table: expected counts of observations, got other values; pass true",
        ),
        (pd.DataFrame({"a": ["x"]}, index=["a"]), None, "table: expected counts of observations, got other values"),
        (pd.DataFrame({"a": [1, 2]}, index=["a", "a"]), None, "table: expected each label once, got labels twice; add"),
    ],
)
def test_wrong_input_gets_a_sentence(table, predicted, words):
    with pytest.raises(ValueError, match=words):
        pl.confusion(table, predicted)
