"""Times are derived where that is unambiguous, and nowhere else."""

import numpy as np
import pandas as pd

from omicsmlm.io._clinical import understood_table
from omicsmlm.io._times import derived


def made(columns):
    frame, found, _ = understood_table(pd.DataFrame(columns, dtype=object))
    return derived(frame, found)


DATES = {
    "date_of_birth": ["1950-01-01", "1960-01-01", "1970-01-01"],
    "diagnosis_date": ["2000-01-01", "2010-01-01", "2011-03-01"],
    "date_of_death": ["2000-01-31", None, None],
    "last_contact": ["2000-01-31", "2011-01-01", "2011-01-01"],
}


def test_from_dates():
    frame, lines = made(DATES)
    np.testing.assert_allclose(frame["time_days"], [30, 365, np.nan], err_msg="the third was last seen before")
    np.testing.assert_array_equal(frame["event"], [1, 0, np.nan])
    np.testing.assert_allclose(frame["age_years"], [50, 50, 41.2], atol=0.05)
    assert any("1 negative times are left out" in line for line in lines)


def test_two_columns_that_could_be_meant_give_nothing():
    frame, lines = made({**DATES, "date_of_second_diagnosis": ["2001-01-01", "2012-01-01", "2013-01-01"]})
    assert "time_days" not in frame
    assert lines == []


def test_columns_of_the_gdc():
    columns = {
        "demographic.vital_status": ["Dead", "Alive", "Alive"],
        "demographic.days_to_death": ["100", None, None],
        "diagnoses.days_to_last_follow_up": ["90", "500", None],
    }
    frame, _ = made(columns)
    np.testing.assert_array_equal(frame["time_days"], [100, 500, np.nan])
    np.testing.assert_array_equal(frame["event"], [1, 0, np.nan])


def test_columns_of_cbioportal_and_xena():
    frame, _ = made({"OS_MONTHS": ["12", "2"], "OS_STATUS": ["1:DECEASED", "0:LIVING"]})
    np.testing.assert_allclose(frame["time_days"], [365.25, 60.875])
    frame, _ = made({"OS.time": ["12", "2"], "OS": ["1", "0"]})
    np.testing.assert_array_equal(frame[["time_days", "event"]], [[12, 1], [2, 0]])


def test_a_column_that_is_there_stays():
    frame, lines = made({"OS_MONTHS": ["12", "2"], "OS_STATUS": ["1:DECEASED", "0:LIVING"], "event": ["0", "1"]})
    assert frame["event"].tolist() == [0, 1]
    assert "time_days" not in frame
    assert lines == []
