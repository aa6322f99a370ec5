"""A column of ``obs`` is found on either level, cell by cell."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from omicsmlm.data import find_column, find_numbers, has_column
from omicsmlm.data._columns import as_categories, category_codes
from tests.objects import cells, multiome, rna


def test_a_column_of_the_top_level():
    mdata = multiome()
    assert find_column(mdata, "batch").tolist() == mdata.obs["batch"].tolist()
    assert find_column(rna(), "batch").tolist() == cells(72)["batch"].tolist()


def test_a_column_of_the_modalities_is_put_together_by_cell():
    mdata = multiome()
    del mdata.obs["batch"]
    for part in mdata.mod.values():
        part.obs["batch"] = cells(72).loc[part.obs_names, "batch"]
    found = find_column(mdata, "batch")
    assert found.index.equals(mdata.obs_names)
    assert found.tolist() == cells(72).loc[mdata.obs_names, "batch"].tolist()


def test_a_column_of_one_modality_is_missing_where_that_lacks_the_cell():
    mdata = multiome()
    mdata.mod["rna"].obs["lane"] = 1
    found = find_column(mdata, "lane")
    assert (found.isna() == ~mdata.obs_names.isin(mdata.mod["rna"].obs_names)).all()
    assert set(found.dropna()) == {1}


def test_the_top_level_wins():
    mdata = multiome()
    mdata.mod["rna"].obs["batch"] = "other"
    assert "other" not in set(find_column(mdata, "batch"))


def test_where_modalities_differ_the_first_wins():
    mdata = MuData({"rna": rna(), "atac": rna()})
    mdata.obs = mdata.obs[[]]
    mdata.mod["rna"].obs["lane"], mdata.mod["atac"].obs["lane"] = "first", "second"
    assert set(find_column(mdata, "lane")) == {"first"}


def test_a_missing_column_names_the_places_that_were_searched():
    with pytest.raises(ValueError, match=r"^column 'lane': expected a column of \.obs, got columns 'type', 'batch'; "):
        find_column(rna(), "lane")
    mdata = multiome()
    mdata.mod["atac"].obs["quality"] = 1.0
    with pytest.raises(ValueError, match=r"\.obs of every modality, got columns .*'batch'.*'atac: quality'"):
        find_column(mdata, "lane")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 1]),
        pd.Series([1, 2, 1], dtype="category"),
        pd.Series([1, 2, 1], dtype=object),
        pd.Series(["1", "2", "1"]),
        pd.Series(["1", "2", "1"], dtype="category"),
    ],
)
def test_a_value_has_one_name_in_any_type_of_column(column):
    assert as_categories(column).tolist() == ["1", "2", "1"]


def test_float32_and_dates_have_the_same_name_when_asked_twice():
    for column in (pd.Series([0.1, 0.2], dtype=np.float32), pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"]))):
        assert as_categories(column).tolist() == as_categories(column.astype(object)).tolist()


def test_a_missing_value_stays_missing():
    assert as_categories(pd.Series(["a", None])).isna().tolist() == [False, True]


def test_two_columns_count_together():
    adata = AnnData(np.ones((3, 1)), obs=pd.DataFrame({"donor": ["a", "b", None], "run": [1, 2, 1]}, index=list("xyz")))
    assert find_column(adata, "donor & run").tolist()[:2] == ["a & 1", "b & 2"]
    assert pd.isna(find_column(adata, "donor & run").iloc[2])
    adata.obs["donor & run"] = "its own"
    assert set(find_column(adata, "donor & run")) == {"its own"}
    with pytest.raises(ValueError, match="column 'nothing': expected a column of .obs"):
        find_column(adata, "donor & nothing")


@pytest.mark.parametrize("key", ["tissue", "batch", "batch & tissue", "nothing", "batch & nothing", "&"])
def test_a_column_is_there_where_it_is_found(key):
    adata = rna(6)
    mdata = MuData({"rna": adata})
    mdata.obs = pd.DataFrame({"tissue": list("aabbcc")}, index=mdata.obs_names)
    for data in (adata, mdata):
        try:
            find_column(data, key)
            found = True
        except ValueError:
            found = False
        assert has_column(data, key) == found
    assert has_column(mdata, "batch & tissue")
    assert not has_column(adata, "tissue")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([2, 1, 2]),
        pd.Series([2.5, np.nan, 1]),
        pd.Series(["b", None, "a"]),
        pd.Series(["b", None, "a"], dtype=object),
        pd.Series(["b", None, "a"], dtype="category"),
        pd.Series([1, "1", 1.0, True], dtype=object),
        pd.Series([1, "1", None], dtype="category"),
        pd.Series([0.1, 0.2], dtype=np.float32),
    ],
)
def test_codes_are_those_of_the_names(column):
    codes, names = category_codes(column)
    named = np.array([*names, None], dtype=object)[codes]
    expected = as_categories(column)
    assert [None if pd.isna(name) else name for name in expected] == named.tolist()
    assert len(set(names)) == len(names)


def test_two_columns_count_as_one():
    adata = rna(6)
    adata.obs["lane"] = [1, 2, 1, 2, 1, 2]
    adata.obs.iloc[3, adata.obs.columns.get_loc("batch")] = None
    found = find_column(adata, "batch & lane")
    pairs = zip(adata.obs["batch"], adata.obs["lane"], strict=True)
    expected = [f"{b} & {lane}" if isinstance(b, str) else None for b, lane in pairs]
    assert [None if pd.isna(name) else name for name in found] == expected
    assert found.name == "batch & lane"
    assert found.index.equals(adata.obs_names)


def test_a_name_that_is_no_text_or_of_two_columns_is_refused():
    adata = rna()
    for key in (3, ["batch"], b"batch", None):
        with pytest.raises(
            ValueError, match="^column: expected the name of a column as text, got .*; name one, or of several"
        ):
            find_column(adata, key)
    adata.obs = pd.concat([adata.obs, adata.obs[["batch"]]], axis=1)
    with pytest.raises(ValueError, match="^column 'batch': expected one column, got 2 columns of that name; rename or"):
        find_column(adata, "batch")


def test_combinations_are_told_apart_whatever_their_order():
    adata = AnnData(np.ones((4, 1)), obs=pd.DataFrame({"a": list("xyyx"), "b": list("1122"), "c": list("pppq")}))
    found = find_column(adata, "a & b & c")
    assert found.tolist() == ["x & 1 & p", "y & 1 & p", "y & 2 & p", "x & 2 & q"]
    assert isinstance(found.dtype, pd.CategoricalDtype)
    assert len(found.cat.categories) == 4
    adata.obs["b"] = [None] * 4
    assert find_column(adata, "a & b").isna().all()


def test_a_value_that_only_later_modalities_have_is_taken_from_these():
    mdata = MuData({"rna": rna(6), "atac": rna(6)})
    mdata.obs = mdata.obs[[]]
    mdata.mod["rna"].obs["lane"] = ["a", None, "a", None, "a", "a"]
    mdata.mod["atac"].obs["lane"] = "b"
    assert find_column(mdata, "lane").tolist() == ["a", "b", "a", "b", "a", "a"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        (pd.array([1, None, 3], dtype="Int64"), [1, np.nan, 3]),
        (["1.5", None, "2"], [1.5, np.nan, 2]),
        ([True, False, True], [1, 0, 1]),
        (pd.array([True, None, False], dtype="boolean"), [1, np.nan, 0]),
        (pd.Categorical([3, None, 1]), [3, np.nan, 1]),
        (pd.Categorical(["3", None, "1"]), [3, np.nan, 1]),
    ],
)
def test_numbers_are_found_in_any_type_of_column(values, expected):
    adata = AnnData(np.zeros((3, 1)), obs=pd.DataFrame({"x": values}, index=list("abc")))
    found = find_numbers(adata, "x", "do this")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("values", [["1", "b", "c"], [["b"], 2, 3], pd.to_datetime(["2026-01-01"] * 3)])
def test_what_is_no_number_is_refused(values):
    adata = AnnData(np.zeros((3, 1)), obs=pd.DataFrame({"x": values}, index=list("abc")))
    with pytest.raises(ValueError, match="^column 'x': expected numbers, got .*; do this"):
        find_numbers(adata, "x", "do this")
