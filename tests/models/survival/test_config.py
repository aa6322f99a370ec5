from dataclasses import fields, replace

import pytest

from omicsmlm import SurvivalConfig
from tests.test_bad_input import refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_networks": 9}, "n_networks: expected a number from 0 to n_folds, 5, got 9"),
        ({"n_networks": -1}, "n_networks: expected a number from 0 to n_folds, 5, got -1"),
        (
            {"linear_models": False, "n_networks": 0},
            "linear_models: expected True where n_networks is 0, got False",
        ),
        ({"likelihood": "weibull"}, 'likelihood: expected "cox" or "discrete", got \'weibull\''),
        ({"tuning": "none"}, 'tuning: expected "frozen", "lora", "ia3" or "full", got \'none\''),
        ({"n_folds": 1}, "n_folds: expected at least 2, got 1"),
        ({"n_components": 0}, "n_components: expected at least 1, got 0"),
        ({"n_pooled_components": 0}, "n_pooled_components: expected at least 1, got 0"),
        ({"covariate_regularisation": 0.0}, "covariate_regularisation: expected a number above 0, got 0.0"),
        ({"n_intervals": 1}, "n_intervals: expected at least 2, got 1"),
        ({"n_steps": 0}, "n_steps: expected at least 1, got 0"),
        ({"agreement": -0.5}, "agreement: expected at least 0, got -0.5"),
        (
            {"agreement_form": "infonce", "tuning": "frozen"},
            'agreement_form: expected "divergence", or "infonce" unless tuning is "frozen", got \'infonce\'',
        ),
        ({"hidden_widths": ()}, "hidden_widths: expected one or more widths of at least 1, got \\(\\)"),
        ({"hidden_widths": (4, 0)}, "hidden_widths: expected one or more widths of at least 1, got \\(4, 0\\)"),
    ],
)
def test_hyper_parameters_out_of_range(changes, message):
    with refused(message):
        replace(SurvivalConfig(), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_networks": 5},
        {"n_networks": 0},
        {"linear_models": False, "n_networks": 1},
        {"n_folds": 3},
        {"n_folds": 2, "n_networks": 2},
        {"n_components": 1, "n_pooled_components": 1, "n_intervals": 2, "n_steps": 1},
        {"covariate_regularisation": 1e-6},
        {"agreement": 1.0, "agreement_form": "infonce", "hidden_widths": (512, 256)},
        {"agreement": 1.0, "tuning": "frozen"},
    ],
)
def test_hyper_parameters_at_the_end_of_their_range(changes):
    config = replace(SurvivalConfig(), **changes)
    assert all(getattr(config, name) == value for name, value in changes.items())


def test_the_defaults():
    """Files of older versions that lack a field mean these, and figures without further arguments are of them."""
    assert {field.name: field.default for field in fields(SurvivalConfig)} == {
        "linear_models": True,
        "n_networks": 3,
        "likelihood": "cox",
        "tuning": "full",
        "n_components": 100,
        "n_pooled_components": 200,
        "covariate_regularisation": 0.03,
        "n_folds": 5,
        "n_intervals": 20,
        "n_steps": 120,
        "learning_rate": 0.001,
        "weight_decay": 0.01,
        "mask_rates": (0.5, 0.5),
        "modality_rate": 0.3,
        "agreement": 0.0,
        "agreement_form": "divergence",
        "hidden_widths": (64,),
        "rank": 8,
        "seed": 0,
    }
