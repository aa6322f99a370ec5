"""The language model with which encoders from scratch are pre-trained."""

import torch

from omicsmlm.models.isoformer._residue_module import ResidueModule
from tests.models.isoformer.test_module import DNA, OF_PROTEIN, PROTEIN, WIDTH, N, made
from tests.objects import NO_BATCH, letters_of


@torch.no_grad()
def test_the_language_model_predicts_each_residue_from_its_own_sequence():
    module, views = made()
    model = ResidueModule(module, ["dna", "protein"]).eval()
    logits = model(views, NO_BATCH).residues
    for name, sequences, n_residues in (("dna", DNA, 4), ("protein", PROTEIN, 20)):
        assert logits[name].shape == (sum(map(len, sequences)), n_residues)
        alone = [model.heads[name](module.encoders[name].residue_states(letters_of(s))) for s in sequences]
        torch.testing.assert_close(logits[name], torch.cat(alone), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_language_model_shares_its_encoders_and_embeds_by_their_mean():
    module, views = made()
    model = ResidueModule(module, ["protein"]).eval()
    assert list(model.heads) == ["protein"]
    assert model.encoders["protein"] is module.encoders["protein"]
    found = model.encode(views).mean
    assert found.shape == (N, model.n_latent)
    for i, u in enumerate(OF_PROTEIN):
        expected = module.encoders["protein"](letters_of(PROTEIN[u])).states.mean(0) if u >= 0 else torch.zeros(WIDTH)
        torch.testing.assert_close(found[i], expected, atol=1e-5, rtol=1e-4)
