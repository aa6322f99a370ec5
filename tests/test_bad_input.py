"""Wrong input meets one sentence that says what is wrong, what was found and what to do, and changes nothing."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from safetensors.torch import load_file, save_file
from scipy import sparse

import omicsmlm
from omicsmlm import OmicsMLM
from omicsmlm._manifest import write_manifest
from tests.objects import QUIET, SMALL, modality, multiome, rna, state_of

SENTENCE = re.compile(r"^[^\n]+: expected [^\n]+, got [^\n]+; [^\n]+[^.]\.$")


@contextmanager
def refused(match: str, *objects: Any) -> Iterator[None]:
    """The block raises one sentence that says this, and leaves the objects exactly as they were."""
    before = [state_of(data, without_registry=False) for data in objects]
    with pytest.raises(ValueError, match=match) as caught:
        yield
    assert SENTENCE.match(str(caught.value)), str(caught.value)
    for data, state in zip(objects, before, strict=True):
        assert state_of(data, without_registry=False) == state


@pytest.fixture(scope="module")
def model():
    """A model of a MuData, trained once."""
    model = OmicsMLM(multiome(), SMALL, batch_key="batch")
    model.train(1, **QUIET)
    return model


@pytest.fixture
def saved(model, tmp_path):
    """Its directory."""
    model.save(tmp_path / "model")
    return tmp_path / "model"


# ---- values -------------------------------------------------------------------------------------------------------


def with_value(value: float, form: Any = sparse.csr_matrix):
    adata = rna()
    x = adata.X.toarray()
    x[3, 4] = value
    adata.X = form(x)
    return adata


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize(("value", "found"), [(-2, "values down to -2"), (np.nan, "NaN"), (40.5, "floats up to 40.5")])
def test_counts_that_are_none(value, found, form):
    adata = with_value(value, form)
    with refused(rf'^rna: expected raw counts \(non-negative integers\), got {found}; .*layer.*"real"', adata):
        OmicsMLM(adata, SMALL)


@pytest.mark.parametrize(
    ("value", "found"), [(-2, "values down to -2"), (np.nan, "NaN"), (0.5, "floats up to [0-9.]+")]
)
def test_values_that_are_not_the_counts_they_are_said_to_be(value, found):
    mdata = MuData({"rna": with_value(value), "prot": modality("protein", g=8)})
    with refused(rf"^rna: expected raw counts .*, got {found}; ", mdata):
        OmicsMLM.setup_mudata(mdata, kinds={"rna": "counts"})


def test_values_that_are_not_finite():
    adata = with_value(np.inf)
    with refused(r"^rna: expected finite values, got infinity; ", adata):
        OmicsMLM(adata, SMALL)


def test_a_modality_of_zeros():
    mdata = multiome()
    mdata.mod["prot"].X = mdata.mod["prot"].X * 0
    with refused(r"^prot: expected at least one value that is not zero, got zeros only; leave this modality", mdata):
        OmicsMLM(mdata, SMALL)


def test_words_instead_of_numbers():
    adata = rna()
    adata.X = np.full(adata.shape, "many", dtype=object)
    with refused(r"^rna: expected numbers, got values of type object; convert", adata):
        OmicsMLM(adata, SMALL)


def test_an_unknown_kind():
    adata = rna()
    with refused(r"^rna: expected a kind among \('counts', 'accessibility'.*, got 'RNA'; pass one of them", adata):
        OmicsMLM.setup_anndata(adata, kind="RNA")


def test_features_of_several_types_in_one_matrix():
    adata = rna()
    adata.var["feature_types"] = ["Gene Expression"] * 20 + ["Antibody Capture"] * 10
    with refused(r"^rna: expected features of one type, got the feature_types 'Gene Expr.*split", adata):
        OmicsMLM(adata, SMALL)


# ---- names --------------------------------------------------------------------------------------------------------


def test_features_that_share_a_name():
    mdata = multiome()
    names = mdata.mod["atac"].var_names.to_numpy().copy()
    names[3] = names[7]
    mdata.mod["atac"].var_names = names
    with refused(
        rf"^atac: expected distinct feature names, got duplicates '{names[7]}'; run .var_names_make_uni", mdata
    ):
        OmicsMLM(mdata, SMALL)


def test_an_unknown_layer():
    adata = rna()
    adata.layers["raw"] = adata.X
    with refused(r"^rna: expected a layer 'counts', got layers \['raw'\]; pass the name of an existing layer", adata):
        OmicsMLM.setup_anndata(adata, layer="counts")


def test_no_values_at_all():
    adata = rna()
    adata.layers["counts"] = adata.X
    adata.X = None
    with refused(r'^rna: expected values in X, got none; pass layer="…"', adata):
        OmicsMLM(adata, SMALL)


def test_an_unknown_modality():
    mdata = multiome()
    with refused(r"^modalities: expected a modality 'gex', got \['rna', 'atac', 'prot'\]; name", mdata):
        OmicsMLM.setup_mudata(mdata, modalities=["rna", "gex"])
    with refused(r"^modalities: expected at least one modality, got none; name", mdata):
        OmicsMLM.setup_mudata(mdata, modalities=[])
    with refused(r"^layers: expected names among \['rna', 'atac', 'prot'\], got 'gex'; name", mdata):
        OmicsMLM.setup_mudata(mdata, layers={"gex": "counts"})
    with refused(r"^kinds: expected names among \['atac'\], got 'rna'; name", mdata):
        OmicsMLM.setup_mudata(mdata, modalities=["atac"], kinds={"rna": "counts"})


def test_a_modality_with_a_dot_in_its_name():
    adata = rna()
    with refused(r"^modalities: expected names without a dot, got 'rna.1'; rename", adata):
        OmicsMLM.setup_anndata(adata, modalities="rna.1")


def test_a_batch_column_that_is_missing():
    mdata = multiome()
    mdata.mod["rna"].obs["lane"] = "L1"
    with refused(
        r"^column 'donor': expected a column of \.obs and the \.obs of every modality, got .*'rna: lane'", mdata
    ):
        OmicsMLM(mdata, SMALL, batch_key="donor")
    adata = rna()
    with refused(r"^column 'donor': expected a column of \.obs, got columns 'type', 'batch'; pass an existing", adata):
        OmicsMLM.setup_anndata(adata, categorical_covariate_keys=["donor"])


def test_a_batch_column_with_gaps():
    adata = rna()
    adata.obs["batch"] = adata.obs["batch"].astype(object).where(np.arange(72) > 4)
    with refused(r"^column 'batch': expected a category for each observation, got 5 missing; fill them", adata):
        OmicsMLM(adata, SMALL, batch_key="batch")


def test_a_batch_that_is_named_twice():
    adata = rna()
    OmicsMLM.setup_anndata(adata, batch_key="batch")
    with refused(r"^batch_key: expected a batch that is named once, got 'type' for an object that was set", adata):
        OmicsMLM(adata, SMALL, batch_key="type")


# ---- objects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [np.ones((3, 3)), pd.DataFrame([[1]]), "data.h5ad", None, sparse.eye(3)])
def test_a_type_that_holds_no_cells(data, model):
    found = type(data).__name__
    with refused(rf"^data: expected an AnnData or MuData, got {found}; read the file"):
        OmicsMLM(data, SMALL)
    with refused(rf"^data: expected an AnnData or MuData, got {found}; "):
        OmicsMLM.setup_mudata(data)
    with refused(rf"^data: expected an AnnData or MuData, got {found}; "):
        OmicsMLM.setup_anndata(data)
    if data is not None:
        with refused(rf"^data: expected an AnnData or MuData, got {found}; "):
            model.get_latent_representation(data)


def test_the_setup_of_the_other_type():
    mdata, adata = multiome(), rna()
    with refused(r"^setup_anndata: expected an AnnData, got a MuData; call setup_mudata", mdata):
        OmicsMLM.setup_anndata(mdata)
    with refused(r"^setup_mudata: expected a MuData, got an AnnData; call setup_anndata", adata):
        OmicsMLM.setup_mudata(adata)


def test_a_view(model):
    adata, mdata = rna(), multiome()
    for view in (adata[:40], mdata[:40]):
        with refused(r"^\w+: expected an object of its own, got a view of another; take a copy first", adata, mdata):
            OmicsMLM(view, SMALL)
        assert view.is_view, "asking must not turn it into a copy"
        with refused(r"got a view of another; take a copy first", adata, mdata):
            model.get_latent_representation(view)


def test_a_view_as_a_modality():
    adata = rna()
    mdata = MuData({"rna": adata[:40], "prot": modality("protein", g=8)})
    with refused(r"^rna: expected an object of its own, got a view of another; take a copy first", adata):
        OmicsMLM(mdata, SMALL)
    assert np.isfinite(OmicsMLM(mdata.copy(), SMALL).get_latent_representation()).all(), "what the sentence says helps"


def test_a_layer_of_dask():
    adata = rna()
    dask = pytest.importorskip("dask.array")
    adata.layers["counts"] = dask.from_array(adata.X.toarray())
    OmicsMLM.setup_anndata(adata, layer="counts")
    assert isinstance(adata.layers["counts"], dask.Array)
    found = OmicsMLM(adata, SMALL).get_latent_representation()
    np.testing.assert_allclose(found, OmicsMLM(rna(), SMALL).get_latent_representation(), atol=1e-5)


def test_columns_in_a_file(tmp_path):
    adata = rna()
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(
        ValueError, match=r"^rna: expected values that can be read by rows, got a CSC matrix in a file; "
    ):
        OmicsMLM(backed, SMALL)
    assert dict(backed.uns) == {}


def test_an_empty_object(model):
    for empty in (rna()[:0].copy(), rna()[:, :0].copy()):
        with refused(
            r"expected (at least 2 observations to train on, got 0|observations and features, got 72 x 0); ", empty
        ):
            OmicsMLM(empty, SMALL)
    empty = multiome()[:0].copy()
    with refused(r"^data: expected at least one observation, got none; check the filter", empty):
        model.get_latent_representation(empty)
    with refused(r"^data: expected at least one observation, got none; check the filter", empty):
        OmicsMLM.setup_mudata(empty)


def test_an_empty_modality():
    mdata = MuData({"rna": rna(), "prot": modality("protein", g=8)[:0].copy()})
    with refused(r"^prot: expected observations and features, got 0 x 8; leave this modality out", mdata):
        OmicsMLM(mdata, SMALL)


def test_one_row(model):
    adata = rna()[:1].copy()
    with refused(r"^data: expected at least 2 observations to train on, got 1; pass the data set", adata):
        OmicsMLM(adata, SMALL)
    one = multiome()[:1].copy()
    assert np.isfinite(model.get_latent_representation(one)).all(), "one row is enough to embed"


def test_a_modality_that_was_filtered_behind_the_mudata():
    mdata = multiome()
    mdata.mod["rna"]._inplace_subset_obs(np.arange(5, 40))
    with refused(
        r"^rna: expected the observations that the MuData lists.*got 35 observations that were changed since; run mdata",
        mdata,
    ):
        OmicsMLM(mdata, SMALL)


# ---- queries ------------------------------------------------------------------------------------------------------


def test_a_query_without_a_common_feature(model):
    query = rna()
    query.var_names = [f"ENSG{j}" for j in range(30)]
    with refused(r"^rna: expected features of the trained vocabulary such as 'gene0', 'gene1', got .*'ENSG0'", query):
        model.get_latent_representation(MuData({"rna": query}))
    with refused(r"^rna: expected features of the trained vocabulary", query):
        model.get_latent_representation(query)


def test_a_query_with_fewer_than_half_of_the_features_is_reported(model, caplog):
    query = rna()[:, :10].copy()
    with caplog.at_level(logging.WARNING, logger="omicsmlm"):
        model.get_latent_representation(query)
    message = "rna: only 10 of the 30 trained features (33 %) are in this object, and results rest on these alone."
    assert message in caplog.messages


def test_a_query_without_any_of_the_modalities(model):
    query = MuData({"meth": modality("fraction")})
    with refused(r"^data: expected a modality among \['rna', 'atac', 'prot'\], got \['meth'\]; rename", query):
        model.get_latent_representation(query)


def test_a_query_of_log_values(model):
    query = rna()
    query.X = query.X.log1p()
    with refused(r"^rna: expected raw counts .*, got floats up to", query):
        model.get_latent_representation(query)


def test_a_model_without_an_object(saved):
    alone = OmicsMLM.load(saved)
    for ask in (alone.get_latent_representation, alone.train):
        with refused(r"^data: expected an object, got none, as the model was loaded without one; pass data"):
            ask()


@pytest.mark.parametrize("indices", [[0, 72], [-73], [0.5], ["cell001"], np.ones(5, bool), [[1, 2]], slice(3)])
def test_rows_that_are_not_there(model, indices):
    with refused(r"^indices: expected positions below 72, or as many booleans, got '.*; pass obs_names", model.adata):
        model.get_latent_representation(indices=indices)


# ---- training -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, r"^max_epochs: expected at least 1, got 0; leave it out"),
        ({"max_epochs": -1}, r"^max_epochs: expected at least 1, got -1; "),
        ({"batch_size": 0}, r"^batch_size: expected at least 1, got 0; "),
        ({"train_size": 0}, r"^train_size: expected a fraction above 0 and at most 1, got 0; "),
        ({"train_size": 1.5}, r"^train_size: expected a fraction above 0 and at most 1, got 1\.5; "),
        ({"train_size": float("nan")}, r"^train_size: expected a fraction .*, got nan; "),
        ({"key_added": "rna"}, r"^key_added: expected a key of its own, got 'rna', which \.obsm reserves for a mod"),
        (
            {"resume_from": "/nowhere"},
            r"^resume_from: expected a checkpoint .*, got no file '/nowhere'; check the path",
        ),
    ],
)
def test_arguments_of_training(arguments, message):
    mdata = multiome()
    model = OmicsMLM(mdata, SMALL)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    with refused(message, mdata):
        model.train(**{"max_epochs": 1, **QUIET, **arguments})
    assert all((before[name] == value).all() for name, value in model.module.state_dict().items())
    assert not model.is_trained
    assert model.history is None


def test_the_batch_size_of_an_embedding(model):
    with refused(r"^batch_size: expected at least 1, got 0; leave it out", model.adata):
        model.get_latent_representation(batch_size=0)


def test_a_directory_without_a_checkpoint(tmp_path):
    adata = rna()
    model = OmicsMLM(adata, SMALL)
    with refused(rf"^resume_from: expected a checkpoint .*, got no file '{tmp_path}/last.ckpt'", adata):
        model.train(1, resume_from=tmp_path, **QUIET)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half of one"])
def test_a_checkpoint_that_cannot_be_read(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    adata = rna()
    model = OmicsMLM(adata, SMALL)
    with refused(r"^resume_from: expected a checkpoint .*, got ", adata):
        model.train(1, resume_from=tmp_path, **QUIET)


def test_a_checkpoint_of_another_model(tmp_path):
    OmicsMLM(rna(g=12), SMALL).train(1, checkpoint_dir=tmp_path, **QUIET)
    adata = rna()
    model = OmicsMLM(adata, SMALL)
    with refused(r"^resume_from: expected a checkpoint of this model, got ", adata):
        model.train(2, resume_from=tmp_path, **QUIET)


OTHERS = {
    "seed": (SMALL, lambda data: data, {"seed": 1}),
    "learning_rate": (SMALL, lambda data: data, {"learning_rate": 1e-4}),
    "features": (SMALL, lambda data: data[:, ::-1].copy(), {}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_training(tmp_path, what):
    config, change, fields = OTHERS[what]
    OmicsMLM(rna(), config).train(2, checkpoint_dir=tmp_path, **QUIET)
    adata = change(rna())
    model = OmicsMLM(adata, replace(config, **fields))
    said = rf"^resume_from: expected a checkpoint of the same seed, learning_rate and features, got .* with another {what}; pass"
    with refused(said, adata):
        model.train(2, resume_from=tmp_path, **QUIET)


def test_fewer_epochs_than_the_checkpoint_has(tmp_path):
    OmicsMLM(rna(), SMALL).train(2, checkpoint_dir=tmp_path, **QUIET)
    adata = rna()
    model = OmicsMLM(adata, SMALL)
    with refused(
        r"^resume_from: expected a checkpoint of a training as long as this, got one of 2 rounds .* of 1 of .*; pass",
        adata,
    ):
        model.train(1, resume_from=tmp_path, **QUIET)


def test_checkpoints_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    adata = rna()
    model = OmicsMLM(adata, SMALL)
    with refused(r"^checkpoint_dir: expected a directory that can be written, got .*file.*; pass another path", adata):
        model.train(1, checkpoint_dir=tmp_path / "file" / "checkpoints", **QUIET)


# ---- saved models -------------------------------------------------------------------------------------------------


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replaced(path, content):
    """Write a file, and a manifest that says it was saved so."""
    path.write_text(content)
    write_manifest(path.parent)


def restated(path, **changes):
    replaced(path, json.dumps({**json.loads(path.read_text()), **changes}))


def config_of(directory):
    return json.loads((directory / "config.json").read_text())["config"]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(path, key):
    content = json.loads(path.read_text())
    del content[key]
    replaced(path, json.dumps(content))


def tamper(path):
    tensors = load_file(path)
    first = next(iter(tensors))
    save_file({**tensors, first: tensors[first] + 1}, path)


DAMAGES = {
    "no directory": (
        lambda d: d.rename(d.parent / "moved"),
        r"^load '.*model': expected the files .*, got a directory without",
    ),
    "no weights": (lambda d: (d / "weights.safetensors").unlink(), r"got a directory without 'weights.safetensors'; "),
    "no registry": (lambda d: (d / "registry.json").unlink(), r"got a directory without 'registry.json'; "),
    "half the weights": (lambda d: truncate(d / "weights.safetensors"), r"^load: expected the weights.*changed; save"),
    "half the config": (lambda d: truncate(d / "config.json"), r"^load: expected the config.json that was saved"),
    "half the registry": (lambda d: truncate(d / "registry.json"), r"^load: expected the registry.json that was saved"),
    "half the history": (lambda d: truncate(d / "history.json"), r"^load: expected the history.json that was saved"),
    "an empty config": (
        lambda d: replaced(d / "config.json", "{}"),
        r"expected a whole file, got one without 'choice'",
    ),
    "a list as config": (lambda d: replaced(d / "config.json", "[1]"), r"expected a JSON object, got list; save"),
    "half a JSON file": (
        lambda d: replaced(d / "config.json", "{1"),
        r"^load config.json: expected a whole JSON file, got",
    ),
    "a deep config": (
        lambda d: replaced(d / "config.json", "[" * 10**4),
        r"^load config.json: expected lists in one anoth",
    ),
    "no manifest": (
        lambda d: (d / "manifest.json").unlink(),
        r"^load: expected the manifest.json that every model has, got a directory without it",
    ),
    "half a manifest": (
        lambda d: truncate(d / "manifest.json"),
        r"^load manifest.json: expected a whole JSON file, got",
    ),
    "no version number": (
        lambda d: restated(d / "config.json", version=[1]),
        r"^load: expected a model of omicsmlm .* or older, got one of \[1\]; update omicsmlm",
    ),
    "a changed config": (
        lambda d: edit(d / "config.json", version="0.0.1"),
        r"^load: expected the config.json that was",
    ),
    "a width of the sky": (
        lambda d: restated(d / "config.json", config={**config_of(d), "width": 10**12}),
        r"^load: expected files that fit together, got others \(.*; save the model again",
    ),
    "layers of the sky": (
        lambda d: restated(d / "config.json", config={**config_of(d), "n_attention_layers": 10**12}),
        r"^load: expected files that fit together, got others \(more than its weights have\); save the model again",
    ),
    "weights of another shape": (
        lambda d: restated(d / "config.json", config={**config_of(d), "width": 5}),
        r"^load: expected files that fit together, got others \(Error.*size mismatch",
    ),
    "no version": (
        lambda d: without(d / "config.json", "version"),
        r"expected a whole file, got one without 'version'",
    ),
    "another class": (
        lambda d: restated(d / "config.json", **{"class": "MOJO"}),
        r"expected a saved OmicsMLM, got a MOJO; ",
    ),
    "a newer version": (
        lambda d: restated(d / "config.json", version="99.0"),
        rf"^load: expected a model of omicsmlm {re.escape(omicsmlm.__version__)} or older, got one of 99.0; update",
    ),
    "tampered weights": (
        lambda d: tamper(d / "weights.safetensors"),
        r"^load: expected the weights.* got a file that has",
    ),
    "tampered registry": (
        lambda d: edit(d / "registry.json", model_name="x"),
        r"^load: expected the registry.json that",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_saved_model_that_is_damaged(saved, damage):
    change, message = DAMAGES[damage]
    change(saved)
    adata = rna()
    with refused(message, adata):
        OmicsMLM.load(saved, adata)


def test_tensors_that_cannot_be_read(saved):
    """The file is the one that the digest names, and no tensor file."""
    replaced(saved / "weights.safetensors", "nothing")
    with refused(r"^load: expected a readable tensor file, got .*; save the model again"):
        OmicsMLM.load(saved)


def test_a_model_of_an_older_version_loads(saved):
    restated(saved / "config.json", version="0.0.1")
    assert OmicsMLM.load(saved).is_trained


def test_places_where_a_model_cannot_be_saved(model, tmp_path):
    (tmp_path / "file").write_text("keep me")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("keep me")
    places = [
        ("file", False, r"^save: expected a directory, got '.*file', which is a file; pass another path"),
        ("file", True, r"^save: expected a directory, got '.*file', which is a file; pass another path"),
        ("file/model", False, r"^save: expected a directory that can be written, got .*; pass another path"),
        ("full", False, r"^save: expected a new directory, got '.*full', which exists; pass overwrite=True or another"),
        ("full", True, r"^save: expected a directory that holds a model, got '.*full' with other files; pass another"),
    ]
    for place, overwrite, message in places:
        with refused(message, model.adata):
            model.save(tmp_path / place, overwrite=overwrite)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "full", "thesis.txt"]
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "thesis.txt").read_text() == "keep me"


def test_what_cannot_be_written_leaves_nothing_behind(model, tmp_path, monkeypatch):
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("omicsmlm.models.base._files.save_file", full)
    with refused(
        r"^save: expected a directory that can be written, got 'No space left on device' at '.*'; free some space or pass"
    ):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_is_replaced_when_asked(model, saved):
    model.save(saved, overwrite=True)
    assert sorted(p.name for p in saved.iterdir()) == [
        "config.json",
        "history.json",
        "manifest.json",
        "registry.json",
        "weights.safetensors",
    ]
    assert OmicsMLM.load(saved).is_trained
