import numpy as np
import pandas as pd
import pytest

from omicsmlm import pl
from omicsmlm.pl._table import _columns


@pytest.fixture
def table():
    values = {"iLISI": [0.1, 0.9], "cLISI": [0.8, np.nan], "Batch correction": [0.1, 0.9], "Total": [0.34, 0.62]}
    table = pd.DataFrame(values, index=["first", "second"])
    kinds = {"iLISI": "Batch correction", "cLISI": "Bio conservation"}
    table.attrs.update(kinds=kinds, left_out=["rare"], min_cells=10, n_scored=90, n_obs=100, undefined=["cLISI"])
    return table


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts] + [text.get_text() for text in figure.texts]


def test_bio_first_then_batch_then_means(table):
    assert _columns(table) == [
        ("cLISI", "Bio conservation"),
        ("iLISI", "Batch correction"),
        ("Batch correction", "Mean scores"),
        ("Total", "Mean scores"),
    ]


def test_every_value_is_written_and_the_best_total_is_first(table, tmp_path):
    figure = pl.benchmark_table(table, title="Toy", save=tmp_path / "table.png")
    written = texts(figure)
    assert written[:2] == ["second", "first"]
    assert {"0.90", "0.10", "0.80", "–", "0.620", "0.340"} <= set(written)
    note = (
        "90 of 100 observations scored. Types of fewer than 10 cells left out: rare. Undefined and not counted: cLISI."
    )
    assert note in [text.replace("\n", " ") for text in written]
    assert (tmp_path / "table.png").stat().st_size > 5000


def test_bars_are_as_long_as_their_means(table):
    bars = {
        round(bar.get_y() + 0.36): bar.get_width()
        for bar in pl.benchmark_table(table).axes[0].patches
        if bar.get_x() > 3
    }
    assert bars[0] / bars[1] == pytest.approx(0.62 / 0.34)


def test_the_table_stays_as_it_was(table):
    copy = table.copy(deep=True)
    pl.benchmark_table(table)
    pd.testing.assert_frame_equal(table, copy)


def test_one_row_without_kinds_and_without_means():
    assert "0.50" in texts(pl.benchmark_table(pd.DataFrame({"score": [0.5]}, index=["only"])))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame(), "table: expected at least one embedding, got an empty table"),
        (pd.DataFrame({"a": ["x"]}), r"columns \['a'\]: expected numbers"),
    ],
)
def test_wrong_input_gets_a_sentence(table, words):
    with pytest.raises(ValueError, match=words):
        pl.benchmark_table(table)


def test_a_place_that_cannot_be_written_gets_a_sentence(table, tmp_path):
    with pytest.raises(ValueError, match="save: expected a file that can be written, got .*nowhere"):
        pl.benchmark_table(table, save=tmp_path / "nowhere" / "table.png")
    with pytest.raises(ValueError, match="save: expected a file that can be written"):
        pl.benchmark_table(table, save=tmp_path / "table.odd")


def test_a_long_note_makes_the_picture_no_wider(table):
    narrow = pl.benchmark_table(table)
    table.attrs["left_out"] = [f"a type with a long name {i}" for i in range(40)]
    figure = pl.benchmark_table(table)
    note = next(text for text in texts(figure) if "scored" in text)
    assert "name 5 and 34 more." in note.replace("\n", " ")
    widths = []
    for drawn in (narrow, figure):
        drawn.draw_without_rendering()
        widths.append(drawn.get_tightbbox().width)
    assert widths[1] <= 1.05 * widths[0]
