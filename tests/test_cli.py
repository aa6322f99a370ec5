"""The command: what it writes, and one sentence instead of a traceback."""

import sys

import numpy as np
import pytest
from anndata import read_h5ad
from mudata import read_h5mu

from omicsmlm import OmicsMLM, datasets
from omicsmlm._cli import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command and give its exit status."""
    monkeypatch.setattr(sys, "argv", ["omicsmlm", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.fixture
def source(tmp_path):
    """A small file of counts."""
    adata = datasets.simulate_rna(80, 40)
    adata.write(tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


def test_embed_trains_and_a_saved_model_embeds_again_alike(monkeypatch, tmp_path, source):
    model, first, second = tmp_path / "model", tmp_path / "first.h5ad", tmp_path / "second.h5ad"
    assert call(monkeypatch, "embed", source, first, "--max-epochs", 1, "--save-model", model) == 0
    assert call(monkeypatch, "embed", source, second, "--model", model) == 0
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
        (["{source}", "{source}"], "which is the source"),
        (["{source}", "{folder}/out.h5ad", "--save-model", "{folder}"], "save_model: expected a new folder"),
        (["{source}", "{folder}/out.h5ad", "--save-model", "{folder}/m", "--model", "m"], "leave out one of the two"),
        (["{source}", "{folder}/out.h5ad", "--save-model", "{source}/below/m"], "folder that can be written"),
    ],
)
def test_wrong_input_gets_one_sentence(monkeypatch, capsys, tmp_path, source, arguments, said):
    filled = [argument.format(source=source, folder=tmp_path) for argument in arguments]
    assert call(monkeypatch, "embed", *filled) == 2
    out, err = capsys.readouterr()
    assert said in out
    assert "Traceback" not in out + err
    assert not (tmp_path / "out.h5ad").exists()


def test_a_model_folder_that_exists_is_refused_before_training(monkeypatch, tmp_path, source):
    monkeypatch.setattr(OmicsMLM, "train", lambda *_, **__: pytest.fail("it trained"))
    (tmp_path / "model").mkdir()
    assert call(monkeypatch, "embed", source, tmp_path / "out.h5ad", "--save-model", tmp_path / "model") == 2


def test_embed_reads_from_the_file(monkeypatch, tmp_path, source):
    opened = []
    reader = read_h5ad
    monkeypatch.setattr("anndata.read_h5ad", lambda *a, **k: opened.append(reader(*a, **k)) or opened[-1])
    assert call(monkeypatch, "embed", source, tmp_path / "out.h5ad", "--max-epochs", 1) == 0
    assert opened[0].isbacked
    found = read_h5ad(tmp_path / "out.h5ad")
    assert found.obsm["X_omics"].shape[0] == 80
    assert (found.X != read_h5ad(source).X).nnz == 0


@pytest.mark.slow
def test_demo_writes_its_results(monkeypatch, tmp_path):
    monkeypatch.delenv("OMICSMLM_DATA", raising=False)
    assert call(monkeypatch, "demo", "--out", tmp_path / "demo", "--max-epochs", 2, "--no-controls") == 0
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written == {"embedded.h5mu", "history.png", "model", "scib.csv", "scib.png", "umap.png"}
    assert read_h5mu(tmp_path / "demo" / "embedded.h5mu").obsm["X_omics"].shape == (2000, 80)
