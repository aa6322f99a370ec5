import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm.models.survival._covariates import ALL, Columns, listed
from tests.test_bad_input import refused


@pytest.fixture
def data():
    """Six samples: the second has no time, the third no event, the fourth no stratum, the fifth no age."""
    obs = pd.DataFrame(
        {
            "time": [3.0, np.nan, 2.0, 5.0, 0.0, 4.0],
            "died": [1, 1, np.nan, 0, 1, 0],
            "site": ["south", "north", "north", None, "north", "south"],
            "age": [50.0, 10.0, 90.0, 20.0, np.nan, 70.0],
            "sex": [1, 0, 0, 0, 1, 1],
        },
        index=[f"p{i}" for i in range(6)],
    )
    return AnnData(np.zeros((6, 1), dtype=np.float32), obs=obs)


def test_strata_and_scales_are_those_of_observations_with_a_time_an_event_and_a_stratum(data):
    columns = Columns("time", "died", "site", ["age", "sex"])
    assert columns.fit(data).tolist() == [0, 4, 5]
    assert columns.strata == ["north", "south"]
    assert columns.mean_k == [60.0, 1.0]
    assert columns.deviation_k == [10.0, 1.0], "one that does not vary is only centred"
    assert columns.n_covariates == 4
    assert columns.stratum_codes(data).tolist() == [1, 0, 0, -1, 0, 1]
    expected = [[-1, 0], [-5, -1], [3, -1], [-4, -1], [0, 0], [1, 0]]
    found = columns.covariates(data)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :2], expected)
    assert found[:, 2].tolist() == [0, 0, 0, 0, 1, 0], "age is missing once"
    assert not found[:, 3].any()
    again = Columns("time", "died", "site", ["age"])
    again.fit(data)
    again.fit(data[[0, 5]].copy())
    assert (again.strata, again.mean_k) == (["south"], [60.0]), "what was fitted before is replaced"


def test_without_strata_and_covariates_there_is_one_of_the_former_and_none_of_the_latter(data):
    columns = Columns("time", "died")
    assert columns.fit(data).tolist() == [0, 3, 4, 5]
    assert columns.strata == [ALL]
    assert columns.stratum_codes(data).tolist() == [0] * 6
    assert columns.covariates(data).shape == (6, 0)
    assert columns.n_covariates == 0


def test_times_are_zero_and_censored_where_they_are_missing(data):
    columns = Columns("time", "died")
    columns.fit(data)
    times, known_n = columns.times(data)
    assert known_n.tolist() == [True, False, False, True, True, True]
    assert times.time_n.tolist() == [3, 0, 0, 5, 0, 4]
    assert times.event_n.tolist() == [True, False, False, False, True, False]
    assert times.stratum_n.tolist() == [0] * 6


def test_a_stratum_that_was_not_fitted_is_unknown(data):
    columns = Columns("time", "died", "site")
    columns.fit(data)
    data.obs["site"] = "west"
    assert columns.stratum_codes(data).tolist() == [-1] * 6


def test_columns_of_text_are_read_as_numbers_if_they_are(data):
    data.obs["age"] = pd.Series(["50", 10, None, 20.0, np.nan, True], index=data.obs_names, dtype=object)
    columns = Columns("time", "died", None, ["age"])
    columns.fit(data)
    assert columns.mean_k == [pytest.approx((50 + 20 + 1) / 3)]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("time", [-1.0] * 6, "column 'time': expected times that are not negative, got times down to -1; count from"),
        ("died", [0, 1, 2, 0, 1, 2], "column 'died': expected 0 .censored. and 1 .event., got 0, 1, 2; code it so"),
        (
            "died",
            [0] * 6,
            "column 'died': expected observations with the event, got none in 5 observations with a time",
        ),
        ("age", ["old"] * 6, "column 'age': expected numbers, got 'old'; code it as numbers"),
        ("age", [["old"]] * 6, r"column 'age': expected numbers, got \"\['old'\]\"; code it as numbers"),
        ("age", [np.nan] * 6, "column 'age': expected numbers, got none in the observations with a time; leave this"),
    ],
)
def test_columns_that_do_not_hold_what_they_should(data, column, values, message):
    data.obs[column] = values
    with refused(message, data):
        Columns("time", "died", None, ["age"]).fit(data)


def test_the_event_of_an_observation_without_a_time_does_not_count(data):
    data.obs["died"] = [0, 1, 0, 0, 0, 0]
    with refused("expected observations with the event, got none in 5 observations", data):
        Columns("time", "died").fit(data)


def test_names_are_listed_once():
    assert listed("age") == ["age"]
    assert listed(["b", "a", "b"]) == ["b", "a"]
    assert listed(()) == []


@pytest.mark.parametrize("keys", [5, None, ["age", 3], [["age"]]])
def test_keys_that_are_no_names_are_refused(keys):
    with pytest.raises(
        ValueError, match="covariate_keys: expected a name, or a list of names, got .*; pass names as text"
    ):
        listed(keys)
