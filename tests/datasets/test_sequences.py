import sys

import anndata as ad
import numpy as np
import pytest

from omicsmlm import datasets


def test_an_unset_variable_gets_a_sentence(monkeypatch):
    monkeypatch.delenv("OMICSMLM_DATA", raising=False)
    with pytest.raises(ValueError, match="datasets.tissues61: the environment variable OMICSMLM_DATA is not set"):
        datasets.tissues61()


def test_a_missing_file_gets_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("OMICSMLM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"datasets.mpra_utr: .*6celllines.parquet is missing"):
        datasets.mpra_utr()


def test_a_missing_library_gets_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("OMICSMLM_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file = tmp_path / "seq" / "human_isoforms_3celltypes.parquet"
    file.parent.mkdir()
    file.touch()
    with pytest.raises(ImportError, match="datasets.isoforms needs pyarrow; run pip install pyarrow"):
        datasets.isoforms()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "present", "group"),
    [
        ("tissues61", (6310, 61), {"promoter": 1450, "cds": 1416, "protein": 5264}, "group"),
        ("isoforms", (1092, 6), {"rna": 1092, "protein": 1091}, "gene_id"),
        ("mpra_utr", (30274, 6), {"utr": 30274}, "group"),
    ],
)
def test_real_tables(data_folder, name, shape, present, group):
    adata = getattr(datasets, name)()
    assert adata.shape == shape
    assert adata.X.dtype == np.float32
    assert not np.isnan(adata.X).all(axis=1).all()
    assert adata.obs_names.is_unique
    assert {column: int(adata.obs[column].notna().sum()) for column in present} == present
    assert not (adata.obs[list(present)] == "").any(axis=None)
    assert set(adata.obs["split"]) == {"train", "val", "test"}
    assert (adata.obs.groupby(group, observed=True)["split"].nunique() == 1).all()


@pytest.mark.data
def test_a_row_by_hand_and_files(data_folder, tmp_path):
    adata = datasets.tissues61()
    assert adata.var_names[:2].tolist() == ["adipose_tissue", "adrenal_gland"]
    assert adata.obs["promoter"].iloc[0].startswith("AGCCCCGCGGCGGCCCAGCGCGGCCC")
    assert adata.obs["cds"].iloc[0] is None
    assert adata.obs["symbol"].iloc[0] == "FGR"
    adata.write_h5ad(tmp_path / "tissues.h5ad")
    again = ad.read_h5ad(tmp_path / "tissues.h5ad")
    assert again.obs["protein"].notna().equals(adata.obs["protein"].notna())
