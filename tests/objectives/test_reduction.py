"""Means over what is scored."""

import pytest
import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.multiprocessing import spawn

from omicsmlm._types import Batch
from omicsmlm.objectives import _reduction, observation_mean, step_mean
from omicsmlm.objectives._reduction import IGNORED


def batch_of(n, n_ranks=1):
    return Batch({}, {}, {}, torch.zeros(n, 0, dtype=torch.int64), torch.arange(n), n_ranks=n_ranks)


@pytest.mark.parametrize("count", [3, torch.tensor(3), torch.tensor(3.0)])
def test_a_total_is_divided_by_its_count(count):
    assert float(step_mean(torch.tensor(6.0), count, batch_of(3))) == 2


@pytest.mark.parametrize("count", [0, torch.tensor(0), torch.tensor(0.0)])
def test_nothing_scored_is_no_loss(count):
    assert float(step_mean(torch.tensor(0.0), count, batch_of(3))) == 0


def test_weights_below_one_count_as_they_are():
    assert float(step_mean(torch.tensor(0.1), torch.tensor(0.05), batch_of(3))) == pytest.approx(2)


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_ranks_average_to_what_one_process_has(n_ranks, monkeypatch):
    """Each has a part of five observations, and adds up the counts of all; ``test_ranks`` trains with real processes."""
    places = [torch.arange(5)[rank::n_ranks] for rank in range(n_ranks)]
    asked = []
    monkeypatch.setattr(_reduction, "all_reduce", lambda count: asked.append(float(count)) or count.fill_(5))
    losses, gradients = [], []
    for at in places:
        weight = torch.ones(5, requires_grad=True)
        loss = observation_mean((weight * torch.arange(1.0, 6))[at], batch_of(len(at), n_ranks))
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(weight.grad)
    assert asked == ([] if n_ranks == 1 else [len(at) for at in places])
    assert sum(losses) / n_ranks == pytest.approx(3)
    torch.testing.assert_close(sum(gradients) / n_ranks, torch.arange(1.0, 6) / 5)


def test_the_count_that_is_given_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(_reduction, "all_reduce", lambda count: count.mul_(2))
    count = torch.tensor(3.0)
    assert float(step_mean(torch.tensor(6.0), count, batch_of(3, 2))) == 2
    assert float(count) == 3


def _rank(rank, file, out):
    init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    weight = torch.ones(5, requires_grad=True)
    part = slice(0, 4) if rank == 0 else slice(4, 5)
    loss = observation_mean((weight * torch.arange(1.0, 6))[part], batch_of(4 if rank == 0 else 1, 2))
    loss.backward()
    torch.save((loss.detach(), weight.grad), f"{out}/{rank}.pt")
    destroy_process_group()


@pytest.mark.slow
def test_processes_average_to_what_one_has(tmp_path):
    spawn(_rank, (tmp_path / "store", tmp_path), nprocs=2)
    losses, gradients = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)), strict=True)
    assert float(sum(losses)) / 2 == pytest.approx(3)
    torch.testing.assert_close(sum(gradients) / 2, torch.arange(1.0, 6) / 5)


def test_the_class_of_what_is_not_evaluated_is_left_out_by_the_cross_entropy():
    logits = torch.randn(3, 4)
    found = torch.nn.functional.cross_entropy(logits, torch.tensor([1, IGNORED, IGNORED]))
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits[:1], torch.tensor([1])))


def test_the_mean_over_observations_is_over_all_of_them():
    assert float(observation_mean(torch.tensor([3.0, 0.0, 0.0]), batch_of(3))) == 1


def test_no_gradient_flows_through_a_count():
    count = torch.tensor(2.0, requires_grad=True)
    total = torch.tensor(6.0, requires_grad=True)
    step_mean(total, count.detach(), batch_of(3)).backward()
    assert float(total.grad) == 0.5
    assert count.grad is None


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _reduction.IGNORED == -100
