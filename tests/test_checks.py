"""Every error is one sentence: where, what was expected, what was found, what to do."""

import numpy as np
import pandas as pd
import pytest

from omicsmlm._checks import (
    check_choice,
    check_switch,
    confounded,
    named,
    positive_integer,
    value_error,
    without_missing_texts,
)


def test_a_mistake_is_a_value_error_of_one_sentence():
    error = value_error("rna", "raw counts", "floats", 'pass layer="counts"')
    assert isinstance(error, ValueError)
    assert str(error) == 'rna: expected raw counts, got floats; pass layer="counts".'


@pytest.mark.parametrize(
    ("names", "most", "said"),
    [
        ([], 5, "none"),
        (["a"], 5, "'a'"),
        (["a", "b"], 2, "'a', 'b'"),
        (["a", "b", "c"], 2, "'a', 'b' and 1 more"),
        (range(3), 5, "'0', '1', '2'"),
        ((name for name in "abc"), 1, "'a' and 2 more"),
    ],
)
def test_names_are_listed_up_to_a_number(names, most, said):
    assert named(names, most) == said


def test_labels_that_one_batch_alone_holds():
    batch = pd.Series(["x"] * 50 + ["y"] * 50)
    assert confounded(pd.Series(["a", "b"] * 50), batch) == []
    assert confounded(pd.Series(["a"] * 50 + ["b"] * 50), batch) == ["a", "b"]
    assert confounded(pd.Series(["a"] * 60 + ["b"] * 40), batch) == ["b"]
    assert confounded(pd.Series(["a", "c"] * 48 + ["b"] * 4), batch) == [], "four rows say little"
    assert confounded(pd.Series(["a"] * 60 + ["b"] * 40), pd.Series(["x"] * 100)) == [], (
        "no batch to be confounded with"
    )
    assert confounded(pd.Series(["a"] * 60 + [None] * 40), batch) == [], "rows without a label say nothing"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "expected at least 1, got 0; pass 3"),
        (-1, "expected at least 1, got -1; pass 3"),
        (2**70, "expected at most 2,147,483,647, got 1180591620717411303424; pass 3"),
        (1.5, "expected a whole number, at least 1, got 1.5; pass 3"),
        (float("nan"), "expected a whole number, at least 1, got nan; pass 3"),
        (float("inf"), "expected a whole number, at least 1, got inf; pass 3"),
        ("3", "expected a whole number, at least 1, got '3'; pass 3"),
        ([4], r"expected a whole number, at least 1, got \[4\]; pass 3"),
        (True, "expected a whole number, at least 1, got True; pass 3"),
        (None, "expected a whole number, at least 1, got None; pass 3"),
    ],
)
def test_what_is_no_number_of_things(number, said):
    with pytest.raises(ValueError, match=f"^n_x: {said}.$"):
        positive_integer("n_x", number, "pass 3")


@pytest.mark.parametrize("number", [2, 2.0, np.int64(2), np.float32(2)])
def test_a_whole_number_becomes_an_integer(number):
    found = positive_integer("n_x", number, "pass 3")
    assert found == 2
    assert type(found) is int


@pytest.mark.parametrize("kind", ["object", "category", "string"])
def test_missing_values_that_became_text_are_missing_again_and_counted(kind, caplog):
    column = pd.Series(["a", "nan", "NA", None, "NA", "NAD", ""], dtype=kind)
    found = without_missing_texts("column 'x'", column)
    assert found.isna().tolist() == [False, True, True, True, True, False, True]
    assert found[~found.isna()].tolist() == ["a", "NAD"]
    (said,) = caplog.messages
    assert said.startswith("column 'x': the texts ")
    assert all(part in said for part in ("'NA' (2)", "'nan' (1)", "'' (1)"))


def test_other_columns_are_left_alone(caplog):
    for values in ([1, 2], [1.0, np.nan], [True, False], [["a"], ("nan",)], ["a", None]):
        column = pd.Series(values)
        assert without_missing_texts("x", column) is column
    assert not caplog.messages


def test_a_sentence_stays_on_one_line_whatever_was_found():
    assert str(value_error("x", "a\nb", "  1\r\n\n  2", "c")) == "x: expected a b, got   1 2; c."


@pytest.mark.parametrize("value", ["yes", 1, None, np.zeros(3), [True]])
def test_what_is_neither_true_nor_false_is_refused(value):
    with pytest.raises(ValueError, match=r"^overwrite: expected True or False, got .*; pass one of these\.$"):
        check_switch("overwrite", value)


def test_switches():
    for value in (True, False, np.True_):
        check_switch("overwrite", value)


@pytest.mark.parametrize("value", ["other", 1, None, np.array(["a", "b"]), ["a"], {"a": 1}])
def test_what_is_none_of_the_names_is_refused(value):
    with pytest.raises(ValueError, match=r"^which: expected one of \['a', 'b'\], got .*; pass one of these\.$"):
        check_choice("which", value, ("a", "b"))
    check_choice("which", "a", ("a", "b"))
