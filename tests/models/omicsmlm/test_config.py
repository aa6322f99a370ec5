"""Hyper-parameters of OmicsMLM: what the number of observations chooses, and what older versions saved."""

from dataclasses import asdict, replace

import pytest

from omicsmlm import OmicsMLM, OmicsMLMConfig
from omicsmlm.models.base import from_json, to_json
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
