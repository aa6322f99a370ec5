"""Tables become a file that the other commands take."""

import numpy as np
import pandas as pd
import pytest
from mudata import read_h5mu

GENES = ["TP53", "ACTB", "MYC", "EGFR"]


@pytest.fixture
def tables(tmp_path):
    """Two samples of cells and a table of them."""
    for sample in "ab":
        counts = np.random.default_rng(ord(sample)).poisson(2, (4, 5))
        pd.DataFrame(counts, index=GENES, columns=[f"{sample}{i}" for i in range(5)]).to_csv(tmp_path / f"{sample}.csv")
    pd.DataFrame({"cell": [f"{s}{i}" for s in "ab" for i in range(5)], "type": ["T", "B"] * 5}).to_csv(
        tmp_path / "cells.csv", index=False
    )
    return tmp_path


def test_samples_by_name(run, tables, caplog):
    out = tables / "out.h5mu"
    called = run(
        "read", out, "--rna", f"one={tables / 'a.csv'}", "--rna", f"two={tables / 'b.csv'}", "--obs", tables / "cells.csv",
        "--json",
    )  # fmt: skip
    assert called.status == 0, called.err
    mdata = read_h5mu(out)
    assert mdata.obs["batch"].tolist() == ["one"] * 5 + ["two"] * 5
    assert mdata.obs["type"].tolist() == ["T", "B"] * 5
    assert called.result["modalities"] == {"rna": [10, 4]}
    assert "observations on columns" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "read: expected a file for one of --rna"),
        (["--rna", "{folder}/a.csv", "--units", "tpm"], "--units: expected a name among"),
        (["--rna", "{folder}/a.csv", "--units", "rna=TPM"], "rna: expected a unit among"),
        (["--rna", "{folder}/nowhere.csv"], "rna: expected a file or folder that exists"),
    ],
)
def test_wrong_input_gets_one_sentence(run, tables, arguments, said):
    called = run("read", tables / "out.h5mu", *(text.format(folder=tables) for text in arguments))
    assert called.status == 2
    assert said in called.err
    assert not (tables / "out.h5mu").exists()
