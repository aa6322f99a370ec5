"""Hyper-parameters of TxFM: the published values, the ranges, and how many genes are visible."""

from dataclasses import fields

import pytest
import torch

from omicsmlm import TxFM, TxFMConfig
from omicsmlm.models.base import from_json, to_json
from omicsmlm.models.txfm import _config
from omicsmlm.models.txfm._config import BETAS, EPSILON


def test_what_the_paper_says_of_its_sizes():
    s, b, l = TxFMConfig.S(), TxFMConfig.B(), TxFMConfig.L()
    assert [(c.width, c.n_layers, c.n_heads, c.stochastic_depth) for c in (s, b, l)] == [
        (384, 12, 6, 0.1),
        (768, 12, 12, 0.1),
        (1024, 24, 16, 0.3),
    ]
    for c in (s, b, l):
        assert (c.n_visible, c.library_size, c.loss, c.activation) == (2048, 1e5, "poisson", "rectified tanh")
        assert (c.learning_rate, c.weight_decay) == (1e-3, None)
    assert (BETAS, EPSILON) == ((0.9, 0.999), 1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss": "mse"},
            'loss: expected "poisson", "negative binomial", "squares" or "smooth L1", got \'mse\'; leave',
        ),
        ({"activation": "relu"}, 'activation: expected "rectified tanh", "clamped ReLU" or "softmax", got \'relu\''),
        ({"library": "median"}, 'library: expected "profiled", "expected" or "none", got \'median\'; leave it out'),
        ({"embedded": "some"}, 'embedded: expected "subsets" or "all", got \'some\'; leave it out for the default'),
        ({"most_visible": 0.0}, "most_visible: expected a fraction above 0 and at most 1, got 0.0; leave it out"),
        ({"n_visible": 0}, "n_visible: expected at least 1, got 0; leave it out for the default"),
        ({"stochastic_depth": 1.0}, "stochastic_depth: expected a probability below 1, got 1.0; leave it out"),
    ],
)
def test_a_config_out_of_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TxFMConfig(**changes)


@pytest.mark.parametrize(
    "change",
    [
        {"most_visible": 1.0},
        {"n_decoder_layers": 0},
        {"n_layers": 1},
        {"width": 2, "n_heads": 1},
        {"stochastic_depth": 0.0},
        {"n_visible": 1},
    ],
)
def test_the_ends_of_each_range_are_allowed(change):
    config = TxFMConfig(**change)
    assert {name: getattr(config, name) for name in change} == change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 1}, "width: expected at least 2, and a multiple of n_heads=4, got 1"),
        ({"n_layers": 0}, "n_layers: expected at least 1, got 0"),
        ({"n_decoder_layers": -1}, "n_decoder_layers: expected at least 0, got -1"),
        ({"library_size": 0.0}, "library_size: expected a number above 0, got 0.0"),
        ({"most_visible": 1.1}, "most_visible: expected a fraction above 0 and at most 1, got 1.1"),
        ({"stochastic_depth": -0.1}, "stochastic_depth: expected a probability below 1, got -0.1"),
        ({"gene_start": "pca"}, 'gene_start: expected "components" or "random", got \'pca\''),
        ({"visible_genes": "all"}, 'visible_genes: expected "uniform" or "frequency", got \'all\''),
    ],
)
def test_each_wrong_value_gets_its_sentence(change, message):
    with pytest.raises(ValueError, match=message):
        TxFMConfig(**change)


def test_a_fraction_of_the_measured_genes_is_visible_but_one_at_least_and_no_more_than_allowed():
    config = TxFMConfig(n_visible=10, most_visible=0.25)
    n_measured = torch.tensor([0, 1, 3, 4, 7, 8, 39, 40, 44, 1000])
    assert config.n_visible_of(n_measured).tolist() == [0, 1, 1, 1, 1, 2, 9, 10, 10, 10]


def test_fields_of_older_versions_are_read_or_refused():
    config = TxFMConfig(visible_genes="frequency")
    old = to_json(config) | {"betas": [0.9, 0.999], "epsilon": 1e-6}
    old["shown"] = old.pop("visible_genes")
    assert from_json(TxFMConfig, old, TxFM.former_config) == config
    with pytest.raises(ValueError, match=r"^load: expected TxFMConfig with betas=\(0.9, 0.999\), which is no longer"):
        from_json(TxFMConfig, {**old, "betas": [0.9, 0.95]}, TxFM.former_config)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _config.PAPER == {
        "feed_forward": 4,
        "n_decoder_layers": 4,
        "library": "profiled",
        "library_size": 100000.0,
        "n_visible": 2048,
        "gene_start": "random",
        "weight_decay": None,
        "averaging": 0.0,
    }


def test_the_defaults():
    """Files of older versions that lack a field mean these, and figures without further arguments are of them."""
    assert {field.name: field.default for field in fields(TxFMConfig)} == {
        "width": 64,
        "n_layers": 2,
        "n_heads": 4,
        "feed_forward": 2,
        "stochastic_depth": 0.0,
        "layer_scale": 0.1,
        "n_decoder_layers": 1,
        "n_visible": 128,
        "most_visible": 0.25,
        "visible_genes": "uniform",
        "embedded": "subsets",
        "library": "expected",
        "library_size": 10000.0,
        "activation": "rectified tanh",
        "loss": "poisson",
        "gene_start": "components",
        "learning_rate": 0.001,
        "weight_decay": 0.01,
        "averaging": 0.99,
        "patience": 15,
        "seed": 0,
    }
