"""The table of observations is found, understood and joined."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from omicsmlm.io._observations import joined_observations, observation_table


@pytest.fixture
def mdata():
    names = ["TCGA-AB-0001-03", "TCGA-AB-0002-03", "TCGA-AB-0003-03"]
    part = AnnData(np.ones((3, 2)), obs=pd.DataFrame({"purity": [0.1, 0.2, 0.3]}, index=names))
    return MuData({"rna": part})


def test_a_table_of_patients(tmp_path, mdata):
    (tmp_path / "c.txt").write_text(
        "#Patient\tStatus\n#STRING\tSTRING\nPATIENT_ID\tOS_STATUS\tAGE\nTCGA-AB-0002\t1:DECEASED\t50\n"
        "TCGA-AB-0001\t0:LIVING\t[Not Available]\nTCGA-AB-0009\t0:LIVING\t60\n"
    )
    lines = joined_observations(mdata, observation_table(tmp_path / "c.txt"), [])
    np.testing.assert_array_equal(mdata.obs["OS_STATUS"], [0, 1, np.nan])
    np.testing.assert_array_equal(mdata.obs["AGE"], [np.nan, 50, np.nan])
    assert mdata.obs["purity"].tolist() == [0.1, 0.2, 0.3]
    assert lines[0] == (
        "obs: 2 of 3 observations by column 'PATIENT_ID' (TCGA barcodes cut to the patient); 1 rows of others left out"
    )


def test_a_frame_with_names_in_its_index_stays_as_it_is(mdata):
    frame = pd.DataFrame({"sex": ["male", "female", "male"]}, index=mdata.obs_names[::-1])
    before = frame.copy()
    joined_observations(mdata, observation_table(frame), [])
    assert mdata.obs["sex_male"].tolist() == [1, 0, 1]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"id": ["x", "y"], "a": [1, 2]}), "names such as 'TCGA-AB-0001-03'"),
        (pd.DataFrame({"id": ["TCGA-AB-0001-03"] * 2, "a": [1, 2]}), "one row for each observation"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(mdata, frame, said):
    before = mdata.obs.copy()
    with pytest.raises(ValueError, match=f"^obs: expected {said}"):
        joined_observations(mdata, observation_table(frame), [])
    pd.testing.assert_frame_equal(mdata.obs, before)


@pytest.mark.parametrize("source", ["nowhere.tsv", 3])
def test_no_table(source):
    with pytest.raises(ValueError, match=r"^obs: expected (an existing|a path)"):
        observation_table(source)


def test_a_frame_without_rows_is_refused(mdata):
    """Once an IndexError."""
    for frame in (pd.DataFrame(), pd.DataFrame({"id": [], "age": []})):
        with pytest.raises(ValueError, match=r"^obs: expected a row for each observation, got a table without rows; "):
            joined_observations(mdata, observation_table(frame), [])


def test_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1, 2]], index=["TCGA-AB-0001-03"], columns=["age", "age"])
    with pytest.raises(ValueError, match=r"^obs: expected distinct names of columns, got 'age'; rename them"):
        observation_table(frame)


def test_an_index_that_is_called_like_a_column(mdata):
    """As after set_index("sex", drop=False), or of an .obs whose index is called like one of its columns."""
    frame = pd.DataFrame({"sex": ["male", "female", "male"]}, index=pd.Index(mdata.obs_names, name="sex"))
    joined_observations(mdata, observation_table(frame), [])
    assert mdata.obs["sex_male"].tolist() == [1, 0, 1]
