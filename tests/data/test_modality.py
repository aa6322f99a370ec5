"""What is kept of a registered modality, and how that of another object is matched to it."""

import json
import logging

import pytest
from mudata import MuData

from omicsmlm.data import ModalityField
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


def test_a_modality_of_zeros_alone_is_refused_at_registration():
    adata = rna()
    adata.X = adata.X * 0
    with pytest.raises(ValueError, match="^rna: expected at least one value that is not zero, got zeros only"):
        ModalityField("rna").register_field(adata)
