"""Hyper-parameters of OmicsMLM: what the number of observations chooses, and what older versions saved."""

from dataclasses import asdict, fields, replace

import pytest

from omicsmlm import OmicsMLM, OmicsMLMConfig
from omicsmlm.models.base import from_json, to_json
from omicsmlm.models.omicsmlm import _config
from omicsmlm.models.omicsmlm._config import LATENT_OF_FEW, LATENT_OF_MANY


def test_what_is_left_open_is_chosen_by_the_number_of_observations():
    few, many = (OmicsMLMConfig().for_n_obs(n) for n in (100, 10**6))
    assert few != many
    for config in (few, many):
        assert None not in asdict(config).values()
        assert config.for_n_obs(100) == config, "what is chosen stays"
    given = OmicsMLMConfig(n_linear=7, seed=3).for_n_obs(100)
    assert given == replace(few, n_linear=7, seed=3)


def test_from_five_thousand_observations_on_the_latent_is_linear():
    assert OmicsMLMConfig().for_n_obs(4999).latent == LATENT_OF_FEW == (32, 48, 0.4, 1.0, 0.05)
    assert OmicsMLMConfig().for_n_obs(5000).latent == LATENT_OF_MANY == (0, 80, 5.0, 2.0, 0.2)


def test_fields_of_older_versions_are_read_or_refused():
    config = OmicsMLMConfig(mask_rates=(0.2, 0.5), seed=3)
    old = to_json(config)
    old["hidden_rates"] = old.pop("mask_rates")
    old |= {"kl_power": 2.25, "n_sampled": 2000, "adversary_weight": 2.5, "weight_decay": 1e-4}
    assert from_json(OmicsMLMConfig, old, OmicsMLM.former_config) == config
    message = r"^load: expected OmicsMLMConfig with kl_power=2.25, which is no longer a hyper-parameter, got 1.5; load"
    with pytest.raises(ValueError, match=message):
        from_json(OmicsMLMConfig, {**old, "kl_power": 1.5}, OmicsMLM.former_config)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _config.MANY_OBS == 5000
    assert _config.N_LATENTS == 16
    assert _config.ATTENTION_WIDTH == 64
    assert _config.PROTEIN_WEIGHT == 3.0
    assert _config.KL_DEPTH == 1000
    assert _config.KL_POWER == 1.0
    assert _config.FORMER_KL_POWER == 2.25
    assert _config.KL_FACTORS == (0.1, 25.0)
    assert _config.NEIGHBOUR_WEIGHT == 10.0
    assert _config.ALIGNMENT_WEIGHT == 30.0


def test_the_defaults():
    """Files of older versions that lack a field mean these, and figures without further arguments are of them."""
    assert {field.name: field.default for field in fields(OmicsMLMConfig)} == {
        "n_nonlinear": None,
        "n_linear": None,
        "width": 128,
        "n_attention_layers": 0,
        "linear_scale": None,
        "linear_power": None,
        "residual_scale": None,
        "n_variable": 2000,
        "n_common": 15000,
        "mask_rates": (0.1, 0.8),
        "modality_rate": 0.2,
        "kl_weight": 1.0,
        "batch_strength": 1.0,
        "dropout": 0.1,
        "learning_rate": 0.002,
        "patience": 15,
        "seed": 0,
    }
