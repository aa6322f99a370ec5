"""New observations for families without batches: embedded at once, and fine-tuned on a copy."""

import logging

import numpy as np
import pytest
import torch

from omicsmlm import MOJO, TxFM
from tests.objects import QUIET, SMALL_MOJO, SMALL_TXFM, bulk, rna


@pytest.fixture(scope="module")
def reference():
    """A trained model; tests must not change it."""
    model = TxFM(rna(48), SMALL_TXFM)
    model.train(1, **QUIET)
    return model


def new_cells():
    """Cells that lack two of the genes, and have one that is not known."""
    adata = rna(30, 29, first=200)[:, 1:].copy()
    adata.var_names = ["unknown", *adata.var_names[1:]]
    return adata


def test_a_query_embeds_as_the_reference_would(reference):
    query = new_cells()
    model = TxFM.load_query_data(query, reference)
    np.testing.assert_array_equal(model.get_latent_representation(), reference.get_latent_representation(query))
    assert model.adata is query
    assert model.is_trained
    assert model.config == reference.config
    assert model.derived == reference.derived


def test_training_moves_all_weights_and_leaves_the_reference(reference):
    before = {name: value.clone() for name, value in reference.module.state_dict().items()}
    model = TxFM.load_query_data(new_cells(), reference)
    model.train(1, **QUIET)
    for name, value in reference.module.state_dict().items():
        assert torch.equal(value, before[name]), name
    still = [name for name, weight in model.module.named_parameters() if torch.equal(weight, before[name])]
    assert not [name for name in still if "features" in name or "blocks" in name]
    assert not any(module.training for module in model.module.modules())


def test_what_is_shared_is_reported(reference, caplog):
    with caplog.at_level(logging.INFO, "omicsmlm"):
        TxFM.load_query_data(new_cells(), reference)
    assert "TxFM: 30 observations with 27 of 30 features of rna." in caplog.messages


def test_the_reference_may_be_a_directory(reference, tmp_path):
    reference.save(tmp_path / "m")
    query = new_cells()
    model = TxFM.load_query_data(query, tmp_path / "m")
    np.testing.assert_array_equal(model.get_latent_representation(), reference.get_latent_representation(query))


def test_a_reference_that_is_none_gets_one_sentence(reference):
    sentence = "^reference: expected a trained {}, got {}; call train"
    with pytest.raises(ValueError, match=sentence.format("TxFM", "one that is not")):
        TxFM.load_query_data(new_cells(), TxFM(rna(), SMALL_TXFM))
    with pytest.raises(ValueError, match=sentence.format("MOJO", "a TxFM")):
        MOJO.load_query_data(bulk(), reference)
    with pytest.raises(ValueError, match=sentence.format("TxFM", "a MOJO")):
        TxFM.load_query_data(new_cells(), MOJO(bulk(), SMALL_MOJO))
