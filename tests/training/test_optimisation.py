"""AdamW, its weight decay and its rate, step by step."""

import numpy as np
import pytest
import torch

from omicsmlm.training import Optimisation


def configured(n_steps=100, *, is_fused=True, **changes):
    weight = torch.nn.Parameter(torch.ones(3))
    return weight, Optimisation(**changes).configured([weight], n_steps, is_fused=is_fused)


@pytest.mark.parametrize(
    ("n_steps", "n_warmup_steps", "n_warmup"), [(1000, 50, 50), (100, 50, 10), (5, 50, 1), (1000, 1 << 62, 100)]
)
def test_the_rate_warms_up_and_falls_as_a_cosine(n_steps, n_warmup_steps, n_warmup):
    _, found = configured(n_steps, learning_rate=0.2, n_warmup_steps=n_warmup_steps)
    schedule = found["lr_scheduler"]["scheduler"]
    assert found["lr_scheduler"]["interval"] == "step"
    for step in range(n_steps):
        rising = 0.2 * (step + 1) / n_warmup
        falling = 0.1 * (1 + np.cos(np.pi * (step - n_warmup) / (n_steps - n_warmup)))
        assert schedule.get_last_lr() == [pytest.approx(rising if step < n_warmup else falling)]
        found["optimizer"].step()
        schedule.step()


@pytest.mark.parametrize(("decay", "expected"), [(0.3, 0.3), (0.0, 0.0), (None, 1 / (0.2 * 100))])
def test_the_weights_forget_over_the_training_unless_told_otherwise(decay, expected):
    _, found = configured(learning_rate=0.2, weight_decay=decay, betas=(0.7, 0.8), epsilon=1e-5)
    defaults = found["optimizer"].defaults
    assert defaults["weight_decay"] == pytest.approx(expected)
    assert (defaults["betas"], defaults["eps"]) == ((0.7, 0.8), 1e-5)
    assert defaults["lr"] == pytest.approx(0.2)


@pytest.mark.parametrize("is_fused", [True, False])
def test_the_weights_that_are_given_are_trained(is_fused):
    weight, found = configured(is_fused=is_fused)
    assert found["optimizer"].defaults["fused"] is is_fused
    (group,) = found["optimizer"].param_groups
    assert [one is weight for one in group["params"]] == [True]


def test_a_training_of_no_steps_has_a_decay_too():
    _, found = configured(0, learning_rate=0.5, weight_decay=None)
    assert found["optimizer"].defaults["weight_decay"] == 2


def test_usual_settings():
    usual = Optimisation()
    assert (usual.learning_rate, usual.betas, usual.epsilon, usual.weight_decay) == (2e-3, (0.9, 0.98), 1e-8, 1e-4)
    assert (usual.n_warmup_steps, usual.gradient_limit, usual.averaging) == (50, 50.0, 0.99)
