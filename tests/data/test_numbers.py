import logging

import numpy as np
import pytest
from mudata import MuData

from omicsmlm.data import NumbersField
from tests.objects import rna
from tests.test_bad_input import refused


def cells():
    data = rna(4)
    data.obs["age"], data.obs["depth"] = [1.0, 2.0, 3.0, 6.0], [2.0, 4.0, 4.0, 8.0]
    data.obs["sex"] = ["f", "m", "f", "m"]
    return data


def test_numbers_are_standardised_and_size_factors_relative_to_the_median():
    data, field = cells(), NumbersField(["age"], "depth")
    state = field.register_field(data)
    age_n = np.array([1, 2, 3, 6])
    expected_n = (age_n - age_n.mean()) / age_n.std()
    np.testing.assert_allclose(field.scaled(data, state)[0][:, 0], expected_n, rtol=1e-6)
    assert field.scaled(data, state)[1].tolist() == [0.5, 1, 1, 2]


def test_another_object_is_measured_by_the_first_ones_scale_and_what_it_lacks_is_a_mean(caplog):
    field = NumbersField(["age"], "depth")
    state = field.register_field(cells())
    other = cells()
    other.obs["age"] = [3.0, np.nan, 1e9, 3.0]
    del other.obs["depth"]
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        assert field.transfer_field(state, other) == state
    assert "column 'age': 1 observations lack it, and count as the mean of the reference." in caplog.text
    assert "column 'depth': 4 observations lack it, and count as the depth of the counts." in caplog.text
    assert field.scaled(other, state)[0][:, 0].tolist() == [0, 0, 10, 0]
    assert np.isnan(field.scaled(other, state)[1]).all()


def test_a_constant_tells_nothing_and_no_size_factor_is_none():
    data, field = cells(), NumbersField(["age"], None)
    data.obs["age"] = 5
    state = field.register_field(data)
    assert field.scaled(data, state)[0].tolist() == [[0], [0], [0], [0]]
    assert field.scaled(data, state)[1] is None


def test_the_columns_are_read_once_for_both_and_none_is_named_for_nothing(monkeypatch):
    data, field = cells(), NumbersField(["age"], "depth")
    state, reads = field.register_field(data), []
    monkeypatch.setattr(NumbersField, "read", lambda self, data: reads.append(data) or np.ones((4, 2)))
    field.scaled(data, state)
    assert len(reads) == 1
    monkeypatch.undo()
    field = NumbersField([], "depth")
    covariates, size_factor_n = field.scaled(data, field.register_field(data))
    assert covariates is None
    assert size_factor_n.dtype == np.float32


def test_columns_of_a_modality_are_found():
    data = cells()
    field = NumbersField(["age"], None)
    mdata = MuData({"rna": data})
    assert field.register_field(mdata)["means"] == [3.0]


@pytest.mark.parametrize(
    ("column", "field", "message"),
    [
        (
            ["a", "b", "c", "d"],
            NumbersField(["new"], None),
            "column 'new': expected numbers, got 'a', 'b', 'c' and 1 more; convert it",
        ),
        (
            [1, np.nan, 2, 3],
            NumbersField(["new"], None),
            "column 'new': expected a finite number for each observation, got 1",
        ),
        (
            [1, np.inf, 2, 3],
            NumbersField(["new"], None),
            "column 'new': expected a finite number for each observation, got 1",
        ),
        ([1, 0, 2, 3], NumbersField([], "new"), "column 'new': expected size factors above 0, got 1"),
        (None, NumbersField(["new"], None), "column 'new': expected a column of .obs"),
    ],
)
def test_what_is_no_number_is_refused(column, field, message):
    data = cells()
    if column is not None:
        data.obs["new"] = column
    with refused(message):
        field.register_field(data)
