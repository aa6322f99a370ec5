"""The one fit: what it logs, keeps, seeds and gives back, with a family of three lines."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from omicsmlm._types import Batch, Encoded, Grid, Masked, Module, Parts
from omicsmlm.training import FitOptions, Optimisation, fit

N_ROWS, BATCH = 20, 5


class Rows(torch.utils.data.Dataset):
    """Rows whose number is all there is to them."""

    def __len__(self):
        return N_ROWS

    def __getitem__(self, rows):
        rows = torch.as_tensor(rows)
        return Batch({}, {}, {}, torch.zeros(len(rows), 0, dtype=torch.int64), rows)


class Line(Module):
    """A weight for each row; dropout says in which mode it is."""

    n_latent = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(1, 2, N_ROWS))
        self.dropout = nn.Dropout(0.5)

    def encode(self, grids):
        return Encoded(grids["m"].values, grids["m"].values)

    def forward(self, inputs, batch):
        return self.weight[batch.indices] + 0 * inputs["m"].values[:, 0], self.dropout(torch.ones(len(batch.indices)))


class Spy:
    """Masking and objective in one, noting what they are given."""

    def __init__(self, losses=None):
        self.draws, self.progress, self.modes, self.losses = [], [], [], losses

    def __call__(self, *arguments):
        if len(arguments) == 2:
            grids, draws = arguments
            self.draws.append((torch.is_grad_enabled(), tuple(draws.uniform().tolist()), float(torch.rand(()))))
            return Masked(grids, grids)
        (guess, dropped), _, batch, progress = arguments
        self.progress.append((torch.is_grad_enabled(), progress))
        self.modes.append((torch.is_grad_enabled(), bool((dropped == 0).any())))
        square = guess.square().mean()
        if self.losses is not None and not torch.is_grad_enabled():
            square = square * 0 + self.losses.pop(0)
        return {"square": square, "half": square / 2}


def tokenizer(batch):
    n = len(batch.indices)
    return {"m": Grid(torch.zeros(n, 1), torch.ones(n, 1, dtype=torch.bool), torch.zeros(n))}


class Chunks(torch.utils.data.Sampler):
    """Batches in order, the same in each epoch."""

    def __init__(self, chunks):
        self.chunks, self.first, self.fraction = chunks, 0, slice(None)

    def __len__(self):
        return len(self.chunks)

    def __iter__(self):
        first, self.first = self.first, 0
        yield from (chunk[self.fraction] for chunk in self.chunks[first:])

    def set_epoch(self, epoch):
        pass

    def start_at(self, batch):
        self.first = batch

    def divide(self, rank, n_ranks):
        self.fraction = slice(rank, None, n_ranks)

    @property
    def smallest_batch(self):
        return min(map(len, self.chunks))


def loader_of(chunks):
    return DataLoader(Rows(), sampler=Chunks(chunks), batch_size=None, generator=torch.Generator())


def loader(rows=range(N_ROWS)):
    rows = list(rows)
    return loader_of([rows[i : i + BATCH] for i in range(0, len(rows), BATCH)])


def run(spy=None, module=None, *, validated=True, optimisation=None, trainer_options=None, **options):
    spy = spy or Spy()
    module = module or Line()
    options = FitOptions(**{"max_epochs": 3, "accelerator": "cpu", "progress_bar": False, **options})
    fitted = fit(
        Parts(tokenizer, spy, module, spy),
        optimisation or Optimisation(learning_rate=0.1),
        loader(),
        loader(range(10)) if validated else None,
        options,
        trainer_options or {},
    )
    return spy, module, fitted.losses


def only(noted, training):
    return [values for grad, *values in noted if grad == training]


def test_the_loss_is_the_sum_of_the_terms_and_all_are_logged():
    _, _, values = run()
    assert set(values) == {
        f"{stage}_{name}" for stage in ("train", "validation") for name in ("loss", "square", "half")
    }
    for stage in ("train", "validation"):
        assert len(values[f"{stage}_loss"]) == 3
        np.testing.assert_allclose(values[f"{stage}_loss"], np.multiply(values[f"{stage}_square"], 1.5), rtol=1e-5)
        assert values[f"{stage}_loss"][2] < values[f"{stage}_loss"][0]


def test_what_is_logged_is_a_mean_over_rows_whatever_the_batches():
    spy, module = Spy(), Line()
    parts = Parts(tokenizer, spy, module, spy)
    uneven = loader_of([list(range(12)), [12, 13, 14], [19]])
    options = FitOptions(max_epochs=2, accelerator="cpu", progress_bar=False)
    still = Optimisation(learning_rate=0.0, weight_decay=0.0)
    sanity = {"num_sanity_val_steps": 2}
    values = fit(parts, still, uneven, uneven, options, sanity).losses
    weight = torch.linspace(1, 2, N_ROWS)[[*range(15), 19]]
    for stage in ("train", "validation"):
        expected = float(weight.square().mean())
        assert values[f"{stage}_square"] == pytest.approx([expected] * 2, rel=1e-5)
        assert values[f"{stage}_half"] == pytest.approx([expected / 2] * 2, rel=1e-5)
        assert values[f"{stage}_loss"] == pytest.approx([expected * 1.5] * 2, rel=1e-5)


def test_steps_draw_anew_and_validation_draws_the_same_each_epoch():
    spy, _, _ = run()
    train, validation = only(spy.draws, True), only(spy.draws, False)
    assert len(train) == 3 * 4
    assert len({tuple(draw) for draw in train}) == 12
    assert len(validation) == 3 * 2
    keyed = [by_observation for by_observation, _ in validation]
    assert keyed[0:2] == keyed[2:4] == keyed[4:6]
    assert keyed[0] != keyed[1]


def test_all_draws_follow_from_the_seed():
    torch.manual_seed(1)
    first = run(validated=False)[0].draws
    torch.manual_seed(2)
    assert run(validated=False)[0].draws == first
    assert run(validated=False, seed=1)[0].draws != first


def test_the_module_is_given_what_is_left_and_the_objective_everything():
    class Hide(Spy):
        def __call__(self, *arguments):
            if len(arguments) == 2:
                (grid,) = arguments[0].values()
                return Masked({"m": grid._replace(values=grid.values + 7)}, arguments[0])
            assert float(arguments[1].targets["m"].values.sum()) == 0
            return super().__call__(*arguments)

    class Look(Line):
        def forward(self, inputs, batch):
            assert (inputs["m"].values == 7).all()
            return super().forward(inputs, batch)

    assert len(run(Hide(), Look())[0].progress) == 3 * (4 + 2)


def test_progress_runs_from_zero_to_one():
    spy, _, _ = run()
    assert [p for (p,) in only(spy.progress, True)] == pytest.approx([i / 12 for i in range(12)])
    assert {p for (p,) in only(spy.progress, False)} == {1.0}


def test_steps_train_and_validation_judges():
    spy, module, _ = run(module=Line().eval())
    assert all(dropped for (dropped,) in only(spy.modes, True))
    assert not any(dropped for (dropped,) in only(spy.modes, False))
    assert not module.training


class Steps(Callback):
    """Notes the weights after each step, and those that are validated."""

    def __init__(self):
        self.stepped, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.stepped.append(pl_module.module.weight.detach().clone())

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.validated.append(pl_module.module.weight.detach().clone())


def averages(weights, decay):
    """The moving averages after each step, by their sums."""
    found = [weights[0]]
    for step, weight in enumerate(weights[1:], start=2):
        left = min(decay, step / (10 + step))
        found.append(left * found[-1] + (1 - left) * weight)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99])
def test_an_average_of_the_weights_is_validated_and_the_best_is_kept(decay):
    steps = Steps()
    spy = Spy(losses=[3.0, 3, 1, 1, 2, 2])
    optimisation = Optimisation(learning_rate=0.1, averaging=decay)
    _, module, _ = run(spy, trainer_options={"callbacks": steps}, optimisation=optimisation)
    expected = averages(steps.stepped, decay)
    for epoch in range(3):
        assert torch.allclose(steps.validated[epoch], expected[4 * epoch + 3], atol=1e-6)
    assert torch.equal(module.weight, steps.validated[1])
    assert not torch.allclose(module.weight, steps.validated[2])


def test_without_validation_the_last_average_is_kept():
    steps = Steps()
    _, module, values = run(validated=False, trainer_options={"callbacks": steps})
    assert set(values) == {"train_loss", "train_square", "train_half"}
    assert torch.allclose(module.weight, averages(steps.stepped, 0.99)[-1], atol=1e-6)
    assert not torch.allclose(module.weight, steps.stepped[-1])


def test_a_sanity_check_is_no_epoch():
    _, module, values = run(trainer_options={"num_sanity_val_steps": 1})
    assert torch.equal(module.weight, run()[1].weight)
    assert len(values["validation_loss"]) == 3


def test_training_stops_when_the_validation_loss_no_longer_falls():
    losses = [5.0, 5] + [6.0] * 40
    _, _, values = run(Spy(losses=list(losses)), max_epochs=15, patience=3)
    assert len(values["train_loss"]) == 4
    _, _, values = run(Spy(losses=list(losses)), max_epochs=6, patience=3, early_stopping=False)
    assert len(values["train_loss"]) == 6


def test_the_rate_warms_up_and_falls():
    class Rates(Callback):
        def __init__(self):
            self.rates = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    rates = Rates()
    run(max_epochs=10, trainer_options={"callbacks": [rates]}, optimisation=Optimisation(0.1, n_warmup_steps=50))
    assert rates.rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1]), "a tenth of a short training is warm-up"
    assert rates.rates[-1] < 0.001


def test_frozen_weights_stay():
    module = Line()
    module.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    run(module=module)
    assert torch.equal(module.frozen, torch.ones(2))


def test_the_callers_states_are_left_alone():
    level = logging.getLogger("lightning.pytorch").level
    before = torch.get_rng_state()
    run()
    with pytest.raises(ZeroDivisionError):
        run(trainer_options={"callbacks": [Failing()]})
    assert torch.equal(torch.get_rng_state(), before)
    assert logging.getLogger("lightning.pytorch").level == level


class Failing(Callback):
    """Fails in the second epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise ZeroDivisionError


