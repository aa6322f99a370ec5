"""Rounds of a training."""

import pytest

from omicsmlm.training._rounds import MOST_ROUNDS, ROUND_BATCHES, Rounds


class Order:
    """The order of an epoch: its number, beside the number of the batch."""

    def __init__(self, n):
        self.n, self.epoch, self.first, self.opened = n, 0, 0, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def start_at(self, batch):
        self.first = batch

    def __len__(self):
        return self.n


class Epochs:
    """A loader that yields (epoch, batch)."""

    def __init__(self, n):
        self.sampler = Order(n)

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        order = self.sampler
        first, order.first = order.first, 0
        order.opened += 1
        epoch = order.epoch
        return iter([(epoch, b) for b in range(first, order.n)])


@pytest.mark.parametrize(
    ("n_batches", "n"), [(704, 11), (700, 1), (7031, 7031), (5, 2), (1, 9), (1000, 390), (33, 500)]
)
def test_rounds_together_are_the_training(n_batches, n):
    rounds = Rounds(Epochs(n), n_batches)
    visible = []
    for r in range(rounds.n_rounds):
        rounds.set_epoch(r)
        part = list(rounds)
        assert len(part) == len(rounds), "Lightning validates at the end of whole rounds only"
        visible += part
    assert visible == [divmod(i, n) for i in range(rounds.n_batches)]
    assert 0 <= rounds.n_batches - n_batches < rounds.n_rounds, "no observation is left out"
    assert rounds.n_rounds <= MOST_ROUNDS or n > 11
    assert 0 <= n_batches - Rounds(Epochs(n), n_batches, at_most=True).n_batches <= n_batches / 100


def test_a_round_is_an_epoch_a_part_of_it_or_several():
    def size(n_batches, n):
        return len(Rounds(Epochs(n), n_batches))

    assert size(704, 11) == 11
    assert size(700, 1) == 11
    assert size(10 * 300, 300) == 300
    assert 350 <= size(7031, 7031) <= ROUND_BATCHES
    assert size(3, 1) == 1


def test_any_round_can_be_the_first():
    rounds = Rounds(Epochs(7), 40)
    rounds.set_epoch(3)
    again = Rounds(Epochs(7), 40)
    for r in range(4):
        again.set_epoch(r)
        last = list(again)
    assert list(rounds) == last


def test_from_round_to_round_reading_goes_on_and_a_repeated_one_is_read_anew():
    loader = Epochs(500)
    rounds = Rounds(loader, 500)
    for r in range(rounds.n_rounds):
        rounds.set_epoch(r)
        list(rounds)
    assert loader.sampler.opened == 1
    rounds.close()
    rounds.set_epoch(0)
    assert next(iter(rounds)) == (0, 0)


def test_a_round_that_was_broken_off_is_read_anew():
    rounds = Rounds(Epochs(4), 8)
    iterator = iter(rounds)
    next(iterator)
    iterator.close()
    assert list(rounds) == [(0, i) for i in range(4)]
