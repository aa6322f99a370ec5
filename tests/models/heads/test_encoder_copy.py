"""The encoder that a head owns: its weights are copied, its object shared; saved with the head, and found again."""

from typing import final

import numpy as np
import pytest
import torch

from omicsmlm import OmicsMLM, TxFM
from omicsmlm.models.heads import MODEL, _encoder_copy, check_model, copy_of, load_model
from tests.objects import QUIET, SMALL, SMALL_TXFM, rna


@pytest.fixture
def model():
    return OmicsMLM(rna(), SMALL, batch_key="batch")


def tensors(model):
    return {**model.module.state_dict(), **{f"tokenizer.{k}": v for k, v in model.parts.tokenizer.state_dict().items()}}


def test_weights_are_copied_and_the_object_is_shared(model):
    copy = copy_of(model)
    assert type(copy) is OmicsMLM
    assert copy.adata is model.adata
    assert copy.adata_manager is model.adata_manager
    assert copy.module is copy.parts.module
    own, others = tensors(model), tensors(copy)
    assert own.keys() == others.keys()
    for name, value in own.items():
        assert torch.equal(value, others[name])
        assert value.numel() == 0 or value.data_ptr() != others[name].data_ptr(), name


def test_a_change_of_either_is_not_one_of_the_other(model):
    copy = copy_of(model)
    before = model.get_latent_representation()
    copy.train(1, **QUIET, key_added=None)
    np.testing.assert_array_equal(model.get_latent_representation(), before)
    assert not np.allclose(copy.get_latent_representation(), before)
    trained = copy.get_latent_representation()
    with torch.no_grad():
        for weight in model.module.parameters():
            weight.zero_()
    np.testing.assert_array_equal(copy.get_latent_representation(), trained)
    assert not model.is_trained
    assert "X_omics" not in model.adata.obsm


def test_what_is_no_model_with_an_object_gets_a_sentence(model, tmp_path):
    check_model(model)
    with pytest.raises(
        ValueError, match="^model: expected a model of omicsmlm, got AnnData; pass an omicsmlm.OmicsMLM"
    ):
        check_model(model.adata)
    model.save(tmp_path / "m")
    with pytest.raises(
        ValueError, match="^model: expected one with its object, got one loaded alone; load it with adata"
    ):
        check_model(OmicsMLM.load(tmp_path / "m"))


def files_of(head):
    return {f"{MODEL}/{file.name}": file.read_bytes() for file in (head / MODEL).iterdir()}


def test_the_model_is_found_by_the_name_of_its_family(model, tmp_path):
    model.save(tmp_path / "head" / MODEL)
    loaded = load_model(files_of(tmp_path / "head"), rna(), "classifier", False)
    assert type(loaded) is OmicsMLM
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    assert load_model(files_of(tmp_path / "head"), None, "classifier", False).adata is None
    txfm = TxFM(rna(), SMALL_TXFM)
    txfm.save(tmp_path / "other" / MODEL)
    assert type(load_model(files_of(tmp_path / "other"), None, "classifier", False)) is TxFM


def test_a_family_of_ones_own_is_found_too(model, tmp_path):
    @final
    class Mine(OmicsMLM):
        """A family that refines another."""

    mine = Mine(rna(), SMALL)
    mine.save(tmp_path / "head" / MODEL)
    assert type(load_model(files_of(tmp_path / "head"), None, "classifier", False)) is Mine


def test_a_family_that_is_not_there_gets_a_sentence(model, tmp_path):
    model.save(tmp_path / "head" / MODEL)
    files = files_of(tmp_path / "head")
    files[f"{MODEL}/config.json"] = files[f"{MODEL}/config.json"].replace(b'"OmicsMLM"', b'"Gone"', 1)
    with pytest.raises(
        ValueError, match="^load: expected a survival model of a known family, got 'Gone'; import its mod"
    ):
        load_model(files, None, "survival model", False)


def test_families_of_families_are_found():
    class Child(TxFM):
        pass

    assert {OmicsMLM, TxFM, Child} <= set(_encoder_copy._families())
