"""Random numbers keyed by seed, step and observation, against SplitMix64 and MurmurHash3 in plain Python."""

import numpy as np
import pytest
import torch
from scipy import stats

from omicsmlm._draws import Draws

WORD, LONG = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


def mix(key):
    """SplitMix64 of a whole number."""
    bits = (key * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & LONG
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & LONG
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & LONG
    return bits ^ (bits >> 31)


def unit(word):
    """The end of MurmurHash3, as a number below 1."""
    word = (word * 0x85EBCA6B) & WORD
    word = ((word ^ (word >> 13)) * 0xC2B2AE35) & WORD
    return (word >> 8) / 2**24


def test_numbers_are_those_of_the_published_hashes():
    keys = [0, 5, 123_456_789_012]
    found = Draws(7, torch.tensor(keys)).uniform(3)
    stream = hash((7, 1)) & 0x7FFF_FFFF_FFFF_FFFF
    expected = [[unit((mix((key + stream) & LONG) >> 32) ^ (mix(g) >> 32)) for g in range(3)] for key in keys]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_numbers_are_uniform_and_independent_between_observations_places_calls_and_seeds():
    draws = Draws(0, torch.arange(400))
    first, second, other = draws.uniform(300), draws.uniform(300), Draws(1, torch.arange(400)).uniform(300)
    assert stats.kstest(first.flatten().numpy(), "uniform").pvalue > 0.001
    assert float(first.min()) >= 0
    assert float(first.max()) < 1
    for a, b in ((first, second), (first, other), (first[:-1], first[1:]), (first[:, :-1], first[:, 1:])):
        assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.015
    spread = np.corrcoef(first.numpy())[np.triu_indices(400, 1)].std() * np.sqrt(300)
    assert spread == pytest.approx(1, abs=0.05), "rows correlate as much as independent ones do"


def test_normal_numbers_are_normal():
    z = Draws(3, torch.arange(500)).normal(20).flatten().numpy()
    assert stats.kstest(z, "norm").pvalue > 0.001


def test_an_observation_gets_the_same_in_any_company():
    many, few = Draws(5, torch.arange(100)), Draws(5, torch.tensor([70, 3]))
    for draw in (lambda d: d.uniform(), lambda d: d.uniform(4), lambda d: d.normal(6)):
        assert torch.equal(draw(many)[[70, 3]], draw(few))


def test_tokens_are_drawn_by_their_observation_and_place():
    whole = Draws(5, torch.tensor([9, 4])).tokens(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))
    alone = Draws(5, torch.tensor([4])).tokens(torch.tensor([0]), torch.tensor([0]))
    assert torch.equal(whole[2:], alone)
    assert len(set(whole.tolist())) == 3


def test_what_is_shared_does_not_depend_on_the_observations():
    one, other = Draws(5, torch.tensor([1])), Draws(5, torch.arange(9))
    assert torch.equal(one.shared(50), other.shared(50))
    assert not torch.equal(one.shared(50), one.shared(50)), "each call draws anew"


def test_other_things_have_draws_of_their_own():
    a, b = Draws(5, torch.tensor([1])), Draws(5, torch.tensor([2, 3]))
    keys = torch.tensor([-(2**62), 8])
    assert torch.equal(a.by(keys).uniform(3), b.by(keys.flip(0)).uniform(3).flip(0))


def test_nothing_is_drawn_from_the_global_state():
    before = torch.get_rng_state()
    Draws(0, torch.arange(3)).normal(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_observations_are_no_trouble():
    assert Draws(0, torch.arange(0)).uniform(4).shape == (0, 4)
