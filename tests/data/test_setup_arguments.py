"""An object is registered again by the arguments that its registration gives, as autotune of scvi-tools does it."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm import IsoFormer, OmicsMLM, ScMBERT, datasets
from omicsmlm.data._setup_arguments import setup_arguments
from tests.objects import SMALL


def registered_again(family, data):
    """The registries of an object, and of a copy that is registered by what the first one gives."""
    manager = family._get_most_recent_anndata_manager(data, required=True)
    names = manager._get_setup_method_args()
    again = data.copy()
    getattr(family, names["setup_method_name"])(again, **names["setup_args"])
    found = family._get_most_recent_anndata_manager(again, required=True)
    return manager.registry["setup_args"], found.registry["setup_args"]


def test_of_a_mudata():
    mdata = datasets.simulate_multiome(60, 30, 40)
    mdata["rna"].layers["raw"] = mdata["rna"].X.copy()
    mdata.obs["donor"] = ["a", "b"] * 30
    mdata.obs["age"] = np.arange(60.0)
    OmicsMLM.setup_mudata(
        mdata,
        modalities=["rna", "atac"],
        layers={"rna": "raw"},
        kinds={"rna": "counts"},
        batch_key=["batch", "donor"],
        categorical_covariate_keys=["modalities"],
        continuous_covariate_keys=["age"],
        labels_key="cell_type",
        unlabeled_category="type_a",
    )
    first, second = registered_again(OmicsMLM, mdata)
    assert first == second
    assert first["labels"] == ["cell_type", "type_a"]


def test_of_an_anndata():
    adata = datasets.simulate_rna(60, 30)
    adata.layers["raw"] = adata.X.copy()
    ScMBERT.setup_anndata(adata, layer="raw", batch_key="batch")
    first, second = registered_again(ScMBERT, adata)
    assert first == second


@pytest.mark.parametrize("translate", [True, False])
@pytest.mark.parametrize("protein_key", ["peptide", None])
def test_of_sequences(translate, protein_key):
    obs = pd.DataFrame({"up": "ACGT" * 8, "coding": "ATGGCCTAA", "peptide": "MA", "gene": "g"}, index=list("abcdef"))
    adata = AnnData(np.random.default_rng(0).random((6, 2)).astype("float32"), obs=obs)
    adata.obsm["beta"] = np.eye(6, 3, dtype="float32")
    keys = {"dna_key": "up", "rna_key": "coding", "protein_key": protein_key, "vector_keys": {"methylation": "beta"}}
    IsoFormer.setup_anndata(adata, **keys, group_key="gene", translate=translate)
    first, second = registered_again(IsoFormer, adata)
    assert first == second
    assert len(first["sequences"].get("protein", [])) == (3 if translate else 2 if protein_key else 0)


def test_what_says_nothing_is_left_out():
    setup = {"modalities": ["rna", "atac"], "layers": None, "kinds": None, "covariate_keys": []}
    assert setup_arguments("setup_mudata", setup) == {"modalities": ["rna", "atac"]}


def test_train_takes_what_autotune_passes():
    """The arguments of ``scvi.autotune``'s trials, with a callback of Lightning in the place of ray's."""
    from lightning.pytorch.callbacks import Callback

    class Reporting(Callback):
        reported = None

        def on_validation_end(self, trainer, _):
            self.reported = float(trainer.callback_metrics["validation_loss"])

    adata = datasets.simulate_rna(60, 30)
    OmicsMLM.setup_anndata(adata)
    model, callback = OmicsMLM(adata, config=SMALL), Reporting()
    options = {"accelerator": "auto", "devices": "auto", "check_val_every_n_epoch": 1, "enable_progress_bar": False}
    model.train(**options, logger=False, callbacks=[callback], max_epochs=1)
    assert np.isfinite(callback.reported)
