"""What is registered can be saved as JSON, restored and transferred, and leaves the object alone."""

import json

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData

from omicsmlm.data import OmicsManager
from tests.objects import manager_of, modality, multiome, rna, state_of, transcripts


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


def test_an_object_that_was_changed_is_told():
    adata = rna()
    manager = manager_of(adata)
    manager.check_unchanged()
    adata.var_names = adata.var_names[::-1]
    with pytest.raises(ValueError, match="^rna: "):
        manager.check_unchanged()
    OmicsManager.restore(manager.registry).check_unchanged()  # without an object there is nothing to check


def test_features_that_a_query_adds_have_a_name_of_their_own():
    reference = manager_of(MuData({"rna": rna(), "prot": modality("protein")}), ["batch"])
    query = MuData({"rna": rna(10, 33), "prot": modality("protein", 10)})
    extended = reference.with_added_features(query)
    assert list(extended.modalities) == ["rna", "prot", "rna+"]
    assert extended.modalities["rna+"] == {
        "name": "rna+",
        "kind": "counts",
        "vocabulary": ["gene30", "gene31", "gene32"],
        "n_shared": 0,
    }
    assert list(reference.modalities) == ["rna", "prot"], "the reference stays as it was"
    transferred = extended.transfer_fields(query)
    assert {name: state["n_shared"] for name, state in transferred.modalities.items()} == {
        "rna": 30,
        "prot": len(query["prot"].var_names),
        "rna+": 3,
    }
    again = transferred.with_added_features(MuData({"rna": rna(10, 35)}))
    assert again.modalities["rna++"]["vocabulary"] == ["gene33", "gene34"]
    assert json.loads(json.dumps(again.registry["setup_args"]["added"])) == {"rna+": "rna", "rna++": "rna"}
    assert list(extended.with_added_features(query).modalities) == ["rna", "prot", "rna+"], "nothing is new now"


def test_a_query_needs_one_of_the_sequences_or_vectors():
    adata = transcripts(12)
    adata.obsm["promoter"] = np.ones((12, 2), np.float32)
    manager = manager_of(
        adata, optional=["rna"], sequences={"dna": ["dna", "nucleotide"]}, vectors={"meth": "promoter"}
    )
    assert manager.sequences == {
        "dna": {"key": "dna", "kind": "nucleotide", "n_present": int(adata.obs["dna"].notna().sum())}
    }
    assert manager.vectors == {"meth": {"key": "promoter", "width": 2, "n_present": 12}}
    one = adata.copy()
    del one.obsm["promoter"]
    assert manager.transfer_fields(one).vectors["meth"]["n_present"] == 0
    del one.obs["dna"]
    with pytest.raises(
        ValueError, match="^data: expected a column or an entry with one of 'dna', 'meth', got an object"
    ):
        manager.transfer_fields(one)


def test_an_object_without_the_layer_is_not_of_that_modality():
    parts = by_gene()
    parts["rna"].layers["z"] = parts["rna"].X.copy()
    manager = manager_of(MuData(parts), layers={"rna": "z"})
    query = by_gene()["rna"]
    with pytest.raises(ValueError, match="alike; pass MuData"):
        manager.transfer_fields(query)
    query.layers["z"] = query.X.copy()
    assert manager.transfer_fields(query).modalities["rna"]["n_shared"] == 12
