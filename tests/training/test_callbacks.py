"""Callbacks, one by one: the history, the averaged weights, the bar, the checkpoint."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from omicsmlm.training._callbacks import (
    AVERAGING_INTERVAL,
    EVERY_STEP_UNTIL,
    WARMUP_STEPS,
    Bar,
    History,
    KeptWeights,
    LastCheckpoint,
)
from tests.training.test_plan import plan_of


class Network(nn.Module):
    """A weight, and a buffer that counts."""

    def __init__(self, value=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value, 2 * value]))
        self.register_buffer("count", torch.zeros(()))


def trainer_with(loss=None, *, sanity_checking=False, global_step=0):
    metrics = {} if loss is None else {"validation_loss": torch.tensor(loss)}
    return SimpleNamespace(callback_metrics=metrics, sanity_checking=sanity_checking, global_step=global_step)


def step(callback, plan, value):
    with torch.no_grad():
        plan.module.weight.copy_(torch.tensor([value, 2 * value]))
    callback.on_train_batch_end(trainer_with(), plan, None, None, 0)


def average_of(values, decay):
    """The average after each step, by definition: one that moves often, then one that moves every few steps."""
    average, found = values[0], []
    for n, value in enumerate(values, 1):
        every = AVERAGING_INTERVAL if decay and n > EVERY_STEP_UNTIL else 1
        if n % every == 0:
            left = min(decay**every, n / (WARMUP_STEPS + n))
            average = left * average + (1 - left) * value
        found.append(average)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_the_average_moves_towards_the_weights(decay, rng):
    values = rng.normal(size=100).tolist()
    callback, plan = KeptWeights(decay), SimpleNamespace(module=Network())
    expected = average_of(values, decay)
    for value, mean in zip(values, expected, strict=True):
        step(callback, plan, value)
        torch.testing.assert_close(callback.average["weight"], torch.tensor([mean, 2 * mean]), rtol=1e-4, atol=1e-6)
        assert torch.equal(plan.module.weight.detach(), torch.tensor([value, 2 * value])), "they are left alone"
    if not decay:
        assert expected == values


def test_the_first_steps_are_soon_forgotten():
    """The weights at which a training begins would otherwise weigh 0.99 ** 50 after fifty steps."""
    found = average_of([1.0] + [0.0] * 49, 0.99)[-1]
    assert found < 1e-6 < 0.99**50


def test_validation_is_of_the_average():
    callback, plan = KeptWeights(0.9), SimpleNamespace(module=Network())
    for value in (1.0, 4.0):
        step(callback, plan, value)
    average = callback.average["weight"].clone()
    callback.on_validation_start(trainer_with(), plan)
    assert torch.equal(plan.module.weight.detach(), average)
    callback.on_validation_end(trainer_with(1.0), plan)
    assert plan.module.weight.tolist() == [4.0, 8.0], "and training goes on from the weights"
    assert torch.equal(callback.average["weight"], average)


def test_the_best_average_is_left_with_its_buffers():
    callback, plan = KeptWeights(0.0), SimpleNamespace(module=Network())
    for value, loss in ((1.0, 3.0), (2.0, 1.0), (3.0, 1.0), (4.0, 2.0)):
        step(callback, plan, value)
        plan.module.count.fill_(value)
        callback.on_validation_start(trainer_with(), plan)
        callback.on_validation_end(trainer_with(loss), plan)
    callback.on_fit_end(trainer_with(), plan)
    assert plan.module.weight.tolist() == [2.0, 4.0], "the first of two that are alike"
    assert plan.module.count == 2.0


def test_without_validation_the_last_average_is_left():
    callback, plan = KeptWeights(0.5), SimpleNamespace(module=Network())
    for value in (1.0, 2.0, 5.0):
        step(callback, plan, value)
    plan.module.count.fill_(7.0)
    callback.on_fit_end(trainer_with(), plan)
    assert plan.module.weight[0].item() == pytest.approx(average_of([1.0, 2.0, 5.0], 0.5)[-1])
    assert plan.module.count == 7.0, "of buffers there is no average"


def test_a_sanity_check_is_no_validation():
    callback, plan = KeptWeights(0.5), SimpleNamespace(module=Network(3.0))
    trainer = trainer_with(sanity_checking=True)
    callback.on_validation_start(trainer, plan)
    callback.on_validation_end(trainer, plan)
    assert plan.module.weight.tolist() == [3.0, 6.0]
    assert callback.best == {}


def test_averaging_goes_on_from_a_checkpoint(rng):
    values = rng.normal(size=90).tolist()
    callback, plan = KeptWeights(0.9), SimpleNamespace(module=Network())
    for value in values[:67]:
        step(callback, plan, value)
    callback.on_validation_start(trainer_with(), plan)
    callback.on_validation_end(trainer_with(2.5), plan)
    resumed = KeptWeights(0.9)
    resumed.load_state_dict(copy.deepcopy(callback.state_dict()))
    assert resumed.loss == 2.5
    assert torch.equal(resumed.best["weight"], callback.best["weight"])
    for value in values[67:]:
        step(resumed, plan, value)
    assert resumed.average["weight"][0].item() == pytest.approx(average_of(values, 0.9)[-1], abs=1e-6)


def test_a_history_goes_on_from_a_checkpoint():
    def round_of(history, plan, steps, **losses):
        plan.losses, plan.end_round = losses, lambda: None
        history.on_train_epoch_end(trainer_with(global_step=steps), plan)

    history, (_, plan) = History(), plan_of()
    round_of(history, plan, 4, train_loss=2.0)
    resumed = History()
    resumed.load_state_dict(copy.deepcopy(history.state_dict()))
    round_of(resumed, plan, 8, train_loss=1.0, validation_loss=3.0)
    assert resumed.steps == [4, 8]
    assert resumed.values == {"train_loss": [2.0, 1.0], "validation_loss": [3.0]}
    assert (history.steps, history.values) == ([4], {"train_loss": [2.0]}), "the other is left as it was"


def test_the_bar_counts_the_steps_of_the_optimiser(capsys):
    bar, (_, plan) = Bar(), plan_of(n_steps=20)
    bar.on_train_start(trainer_with(global_step=5), plan)
    assert (bar.bar.total, bar.bar.n) == (20, 5), "a resumed training begins where it was"
    for global_step in (6, 6, 9):
        bar.on_train_batch_end(trainer_with(global_step=global_step), plan, None, None, 0)
    assert bar.bar.n == 9
    plan.losses = {"train_loss": 1.23456, "validation_loss": 2.0, "train_kl": 9.0}
    bar.on_train_epoch_end(trainer_with(), plan)
    assert bar.bar.postfix == "train_loss=1.235, validation_loss=2"
    bar.on_train_end(trainer_with(), plan)
    assert bar.bar.disable
    assert "Training" in capsys.readouterr().err


@pytest.mark.parametrize("is_zero", [True, False])
def test_a_checkpoint_replaces_the_last_one_when_it_is_whole(tmp_path, is_zero):
    class Trainer:
        is_global_zero, fails = is_zero, False

        def save_checkpoint(self, path):
            if self.fails:
                raise OSError("disk full")
            if is_zero:
                path.write_text("second")

    callback, trainer = LastCheckpoint(tmp_path), Trainer()
    (tmp_path / "last.ckpt").write_text("first")
    trainer.fails = True
    said = "^checkpoint_dir: expected a file that can be written, got 'disk full' at" if is_zero else "^disk full$"
    with pytest.raises(ValueError if is_zero else OSError, match=said):
        callback.on_train_epoch_end(trainer, None)
    assert (tmp_path / "last.ckpt").read_text() == "first"
    trainer.fails = False
    callback.on_train_epoch_end(trainer, None)
    assert (tmp_path / "last.ckpt").read_text() == ("second" if is_zero else "first")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
