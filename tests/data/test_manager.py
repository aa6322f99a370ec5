"""What is registered can be saved as JSON, restored and transferred, and leaves the object alone."""

import json

import pytest
from mudata import MuData

from omicsmlm.data import OmicsManager
from tests.objects import manager_of, modality, multiome, rna, state_of


def test_the_object_gets_two_identifiers_and_nothing_else():
    mdata = multiome()
    before = state_of(mdata)
    manager_of(mdata, ["batch"])
    assert set(mdata.uns) == {"_scvi_uuid", "_scvi_manager_uuid"}
    assert state_of(mdata) == before


def test_a_registry_survives_json_and_two_transfers():
    registry = json.loads(json.dumps(manager_of(multiome(), [None, "type"]).registry))
    manager = OmicsManager.restore(registry)
    for _ in range(2):
        manager = manager.transfer_fields(multiome())
        manager = OmicsManager.restore(json.loads(json.dumps(manager.registry)))
    assert manager.covariates == {None: ["all"], "type": ["t0", "t1", "t2"]}
    assert {name: state["kind"] for name, state in manager.modalities.items()} == {
        "rna": "counts",
        "atac": "accessibility",
        "prot": "protein",
    }


def test_an_object_without_any_of_the_modalities_is_refused():
    with pytest.raises(ValueError, match=r"^data: expected a modality among \['rna', 'atac', 'prot'\], got \['meth'\]"):
        manager_of(multiome()).transfer_fields(MuData({"meth": modality("fraction")}))


def test_layers_and_kinds_are_taken_by_name():
    mdata = multiome()
    mdata.mod["rna"].layers["twice"] = mdata.mod["rna"].X * 2
    manager = manager_of(mdata, layers={"rna": "twice"}, kinds={"prot": "real"})
    assert manager.modalities["prot"]["kind"] == "real"
    values = manager.create_torch_dataset()[list(range(72))].tokens["rna"].values
    assert (values % 2 == 0).all()


def test_the_fields_can_be_shown(capsys):
    manager_of(rna()).view_registry()
    assert "counts" in capsys.readouterr().out
