"""``train`` and ``embed``: what they write, and one sentence instead of a traceback."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from mudata import read_h5mu

from omicsmlm import IsoFormer, OmicsMLM, TxFM, datasets


@pytest.fixture
def source(tmp_path):
    """A small file of counts."""
    adata = datasets.simulate_rna(80, 40)
    adata.write(tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


def test_embed_trains_and_a_saved_model_embeds_again_alike(run, tmp_path, source):
    model, first, second = tmp_path / "model", tmp_path / "first.h5ad", tmp_path / "second.h5ad"
    assert run("embed", source, first, "--max-epochs", 1, "--save-model", model).status == 0
    assert run("embed", source, second, "--model", model).status == 0
    z = read_h5ad(first).obsm["X_omics"]
    np.testing.assert_allclose(z, read_h5ad(second).obsm["X_omics"], atol=1e-5)
    np.testing.assert_allclose(z, OmicsMLM.load(model).get_latent_representation(read_h5ad(source)), atol=1e-5)
    assert np.ptp(z) > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.h5ad", "out.h5ad"], "nowhere.h5ad"),
        (["{source}", "{folder}/out.h5mu"], "ends in .h5ad"),
        (["{source}", "{source}/below/out.h5ad"], "folder that can be written"),
        (["{source}", "{folder}/out.h5ad", "--batch-key", "absent"], "column 'absent'"),
        (["{source}", "{folder}/out.h5ad", "--model", "{folder}/absent"], "without"),
        (["{source}", "{folder}/out.h5ad", "--max-epochs", "0"], "max_epochs"),
        (["{source}", "{folder}/out.h5ad", "--device", "tpu"], "--device: expected"),
        (["{source}", "{folder}/out.h5ad", "--layer", "absent"], "layer 'absent'"),
        (["{source}", "{folder}/out.h5ad", "--family", "mojo", "--modality", "a.b"], "names without a dot"),
        (["{source}", "{source}"], "which is the source"),
        (["{source}", "{folder}/out.h5ad", "--save-model", "{folder}"], "save_model: expected a new folder"),
        (["{source}", "{folder}/out.h5ad", "--save-model", "{folder}/m", "--model", "m"], "leave out one of the two"),
        (["{source}", "{folder}/out.h5ad", "--save-model", "{source}/below/m"], "folder that can be written"),
    ],
)
def test_wrong_input_gets_one_sentence(run, tmp_path, source, arguments, said):
    called = run("embed", *(argument.format(source=source, folder=tmp_path) for argument in arguments))
    assert (called.status, called.out) == (2, "")
    assert said in called.err.splitlines()[-1]
    assert not (tmp_path / "out.h5ad").exists()


def test_a_model_folder_that_exists_is_refused_before_training(run, monkeypatch, tmp_path, source):
    monkeypatch.setattr(OmicsMLM, "train", lambda *_, **__: pytest.fail("it trained"))
    (tmp_path / "model").mkdir()
    assert run("embed", source, tmp_path / "out.h5ad", "--save-model", tmp_path / "model").status == 2


def test_embed_reads_from_the_file(run, monkeypatch, tmp_path, source):
    opened = []
    reader = read_h5ad
    monkeypatch.setattr("anndata.read_h5ad", lambda *a, **k: opened.append(reader(*a, **k)) or opened[-1])
    assert run("embed", source, tmp_path / "out.h5ad", "--max-epochs", 1).status == 0
    assert opened[0].isbacked
    found = read_h5ad(tmp_path / "out.h5ad")
    assert found.obsm["X_omics"].shape[0] == 80
    assert (found.X != read_h5ad(source).X).nnz == 0


def test_train_saves_a_model_and_says_what_it_did(run, tmp_path, source):
    model, embedded = tmp_path / "model", tmp_path / "embedded.h5ad"
    arguments = ["train", source, model, "--family", "txfm", "--max-epochs", 1, "--embedded", embedded, "--seed", 3]
    called = run(*arguments, "--device", "cpu", "--json")
    assert called.status == 0, called.err
    result = called.result
    assert (result["family"], result["n_obs"], result["modalities"]) == ("TxFM", 80, {"rna": "counts"})
    assert np.isfinite(result["losses"]["train_loss"])
    assert json.loads((model / "config.json").read_text())["config"]["seed"] == 3
    z = read_h5ad(embedded).obsm["X_txfm"]
    np.testing.assert_allclose(TxFM.load(model).get_latent_representation(read_h5ad(source)), z, atol=1e-5)
    again = run(*arguments)
    assert again.status == 2
    assert "--overwrite" in again.err


def test_a_layer_and_a_modality(run, tmp_path):
    mdata = datasets.simulate_multiome(60, 30, 40)
    mdata["rna"].layers["raw"] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X * 0.3
    mdata.write_h5mu(tmp_path / "in.h5mu")
    options = ["--layer", "rna=raw", "--modality", "rna", "--batch-key", "batch", "--max-epochs", 1]
    called = run("train", tmp_path / "in.h5mu", tmp_path / "model", *options, "--json")
    assert called.status == 0, called.err
    assert called.result["modalities"] == {"rna": "counts"}
    assert read_h5mu(tmp_path / "in.h5mu").obsm.keys() == mdata.obsm.keys(), "the source stays as it is"


def test_a_column_for_the_report_is_looked_for_before_training(run, monkeypatch, tmp_path, source):
    monkeypatch.setattr(OmicsMLM, "train", lambda *_, **__: pytest.fail("it trained"))
    called = run("train", source, tmp_path / "model", "--report", tmp_path / "r.html", "--color", "absent")
    assert called.status == 2
    assert "--color: expected columns of .obs, got 'absent'" in called.err


@pytest.fixture
def genes(tmp_path, rng):
    """A file of 40 genes in pairs, with DNA in a column of its own name, coding sequences, and expression in a layer."""
    columns = {"upstream": 60, "cds": 30}
    obs = pd.DataFrame(
        {name: ["".join(rng.choice(list("ACGT"), n)) for _ in range(40)] for name, n in columns.items()},
        index=[f"t{i}" for i in range(40)],
    )
    obs["gene"] = [f"g{i // 2}" for i in range(40)]
    adata = AnnData(rng.random((40, 2)).astype(np.float32), obs=obs)
    adata.layers["log"] = rng.random((40, 2)).astype(np.float32)
    adata.write_h5ad(tmp_path / "genes.h5ad")
    return tmp_path / "genes.h5ad"


def test_an_isoformer_of_named_columns(run, tmp_path, genes):
    model, embedded, predicted = tmp_path / "model", tmp_path / "embedded.h5ad", tmp_path / "predicted.csv"
    options = ["--sequence", "dna=upstream", "--sequence", "rna=cds", "--layer", "log", "--group-key", "gene"]
    called = run("train", genes, model, "--family", "isoformer", *options, "--max-epochs", 1, "--seed", 2, "--json")
    assert called.status == 0, called.err
    assert (called.result["family"], called.result["n_obs"]) == ("IsoFormer", 40)
    assert run("embed", genes, embedded, "--model", model).status == 0
    assert run("impute", genes, model, predicted).status == 0
    loaded, data = IsoFormer.load(model), read_h5ad(genes)
    setup = loaded.registry["setup_args"]
    assert {name: state["key"] for name, state in loaded.adata_manager.sequences.items()} == {
        "dna": "upstream",
        "rna": "cds",
    }
    assert (loaded.config.seed, setup["group_key"], setup["layers"]) == (2, "gene", {"expression": "log"})
    np.testing.assert_allclose(
        read_h5ad(embedded).obsm["X_isoformer"], loaded.get_latent_representation(data), atol=1e-5
    )
    np.testing.assert_allclose(pd.read_csv(predicted, index_col=0), loaded.predict(data), rtol=1e-4, atol=1e-5)
    called = run("impute", genes, model, predicted, "--overwrite", "--modality", "rna")
    assert "--modality: expected none, as an IsoFormer predicts" in called.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--family", "isoformer"], "a column of .obs among ['dna', 'promoter'"),
        (["--family", "isoformer", "--sequence", "upstream"], "write --sequence dna=upstream"),
        (["--family", "isoformer", "--sequence", "dna=absent"], "column 'absent'"),
        (["--family", "isoformer", "--sequence", "dna=gene"], "gene"),
        (["--family", "isoformer", "--group-key", "gene"], "at least one column with sequences"),
        (["--family", "isoformer", "--modality", "dna"], "--modality: expected --sequence for an IsoFormer"),
        (["--sequence", "dna=upstream"], "--sequence: expected --family IsoFormer, got OmicsMLM"),
        (["--family", "txfm", "--group-key", "gene"], "--group-key: expected --family IsoFormer, got TxFM"),
    ],
)
def test_sequences_that_are_not_there_get_one_sentence(run, tmp_path, genes, options, said):
    if options == ["--family", "isoformer"]:  # a column of this name would be taken unasked
        data = read_h5ad(genes)
        data.obs = data.obs.rename(columns={"cds": "coding"})
        data.write_h5ad(genes)
    called = run("train", genes, tmp_path / "model", *options)
    assert (called.status, called.out) == (2, "")
    assert said in called.err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_train_writes_a_report(run, tmp_path, source):
    report = tmp_path / "run.html"
    called = run(
        "train", source, tmp_path / "model", "--max-epochs", 1, "--report", report, "--color", "cell_type", "--json"
    )
    assert called.status == 0, called.err
    assert called.result["report"] == str(report)
    assert "OmicsMLM of in.h5ad" in report.read_text()
