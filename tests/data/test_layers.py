"""Raw counts in a layer are found where X holds something else; what the user names goes before."""

import logging

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import omicsmlm
from omicsmlm.data import counts_layers
from tests.objects import SMALL, SMALL_MOJO, modality

COUNTS = np.array([[0, 3], [1, 7]])
LOG = np.log1p(COUNTS * 1.5)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("x", "layers", "found"),
    [
        (LOG, {"counts": COUNTS}, {"rna": "counts"}),
        (LOG, {"raw_counts": COUNTS}, {"rna": "raw_counts"}),
        (LOG, {"spliced": COUNTS}, {}),
        (LOG, {"counts": LOG}, {}),
        (COUNTS, {"counts": COUNTS}, {}),
        (LOG, {}, {}),
    ],
)
def test_layers_are_found(form, x, layers, found):
    adata = AnnData(form(x), layers={name: form(values) for name, values in layers.items()})
    assert counts_layers(adata, ["rna"], []) == found
    assert counts_layers(adata, ["rna"], ["rna"]) == {}


def test_a_modality_that_is_not_there_or_has_no_x_is_left_to_registration():
    adata = AnnData(shape=(2, 2))
    adata.layers["counts"] = COUNTS
    assert counts_layers(MuData({"rna": adata}), ["rna", "atac"], []) == {}


def normalised():
    adata = modality("counts")
    adata.layers["counts"] = adata.X.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray() * 1.5))
    return adata


def test_a_model_of_counts_reads_them_and_says_so(caplog):
    plain, adata = modality("counts"), normalised()
    expected = omicsmlm.OmicsMLM(plain, SMALL).get_latent_representation()
    with caplog.at_level(logging.WARNING, logger="omicsmlm"):
        model = omicsmlm.OmicsMLM(adata, SMALL)
    assert "X holds no raw counts, so that those of layers['counts'] are used" in caplog.text
    assert model.adata_manager.modalities["rna"]["kind"] == "counts"
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    omicsmlm.OmicsMLM.setup_anndata(adata, kind="real")
    assert omicsmlm.OmicsMLM(adata, SMALL).adata_manager.modalities["rna"]["kind"] == "real"


def test_mojo_reads_x():
    model = omicsmlm.MOJO(normalised(), SMALL_MOJO)
    assert model.adata_manager.modalities["rna"]["kind"] == "real"


def test_a_query_without_the_layer_gets_a_sentence():
    model = omicsmlm.OmicsMLM(normalised(), SMALL)
    remedy = r"put the values there: \.layers\['counts'\] = \.X\.copy\(\)"
    with pytest.raises(
        ValueError, match=rf"^rna: expected the layer 'counts', as in training, got layers none; {remedy}"
    ):
        model.get_latent_representation(modality("counts"))
