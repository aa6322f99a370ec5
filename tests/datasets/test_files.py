import anndata as ad
import numpy as np
import pytest

from omicsmlm import datasets


def test_an_unset_variable_gets_a_sentence(monkeypatch):
    monkeypatch.delenv("OMICSMLM_DATA", raising=False)
    with pytest.raises(ValueError, match="OMICSMLM_DATA is not set.*export OMICSMLM_DATA="):
        datasets.snareseq()


def test_a_missing_file_gets_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("OMICSMLM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"sc/pbmc_3tech.h5ad is missing \(OMICSMLM_DATA is "):
        datasets.pbmc_3tech()


def test_an_unknown_name_gets_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("OMICSMLM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="expected one of .*'snareseq'.*got 'snare'"):
        datasets.load("snare")


def test_a_path_below_the_folder_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("OMICSMLM_DATA", str(tmp_path))
    ad.AnnData(np.eye(3, dtype=np.float32)).write_h5ad(tmp_path / "toy.h5ad")
    assert datasets.load("toy.h5ad").shape == (3, 3)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n_obs", "columns"),
    [
        ("pbmc_3tech", 1500, {"cell_type", "batch"}),
        ("mixology", 992, {"cell_type", "batch"}),
        ("teaseq", 1262, {"cell_type"}),
        ("snareseq", 10309, {"cell_type", "batch", "split"}),
    ],
)
def test_real_sets_come_with_labels(data_folder, name, n_obs, columns):
    data = getattr(datasets, name)()
    assert data.n_obs == n_obs
    assert columns <= set(data.obs.columns)
    assert not data.obs["cell_type"].isna().any()
