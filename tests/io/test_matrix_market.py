"""Matrices that R has written are read with the names beside them, whichever side they are on."""

import gzip

import numpy as np
import pytest
from scipy import io, sparse

from omicsmlm.io._matrix_market import read_matrix_market
from omicsmlm.io._sources import opened

GENES, CELLS = ["TP53", "MYC", "CD3D"], ["AAAC-1", "AAAG-1"]
COUNTS = np.array([[1, 0], [2, 3], [0, 4]])  # genes × cells


@pytest.fixture
def folder(tmp_path):
    """What Matrix::writeMM and writeLines leave."""
    io.mmwrite(tmp_path / "counts.mtx", sparse.coo_matrix(COUNTS))
    (tmp_path / "genes.tsv").write_text("\n".join(GENES) + "\n")
    (tmp_path / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    return tmp_path


def check(adata):
    assert list(adata.var_names) == GENES
    assert list(adata.obs_names) == CELLS
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS.T)


def test_names_are_in_the_files_beside_it(folder):
    adata, line = read_matrix_market("rna", folder / "counts.mtx")
    check(adata)
    assert line == "names of features from 'genes.tsv', of observations from 'barcodes.tsv'"


def test_cells_may_be_on_the_rows_and_the_file_compressed(folder):
    (folder / "counts.mtx").unlink()
    with gzip.open(folder / "x.mtx.gz", "wb") as file:
        io.mmwrite(file, sparse.coo_matrix(COUNTS.T))
    check(read_matrix_market("rna", folder / "x.mtx.gz")[0])


def test_headers_and_row_numbers_of_write_csv(folder):
    (folder / "genes.tsv").unlink()
    (folder / "genes.csv").write_text('"","x"\n' + "".join(f'"{i + 1}","{gene}"\n' for i, gene in enumerate(GENES)))
    (folder / "barcodes.tsv").write_text("x\n" + "\n".join(CELLS) + "\n")
    check(read_matrix_market("rna", folder / "counts.mtx")[0])


def test_a_table_of_cells_does_for_their_names(folder):
    (folder / "barcodes.tsv").unlink()
    (folder / "cell_metadata.csv").write_text(
        "".join(f"{line}\n" for line in [",a,b,c", *(f"{cell},1,2,3" for cell in CELLS)])
    )
    check(read_matrix_market("rna", folder / "counts.mtx")[0])


def test_three_columns_are_those_of_10x(folder):
    types = ["Gene Expression", "Gene Expression", "Antibody Capture"]
    lines = [f"ENSG{i}\t{gene}\t{kind}" for i, (gene, kind) in enumerate(zip(GENES, types, strict=True))]
    (folder / "features.tsv").write_text("\n".join(lines))  # beside genes.tsv, whose name comes later
    adata, _ = read_matrix_market("rna", folder / "counts.mtx")
    check(adata)
    assert list(adata.var["gene_ids"]) == ["ENSG0", "ENSG1", "ENSG2"]
    assert {role: part.n_vars for role, part in opened("rna", "rna", folder / "counts.mtx").parts.items()} == {
        "rna": 2,
        "protein": 1,
    }


def test_of_several_matrices_each_has_its_own_names(folder):
    io.mmwrite(folder / "other.mtx", sparse.coo_matrix(COUNTS[:2]))
    (folder / "other_genes.tsv").write_text("A\nB\n")
    (folder / "other_barcodes.tsv").write_text("c1\nc2\n")
    check(read_matrix_market("rna", folder / "counts.mtx")[0])
    adata, line = read_matrix_market("rna", folder / "other.mtx")
    assert "'other_genes.tsv'" in line
    assert list(adata.obs_names) == ["c1", "c2"]


def test_a_folder_with_one_matrix_is_enough(folder):
    found = opened("rna", "rna", folder)
    check(found.parts["rna"])
    assert found.lines == ("names of features from 'genes.tsv', of observations from 'barcodes.tsv'",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda at: (at / "genes.tsv").unlink(),
            r"one file with the names of features beside 'counts.mtx', .*writeLines",
        ),
        (lambda at: (at / "barcodes.tsv").unlink(), r"one file with the names of observations .*got 'genes.tsv'"),
        (
            lambda at: (at / "genes.tsv").write_text("TP53\n"),
            r"as many names in 'genes.tsv' and 'barcodes.tsv', got 3 × 2 values",
        ),
        (lambda at: (at / "counts.mtx").write_text("broken"), "a file that can be read"),
    ],
)
def test_what_is_missing_gets_one_sentence(folder, change, said):
    change(folder)
    with pytest.raises(ValueError, match=rf"^rna: expected {said}"):
        read_matrix_market("rna", folder / "counts.mtx")


def test_an_object_of_r_is_refused_with_what_to_write(tmp_path):
    (tmp_path / "x.rds").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"writeMM\(counts, 'counts.mtx'\)"):
        opened("rna", "rna", tmp_path / "x.rds")
