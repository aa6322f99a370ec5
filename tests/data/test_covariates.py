"""What is kept of the covariates of a registered object, and how those of another object are matched to them."""

import numpy as np
import pytest

import omicsmlm
from omicsmlm.data import CovariatesField
from omicsmlm.data._covariates import ALL
from tests.objects import rna


def test_covariates_are_coded_by_name():
    adata = rna(12)
    field = CovariatesField(["batch", "type"])
    state = field.register_field(adata)
    assert state == {"keys": ["batch", "type"], "categories": [["b0", "b1"], ["t0", "t1", "t2"]]}
    codes = field.codes(adata, state)
    assert codes.dtype == np.int8
    assert codes[:, 0].tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert codes[:, 1].tolist() == [0, 1, 2] * 4


def test_categories_that_training_did_not_see_and_missing_columns_are_unknown():
    field = CovariatesField(["batch", "type"])
    state = field.register_field(rna(12))
    query = rna(4)
    query.obs["batch"] = ["b1", "new", "b0", None]
    del query.obs["type"]
    assert field.transfer_field(state, query) == state
    assert field.codes(query, state).tolist() == [[1, -1], [-1, -1], [0, -1], [-1, -1]]


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool", "datetime64[ns]", "category", "string", object])
def test_no_registered_row_is_unknown_whatever_its_type(dtype):
    adata = rna(12)
    adata.obs["batch"] = (np.arange(12) % 2 * (0.1 if dtype == "float32" else 1)).astype(
        "int64" if dtype != "float32" else dtype
    )
    adata.obs["batch"] = adata.obs["batch"].astype(dtype)
    field = CovariatesField(["batch"])
    assert field.codes(adata, field.register_field(adata))[:, 0].tolist() == [0, 1] * 6


def test_without_a_batch_all_rows_share_one():
    adata = rna(6)
    field = CovariatesField([None, "type"])
    state = field.register_field(adata)
    assert state["categories"] == [["all"], ["t0", "t1", "t2"]]
    assert field.codes(adata, state).tolist() == [[0, 0], [0, 1], [0, 2]] * 2
    assert field.get_summary_stats(state) == {"n_type": 3}


def test_missing_values_are_counted():
    adata = rna(6)
    adata.obs["batch"] = ["a", None, "b", None, "a", "b"]
    with pytest.raises(
        ValueError, match="column 'batch': expected a category for each observation, got 2 missing; fill them"
    ):
        CovariatesField(["batch"]).register_field(adata)


def test_new_batches_are_put_behind_those_of_training():
    """A decoder's columns are those of the batches in this order: what was learned must stay where it is."""
    adata, query = rna(6), rna(6)
    adata.obs["batch"] = ["m", "t"] * 3
    query.obs["batch"] = ["z", "t", "a", "z", "a", "m"]
    field = CovariatesField(["batch"])
    state = field.register_field(adata)
    extended = field.transfer_field(state, query, extend_categories=True)
    assert extended["categories"] == [["m", "t", "a", "z"]]
    assert field.codes(query, extended)[:, 0].tolist() == [3, 1, 2, 3, 2, 0]
    assert field.transfer_field(state, query)["categories"] == state["categories"] == [["m", "t"]], (
        "only where asked for"
    )


def test_batches_that_are_missing_values_as_text_are_refused(caplog):
    adata = rna()
    adata.obs["batch"] = ["nan", "", *["b0", "b1"] * 35]
    with pytest.raises(
        ValueError, match="^column 'batch': expected a category for each observation, got 2 missing; fill them"
    ):
        CovariatesField(["batch"]).register_field(adata)
    assert "column 'batch': the texts 'nan' (1), '' (1) are taken for missing values." in caplog.messages
    adata.obs["batch"] = "b0"
    field = CovariatesField(["batch"])
    state = field.register_field(adata)
    adata.obs["batch"] = ["nan", *["b2"] * 71]
    assert field.transfer_field(state, adata, extend_categories=True)["categories"] == [["b0", "b2"]]


@pytest.mark.parametrize(("known", "queried"), [([1, 2], [1.0, 2.0]), ([1.0, 2.0], [1, 2]), (["1", "2"], [1.0, 2.0])])
def test_a_batch_that_is_a_whole_number_is_known_as_a_float_too(known, queried):
    reference, query = rna(), rna()
    reference.obs["batch"], query.obs["batch"] = known * 36, [*queried * 35, 3, 3]
    field = CovariatesField(["batch"])
    state = field.register_field(reference)
    assert field.codes(query, state)[:, 0].tolist() == [*[0, 1] * 35, -1, -1]
    (categories,) = field.transfer_field(state, query, extend_categories=True)["categories"]
    assert len(categories) == 3
    assert float(categories[2]) == 3


def test_categories_that_differ_by_their_decimals_alone_stay_apart():
    adata = rna()
    adata.obs["batch"] = ["1", "1.0"] * 36
    field = CovariatesField(["batch"])
    assert field.codes(adata, field.register_field(adata))[:, 0].tolist() == [0, 1] * 36


@pytest.mark.parametrize(("n", "kind"), [(127, np.int8), (128, np.int16), (32_767, np.int16), (32_768, np.int32)])
def test_codes_have_the_smallest_type_that_holds_them(n, kind):
    state = {"keys": ["batch"], "categories": [[f"b{i}" for i in range(n)]]}
    assert CovariatesField(["batch"]).codes(rna(4), state).dtype == kind


def test_without_covariates_there_are_no_codes():
    field = CovariatesField([])
    state = field.register_field(rna(4))
    assert field.codes(rna(4), state).shape == (4, 0)
    assert field.transfer_field(state, rna(4), extend_categories=True) == {"keys": [], "categories": []}


def test_only_the_batch_gets_new_categories():
    reference, query = rna(6), rna(6)
    query.obs["type"] = "new"
    field = CovariatesField([None, "type"])
    state = field.register_field(reference)
    assert field.transfer_field(state, query, extend_categories=True) == state, "where there is a batch"


def test_what_a_field_says_of_itself():
    covariates = CovariatesField(["batch"])
    assert (covariates.registry_key, covariates.attr_name, covariates.attr_key) == ("covariates", "obs", None)
    assert not covariates.is_empty
    assert covariates.view_state_registry({}) is None
    assert ALL == "all"


def test_columns_may_have_dots_in_their_names_as_in_seurat():
    adata = omicsmlm.datasets.simulate_rna(60, 30)
    adata.obs["orig.ident"] = np.where(np.arange(60) % 2, "a", "b")
    adata.obs["percent.mt"] = np.arange(60.0)
    omicsmlm.OmicsMLM.setup_anndata(
        adata,
        batch_key="orig.ident",
        categorical_covariate_keys=["orig.ident"],
        continuous_covariate_keys=["percent.mt"],
    )
    model = omicsmlm.OmicsMLM(adata)
    assert model.summary_stats["n_orig_ident"] == 2
    assert "'orig.ident'" in repr(model)
