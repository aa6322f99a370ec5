"""The plan, step by step: what is drawn, masked, noted, limited and scheduled; whole trainings are in ``test_fit``."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from omicsmlm._types import Batch, Masked, Parts
from omicsmlm.training import Optimisation, _plan
from omicsmlm.training._memory_bank import REFRESH_STEPS, BankContent
from omicsmlm.training._plan import Loaders, MaskedPlan
from omicsmlm.training._rounds import Rounds
from tests.training.test_fit import Line, loader, tokenizer


class Part:
    """Masking, objective and memory bank in one: notes what it is given, and returns what it is told to."""

    start = 0.25

    def __init__(self, terms=None):
        self.terms, self.masked, self.evaluated, self.bank = terms, [], [], None

    def __call__(self, *arguments):
        if len(arguments) == 2:
            views, draws = arguments
            self.masked.append((draws, float(torch.rand(()))))
            return Masked(views, {"m": "whole"})
        outputs, masked, batch, progress = arguments
        self.evaluated.append((outputs, masked, batch, progress))
        return self.terms or {"a": outputs[0].mean(), "b": 2 * outputs[0].mean()}

    def refresh(self, embedding_md, covariates_mk, indices_m, *, is_whole):
        self.bank = embedding_md, covariates_mk, indices_m, is_whole, float(torch.rand(()))

    def clear(self):
        self.bank = None


def plan_of(part=None, module=None, *, n_steps=100, step=0, seed=3, rank=0, memory=None, limit=50.0, **optimisation):
    part, module = part or Part(), module or Line()
    parts = Parts(tokenizer, part, module, part, part if memory else None)
    loaders = memory or Loaders(Rounds(loader(), n_steps))
    plan = MaskedPlan(parts, Optimisation(**optimisation), seed, loaders, n_steps, limit)
    plan._trainer = SimpleNamespace(global_step=step, global_rank=rank, precision="32-true", world_size=1)
    plan._divided = {"train": 1, "validation": 1, "memory": 1}
    plan._skipped = torch.zeros((), dtype=torch.int64)
    plan.log_dict = lambda means: plan.__dict__.setdefault("logged", []).append(means)
    return part, plan


def batch_of(*indices):
    return Batch({}, {}, {}, torch.zeros(len(indices), 0, dtype=torch.int64), torch.tensor(indices))


# ---- draws ----------------------------------------------------------------------------------------------------------


def drawn(*, seed=3, step=0, rank=0, indices=(1, 2), validation=False):
    part, plan = plan_of(seed=seed, step=step, rank=rank)
    (plan.validation_step if validation else plan.training_step)(batch_of(*indices), 0)
    draws, dropout = part.masked[0]
    return draws.uniform().tolist(), dropout


def test_a_step_draws_by_seed_step_and_observation():
    own, dropout = drawn()
    assert drawn() == (own, dropout)
    assert drawn(seed=4)[0] != own
    assert drawn(step=1)[0] != own
    assert drawn(indices=(2, 1))[0] == own[::-1], "whatever else is in the batch"
    assert drawn(rank=1)[0] == own, "ranks do as one"
    assert drawn(rank=1)[1] != dropout, "but for dropout, which has no observation"
    assert drawn(step=1)[1] != dropout


def test_validation_draws_by_seed_and_observation_alone():
    own, _ = drawn(validation=True)
    assert drawn(validation=True, step=7)[0] == own
    assert drawn(validation=True, seed=4)[0] != own
    assert own not in [drawn(step=step)[0] for step in range(50)]


def test_the_streams_of_seeds_never_meet():
    _, plan = plan_of()
    streams = [
        *range(1000),
        _plan.VALIDATION_STREAM,
        *(s + k for s in (_plan.MEMORY_STREAM, _plan.RANK_STREAM) for k in range(1000)),
    ]
    seeds = {plan._seed_of(stream) for stream in streams}
    assert len(seeds) == len(streams)
    assert all(0 <= seed < 2**63 for seed in seeds), "as generators take them"


# ---- steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "n_steps", "progress"), [(0, 100, 0.0), (30, 100, 0.3), (100, 100, 1.0), (0, 0, 0.0)])
def test_progress_is_the_part_of_the_steps_that_is_done(step, n_steps, progress):
    part, plan = plan_of(step=step, n_steps=max(1, n_steps))
    plan.n_steps = n_steps
    plan.training_step(batch_of(1, 2), 0)
    assert part.evaluated[0][3] == progress
    plan.validation_step(batch_of(1, 2), 0)
    assert part.evaluated[1][3] == 1.0, "validation is by the final weights of the terms"


def test_the_objective_is_given_what_was_masked_and_how_many_ranks_share_the_batch():
    part, plan = plan_of()
    plan._divided = {"train": 1, "validation": 1}
    plan.training_step(batch_of(4, 2, 9), 0)
    outputs, masked, batch, _ = part.evaluated[0]
    assert masked.targets == {"m": "whole"}
    assert torch.equal(outputs[0], plan.module.weight[[4, 2, 9]])
    assert batch.n_ranks == 1
    assert batch.draws is part.masked[0][0]
    assert batch.unmasked_nd is None


def test_what_is_noted_is_the_mean_over_observations():
    part, plan = plan_of()
    terms = [({"a": 1.0, "b": 3.0}, 2), ({"a": 5.0, "b": 0.5}, 6)]
    for stage, step in (("train", plan.training_step), ("validation", plan.validation_step)):
        for values, n in terms:
            part.terms = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
            loss = step(batch_of(*range(n)), 0)
            if stage == "train":
                assert float(loss.detach()) == sum(values.values())
                assert loss.requires_grad
    plan.on_validation_epoch_end()
    plan.end_round()
    expected = {"loss": (2 * 4.0 + 6 * 5.5) / 8, "a": (2 * 1 + 6 * 5) / 8, "b": (2 * 3 + 6 * 0.5) / 8}
    found = [{f"{stage}_{name}": value for name, value in expected.items()} for stage in ("validation", "train")]
    assert plan.logged == [pytest.approx(values) for values in found]
    assert plan.losses == pytest.approx(found[0] | found[1])


def test_each_round_and_each_validation_begins_anew():
    part, plan = plan_of()
    for value in (1.0, 2.0):
        plan.on_train_epoch_start()
        plan.on_validation_epoch_start()
        part.terms = {"a": torch.tensor(value)}
        plan.training_step(batch_of(1), 0)
        plan.validation_step(batch_of(1), 0)
        plan.on_validation_epoch_end()
        plan.end_round()
    assert [means.get("train_a", means.get("validation_a")) for means in plan.logged] == [1.0, 1.0, 2.0, 2.0]


# ---- the memory bank ------------------------------------------------------------------------------------------------


def with_bank(*, step=0, n_steps=100, n_round=4, is_whole=True, bank=None):
    rounds = type("Round", (), {"__len__": lambda self: n_round, "size": n_round})()
    part, plan = plan_of(step=step, n_steps=n_steps, memory=Loaders(rounds, None, loader(range(10)), is_whole))
    plan.bank.content = bank
    return part, plan


def bank_of(step):
    return BankContent(step, torch.zeros(1, 1), torch.zeros(1, 0), torch.zeros(1))


@pytest.mark.parametrize(
    ("step", "filled", "n_round", "expected"),
    [
        (24, None, 4, False),  # it is first filled after a quarter of the training
        (25, None, 4, True),
        (30 + REFRESH_STEPS - 3, 30, 4, False),
        (30 + REFRESH_STEPS - 2, 30, 4, True),  # the nearest round: half a round of 4 early
        (30 + REFRESH_STEPS - 2, 30, 5, True),
        (30 + REFRESH_STEPS - 3, 30, 5, False),
        (31, 30, 400, True),  # rounds that are longer refresh it once each
    ],
)
def test_when_the_bank_is_refreshed(step, filled, n_round, expected):
    bank = None if filled is None else bank_of(filled)
    part, plan = with_bank(step=step, n_round=n_round, bank=bank)
    assert plan._is_due is expected
    plan.on_train_epoch_start()
    assert (part.bank is not None) is expected


@pytest.mark.parametrize(("batch_idx", "expected"), [(0, True), (2, True), (3, False)])
def test_the_first_filling_may_be_in_the_first_half_of_a_round(batch_idx, expected):
    part, plan = with_bank(step=40)
    plan.on_train_batch_start(batch_of(1), batch_idx)
    assert (part.bank is not None) is expected
    part, plan = with_bank(step=90, bank=bank_of(26))
    plan.on_train_batch_start(batch_of(1), 0)
    assert part.bank is None, "only the first one"


def test_what_the_bank_is_filled_with():
    part, plan = with_bank(step=40, is_whole=False)
    plan.loaders = plan.loaders._replace(memory=loader([7, 3, 12, 5, 1, 0]))
    plan.module.encode = lambda views: SimpleNamespace(mean=torch.ones(len(views["m"].values), 2, dtype=torch.float64))
    plan.module.train()
    plan.on_train_epoch_start()
    embedding_md, covariates_mk, indices_m, is_whole, drawn_once = part.bank
    assert indices_m.tolist() == [0, 1, 3, 5, 7, 12], "ascending"
    assert embedding_md.shape == (6, 2)
    assert embedding_md.dtype == torch.float32
    assert covariates_mk.shape == (6, 0)
    assert not is_whole
    assert plan.module.training, "training goes on"
    assert plan.bank.content.step == 40
    again = with_bank(step=40)
    torch.manual_seed(99)
    again[1].on_train_epoch_start()
    assert again[0].bank[4] == drawn_once, "what it draws follows from the step"


def test_of_a_sample_a_copy_of_the_network_embeds_whole_observations():
    class Mean(Line):
        def encode(self, views):
            return SimpleNamespace(mean=self.weight[:1].expand(len(views["m"].values), 1))

    part, plan = with_bank(step=40, is_whole=False)
    plan.module = Mean()
    object.__setattr__(plan, "parts", Parts(tokenizer, part, plan.module, part, part))
    plan.on_train_epoch_start()
    before = float(plan.module.weight[0].detach())
    with torch.no_grad():
        plan.module.weight.fill_(9.0)
    plan.training_step(batch_of(1, 2), 0)
    unmasked_nd = part.evaluated[0][2].unmasked_nd
    assert unmasked_nd.tolist() == [[before]] * 2
    assert not unmasked_nd.requires_grad
    assert plan.bank.network is not None
    assert not any(name.startswith("bank") for name, _ in plan.named_parameters()), "it is not trained"
    plan.on_fit_end()
    assert part.bank is None
    assert plan.bank.network is None


def test_a_checkpoint_holds_the_bank_unless_it_is_refreshed_at_once():
    _, plan = with_bank(step=40, bank=bank_of(30))
    checkpoint = {}
    plan.on_save_checkpoint(checkpoint)
    assert checkpoint["round_size"] == 4
    assert checkpoint["memory"]["step"] == 30
    assert checkpoint["memory"]["snapshot"] is None
    _, plan = with_bank(step=99, bank=bank_of(30))
    checkpoint = {}
    plan.on_save_checkpoint(checkpoint)
    assert "memory" not in checkpoint
    _, plan = with_bank(step=10)
    plan.on_save_checkpoint(checkpoint)
    assert "memory" not in checkpoint


# ---- ranks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "world_size", "expected"), [("train", 3, 3), ("train", 9, 9), ("validation", 3, 3), ("validation", 6, 1)]
)
def test_batches_are_divided_where_each_rank_gets_an_observation(name, world_size, expected):
    _, plan = plan_of()
    plan._trainer.world_size, plan._trainer.global_rank = world_size, 2
    data = loader()  # batches of five
    assert plan._divide(data, name) == expected
    assert data.sampler.fraction == (slice(2, None, expected) if expected > 1 else slice(None))


# ---- the optimiser --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_fused", [True, False])
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_gradients_are_scaled_down_to_the_limit(is_fused, limit):
    """One step of AdamW, whose moments show the gradients that it was given."""
    _, plan = plan_of(limit=limit, averaging=0.0)
    plan._trainer.precision = "32-true" if is_fused else "16-mixed"
    optimizer = plan.configure_optimizers()["optimizer"]
    assert optimizer.defaults["fused"] is is_fused
    gradient = torch.linspace(-1, 2, len(plan.module.weight))
    plan.module.weight.grad = gradient.clone()
    plan.configure_gradient_clipping(optimizer)
    optimizer.step()
    factor = min(1.0, limit / float(gradient.norm()))
    moment = optimizer.state[plan.module.weight]["exp_avg"]
    torch.testing.assert_close(moment, (1 - 0.9) * factor * gradient, rtol=1e-4, atol=1e-6)


def test_a_step_without_finite_gradients_is_left_out_and_counted():
    _, plan = plan_of()
    optimizer = plan.configure_optimizers()["optimizer"]
    before = plan.module.weight.detach().clone()
    for value in (float("nan"), float("inf"), 1.0):
        plan.module.weight.grad = torch.full_like(before, value)
        plan.configure_gradient_clipping(optimizer)
        optimizer.step()
        assert torch.equal(plan.module.weight, before) is not np.isfinite(value)
    assert int(plan._skipped) == 2


def test_weights_that_are_frozen_are_not_given_to_the_optimiser():
    _, plan = plan_of()
    plan.module.extra = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    (group,) = plan.configure_optimizers()["optimizer"].param_groups
    assert [weight is plan.module.weight for weight in group["params"]] == [True]
