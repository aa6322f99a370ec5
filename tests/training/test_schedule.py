"""The learning rate over a training, and how long a training is."""

import math

import pytest

from omicsmlm.training import sensible_epochs, warmup_cosine


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine():
    rates = [warmup_cosine(step, 110, 10) for step in range(111)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == pytest.approx(1)
    assert rates[60] == pytest.approx(0.5)
    assert rates[35] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert rates[110] == pytest.approx(0)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


@pytest.mark.parametrize(("n_steps", "n_warmup"), [(1, 1), (2, 1), (5, 5), (5, 50)])
def test_short_trainings_have_rates_within_bounds(n_steps, n_warmup):
    assert all(0 <= warmup_cosine(step, n_steps, n_warmup) <= 1 for step in range(n_steps + 5))
    assert warmup_cosine(0, n_steps, n_warmup) > 0


def test_small_sets_get_equal_numbers_of_steps():
    steps = [sensible_epochs(n, 128) * math.ceil(n / 128) for n in (1000, 3000, 9000)]
    assert max(steps) - min(steps) <= 71


def test_steps_grow_with_the_square_root_of_rows():
    def steps(n):
        return sensible_epochs(n, 128) * math.ceil(n / 128)

    assert steps(40_000) / steps(10_000) == pytest.approx(2, rel=0.3)
    assert sensible_epochs(100_000_000, 128) == 1, "every row is seen once"


@pytest.mark.parametrize(("n_obs", "batch_size"), [(1, 128), (5, 1), (10**7, 10**6)])
def test_there_is_at_least_one_epoch(n_obs, batch_size):
    assert sensible_epochs(n_obs, batch_size) >= 1
