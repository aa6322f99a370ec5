"""Files of other tools are opened by their own readers, and what they hold is told by types and names."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import io, sparse

from omicsmlm.io._sources import opened

TYPES = ["Gene Expression"] * 3 + ["Peaks"] * 2 + ["Antibody Capture", "CRISPR Guide Capture"]
NAMES = ["TP53", "MYC", "MYC", "chr1:1-9", "chr2:5-9", "CD3", "guide"]
IDS = ["ENSG1", "ENSG2", "ENSG3", "chr1:1-9", "chr2:5-9", "CD3", "guide"]
CELLS = ["AAACCTGAGTACACCT-1", "AAACCTGAGTACACCA-1"]
COUNTS = sparse.csc_matrix(np.arange(14).reshape(7, 2))


@pytest.fixture
def ten_x(tmp_path):
    """The two forms in which Cell Ranger writes a matrix."""
    with h5py.File(tmp_path / "filtered_feature_bc_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = COUNTS.data.astype(np.int32), COUNTS.indices, COUNTS.indptr
        group["shape"], group["barcodes"] = np.array(COUNTS.shape, dtype=np.int32), np.array(CELLS, dtype="S")
        features = group.create_group("features")
        for key, values in {"id": IDS, "name": NAMES, "feature_type": TYPES, "genome": ["hg38"] * 7}.items():
            features[key] = np.array(values, dtype="S")
    folder = tmp_path / "filtered_feature_bc_matrix"
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as out:
        io.mmwrite(out, COUNTS)
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as out:
        out.write("\n".join(CELLS) + "\n")
    with gzip.open(folder / "features.tsv.gz", "wt") as out:
        out.write("\n".join("\t".join(row) for row in zip(IDS, NAMES, TYPES, strict=True)) + "\n")
    return tmp_path


@pytest.mark.parametrize("name", ["filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix"])
def test_files_of_10x(ten_x, name):
    found = opened("rna", "rna", ten_x / name)
    assert {role: part.shape for role, part in found.parts.items()} == {
        "rna": (2, 3),
        "atac": (2, 2),
        "protein": (2, 1),
    }
    assert list(found.parts["rna"].obs_names) == CELLS
    np.testing.assert_array_equal(found.parts["atac"].X.toarray(), [[6, 8], [7, 9]])
    assert found.parts["rna"].var_names.is_unique
    assert found.parts["rna"].var_names[0] == "TP53"
    assert found.lines == ("'CRISPR Guide Capture' left out, which no model reads",)


def test_a_mudata_by_its_names(tmp_path):
    part = AnnData(np.ones((2, 2)), obs=pd.DataFrame(index=["a", "b"]))
    mdata = MuData({"gex": part, "ADT": part.copy(), "mystery": part.copy()})
    mdata.obs["type"] = ["T", "B"]
    mdata.write_h5mu(tmp_path / "x.h5mu")
    found = opened("rna", "rna", tmp_path / "x.h5mu")
    assert set(found.parts) == {"rna", "protein"}
    assert found.obs is not None
    assert found.obs["type"].tolist() == ["T", "B"]
    assert "'mystery'" in found.lines[0]


def test_an_object_is_copied():
    part = AnnData(np.ones((2, 2)))
    opened("rna", "rna", part).parts["rna"].X[:] = 7
    assert (part.X == 1).all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.h5ad", None, "a file or folder that exists"),
        ("x.h5ad", b"broken", "a file that can be read"),
        ("x.h5mu", b"broken", "a file that can be read"),
        ("x.h5", b"broken", "a file that can be read"),
        ("x.xlsx", b"broken", "a table"),
    ],
)
def test_other_files_get_one_sentence(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^rna: expected {said}"):
        opened("rna", "rna", tmp_path / name)


def test_a_cut_file_gets_one_sentence(ten_x):
    whole = (ten_x / "filtered_feature_bc_matrix.h5").read_bytes()
    (ten_x / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"^rna: expected a file that can be read, got .*; check the download"):
        opened("rna", "rna", ten_x / "cut.h5")


def test_other_things_get_one_sentence(tmp_path, ten_x):
    with pytest.raises(ValueError, match="got list; pass a path"):
        opened("rna", "rna", [1])
    with pytest.raises(ValueError, match="expected a file that can be read"):
        opened("rna", "rna", tmp_path)  # a folder without a matrix
    with pytest.raises(ValueError, match="methylation: expected features of methylation, got only those of 'rna'"):
        opened("methylation", "methylation", ten_x / "filtered_feature_bc_matrix.h5")


def test_types_that_nobody_knows_are_one_modality_and_said_to_be():
    part = AnnData(np.ones((2, 2)), var=pd.DataFrame({"feature_types": ["G", "P"]}, index=["a", "b"]))
    found = opened("rna", "rna", part)
    assert list(found.parts) == ["rna"]
    assert found.lines == ("features of several types, 'G', 'P', none of them one of 10x: all are taken for rna",)
    part.var["feature_types"] = "transcript"
    assert opened("rna", "rna", part).lines == ()
