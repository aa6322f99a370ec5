"""Every error is one sentence: where, what was expected, what was found, what to do."""

import pandas as pd
import pytest

from omicsmlm._checks import confounded, named, value_error


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
