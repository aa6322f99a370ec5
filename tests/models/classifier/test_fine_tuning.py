from dataclasses import replace

import numpy as np
import pytest
import torch

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, ScMBERT
from omicsmlm.models.classifier._fine_tuning import Split, fine_tune, training_mask, tuned_predictions
from omicsmlm.models.classifier._linear_model import fit_novelty, scaled
from omicsmlm.models.classifier._modality_subsets import subset_embeddings
from omicsmlm.models.classifier._module import ClassifierModule
from omicsmlm.models.heads import TrainerSettings, copy_of
from omicsmlm.nn import LabelHead
from tests.objects import SMALL, SMALL_SCMBERT, multiome
from tests.test_bad_input import refused

SETTINGS = TrainerSettings(2, 24, "cpu", "auto", False, {})


def test_one_observation_in_so_many_of_each_label_is_held_out():
    label_n = np.repeat([0, 1, 2], [50, 20, 3])
    for held_out, n_parts in ((0.2, 5), (0.25, 4), (0.9, 2)):
        trained_n = training_mask(label_n, held_out, 0)
        for label in range(3):
            of_n = label_n == label
            assert (~trained_n[of_n]).sum() == of_n.sum() // n_parts
    assert (training_mask(label_n, 0.2, 0) == training_mask(label_n, 0.2, 0)).all()
    assert (training_mask(label_n, 0.2, 0) != training_mask(label_n, 0.2, 1)).any()
    with refused("train: expected a label of at least 5 observations, got at most 4 observations of a label; pass tun"):
        training_mask(np.repeat([0, 1], [4, 2]), 0.2, 0)
    assert (~training_mask(np.repeat([0, 1], [5, 2]), 0.2, 0)).sum() == 1


@pytest.fixture(scope="module")
def model():
    """A model of cells; tests must not change it."""
    return OmicsMLM(multiome(48), SMALL)


def tuned(model, config, settings=SETTINGS):
    """A copy of a model, tuned with a head that starts from zero, the split, labels and losses."""
    own = copy_of(model)
    module = ClassifierModule(own.module, LabelHead(own.module.n_latent, 3)).eval()
    for weight in module.head.parameters():
        torch.nn.init.zeros_(weight)
    label_n = own.adata.obs["type"].cat.codes.to_numpy().astype(np.int64)
    split = Split(np.arange(0, 40), np.arange(40, 46))
    return own, module, split, label_n, fine_tune(own, module, split, label_n, config, settings)


def test_encoder_and_head_move_and_the_losses_are_those_of_each_epoch(model):
    own, module, _, _, losses = tuned(model, ClassifierConfig(tuning="full"))
    assert len(losses["train_loss"]) == len(losses["validation_loss"]) == 2
    assert module.head.linear.weight.abs().sum() > 0
    moved = {name for name, w in model.module.state_dict().items() if not torch.equal(w, own.module.state_dict()[name])}
    assert moved
    assert all(w.requires_grad for w in module.parameters())
    assert losses["train_loss"][0] == pytest.approx(np.log(3), abs=0.3), "a head of zeros says one in three"


def test_views_that_agree_are_one_more_term(model):
    own, module, _, _, losses = tuned(model, ClassifierConfig(tuning="full", agreement=2.0))
    assert {"train_labels", "train_agreement", "validation_agreement"} <= set(losses)
    assert losses["train_agreement"][-1] > 0
    assert losses["train_loss"][-1] == pytest.approx(
        losses["train_labels"][-1] + losses["train_agreement"][-1], rel=1e-3
    )
    assert module.head.linear.weight.abs().sum() > 0
    assert any(not torch.equal(w, own.module.state_dict()[name]) for name, w in model.module.state_dict().items())


def test_the_head_may_have_hidden_layers_beside_its_linear_one(model, tmp_path):
    config = ClassifierConfig(tuning="full", hidden_widths=(8, 6), agreement=1.0, agreement_form="infonce")
    classifier = Classifier.from_model(model, "type", config=config)
    classifier.train(2, batch_size=24, accelerator="cpu", progress_bar=False)
    head = classifier.module.head
    assert [layer.out_features for layer in head.hidden if isinstance(layer, torch.nn.Linear)] == [8, 6, 3]
    assert head.hidden[-1].weight.any()
    z_nd = torch.randn(5, model.module.n_latent)
    x_nd = (z_nd - head.centre_d) / head.scale
    with torch.no_grad():
        torch.testing.assert_close(head(z_nd), head.linear(x_nd) + head.hidden(x_nd))
    classifier.save(tmp_path / "saved")
    again = Classifier.load(tmp_path / "saved", classifier.model.adata)
    assert again.config == config
    np.testing.assert_allclose(again.predict(soft=True), classifier.predict(soft=True), atol=1e-6)


def test_tokens_are_seen_in_both_views_too():
    model = ScMBERT(multiome(48), SMALL_SCMBERT)
    losses = tuned(model, ClassifierConfig(tuning="full", agreement=1.0))[-1]
    assert losses["train_agreement"][-1] > 0


def test_the_seed_decides(model):
    first, again, other = (
        tuned(model, ClassifierConfig(tuning="full", seed=seed))[1].head.linear.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_max_epochs_their_number_is_sensible(model):
    config = ClassifierConfig(tuning="full", patience=1, learning_rate=1.0)
    losses = tuned(model, config, replace(SETTINGS, max_epochs=None))[-1]
    assert 2 <= len(losses["train_loss"]) < 100, "a rate that is far too high stops early"


def test_the_initial_layer_can_stay_as_it_is():
    from omicsmlm import ScMBERT

    reference = ScMBERT(multiome(48), SMALL_SCMBERT)
    before = [w.detach().clone() for w in reference.module.initial_layer()]
    assert before
    for freeze, stays in ((True, True), (False, False)):
        config = ClassifierConfig(tuning="full", freeze_initial=freeze, learning_rate=1e-2)
        own, module, *_ = tuned(reference, config)
        after = own.module.initial_layer()
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) == stays
        assert all(w.requires_grad for w in after)


def test_held_out_observations_are_predicted_whole_and_by_modality(model):
    own, module, split, label_n, _ = tuned(model, ClassifierConfig(tuning="full"))
    held_out = tuned_predictions(own, module, split, label_n)
    z_nd, position_n = subset_embeddings(own, split.held_out)
    assert (held_out.label_n == label_n[40:46][position_n]).all()
    with torch.no_grad():
        np.testing.assert_allclose(held_out.logits_nc, module.head(torch.from_numpy(z_nd)), atol=1e-5)
    x_nd, at_n = subset_embeddings(own, split.train)
    head = LabelHead(own.module.n_latent, 3)
    head.load_state_dict(module.head.state_dict())
    fit_novelty(head, scaled(head, x_nd), label_n[:40][at_n])
    with torch.no_grad():
        np.testing.assert_allclose(held_out.novelty_n, head.novelty(torch.from_numpy(z_nd)), rtol=1e-3, atol=1e-3)
