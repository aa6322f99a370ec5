from dataclasses import fields, replace

import pytest

from omicsmlm import ClassifierConfig
from omicsmlm.models.classifier import _config
from omicsmlm.models.classifier._config import FEW_OBSERVATIONS, MOST_OBSERVATIONS
from tests.test_bad_input import refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": "none"}, 'tuning: expected "frozen", "lora", "ia3" or "full", got \'none\''),
        ({"frequency_power": 1.5}, "frequency_power: expected a number from 0 to 1, got 1.5"),
        ({"false_rejection": 1.0}, "false_rejection: expected a fraction of at least 0 and below 1, got 1.0"),
        ({"false_rejection": -0.1}, "false_rejection: expected a fraction of at least 0 and below 1, got -0.1"),
        ({"balance": 2.0}, "balance: expected a number from 0 to 1, got 2.0"),
        ({"balance": -1.0}, "balance: expected a number from 0 to 1, got -1.0"),
        ({"n_folds": 1}, "n_folds: expected at least 2, got 1"),
        ({"held_out": 0.0}, "held_out: expected a fraction above 0 and below 1, got 0.0"),
        ({"held_out": 1.0}, "held_out: expected a fraction above 0 and below 1, got 1.0"),
        ({"freeze_initial": True}, 'freeze_initial: expected False, unless tuning is "full", got True'),
        (
            {"freeze_initial": True, "tuning": "lora"},
            'freeze_initial: expected False, unless tuning is "full", got True',
        ),
        (
            {"agreement": -1.0, "tuning": "full"},
            'agreement: expected at least 0, and 0 if tuning is "frozen", got -1.0',
        ),
        ({"agreement": 1.0}, 'agreement: expected at least 0, and 0 if tuning is "frozen", got 1.0'),
        (
            {"agreement_form": "mutual", "tuning": "full"},
            'agreement_form: expected "divergence" or "infonce", got \'mutual\'',
        ),
        (
            {"hidden_widths": (256, 128)},
            'hidden_widths: expected widths of at least 1, and \\(\\) if tuning is "frozen", got \\(256, 128\\)',
        ),
        (
            {"hidden_widths": (8, 0), "tuning": "full"},
            'hidden_widths: expected widths of at least 1, and \\(\\) if tuning is "frozen", got \\(8, 0\\)',
        ),
        (
            {"linear_models": True, "tuning": "full"},
            'linear_models: expected None or False unless tuning is "frozen", got True',
        ),
    ],
)
def test_hyper_parameters_out_of_range(changes, message):
    with refused(message):
        replace(ClassifierConfig(), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"false_rejection": 0.0},
        {"balance": 0.0},
        {"balance": 1.0},
        {"n_folds": 2},
        {"tuning": "full", "freeze_initial": True},
        {"linear_models": False, "tuning": "ia3"},
        {"linear_models": True},
        {"agreement": 0.5, "tuning": "lora"},
        {"agreement": 0.5, "tuning": "full", "agreement_form": "infonce", "hidden_widths": (256, 128)},
    ],
)
def test_hyper_parameters_at_the_end_of_their_range(changes):
    config = replace(ClassifierConfig(), **changes)
    assert all(getattr(config, name) == value for name, value in changes.items())


def test_when_features_have_linear_models():
    config = ClassifierConfig()
    assert config.has_linear_models(["real", "fraction"], FEW_OBSERVATIONS - 1)
    assert config.has_linear_models(["fraction"], 100)
    assert not config.has_linear_models(["real"], FEW_OBSERVATIONS)
    assert not config.has_linear_models(["real", "protein"], 100)
    assert not ClassifierConfig(tuning="full").has_linear_models(["real"], 100)
    assert not ClassifierConfig(linear_models=False).has_linear_models(["real"], 100)
    assert ClassifierConfig(linear_models=True).has_linear_models(["counts"], 10 * FEW_OBSERVATIONS)


def test_when_regressions_on_components_stand_beside_the_embedding():
    asked = ClassifierConfig()
    assert asked.has_component_models(MOST_OBSERVATIONS)
    assert not asked.has_component_models(MOST_OBSERVATIONS + 1)
    assert not replace(asked, tuning="full").has_component_models(100)
    assert not ClassifierConfig(component_models=False).has_component_models(100)
    assert not ClassifierConfig(linear_models=False).has_component_models(100)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _config.FEW_OBSERVATIONS == 2000
    assert _config.MOST_OBSERVATIONS == 10000


def test_the_defaults():
    """Files of older versions that lack a field mean these, and figures without further arguments are of them."""
    assert {field.name: field.default for field in fields(ClassifierConfig)} == {
        "tuning": "frozen",
        "linear_models": None,
        "component_models": True,
        "frequency_power": 0.25,
        "false_rejection": 0.05,
        "balance": 1.0,
        "n_folds": 5,
        "held_out": 0.2,
        "freeze_initial": False,
        "rank": 8,
        "learning_rate": None,
        "weight_decay": 0.0001,
        "mask_rates": (0.0, 0.5),
        "modality_rate": 0.5,
        "agreement": 0.0,
        "agreement_form": "divergence",
        "hidden_widths": (),
        "patience": 10,
        "seed": 0,
    }


def test_the_preset_of_the_scmbert_paper_is_what_was_measured():
    preset, default = ClassifierConfig.scmbert_paper(seed=3), ClassifierConfig()
    changed = {
        f.name: getattr(preset, f.name) for f in fields(preset) if getattr(preset, f.name) != getattr(default, f.name)
    }
    assert changed == {
        "tuning": "full",
        "freeze_initial": True,
        "balance": 0.0,
        "learning_rate": 2e-3,
        "mask_rates": (0.2, 0.7),
        "modality_rate": 0.0,
        "held_out": 0.1,
        "seed": 3,
    }
