"""The memory bank by itself; how the plan fills it is in ``test_plan``, whole trainings in ``test_fit``."""

from types import SimpleNamespace

import pytest
import torch

from omicsmlm._types import Batch
from omicsmlm.training._memory_bank import REFRESH_STEPS, BankContent, MemoryBank

CPU = torch.device("cpu")


class Memory:
    """Notes what it is given, and what it would draw."""

    start = 0.25

    def __init__(self):
        self.held, self.drawn = None, None

    def refresh(self, embedding_md, covariates_mk, indices_m, *, is_whole):
        self.held, self.drawn = (embedding_md, covariates_mk, indices_m, is_whole), float(torch.rand(()))

    def clear(self):
        self.held = None


class Network(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([float(value)]))

    def embed(self, views, batch):
        return SimpleNamespace(mean=(self.weight * views["m"]).double())


def content_of(step, *parts):
    parts = parts or ([1.0, 2.0], [0, 1], [5, 2])
    embedding, covariates, indices = (torch.tensor(part) for part in parts)
    return BankContent.of(step, [(embedding[:, None], covariates[:, None], indices)], 1)


def batch_of(n):
    return Batch({}, {}, {}, torch.zeros(n, 0, dtype=torch.int64), torch.arange(n))


def test_batches_are_put_together_in_the_order_of_the_object():
    first = torch.tensor([[1.0], [2.0]]), torch.tensor([[0], [1]]), torch.tensor([7, 3])
    second = torch.tensor([[3.0]]), torch.tensor([[2]]), torch.tensor([5])
    found = BankContent.of(9, [first, second], 1)
    assert found.step == 9
    assert found.indices_m.tolist() == [3, 5, 7]
    assert found.embedding_md.tolist() == [[2], [3], [1]]
    assert found.covariates_mk.tolist() == [[1], [2], [0]]


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
def test_when_it_is_refreshed(step, filled, n_round, expected):
    bank = MemoryBank(Memory(), True)
    if filled is not None:
        bank.content = content_of(filled)
    assert bank.is_due(step, 100, n_round) is expected
    assert REFRESH_STEPS == 48


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_the_memory_is_given_and_what_it_draws(is_whole):
    memory = Memory()
    bank, drawn = MemoryBank(memory, is_whole), []
    for seed in (3, 3, 4):
        torch.manual_seed(99)
        with torch.inference_mode():
            bank.fill(content_of(7), seed, CPU)
        drawn.append(memory.drawn)
    assert drawn[0] == drawn[1] != drawn[2], "by the seed"
    embedding, covariates, indices, given = memory.held
    assert (embedding.tolist(), covariates.tolist(), indices.tolist()) == ([[2], [1]], [[1], [0]], [2, 5])
    assert given is is_whole
    assert bank.content.step == 7
    bank.clear()
    assert memory.held is None
    assert bank.content is None


def test_of_a_sample_the_network_as_it_was_embeds_whole_observations():
    bank, network, views = MemoryBank(Memory(), False), Network(2), {"m": torch.ones(3, 1)}
    assert bank.unmasked(views, batch_of(3)) is None, "before it is filled"
    bank.keep_network(network)
    bank.fill(content_of(1), 0, CPU)
    with torch.no_grad():
        network.weight.fill_(9)
    found = bank.unmasked(views, batch_of(3))
    assert found.tolist() == [[2]] * 3
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert not any(weight.requires_grad for weight in bank.network.parameters())
    assert not bank.network.training
    kept = bank.network
    bank.keep_network(network)
    assert bank.unmasked(views, batch_of(3)).tolist() == [[9]] * 3
    assert bank.network is kept, "it is copied once"
    bank.clear()
    assert bank.network is None


def test_of_all_observations_no_network_is_needed():
    bank = MemoryBank(Memory(), True)
    bank.keep_network(Network(2))
    bank.fill(content_of(1), 0, CPU)
    assert bank.network is None
    assert bank.unmasked({"m": torch.ones(3, 1)}, batch_of(3)) is None


@pytest.mark.parametrize("is_whole", [True, False])
def test_its_state_goes_into_a_checkpoint_and_back(is_whole):
    bank, views = MemoryBank(Memory(), is_whole), {"m": torch.ones(3, 1)}
    bank.keep_network(Network(2))
    bank.fill(content_of(5), 0, CPU)
    state = bank.state()
    assert (state["snapshot"] is None) is is_whole
    again = MemoryBank(Memory(), is_whole)
    content = again.load_network(state, Network(7), CPU)
    assert content.step == 5
    assert all(torch.equal(a, b) for a, b in zip(content[1:], bank.content[1:], strict=True))
    again.fill(content, 0, CPU)
    found, expected = again.unmasked(views, batch_of(3)), bank.unmasked(views, batch_of(3))
    assert (found is None and expected is None) or torch.equal(found, expected)
