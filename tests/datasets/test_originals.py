"""Files in the formats of their authors become the objects that they were."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from omicsmlm import datasets
from omicsmlm.datasets._originals import (
    ELSEWHERE,
    MIXOLOGY_TABLES,
    ORIGINALS,
    read_laml,
    read_mixology,
    read_snareseq,
    read_ten_x,
)
from tests.datasets.originals import write_laml, write_mixology, write_snareseq, write_ten_x


def snareseq() -> MuData:
    """Six cells of three libraries."""
    names = ["09A_AAA", "09A_CCC", "09I_AAA", "09I_GGG", "09L_AAA", "09L_TTT"]
    obs = pd.DataFrame(index=names)
    rna = AnnData(
        sp.csr_matrix(np.arange(18.0).reshape(6, 3)), obs=obs, var=pd.DataFrame(index=["Gad1", "Mbp", "Reln"])
    )
    atac = AnnData(sp.csr_matrix(np.eye(6)[:, :2]), obs=obs, var=pd.DataFrame(index=["chr1:10-20", "chr2:5-9"]))
    mdata = MuData({"rna": rna, "atac": atac})
    mdata.obs["batch"] = [name[:3] for name in names]
    mdata.obs["cell_subtype"] = ["E3Rorb", "E4Thsd7a", "InV", "OPC", "Mis", "OliM"]
    return mdata


def mixology() -> AnnData:
    """Three cells of each table."""
    names = [f"{table}:A{i}" for table in MIXOLOGY_TABLES for i in range(3)]
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (15, 4)).astype(np.float32))
    adata = AnnData(counts, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=[f"ENSG{j}" for j in range(4)]))
    adata.obs["batch"] = [batch for batch, _ in MIXOLOGY_TABLES.values() for _ in range(3)]
    adata.obs["cell_type"] = ["H1975", "H838", "A549"] * 5
    return adata


def test_snareseq_comes_with_types_libraries_and_its_split(tmp_path):
    written = snareseq()
    write_snareseq(written, tmp_path)
    found = read_snareseq(tmp_path)
    assert list(found.obs_names) == list(written.obs_names)
    for name, part in written.mod.items():
        assert list(found[name].var_names) == list(part.var_names)
        assert (found[name].X != part.X).nnz == 0
    assert list(found.obs["cell_type"]) == ["L2/3", "L4/5", "CGE", "OPC", "Mis", "Oligo"]
    assert list(found.obs["split"]) == ["train", "train", "val", "val", "test", "test"]
    assert list(found.obs["batch"]) == list(written.obs["batch"])


def test_cells_that_do_not_fit_get_a_sentence(tmp_path):
    write_snareseq(snareseq(), tmp_path)
    table = pd.read_csv(tmp_path / "meta_c1.csv", index_col=0)
    table[:4].to_csv(tmp_path / "meta_c1.csv")
    with pytest.raises(ValueError, match=r"GxC1.npz: expected 4 cells and 3 features, got \(6, 3\)"):
        read_snareseq(tmp_path)


def test_mixology_keeps_single_cells_and_common_genes(tmp_path):
    written = mixology()
    write_mixology(written, tmp_path)
    found = read_mixology(tmp_path)
    assert (list(found.obs_names), list(found.var_names)) == (list(written.obs_names), list(written.var_names))
    assert (found.X != written.X).nnz == 0
    for column in ("cell_type", "batch"):
        assert list(found.obs[column]) == list(written.obs[column])
    assert found.obs["technology"].value_counts().to_dict() == {"CEL-seq2": 12, "Drop-seq": 3}


@pytest.mark.parametrize(("kind", "name"), [("Peaks", "atac"), ("Antibody Capture", "protein")])
def test_files_of_10x_become_two_modalities(tmp_path, kind, name):
    multiome = datasets.simulate_multiome(30, 20, 25, missing=0)
    write_ten_x({"Gene Expression": multiome["rna"], kind: multiome["atac"]}, tmp_path / "x.h5")
    found = read_ten_x(tmp_path)
    assert set(found.mod) == {"rna", name}
    assert (found["rna"].X != multiome["rna"].X).nnz == 0
    assert (found[name].X != multiome["atac"].X).nnz == 0


def test_laml_comes_with_survival(tmp_path):
    table = write_laml(tmp_path)
    found = read_laml(tmp_path)
    np.testing.assert_allclose(found["rna"].to_df().loc[table.index, table.columns], table, rtol=1e-6)
    assert found.obs.loc[table.index, "OS"].astype(float).tolist() == [0, 1, 1, 0, 1, 0]


def test_each_set_has_an_address_and_a_licence():
    assert not set(ORIGINALS) & set(ELSEWHERE)
    said = " ".join((datasets.fetch.__doc__ or "").split())
    for name, original in ORIGINALS.items():
        assert f"``{name}`` ({original.megabytes} MB)" in said
        assert original.licence
        assert original.suffix in (".h5ad", ".h5mu")
        assert len({remote.name for remote in original.files}) == len(original.files)
        assert all(remote.url.startswith("https://") for remote in original.files)


@pytest.mark.data
def test_the_conversion_gives_the_sets_of_the_folder(data_folder, tmp_path):
    there = datasets.snareseq()
    write_snareseq(there, tmp_path)
    found = read_snareseq(tmp_path)
    for column in ("cell_type", "cell_subtype", "batch", "split"):
        assert (found.obs[column].astype(str) == there.obs[column].astype(str)).all()
    assert all((found[name].X != there[name].X).nnz == 0 for name in there.mod)
    cells = datasets.mixology()
    write_mixology(cells[::10].copy(), tmp_path)
    assert set(read_mixology(tmp_path).obs_names) == set(cells.obs_names[::10])
