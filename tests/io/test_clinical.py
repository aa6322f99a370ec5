"""Columns are taken for what they hold, and what is ambiguous stays text."""

import numpy as np
import pandas as pd
import pytest

from omicsmlm.io._clinical import male, understood, understood_table, writable

NAN = np.nan


@pytest.mark.parametrize(
    ("texts", "values", "meaning"),
    [
        (["12", "3.5", None], [12, 3.5, NAN], "numbers"),
        (["1:DECEASED", "0:LIVING", "0:LIVING"], [1, 0, 0], "1 = DECEASED, 0 = LIVING"),
        (["0:DiseaseFree", "1:Recurred/Progressed"], [0, 1], "1 = Recurred/Progressed, 0 = DiseaseFree"),
        (["DECEASED", "LIVING", None], [1, 0, NAN], "1 = DECEASED, 0 = LIVING"),
        (["Dead", "Alive"], [1, 0], "0 = Alive, 1 = Dead"),
        (["yes", "No", "no "], [1, 0, 0], "0 = No, 1 = yes, 0 = no"),
        (["TRUE", "FALSE"], [1, 0], "0 = FALSE, 1 = TRUE"),
        (["Y", "N", "Y"], [1, 0, 1], "0 = N, 1 = Y"),
    ],
)
def test_numbers_and_codes(texts, values, meaning):
    found = understood("x", pd.Series(texts))
    np.testing.assert_array_equal(found.column.to_numpy(dtype=float), values)
    assert sorted(found.meaning.split(", ")) == sorted(meaning.split(", "))
    assert found.is_binary == (meaning != "numbers")


@pytest.mark.parametrize(
    "texts",
    [
        ["2020-02-01", "2019-12-31"],
        ["2020/2/1", "2019/12/31"],
        ["01.02.2020", "31.12.2019"],
        ["01/02/2020", "31/12/2019"],
        ["02/01/2020", "12/31/2019"],
    ],
)
def test_dates(texts):
    found = understood("x", pd.Series(texts))
    assert found.is_date
    assert found.column.dt.strftime("%Y-%m-%d").tolist() == ["2020-02-01", "2019-12-31"]


@pytest.mark.parametrize("texts", [["01/02/2020", "03/04/2019"], ["13/02/2020", "02/13/2020"]])
def test_a_day_that_could_be_a_month_stays_text(texts):
    found = understood("x", pd.Series(texts))
    assert not found.is_date
    assert found.column.tolist() == texts
    assert "YYYY-MM-DD" in found.meaning


def test_categories_and_texts():
    assert understood("x", pd.Series(["II", "III", "II", "II"])).column.cat.categories.tolist() == ["II", "III"]
    assert understood("x", pd.Series(["Y", "Y", "Y"])).column.dtype == "category", "alone, Y may be anything"
    notes = pd.Series([f"note {i}" for i in range(9)])
    assert understood("x", notes).column.tolist() == notes.tolist()
    assert understood("x", pd.Series([None, None])).column.isna().all()
    assert understood("x", pd.Series([1.5, 2])).column.tolist() == [1.5, 2]


def test_sexes_get_numbers_beside_them():
    frame, _, lines = understood_table(pd.DataFrame({"sex": ["Male", "female", None, "Male"]}))
    np.testing.assert_array_equal(frame["sex_male"], [1, 0, NAN, 1])
    assert frame["sex"].cat.categories.tolist() == ["Male", "female"]
    assert any("sex_male" in line for line in lines)
    assert male(pd.Series(["male", "unknown"])) is None


def test_dates_become_texts_that_files_hold():
    frame = writable(pd.DataFrame({"d": pd.to_datetime(["2020-02-01", None]), "n": pd.array([1, None], dtype="Int64")}))
    assert frame["d"].tolist() == ["2020-02-01", None]
    assert frame["n"].dtype == np.float64