def test_an_interruption_is_the_callers():
    class Interrupt(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            raise KeyboardInterrupt

    module = Line()
    with pytest.raises(KeyboardInterrupt):
        run(module=module, trainer_options={"callbacks": [Interrupt()]})
    assert not module.training


def test_a_failure_before_the_first_step_is_not_hidden_by_the_bar():
    class Early(Callback):
        def on_fit_start(self, trainer, pl_module):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(progress_bar=True, trainer_options={"callbacks": [Early()]})


def test_the_bar_counts_steps_and_shows_losses(capsys):
    run(progress_bar=True)
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "validation_loss=" in shown


def test_after_a_failure_the_module_is_ready_to_embed():
    module = Line()
    with pytest.raises(ZeroDivisionError):
        run(module=module, trainer_options={"callbacks": [Failing()]})
    assert not module.training


def test_a_finished_training_that_is_resumed_is_left_as_it_is(tmp_path):
    _, module, values = run(checkpoint_dir=tmp_path)
    spy, again, history = run(checkpoint_dir=tmp_path, resume_from=tmp_path / "last.ckpt")
    assert spy.draws == []
    assert torch.equal(again.weight, module.weight)
    assert history == values


def test_checkpoints_may_lie_in_the_home_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(checkpoint_dir="~/deep/checkpoints", max_epochs=1)
    assert [file.name for file in (tmp_path / "deep" / "checkpoints").iterdir()] == ["last.ckpt"]
    _, _, values = run(checkpoint_dir="~/deep/checkpoints", resume_from="~/deep/checkpoints", max_epochs=2)
    assert len(values["train_loss"]) == 2


def test_checkpoints_hold_no_code(tmp_path):
    run(checkpoint_dir=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    held = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert held["epoch"] == 2


def test_options_reach_the_trainer():
    visible = {}

    class Look(Callback):
        def on_fit_start(self, trainer, pl_module):
            visible.update(
                clip=pl_module.gradient_limit, devices=trainer.num_devices, accumulate=trainer.accumulate_grad_batches
            )

    run(
        trainer_options={"callbacks": (Look(),), "accumulate_grad_batches": 2},
        optimisation=Optimisation(gradient_limit=3),
    )
    assert visible == {"clip": 3, "devices": 1, "accumulate": 2}


def test_gradients_are_limited():
    class Limit(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.norm = float(pl_module.module.weight.grad.norm())

    limit = Limit()
    run(trainer_options={"callbacks": [limit]}, optimisation=Optimisation(gradient_limit=1e-3))
    assert limit.norm == pytest.approx(1e-3, rel=0.01)


def test_the_optimiser_is_as_it_was_asked_for():
    class Look(Callback):
        def on_train_start(self, trainer, pl_module):
            self.visible = {
                k: v for k, v in trainer.optimizers[0].defaults.items() if k in ("betas", "eps", "weight_decay")
            }

    look = Look()
    asked = {"betas": (0.8, 0.95), "epsilon": 1e-5, "weight_decay": 0.3}
    run(trainer_options={"callbacks": [look]}, optimisation=Optimisation(0.1, **asked))
    assert look.visible == {"betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.3}
    run(max_epochs=5, trainer_options={"callbacks": [look]}, optimisation=Optimisation(0.1, weight_decay=None))
    assert look.visible["weight_decay"] == pytest.approx(1 / (0.1 * 20)), "one over rate times steps"


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs Apple's MPS")
def test_on_mps_training_runs_in_float32():
    _, module, values = run(accelerator="mps")
    assert values["train_loss"][-1] < values["train_loss"][0]
    assert module.weight.dtype == torch.float32


@pytest.mark.gpu
def test_on_a_gpu_training_runs_in_bfloat16():
    class Look(Callback):
        def on_train_start(self, trainer, pl_module):
            self.visible = trainer.precision, pl_module.device.type

    look = Look()
    with torch.device("cpu"):
        run(accelerator="gpu", trainer_options={"callbacks": [look]}, module=Line())
    assert look.visible == ("bf16-mixed", "cuda")


# ---- rounds, and what is left of a training that was cut short --------------------------------------------------------


class Stop(Callback):
    """Stops the process, as it were, at the end of a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            raise ZeroDivisionError


@pytest.mark.parametrize("step", [1, 7, 8, 9, 39, 40])
def test_one_pass_cut_short_at_any_step_is_resumed_to_the_same_weights(step, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.training._rounds.ROUND_BATCHES", 8)

    def one_pass(**options):
        module = Line()
        parts = Parts(tokenizer, Spy(), module, Spy())
        chunks = [[i % N_ROWS, (i * 7 + 1) % N_ROWS] for i in range(40)]
        trainer_options = options.pop("trainer_options", {})
        settings = FitOptions(max_epochs=1, accelerator="cpu", progress_bar=False, patience=2, **options)
        fitted = fit(parts, Optimisation(0.1), loader_of(chunks), loader(range(10)), settings, trainer_options)
        return module.weight.detach(), fitted

    unbroken, told = one_pass()
    assert told.steps == [8, 16, 24, 32, 40], "a pass is validated, and written down, five times"
    with pytest.raises(ZeroDivisionError):
        one_pass(checkpoint_dir=tmp_path, trainer_options={"callbacks": Stop(step)})
    begun = (tmp_path / "last.ckpt").exists()
    assert begun == (step > 8)
    resumed, again = one_pass(checkpoint_dir=tmp_path, resume_from=tmp_path if begun else None)
    assert torch.equal(resumed, unbroken)
    assert again.losses == told.losses
    assert again.steps == told.steps


def test_a_checkpoint_of_a_training_of_another_length_is_refused(tmp_path):
    run(checkpoint_dir=tmp_path, max_epochs=2)
    with pytest.raises(
        ValueError, match=r"resume_from: expected a checkpoint of a training as long as this, got .*; pass"
    ):
        run(resume_from=tmp_path, max_epochs=1)


def test_no_half_written_checkpoint_is_left(tmp_path, monkeypatch):
    run(checkpoint_dir=tmp_path, max_epochs=2)
    whole = (tmp_path / "last.ckpt").read_bytes()

    def cut(self, target):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", cut)
    with pytest.raises(ValueError, match="^checkpoint_dir: expected a file that can be written, got 'disk full' at"):
        run(checkpoint_dir=tmp_path, max_epochs=2)
    assert (tmp_path / "last.ckpt").read_bytes() == whole


class Memory(Spy):
    """An objective with a memory, noting when it is refreshed."""

    start = 0.2

    def __init__(self):
        super().__init__()
        self.refreshed, self.rows = [], None

    def refresh(self, embedding_md, covariates_mk, indices_m, *, is_whole):
        assert len(embedding_md) == len(covariates_mk) == len(indices_m)
        self.refreshed.append((len(self.progress), is_whole))
        self.rows = indices_m

    def clear(self):
        self.rows = None


@pytest.mark.parametrize(
    ("n_epochs", "every", "expected"),
    [
        (10, 4, [8, 12, 16, 20, 24, 28, 32, 36]),
        (10, 10, [8, 16, 24, 32]),
        (10, 12, [8, 20, 32]),
        (10, 48, [8]),
        (1, 4, [1]),
        (2, 4, [2, 4]),
        (2, 8, [2]),
        (4, 4, [4, 8, 12]),
    ],
)
def test_the_memory_is_refreshed_by_steps(n_epochs, every, expected, monkeypatch):
    monkeypatch.setattr("omicsmlm.training._memory_bank.REFRESH_STEPS", every)
    memory, module = Memory(), Line()
    parts = Parts(tokenizer, memory, module, memory, memory)
    options = FitOptions(n_epochs, "cpu", progress_bar=False)
    fit(parts, Optimisation(0.1), loader(), None, options, {}, memory=(loader(range(3, 10)), False))
    assert [step for step, _ in memory.refreshed] == expected
    assert not any(is_whole for _, is_whole in memory.refreshed)
    assert memory.rows is None, "nothing is left of the training observations"


class Follower(Memory):
    """Aims at the embedding that the memory was filled with, and at that of whole observations."""

    def refresh(self, embedding_md, covariates_mk, indices_m, *, is_whole):
        super().refresh(embedding_md, covariates_mk, indices_m, is_whole=is_whole)
        self.targets = [float(embedding_md.mean()), float(torch.rand(()))]

    def __call__(self, *arguments):
        if len(arguments) == 2:
            return super().__call__(*arguments)
        (guess, _), _, batch, _ = arguments
        if self.rows is None:
            return {"loss": guess.square().mean()}
        whole = 0 if batch.unmasked_nd is None else batch.unmasked_nd.mean()
        return {"loss": (guess - sum(self.targets) - whole).square().mean()}


@pytest.mark.parametrize(
    ("step", "is_whole"),
    [
        (9, True),
        (13, False),
        (18, True),
        (30, False),
        *[pytest.param(*case, marks=pytest.mark.slow) for case in ((9, False), (13, True), (18, False), (30, True))],
    ],
)
def test_a_training_is_resumed_with_the_memory_that_it_had(step, is_whole, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.training._memory_bank.REFRESH_STEPS", 12)

    class Moving(Line):
        def encode(self, grids):
            return Encoded(grids["m"].values + self.weight.mean(), grids["m"].values)

    def followed(callback=None, **options):
        memory, module = Follower(), Moving()
        parts = Parts(tokenizer, memory, module, memory, memory)
        settings = FitOptions(10, "cpu", progress_bar=False, **options)
        of_trainer = {} if callback is None else {"callbacks": callback}
        fit(parts, Optimisation(0.1), loader(), loader(), settings, of_trainer, memory=(loader(range(3, 10)), is_whole))
        return module.weight.detach()

    unbroken = followed()
    with pytest.raises(ZeroDivisionError):
        followed(Stop(step), checkpoint_dir=tmp_path)
    assert torch.equal(followed(resume_from=tmp_path), unbroken)


def test_of_a_sample_the_objective_is_told_the_whole_embedding():
    class Look(Memory):
        def __call__(self, *arguments):
            if len(arguments) == 4:
                batch = arguments[2]
                assert (batch.unmasked_nd is not None) == bool(self.refreshed)
                assert batch.unmasked_nd is None or not batch.unmasked_nd.requires_grad
            return super().__call__(*arguments)

    for is_whole in (True, False):
        memory, module = Look() if not is_whole else Memory(), Line()
        parts = Parts(tokenizer, memory, module, memory, memory)
        options = FitOptions(3, "cpu", progress_bar=False)
        fit(parts, Optimisation(0.1), loader(), loader(), options, {}, memory=(loader(range(3, 10)), is_whole))
        assert memory.refreshed


@pytest.mark.parametrize(("max_steps", "expected"), [(5, 5), (1, 1), (11, 11), (12, 12), (50, 12)])
def test_steps_can_be_limited(max_steps, expected):
    spy, _, values = run(max_epochs=3, max_steps=max_steps)
    assert len(only(spy.draws, True)) == expected
    assert len(values["validation_loss"]) == len(values["train_loss"])


def test_every_round_is_validated_anew():
    _, _, values = run(max_epochs=7, optimisation=Optimisation(learning_rate=0.01, averaging=0.0))
    assert len(set(values["validation_loss"])) == len(values["validation_loss"])


def test_loggers_are_told_every_term(tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    run(trainer_options={"logger": CSVLogger(tmp_path, name="", version="")})
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert {"train_loss", "train_square", "validation_half", "step"} <= set(table.columns)
    assert table["train_loss"].notna().sum() == 3


# ---- precision and devices --------------------------------------------------------------------------------------------


def test_bfloat16_clips_and_trains():
    _, module, values = run(precision="bf16-mixed")
    _, plain, _ = run()
    assert values["train_loss"][-1] < values["train_loss"][0]
    assert torch.allclose(module.weight, plain.weight, atol=0.02)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "16-true", "transformer-engine", "half"])
def test_other_precisions_get_a_sentence(precision):
    with pytest.raises(
        ValueError, match=r"precision: expected one of '32-true', 'bf16-mixed', '16-mixed', got .*; weights"
    ):
        run(precision=precision)


def test_float16_needs_a_cuda_device():
    with pytest.raises(ValueError, match=r"precision: expected a CUDA device for '16-mixed', got none; pass"):
        run(precision="16-mixed")


def test_a_step_whose_gradients_are_not_finite_is_left_out_and_told(caplog):
    class Broken(Spy):
        def __call__(self, *arguments):
            terms = super().__call__(*arguments)
            if len(arguments) == 4 and len(only(self.progress, True)) == 2 and torch.is_grad_enabled():
                terms["square"] = terms["square"] * torch.nan
            return terms

    steps = Steps()
    _, module, _ = run(Broken(), trainer_options={"callbacks": [steps]}, validated=False)
    assert torch.equal(steps.stepped[0], steps.stepped[1]), "the second step was left out"
    assert not torch.equal(steps.stepped[1], steps.stepped[2])
    assert torch.isfinite(module.weight).all()
    assert "1 steps of this round were left out, as their gradients were not finite." in caplog.text


def test_several_devices_in_a_notebook_get_a_sentence(monkeypatch):
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    with pytest.raises(
        ValueError, match=r"devices: expected one device in a notebook .* session, got 2; write .*torchrun"
    ):
        run(devices=2)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("num_workers", "in a thread"),
        ("lr", "learning_rate"),
        ("plan_kwargs", "config"),
        ("colour", "lightning.Trainer"),
    ],
)
def test_unknown_arguments_get_a_sentence(name, remedy):
    with pytest.raises(ValueError, match=rf"train: expected arguments of train\(\) .*, got '{name}'; .*{remedy}"):
        run(trainer_options={name: 1})


def test_without_validation_batches_there_is_no_early_stopping():
    _, _, values = run(trainer_options={"limit_val_batches": 0})
    assert "validation_loss" not in values


def test_the_whole_embedding_is_that_of_the_network_which_filled_the_memory():
    class Moving(Line):
        def encode(self, grids):
            mean_nd = self.weight.mean() + grids["m"].values
            return Encoded(mean_nd, mean_nd)

    class Look(Memory):
        visible: list = []

        def refresh(self, embedding_md, covariates_mk, indices_m, *, is_whole):
            super().refresh(embedding_md, covariates_mk, indices_m, is_whole=is_whole)
            self.filled = float(embedding_md[0])

        def __call__(self, *arguments):
            if len(arguments) == 4 and arguments[2].unmasked_nd is not None:
                assert float(arguments[2].unmasked_nd[0]) == pytest.approx(self.filled)
                self.visible.append(float(module.weight.mean()) - self.filled)
            return super().__call__(*arguments)

    memory, module = Look(), Moving()
    parts = Parts(tokenizer, memory, module, memory, memory)
    options = FitOptions(5, "cpu", progress_bar=False)
    fit(parts, Optimisation(0.1), loader(), None, options, {}, memory=(loader(range(3, 10)), False))
    assert max(map(abs, memory.visible)) > 0.01, "the weights have moved since"
