"""What a file holds, and which families would take it."""

import numpy as np
import pandas as pd
from anndata import AnnData

from tests.objects import modality


def test_a_multiome(run, files):
    result = run("info", files / "multiome.h5mu", "--json").result
    assert {name: entry["kind"] for name, entry in result["modalities"].items()} == {
        "rna": "counts",
        "atac": "accessibility",
    }
    assert result["modalities"]["rna"]["n_features"] == 40
    assert "with rna and atac" in result["pairing"]
    fits = {name: entry["fits"] for name, entry in result["families"].items()}
    assert fits == {"OmicsMLM": True, "ScMBERT": True, "MOJO": False, "TxFM": True, "IsoFormer": False}
    assert result["families"]["TxFM"]["why"] == "rna as counts; name --modality rna"
    text = run("info", files / "multiome.h5mu").out
    assert "OmicsMLM fits: rna as counts, atac as accessibility" in text
    assert "MOJO does not fit: no gene in common" in text


def test_values_that_no_model_takes_and_sequences(run, tmp_path):
    adata = AnnData(np.array([[0.5, 812.3], [1, 2]]), obs=pd.DataFrame({"dna": ["ACGT" * 9] * 2}, index=["a", "b"]))
    adata.write_h5ad(tmp_path / "x.h5ad")
    result = run("info", tmp_path / "x.h5ad", "--json").result
    assert result["modalities"]["rna"]["kind"] is None
    assert "expected raw counts" in result["families"]["OmicsMLM"]["why"]
    assert result["families"]["IsoFormer"] == {"fits": True, "why": "sequences in dna"}


def test_counts_in_a_layer(run, tmp_path, caplog):
    adata = modality("counts")
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X * 0.37
    adata.write_h5ad(tmp_path / "x.h5ad")
    called = run("info", tmp_path / "x.h5ad")
    assert "counts in layers['counts']" in called.out
    assert "X holds no raw counts" in caplog.text


def test_a_saved_model(run, files):
    result = run("info", files / "model", "--json").result
    assert result["class"] == "OmicsMLM"
    assert any("rna (40 features, counts)" in line for line in result["summary"])
