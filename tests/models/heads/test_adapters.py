"""Adapters: which layers they are for, what they change, and that nothing of them is left."""

import numpy as np
import pytest
import torch
from torch import nn

from omicsmlm import OmicsMLM, ScMBERT
from omicsmlm.models.heads import LEARNING_RATES, Adapters, _adapters, copy_of
from omicsmlm.models.heads._adapters import embedding_layers
from tests.objects import SMALL, SMALL_SCMBERT, multiome

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def model():
    """A model; tests take a copy of it."""
    return OmicsMLM(multiome(), SMALL, batch_key="batch")


@pytest.mark.parametrize(("family", "config"), [(OmicsMLM, SMALL), (ScMBERT, SMALL_SCMBERT)])
def test_the_layers_of_an_embedding_are_those_that_change_it(family, config):
    """Other weights of a layer change the embedding if and only if the embedding passes it."""
    made = family(multiome(), config, batch_key="batch")
    expected = made.get_latent_representation()
    names = {name for name, layer in made.module.named_modules() if isinstance(layer, nn.Linear)}
    found = embedding_layers(made)
    assert found == sorted(set(found)), "each once"
    changes = set()
    for name in names:
        whole = copy_of(made)
        layer = whole.module.get_submodule(name)
        with torch.no_grad():
            layer.weight.normal_()
        if not np.array_equal(whole.get_latent_representation(), expected):
            changes.add(name)
    beside = {name for name in found if name.endswith("log_variance")}  # computed with the mean, and not part of it
    by_tokens = {"features.features.1"}  # open regions: their embeddings are summed without a call of the layer
    assert set(found) - beside - by_tokens == changes - by_tokens
    assert not any(name.startswith("decoder") for name in found)
    assert not any(layer._forward_hooks for layer in made.module.modules()), "nothing is left behind"


def test_an_encoder_without_linear_layers_gets_a_sentence(model, monkeypatch):
    monkeypatch.setattr(_adapters.nn, "Linear", nn.Conv1d)
    with pytest.raises(
        ValueError, match='^tuning: expected an encoder with linear layers, got one without; pass tuning="f'
    ):
        embedding_layers(model)


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_adapters_alone_are_trained_and_then_merged(model, method):
    own = copy_of(model)
    before = {name: value.clone() for name, value in own.module.state_dict().items()}
    embedding = own.get_latent_representation()
    adapters = Adapters(own, method, 2, 0)
    np.testing.assert_allclose(own.get_latent_representation(), embedding, atol=1e-6, err_msg="no effect at first")
    trained = [(name, weight) for name, weight in own.module.named_parameters() if weight.requires_grad]
    assert trained
    assert all(method in name for name, _ in trained)
    n_weights = sum(weight.numel() for _, weight in trained)
    layers = [model.module.get_submodule(name) for name in embedding_layers(model)]
    per_layer = [
        2 * (layer.in_features + layer.out_features) if method == "lora" else layer.out_features for layer in layers
    ]
    assert n_weights == sum(per_layer)
    with torch.no_grad():
        for _, weight in trained:
            weight.add_(0.1)
    adapted = own.get_latent_representation()
    assert not np.allclose(adapted, embedding)
    adapters.merge()
    np.testing.assert_allclose(own.get_latent_representation(), adapted, atol=1e-5)
    after = own.module.state_dict()
    assert after.keys() == before.keys(), "again a plain encoder of its family"
    assert all(weight.requires_grad for weight in own.module.parameters())
    moved = {name for name, value in after.items() if not torch.allclose(value, before[name], atol=1e-7)}
    allowed = {f"{name}.{part}" for name in embedding_layers(model) for part in ("weight", "bias")}
    assert moved
    assert moved <= allowed


def test_adapters_follow_from_their_seed(model):
    def initial(seed):
        torch.manual_seed(123)
        own = copy_of(model)
        Adapters(own, "lora", 2, seed)
        state = torch.random.get_rng_state()
        torch.manual_seed(123)
        assert torch.equal(state, torch.random.get_rng_state()), "the global state is left alone"
        return torch.cat([w.flatten() for name, w in own.module.named_parameters() if "lora_A" in name])

    assert torch.equal(initial(0), initial(0))
    assert not torch.equal(initial(0), initial(1))


def test_the_strength_of_lora_does_not_depend_on_its_rank(model):
    """lora_alpha is twice the rank: what the matrices give is doubled, whatever the rank."""
    for rank in (1, 4):
        own = copy_of(model)
        Adapters(own, "lora", rank, 0)
        scalings = [m.scaling["labels"] for m in own.module.modules() if hasattr(m, "scaling")]
        assert scalings
        assert set(scalings) == {2.0}


def test_each_kind_of_tuning_but_none_has_a_rate():
    assert set(LEARNING_RATES) == {"lora", "ia3", "full"}
    assert LEARNING_RATES["full"] < min(LEARNING_RATES["lora"], LEARNING_RATES["ia3"])
