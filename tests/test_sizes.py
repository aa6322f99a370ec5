"""Places of what is true, of a size that the host knows."""

import numpy as np
import pytest
import torch

from omicsmlm import _sizes
from omicsmlm._sizes import binomial_bound, is_on_host, positions_of_true


@pytest.mark.parametrize("most", [0, 3, 7, 40, 100])
def test_on_a_device_places_are_the_same_with_room_behind_them(monkeypatch, rng, most):
    at_t = torch.from_numpy(rng.random(40) < 0.2)
    wanted = at_t.nonzero()[:, 0][:most]
    assert torch.equal(positions_of_true(at_t, most)[0], wanted)
    assert positions_of_true(at_t, most)[1].all()
    monkeypatch.setattr(_sizes, "is_on_host", lambda tensor: False)
    place_s, is_there_s = positions_of_true(at_t, most)
    assert len(place_s) == min(most, 40)
    assert is_there_s.tolist() == [True] * len(wanted) + [False] * (len(place_s) - len(wanted))
    assert torch.equal(place_s[is_there_s], wanted)
    assert not place_s[~is_there_s].any()


def test_what_is_on_the_cpu_is_on_the_host():
    assert is_on_host(torch.zeros(1))
    assert not is_on_host(torch.zeros(1, device="meta"))


@pytest.mark.parametrize(("n", "rate"), [(50, 0.1), (3000, 0.15), (100_000, 0.5)])
def test_there_are_hardly_ever_more(n, rate):
    drawn = np.random.default_rng(0).binomial(n, rate, 100_000)
    assert drawn.max() <= binomial_bound(n, rate) <= n
    assert binomial_bound(n, rate) < n * rate + 7 * (n * rate) ** 0.5 + 10
    assert binomial_bound(n, 1.0) == n
