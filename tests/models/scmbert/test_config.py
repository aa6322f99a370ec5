"""Hyper-parameters of ScMBERT: ranges, bins, and what older versions saved."""

from dataclasses import fields

import pytest

from omicsmlm import ScMBERT, ScMBERTConfig
from omicsmlm.models.base import from_json, to_json
from omicsmlm.models.scmbert import _config
from tests.test_bad_input import refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"value_rate": 0.0},
            r"^value_rate \+ identity_rate: expected fractions that together are below 1, .*, got \(0.0,",
        ),
        (
            {"value_rate": 0.6, "identity_rate": 0.4},
            r"^value_rate \+ identity_rate: .*, got \(0.6, 0.4\); leave it out",
        ),
        ({"identity_rate": -0.1}, r"^value_rate \+ identity_rate: "),
        (
            {"drop_rates": (0.5, 0.2)},
            r"^drop_rates: expected two fractions from 0 to under 1, .*, got \(0.5, 0.2\); leave",
        ),
        ({"drop_rates": (0.5, 1.0)}, r"^drop_rates: "),
        ({"drop_rates": (-0.1, 0.5)}, r"^drop_rates: "),
        ({"n_bins": 0}, r"^n_bins: expected at least 1, got \(0, 1\); "),
        ({"n_open_bins": 0}, r"^n_bins: expected at least 1, got \(16, 0\); "),
        (
            {"identity_visible": True, "identity_value_visible": False},
            r"^identity_value_visible: expected True where identity_visible is: .*, got False; leave it out",
        ),
        ({"max_tokens": 0}, r"^max_tokens: expected at least 1, got 0; "),
        ({"cell_weight": -1.0}, r"^cell_weight: expected at least 0, got -1.0; "),
    ],
)
def test_hyper_parameters_out_of_range(changes, message):
    with refused(message):
        ScMBERTConfig(**changes)


@pytest.mark.parametrize(
    "change",
    [
        {"n_bins": 1},
        {"n_open_bins": 1},
        {"max_tokens": 1},
        {"cell_weight": 0.0},
        {"identity_value_visible": False},
        {"identity_rate": 0.0},
        {"drop_rates": (0.0, 0.0)},
        {"value_rate": 0.8, "identity_rate": 0.19},
    ],
)
def test_the_ends_of_each_range_are_allowed(change):
    config = ScMBERTConfig(**change)
    assert {name: getattr(config, name) for name in change} == change


def test_open_regions_have_bins_of_their_own():
    config = ScMBERTConfig(n_bins=7, n_open_bins=2)
    assert [config.n_bins_of(kind) for kind in ("counts", "accessibility", "protein")] == [7, 2, 7]


def test_fields_of_older_versions_are_read_or_refused():
    saved = to_json(ScMBERTConfig(identity_visible=True, seed=3))
    saved["identity_in_sight"] = saved.pop("identity_visible")
    old = {**saved, "bins": None, "kl_warmup": 0.3, "n_sampled": 2000, "linear_scale": 5.0}
    assert from_json(ScMBERTConfig, old, ScMBERT.former_config) == ScMBERTConfig(identity_visible=True, seed=3)
    message = (
        r"^load: expected ScMBERTConfig with linear_scale=5.0, which is no longer a hyper-parameter, got 1.0; load"
    )
    with pytest.raises(ValueError, match=message):
        from_json(ScMBERTConfig, {**old, "linear_scale": 1.0}, ScMBERT.former_config)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _config.VALUE_WEIGHT == 1.0
    assert _config.LINEAR_SCALE == 5.0
    assert _config.LINEAR_POWER == 1.0
    assert _config.RESIDUAL_SCALE == 0.2
    assert (_config.TRAINING_FRACTION, _config.MOST_CELLS_TRAINED_ON, _config.FEWEST_EPOCHS) == (0.5, 28_000, 6)


def test_the_defaults():
    """Files of older versions that lack a field mean these, and figures without further arguments are of them."""
    assert {field.name: field.default for field in fields(ScMBERTConfig)} == {
        "width": 80,
        "n_layers": 2,
        "n_heads": 4,
        "feed_forward": 160,
        "layer_scale": 0.1,
        "dropout": 0.0,
        "exact_tokens": 4096,
        "n_latents": 64,
        "max_tokens": 20000,
        "max_training_tokens": 2048,
        "n_bins": 16,
        "bins_per_cell": False,
        "n_open_bins": 1,
        "drop_rates": (0.3, 0.8),
        "modality_rate": 0.2,
        "value_rate": 0.2,
        "identity_rate": 0.1,
        "identity_visible": False,
        "identity_value_visible": True,
        "modality_weight": 1.0,
        "cell_weight": 1.0,
        "kl_weight": 0.1,
        "alignment_weight": 30.0,
        "n_nonlinear": 0,
        "n_linear": 80,
        "shrunken_estimates": False,
        "n_variable": 2000,
        "n_common": 15000,
        "learning_rate": 0.001,
        "patience": 15,
        "seed": 0,
    }
