"""From files to an object that goes into models as it is."""

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import read_h5mu
from scipy import sparse

import omicsmlm
from tests.objects import QUIET, SMALL, SMALL_MOJO

GENES = ["TP53", "ACTB", "MYC", "EGFR", *(f"GENE{i}" for i in range(26))]
PATIENTS = [f"P{i:02d}" for i in range(40)]


@pytest.fixture
def folder(tmp_path):
    """A bulk analyst's files: genes × samples, and a clinical table."""
    rng = np.random.default_rng(0)
    tpm = rng.gamma(0.5, 1, (len(GENES), len(PATIENTS)))
    tpm = pd.DataFrame(tpm / tpm.sum(0) * 1e6, index=GENES, columns=PATIENTS)
    tpm.rename_axis("gene").to_csv(tmp_path / "tpm.tsv.gz", sep="\t")
    beta = pd.DataFrame(rng.random((len(GENES), 30)), index=GENES, columns=PATIENTS[10:])
    beta.to_csv(tmp_path / "beta.csv")
    clinical = pd.DataFrame(
        {
            "patient": PATIENTS,
            "sex": ["male", "female"] * 20,
            "vital_status": ["DECEASED", "LIVING", "DECEASED", "DECEASED"] * 10,
            "time": rng.integers(1, 900, 40),
        }
    )
    clinical.to_csv(tmp_path / "clinical.csv", index=False)
    return tmp_path


def test_bulk_files_go_into_a_model_and_a_survival_model(folder, caplog):
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        mdata = omicsmlm.read(
            rna=folder / "tpm.tsv.gz", methylation=str(folder / "beta.csv"), obs=folder / "clinical.csv"
        )
    assert mdata["rna"].shape == (40, 30)
    assert mdata["methylation"].shape == (30, 30)
    raw = pd.read_csv(folder / "tpm.tsv.gz", sep="\t", index_col=0)
    np.testing.assert_allclose(mdata["rna"].to_df().T, np.log2(raw + 1), rtol=1e-5)
    said = caplog.text
    for part in ("log2(TPM + 1)", "observations on columns", "30 with rna and methylation, 10 with rna", "sex_male"):
        assert part in said
    model = omicsmlm.MOJO(mdata, SMALL_MOJO)
    model.train(max_epochs=1, **QUIET)
    assert mdata.obsm["X_mojo"].shape[0] == 40
    survival = omicsmlm.Survival.from_model(
        model, "time", "vital_status", covariate_keys=["sex_male"], config=omicsmlm.SurvivalConfig(n_networks=0)
    )
    survival.train(progress_bar=False)
    assert np.isfinite(survival.predict()).all()


def test_what_was_read_can_be_written(folder):
    mdata = omicsmlm.read(rna=folder / "tpm.tsv.gz", obs=folder / "clinical.csv")
    mdata.write_h5mu(folder / "out.h5mu")
    pd.testing.assert_frame_equal(read_h5mu(folder / "out.h5mu").obs, mdata.obs)


def test_samples_of_cells_go_into_omicsmlm():
    rng = np.random.default_rng(0)
    cells = [f"{''.join(rng.choice(list('ACGT'), 16))}-1" for _ in range(30)]

    def sample(seed):
        values = sparse.csr_matrix(np.random.default_rng(seed).poisson(1, (30, len(GENES))))
        return AnnData(values, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=GENES))

    protein = pd.DataFrame(
        rng.poisson(9, (60, 4)), index=[f"{s}:{c}" for s in "ab" for c in cells], columns=["CD3", "CD8", "CD56", "x"]
    )
    mdata = omicsmlm.read(rna={"a": sample(0), "b": sample(1)}, protein=protein)
    assert mdata.n_obs == 60
    assert mdata.obs["batch"].value_counts().tolist() == [30, 30]
    model = omicsmlm.OmicsMLM(mdata, SMALL, batch_key="batch")
    assert {name: state["kind"] for name, state in model.adata_manager.modalities.items()} == {
        "rna": "counts",
        "protein": "protein",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "read: expected a source for one of"),
        ({"rna": "x.tsv", "units": "tpm"}, "units: expected a value by modality"),
        ({"rna": "x.tsv", "units": {"rnaseq": "tpm"}}, "units: expected modalities among"),
        ({"rna": "x.tsv", "observations_on": {"rna": "left"}}, 'observations_on: expected "rows" or "columns"'),
        ({"rna": []}, "rna: expected at least one source"),
        ({"rna": {"a": "nowhere.h5"}}, "rna of 'a': expected a file or folder that exists"),
    ],
)
def test_wrong_arguments_get_one_sentence(arguments, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        omicsmlm.read(**arguments)


def test_objects_of_the_user_stay():
    adata = AnnData(np.array([[500_000.5, 499_999.5]]), var=pd.DataFrame(index=["ENSG00000141510.18", "TP53"]))
    mdata = omicsmlm.read(rna=adata, strip_versions=True)
    assert mdata["rna"].var_names[0] == "ENSG00000141510"
    assert adata.var_names[0] == "ENSG00000141510.18"
    assert adata.X[0, 0] == 500_000.5


def test_barcodes_with_and_without_a_lane_meet():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(3, (2, 4)))
    cells = ["ACGTACGTACGTACGT-1", "ACGTACGTACGTACGA-1"]
    rna = AnnData(counts, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=GENES[:4]))
    protein = pd.DataFrame([[1, 2], [3, 4]], index=["CD3", "CD8"], columns=["ACGTACGTACGTACGA", "ACGTACGTACGTACGT"])
    mdata = omicsmlm.read(rna=rna, protein=protein, obs=pd.DataFrame({"cell": cells, "type": ["T", "B"]}))
    assert mdata.n_obs == 2
    assert mdata.obs["type"].to_dict() == {"ACGTACGTACGTACGT": "T", "ACGTACGTACGTACGA": "B"}
    assert mdata["protein"].to_df().loc["ACGTACGTACGTACGA"].tolist() == [1, 3]
