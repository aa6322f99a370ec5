"""A call that fails tells of the argument that does not fit; one that succeeds, or says so itself, is not touched."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from omicsmlm._argument_types import described, fits, in_one_sentence_of_types
from omicsmlm._checks import value_error


@in_one_sentence_of_types
def mean_difference(values: Any, groups: Any, *, n: int = 1, scale: float = 1.0, names: Sequence[str] = ()) -> float:
    """Compute something that fails in many ways."""
    if n == 13:
        raise value_error("n", "another number", "13", "pass 12")
    if n == 14:
        raise KeyError("a fault of our own")
    x_n, own_n = np.asarray(values, dtype=float), np.asarray(groups) == "a"
    return float((x_n[own_n].mean() - x_n[~own_n].mean()) * scale / list(range(n + 1))[n]) + len(",".join(names)) * 0


VALUES, GROUPS = np.array([1.0, 3.0, 2.0, 4.0]), np.array(["a", "a", "b", "b"])


def test_what_succeeds_is_not_touched():
    assert mean_difference(VALUES, GROUPS) == -1
    assert mean_difference(list(VALUES), pd.Series(GROUPS), n=2) == -0.5
    assert mean_difference.__name__ == "mean_difference"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": "two"}, "n: expected a whole number, got 'two'; see the documentation of mean_difference"),
        ({"n": 1.5}, "n: expected a whole number, got 1.5"),
        ({"n": -3}, "n: expected a number of 0 or more, got -3"),
        ({"scale": "x"}, "scale: expected a number, got 'x'"),
        ({"names": [1, 2]}, r"names: expected a list of text, got \[1, 2\]"),
        ({"values": {"a": 1}}, "values: expected values by observation, got {'a': 1}"),
        ({"values": None}, "values: expected values by observation, got None"),
        ({"values": np.zeros(3)}, "values: expected a value for each of the 4 observations, got 3 values"),
        ({"values": ["x0", "x1", "x2", "x3"]}, "values: expected numbers, got texts such as 'x0'"),
    ],
)
def test_the_argument_that_does_not_fit_is_named(change, said):
    with pytest.raises(ValueError, match=f"^{said}") as caught:
        mean_difference(**{"values": VALUES, "groups": GROUPS, **change})
    assert caught.value.__cause__ is not None


def test_sentences_and_other_failures_stay():
    with pytest.raises(ValueError, match=r"^n: expected another number, got 13; pass 12\.$"):
        mean_difference(VALUES, GROUPS, n=13)
    with pytest.raises(KeyError, match="a fault of our own"):
        mean_difference(VALUES, GROUPS, n=14)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        mean_difference(VALUES)


@pytest.mark.parametrize(
    ("hint", "right", "wrong"),
    [
        (int, [1, np.int64(2)], [1.0, True, "1", None]),
        (float, [1, 1.5, np.float32(2), np.nan], ["1", True, None]),
        (bool, [True, np.False_], [1, "yes", None]),
        (str | None, ["a", None], [1, b"a"]),
        (Path, [Path()], ["a"]),
        (Literal["a", 1], ["a", 1], ["b", True, np.zeros(2)]),
        (Sequence[str], [["a"], ("a",), np.array(["a"]), pd.Index(["a"]), []], ["a", [1], {"a": 1}, sparse.eye(2), 3]),
        (Mapping[str, int], [{}], [[], "a"]),
        (np.ndarray, [np.zeros(2), [1], pd.Series([1])], ["a", 3, None]),
        (pd.DataFrame, [pd.DataFrame()], [{}, np.zeros((2, 2))]),
        (Any, [3, None, object()], []),
    ],
)
def test_types(hint, right, wrong):
    assert all(fits(value, hint) for value in right)
    assert not any(fits(value, hint) for value in wrong)


def test_words():
    assert described(str | Path | None) == "text or a path or None"
    assert described(Mapping[str, int]) == "a mapping"
    assert described(pd.Series) == "Series"
