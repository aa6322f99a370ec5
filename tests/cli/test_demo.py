"""The demonstration writes what it says."""

import pytest
from mudata import read_h5mu


@pytest.mark.slow
def test_demo_writes_its_results(run, monkeypatch, tmp_path):
    monkeypatch.delenv("OMICSMLM_DATA", raising=False)
    assert run("demo", "--out", tmp_path / "demo", "--max-epochs", 2, "--no-controls").status == 0
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written == {"embedded.h5mu", "history.png", "model", "report.html", "scib.csv", "scib.png", "umap.png"}
    assert read_h5mu(tmp_path / "demo" / "embedded.h5mu").obsm["X_omics"].shape[0] == 600
