"""Figures are given what they can draw, or say in one sentence what they want."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm import pl
from omicsmlm.pl._arguments import check_heading, check_imputed, check_object, check_table, names_of
from tests.hostile.surface import ATTRIBUTIONS, CURVES, RELIABILITY, SCORES
from tests.objects import rna
from tests.test_bad_input import refused


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "^table: expected a DataFrame, got 3"),
        (None, "^table: expected a DataFrame, got None"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "^table: expected each column once"),
        (pd.DataFrame({"a": ["x"], "b": [1]}), "^table: expected numbers in the columns 'a', got other values"),
    ],
)
def test_a_table_is_one_of_numbers(value, message):
    with refused(message):
        check_table(value, numbers=None)


def test_only_the_columns_that_are_asked_for_need_be_numbers():
    table = pd.DataFrame({"a": ["x"], "b": [1]})
    check_table(table)
    check_table(table, numbers=["b", "not there"])


def test_headings_objects_and_imputed_values():
    check_heading(None)
    check_object(rna(3))
    check_imputed(pd.DataFrame())
    for check, wrong in ((check_heading, ("a", "b")), (check_object, "file.h5ad"), (check_imputed, np.zeros((2, 2)))):
        with refused(r"^\w+: expected "):
            check(wrong)


@pytest.mark.parametrize("value", [None, 3, True, [1], str, np.zeros(2), b"a"])
def test_names_are_texts(value):
    with refused("^color: expected a name, or a list of names"):
        names_of("color", value)


@pytest.mark.parametrize(
    ("draw", "arguments", "message"),
    [
        (pl.attributions, {"table": ATTRIBUTIONS, "n_features": 1.5}, "^n_features: expected a whole number"),
        (pl.attributions, {"table": ATTRIBUTIONS.assign(attribution="high")}, "^table: expected numbers"),
        (pl.confusion, {"table_or_truth": 3, "predicted": ["a"]}, "^table_or_truth: expected labels, one per obs"),
        (pl.confusion, {"table_or_truth": ["a"], "predicted": ["a"], "unknown": None}, "^unknown: expected a text"),
        (pl.dropout_table, {"table": SCORES, "digits": -1}, "^digits: expected a number from 0 to 12, got -1"),
        (pl.history, {"history": [1.0]}, "^history: expected curves by name"),
        (pl.history, {"history": CURVES, "marks": {"a": "b"}}, "^marks 'a': expected a step"),
        (pl.reliability, {"table": RELIABILITY, "title": 3}, "^title: expected a text"),
        (pl.benchmark_table, {"table": "scores.csv"}, "^table: expected a DataFrame, got 'scores.csv'"),
        (pl.survival, {"time": 3, "event": [1], "group": ["a"]}, "^survival: expected time of each observation"),
        (pl.survival, {"time": ["x"], "event": [1], "group": ["a"]}, "^survival: expected times that are numbers"),
        (pl.survival, {"time": [1e39, 1], "event": [1, 1], "group": ["a", "b"]}, "^survival: expected finite times"),
        (pl.report, {"model": None, "path": "x.html"}, "^model: expected a model, got None"),
        (pl.remarks, {"model": rna(3)}, "^model: expected a model"),
    ],
)
def test_what_cannot_be_drawn_gets_its_sentence(draw, arguments, message):
    with refused(message):
        draw(**arguments)


@pytest.mark.parametrize(
    ("draw", "arguments"),
    [
        (pl.embedding, {"key": 3, "color": "type"}),
        (pl.embedding, {"key": "X_omics", "color": 3}),
        (pl.embedding, {"key": "X_omics", "color": "type", "imputed": "x"}),
        (pl.marker_dots, {"markers": 3, "groupby": "type"}),
        (pl.marker_dots, {"markers": {"a": 3}, "groupby": "type"}),
        (pl.marker_dots, {"markers": ["gene0"], "groupby": ["type"]}),
    ],
)
def test_what_cannot_be_drawn_of_an_object_gets_its_sentence_and_leaves_it(draw, arguments):
    data = rna(6)
    data.obsm["X_omics"] = np.eye(6, 2, dtype=np.float32)
    with refused(r"^(key|color|imputed|markers|groupby): expected ", data):
        draw(data, **arguments)
    with refused("^data: expected an AnnData or MuData"):
        draw(AnnData, **({"key": "X", "color": "type"} if draw is pl.embedding else {"markers": "a", "groupby": "b"}))


@pytest.mark.parametrize("place", ["", ".", 3, "a\0b.png", "a.odd"])
def test_where_no_figure_can_be_written_is_said(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("^save: expected "):
        pl.history(CURVES, save=place)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_without_an_ending_is_a_picture(tmp_path):
    pl.history(CURVES, save=tmp_path / "curves")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
