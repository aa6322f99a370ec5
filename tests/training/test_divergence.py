"""Trainings that diverge."""

import pytest
import torch

from omicsmlm.training._divergence import MOST_LEFT_OUT
from tests.training.test_fit import Line, Spy, run


class Diverging(Spy):
    """Losses that are not finite in some training steps."""

    def __init__(self, lost):
        super().__init__()
        self.lost, self.n_steps = lost, 0

    def __call__(self, *arguments):
        terms = super().__call__(*arguments)
        if len(arguments) == 4 and torch.is_grad_enabled():
            if self.n_steps in self.lost:
                terms["square"] = terms["square"] * torch.nan
            self.n_steps += 1
        return terms


def start():
    return torch.linspace(1, 2, 20)


def test_a_training_without_one_finite_step_fails_and_leaves_the_weights_as_they_were():
    module = Line()
    with pytest.raises(
        ValueError, match=r"^train: expected finite losses and gradients, got none in 12 steps in a row; lower"
    ):
        run(Diverging(range(10_000)), module, validated=False)
    assert torch.equal(module.weight.detach(), start())
    assert not module.training


def test_a_training_that_diverges_later_stops_with_the_last_good_weights(caplog):
    spy = Diverging(range(12, 10_000))
    _, module, values = run(spy, max_epochs=60, validated=False)
    assert spy.n_steps == 12 + MOST_LEFT_OUT
    assert len(values["train_loss"]) == spy.n_steps // 4
    assert torch.isfinite(module.weight).all()
    assert not torch.equal(module.weight.detach(), start()), "what the good rounds learned is kept"
    assert "The training diverged (none in 20 steps in a row) and was stopped; the last good weights are" in caplog.text


def test_some_lost_rounds_are_no_divergence():
    spy = Diverging({*range(4), *range(8, 12)})
    run(spy, max_epochs=10, validated=False)
    assert spy.n_steps == 40


def test_a_validation_that_is_not_finite_fails_where_nothing_good_came_before():
    module = Line()
    with pytest.raises(
        ValueError, match=r"^train: expected finite losses and gradients, got a validation loss of nan; lower"
    ):
        run(Spy([torch.nan] * 20), module, early_stopping=False)
    assert torch.equal(module.weight.detach(), start())


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_validation_that_is_not_finite_later_leaves_the_best_weights(early_stopping, caplog):
    _, module, values = run(Spy([2.0, 2.0, torch.inf, torch.inf]), early_stopping=early_stopping)
    assert len(values["validation_loss"]) == 2
    assert "The training diverged (a validation loss of inf) and was stopped" in caplog.text
    _, once, _ = run(Spy([2.0, 2.0]), max_steps=4)
    assert torch.isfinite(module.weight).all()
    assert torch.allclose(module.weight, once.weight, atol=0.3)
