"""An object and its embedding go to a new file, block by block, whole or not at all."""

import os
import stat

import h5py
import numpy as np
import pytest
from anndata import AnnData, concat, read_h5ad
from anndata.experimental import read_lazy
from mudata import MuData, read_h5mu
from scipy import sparse

from omicsmlm import OmicsMLM
from omicsmlm.models.base import _embedded_file
from tests.objects import QUIET, SMALL, modality, multiome, rna, state_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def model(folder):
    """A model trained on a backed file."""
    rna(100).write_h5ad(folder / "in.h5ad")
    model = OmicsMLM(read_h5ad(folder / "in.h5ad", backed="r"), SMALL, batch_key="batch")
    model.train(1, **QUIET)
    return model


@pytest.fixture(scope="module")
def embedding(model):
    return model.get_latent_representation(rna(100))


def left(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


def test_training_from_a_file_writes_the_embedding_of_the_object(model, embedding, folder):
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()
    np.testing.assert_allclose(model.adata.obsm["X_omics"], embedding, atol=1e-6)
    assert "X_omics" not in read_h5ad(folder / "in.h5ad").obsm, "the file is left as it was"


def test_the_file_is_the_input_with_the_embedding(model, embedding, folder):
    model.write_latent_representation(folder / "out.h5ad", batch_size=7)
    found, source = read_h5ad(folder / "out.h5ad"), read_h5ad(folder / "in.h5ad")
    np.testing.assert_allclose(found.obsm["X_omics"], embedding, atol=1e-6)
    assert found.obsm["X_omics"].dtype == np.float32
    del found.obsm["X_omics"]
    assert state_of(found) == state_of(source)
    assert left(folder) == []


def test_the_blocks_are_never_held_as_a_whole(model, folder, monkeypatch):
    sizes = []
    blocks = OmicsMLM._blocks
    monkeypatch.setattr(
        OmicsMLM, "_blocks", lambda *args: (sizes.append(len(block)) or block for block in blocks(*args))
    )
    model.write_latent_representation(folder / "blocks.h5ad", batch_size=30)
    assert sizes == [30, 30, 30, 10]


def test_a_file_is_written_again_under_another_key(model, embedding, folder):
    for key in ("auto", "X_other", "auto"):
        data = read_h5ad(folder / "again.h5ad", backed="r") if key == "X_other" else None
        name = "again2.h5ad" if key == "X_other" else "again.h5ad"
        model.write_latent_representation(folder / name, data, key_added=key)
    assert set(read_h5ad(folder / "again2.h5ad").obsm) == {"X_omics", "X_other"}
    twice = read_h5ad(folder / "again2.h5ad", backed="r")
    model.write_latent_representation(folder / "again3.h5ad", twice)
    np.testing.assert_allclose(read_h5ad(folder / "again3.h5ad").obsm["X_omics"], embedding, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_objects_that_are_not_backed(model, embedding, folder):
    lazy = read_lazy(folder / "in.h5ad")
    opened = {"memory": rna(100), "lazy": lazy, "lazies": concat([lazy, lazy], index_unique="-")}
    for name, data in opened.items():
        model.write_latent_representation(folder / f"{name}.h5ad", data)
        found = read_h5ad(folder / f"{name}.h5ad")
        np.testing.assert_allclose(found.obsm["X_omics"][:100], embedding, atol=1e-6)
        assert (found.X[:100] != rna(100).X).nnz == 0
        assert found.obs["batch"].astype(str).tolist()[:100] == rna(100).obs["batch"].tolist()


@pytest.mark.filterwarnings("ignore")
def test_a_mudata_in_a_file(folder):
    mdata = multiome(100)
    mdata.write(folder / "in.h5mu")
    backed = read_h5mu(folder / "in.h5mu", backed="r")
    model = OmicsMLM(backed, SMALL, batch_key="batch")
    model.train(1, key_added=None, **QUIET)
    model.write_latent_representation(folder / "out.h5mu")
    found = read_h5mu(folder / "out.h5mu")
    np.testing.assert_allclose(found.obsm["X_omics"], model.get_latent_representation(mdata), atol=1e-6)
    assert found.mod["rna"].shape == mdata.mod["rna"].shape
    parts = MuData({"rna": rna(100), "prot": modality("protein", 100, 8)})
    OmicsMLM(parts, SMALL).write_latent_representation(folder / "parts.h5mu")
    assert read_h5mu(folder / "parts.h5mu").obsm["X_omics"].shape[0] == 100
    with pytest.raises(ValueError, match="^key_added: expected a key of its own, got 'rna'"):
        model.write_latent_representation(folder / "out.h5mu", key_added="rna")


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_write_that_fails(model, folder, monkeypatch, error):
    (folder / "kept.h5ad").write_text("what was there")

    def broken(*_):
        yield np.zeros((50, 8), np.float32)
        raise error

    monkeypatch.setattr(OmicsMLM, "_blocks", broken)
    with pytest.raises((ValueError, KeyboardInterrupt)) as stopped:
        model.write_latent_representation(folder / "kept.h5ad")
    if isinstance(error, OSError):
        assert str(stopped.value).startswith("path: expected a file that can be written, got 'no space' at '")
    else:
        assert stopped.value is error
    assert (folder / "kept.h5ad").read_text() == "what was there"
    assert left(folder) == []


def test_others_may_read_the_file(model, folder):
    model.write_latent_representation(folder / "rights.h5ad")
    (folder / "usual").touch()
    rights = [stat.S_IMODE(os.stat(folder / name).st_mode) for name in ("rights.h5ad", "usual")]
    assert rights[0] == rights[1]


def test_an_old_file_without_obsm(model, embedding, folder):
    rna(100).write_h5ad(folder / "old.h5ad")
    with h5py.File(folder / "old.h5ad", "r+") as file:
        del file["obsm"]
    model.write_latent_representation(folder / "old-out.h5ad", read_h5ad(folder / "old.h5ad", backed="r"))
    np.testing.assert_allclose(read_h5ad(folder / "old-out.h5ad").obsm["X_omics"], embedding, atol=1e-6)


def test_wrong_targets_get_one_sentence(model, folder):
    write = model.write_latent_representation
    with pytest.raises(
        ValueError, match="^path: expected a new file, got .*in.h5ad', which is being read; pass another"
    ):
        write(folder / "in.h5ad")
    with pytest.raises(ValueError, match="^path: expected a name that ends in .h5ad, got 'out.h5mu'; rename it"):
        write(folder / "out.h5mu")
    with pytest.raises(
        ValueError, match="^path: expected a file in a folder that exists, got .*; make the folder first"
    ):
        write(folder / "absent" / "out.h5ad")
    with pytest.raises(ValueError, match="^batch_size: expected at least 1, got 0"):
        write(folder / "out.h5ad", batch_size=0)
    changed = read_h5ad(folder / "in.h5ad", backed="r")
    rna(40).write_h5ad(folder / "shorter.h5ad")
    changed.file.filename = folder / "shorter.h5ad"
    with pytest.raises(
        ValueError, match="^data: expected an object with the observations of its file, got 40 .*read the"
    ):
        write(folder / "out2.h5ad", changed)
    assert left(folder) == []


def test_values_that_lie_by_columns_get_one_sentence(folder):
    adata = rna(60)
    AnnData(sparse.csc_matrix(adata.X), obs=adata.obs, var=adata.var).write_h5ad(folder / "csc.h5ad")
    with pytest.raises(ValueError, match="^rna: expected values that can be read by rows, got a CSC matrix in a file"):
        OmicsMLM(read_h5ad(folder / "csc.h5ad", backed="r"), SMALL)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _embedded_file.EMBEDDING_CHUNK == 4096
