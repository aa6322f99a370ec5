"""What is registered can be saved as JSON, restored and transferred, and leaves the object alone."""

import json

import numpy as np
import pytest
from anndata import AnnData
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


def by_gene() -> dict[str, AnnData]:
    """RNA as real values and methylation as fractions, of the same genes."""
    parts = {"rna": modality("real", g=12), "meth": modality("fraction", g=12)}
    for part in parts.values():
        part.var_names = [f"gene{j}" for j in range(12)]
    return parts


def test_an_object_of_one_modality_is_known_by_its_features_and_then_by_its_kind():
    manager = manager_of(MuData(by_gene()))
    for name, part in by_gene().items():
        for genes in (slice(None), slice(4)):
            states = manager.transfer_fields(part[:, genes].copy()).modalities
            assert {m: state["n_shared"] > 0 for m, state in states.items()} == {m: m == name for m in states}
    counts = rna(g=12)
    with_counts = manager_of(MuData({**by_gene(), "counts": counts}))
    assert with_counts.transfer_fields(counts).modalities["counts"]["n_shared"] == 12
    several = manager_of(multiome())
    assert several.transfer_fields(multiome()["prot"].copy()).modalities["prot"]["n_shared"] == 8


def test_an_object_that_may_be_one_of_two_modalities_is_refused():
    parts = by_gene()
    parts["rna"].X = 1 / (1 + np.exp(-parts["rna"].X))
    manager = manager_of(MuData(parts))
    with pytest.raises(
        ValueError,
        match=r"^data: expected an object of one modality, got features that 'rna', 'meth' have alike; "
        r"pass MuData\(\{'rna': adata\}\), say\.$",
    ):
        manager.transfer_fields(by_gene()["meth"])
    parts["meth"] = parts["meth"][:, :7].copy()
    fewer = manager_of(MuData(parts))
    assert fewer.transfer_fields(by_gene()["meth"]).modalities["rna"]["n_shared"] == 12, "more of its features"
