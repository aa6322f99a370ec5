"""New cells are mapped, and the reference stays."""

import numpy as np
from mudata import read_h5mu

import omicsmlm


def test_a_new_batch_is_aligned_and_a_known_one_is_only_embedded(run, files, tmp_path):
    out, again = tmp_path / "mapped.h5mu", tmp_path / "known.h5mu"
    called = run(
        "query", files / "new.h5mu", files / "model", out, "--max-epochs", 1, "--save-model", tmp_path / "m", "--json"
    )
    assert called.status == 0, called.err
    assert called.result["new_batches"] == ["new"]
    z = read_h5mu(out).obsm["X_omics"]
    np.testing.assert_allclose(
        omicsmlm.OmicsMLM.load(tmp_path / "m").get_latent_representation(read_h5mu(files / "new.h5mu")), z, atol=1e-5
    )
    known = run("query", files / "multiome.h5mu", files / "model", again)
    assert "no batch is new" in known.out
    expected = omicsmlm.OmicsMLM.load(files / "model").get_latent_representation(read_h5mu(files / "multiome.h5mu"))
    np.testing.assert_allclose(read_h5mu(again).obsm["X_omics"], expected, atol=1e-5)


def test_a_folder_without_a_model(run, files, tmp_path):
    called = run("query", files / "new.h5mu", tmp_path, tmp_path / "out.h5mu")
    assert called.status == 2
    assert "reference: expected a folder with a saved model" in called.err
    assert not (tmp_path / "out.h5mu").exists()
