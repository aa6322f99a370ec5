"""What is kept of a registered object, and how another object is matched to it."""

import json
import logging

import numpy as np
import pytest
from mudata import MuData

from omicsmlm.data import CovariatesField, ModalityField
from omicsmlm.data._fields import ALL
from tests.objects import modality, multiome, rna


def test_a_modality_keeps_kind_and_vocabulary_as_json():
    state = ModalityField("rna").register_field(multiome())
    assert state == {"name": "rna", "kind": "counts", "vocabulary": [f"gene{j}" for j in range(30)], "n_shared": 30}
    assert json.loads(json.dumps(state)) == state


def test_a_layer_is_scanned_instead_of_x():
    adata = rna()
    adata.layers["log"] = adata.X.log1p()
    assert ModalityField("rna", "log").register_field(adata)["kind"] == "real"
    assert ModalityField("rna").register_field(adata)["kind"] == "counts"


def test_another_object_is_matched_by_name():
    field = ModalityField("rna")
    state = field.register_field(rna())
    query = rna(10, 40)[:, 12:].copy()
    matched = field.transfer_field(state, query)
    assert matched["vocabulary"] == state["vocabulary"]
    assert matched["n_shared"] == 18
    assert state["n_shared"] == 30, "the state of the reference must not change"


def test_an_absent_modality_shares_nothing():
    field = ModalityField("rna")
    state = field.register_field(multiome())
    assert field.transfer_field(state, MuData({"atac": modality("accessibility")}))["n_shared"] == 0


def test_fewer_than_half_of_the_features_are_reported(caplog):
    field = ModalityField("rna")
    state = field.register_field(rna())
    with caplog.at_level(logging.WARNING, logger="omicsmlm"):
        field.transfer_field(state, rna()[:, :15].copy())
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING, logger="omicsmlm"):
        field.transfer_field(state, rna()[:, :14].copy())
    message = "rna: only 14 of the 30 trained features (47 %) are in this object, and results rest on these alone"
    assert caplog.messages == [f"{message}."]
    caplog.clear()
    query = rna()
    query.var_names = [name if i < 10 else f"{name}.1" for i, name in enumerate(query.var_names)]
    with caplog.at_level(logging.WARNING, logger="omicsmlm"):
        field.transfer_field(state, query)
    (found,) = caplog.messages
    message = "rna: only 10 of the 30 trained features (33 %) are in this object, and results rest on these alone"
    assert found == (
        f"{message}; the model does not know 'gene10.1', 'gene11.1' and 18 more: check how names are written."
    )


def test_a_query_of_another_kind_is_refused_and_zeros_are_not():
    field = ModalityField("rna")
    state = field.register_field(rna())
    query = rna()
    query.X = query.X * 0.5
    with pytest.raises(ValueError, match="expected raw counts"):
        field.transfer_field(state, query)
    query.X = query.X * 0
    assert field.transfer_field(state, query)["n_shared"] == 30


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


# ---- what is refused, and what scvi-tools asks ----------------------------------------------------------------------


def test_a_modality_that_is_not_there_or_empty_or_ambiguous_is_refused():
    with pytest.raises(
        ValueError, match=r"^modalities: expected a modality 'meth', got \['rna', 'atac', 'prot'\]; name"
    ):
        ModalityField("meth").validate_field(multiome())
    for empty, found in ((rna()[:0].copy(), "0 x 30"), (rna()[:, :0].copy(), "72 x 0")):
        with pytest.raises(ValueError, match=f"^rna: expected observations and features, got {found}; leave"):
            ModalityField("rna").validate_field(empty)
    twice = rna()
    twice.var_names = ["gene1", *twice.var_names[1:]]
    with pytest.raises(
        ValueError, match=r"^rna: expected distinct feature names, got duplicates 'gene1'; run \.var_names"
    ):
        ModalityField("rna").validate_field(twice)
    ModalityField("rna").validate_field(rna()[:1, :1].copy())


def test_features_of_which_none_is_known_are_refused_unless_they_are_added_or_optional(caplog):
    query = rna()
    query.var_names = [f"ENSG{j}" for j in range(30)]
    field = ModalityField("rna")
    state = field.register_field(rna())
    message = "^rna: expected features of the trained vocabulary such as 'gene0', 'gene1', got features such as 'ENSG0'"
    with pytest.raises(ValueError, match=message):
        field.transfer_field(state, query)
    for lenient in (ModalityField("rna+", source="rna"), ModalityField("rna", is_optional=True)):
        assert lenient.transfer_field(state, query)["n_shared"] == 0
    assert caplog.messages == []


def test_what_a_field_says_of_itself():
    field, layered = ModalityField("rna"), ModalityField("rna+", "raw", source="rna")
    assert (field.registry_key, field.attr_name, field.attr_key, field.mod_key) == ("modality_rna", "X", None, "rna")
    assert (layered.registry_key, layered.attr_name, layered.attr_key, layered.mod_key) == (
        "modality_rna+",
        "layers",
        "raw",
        "rna",
    )
    assert (field.kind, field.is_optional, field.is_empty) == (None, False, False)
    state = field.register_field(multiome())
    assert field.get_summary_stats(state) == {"n_rna": 30}
    table = field.view_state_registry({**state, "n_shared": 7})
    assert table.title == "rna"
    assert [column.header for column in table.columns] == ["kind", "features", "shared"]
    assert [list(column.cells) for column in table.columns] == [["counts"], ["30"], ["7"]]
    covariates = CovariatesField(["batch"])
    assert (covariates.registry_key, covariates.attr_name, covariates.attr_key) == ("covariates", "obs", None)
    assert not covariates.is_empty
    assert covariates.view_state_registry({}) is None
    assert ALL == "all"


def test_a_modality_of_zeros_alone_is_refused_at_registration():
    adata = rna()
    adata.X = adata.X * 0
    with pytest.raises(ValueError, match="^rna: expected at least one value that is not zero, got zeros only"):
        ModalityField("rna").register_field(adata)


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
