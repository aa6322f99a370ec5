"""Pre-training of encoders from scratch."""

from dataclasses import replace

import pytest
import torch

from omicsmlm import IsoFormer, SequenceEncoder
from tests.objects import QUIET, SMALL_ISOFORMER, transcripts


def test_pretraining_lowers_the_cross_entropy_of_masked_residues_and_moves_the_encoders_alone():
    model = IsoFormer(transcripts(), SMALL_ISOFORMER)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    model.pretrain(6, progress_bar=False, accelerator="cpu")
    after = model.module.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoders"}
    losses = model.history["pretrain_validation_dna"]["pretrain_validation_dna"]
    assert losses.iloc[-1] < losses.iloc[0]
    model.train(1, **QUIET)
    assert not model.module.training


def test_published_encoders_alone_cannot_be_pre_trained_here(checkpoints, tmp_path):
    encoder = SequenceEncoder("transformers", checkpoints("esm").source.path)
    adata = transcripts(24)
    IsoFormer.setup_anndata(adata, protein_key="protein")
    model = IsoFormer(adata, replace(SMALL_ISOFORMER, encoders={"protein": encoder}, cache_dir=str(tmp_path)))
    with pytest.raises(
        ValueError, match="pretrain: expected an encoder from scratch, got published ones alone; call train"
    ):
        model.pretrain(1)
