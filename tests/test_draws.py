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
    call = mix(hash((7, 1)) & 0x7FFF_FFFF_FFFF_FFFF) >> 32
    words = [mix((key + mix(7)) & LONG) >> 32 for key in keys]
    expected = [[unit(word ^ (mix(g) >> 32) ^ call) for g in range(3)] for word in words]
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


@pytest.mark.parametrize("width", [1, 7, 300])
def test_chances_are_as_asked_and_independent(width):
    probability_n = torch.linspace(0, 1, 3000)
    draws = Draws(2, torch.arange(3000))
    first, second = draws.bernoulli(probability_n, width), draws.bernoulli(probability_n, width)
    assert first.dtype == torch.bool
    assert first.shape == (3000, width)
    assert not first[0].any()
    assert first[-1].all()
    excess = first.float() - probability_n[:, None]
    assert abs(float(excess.mean())) < 5 * float(excess.std()) / (3000 * width) ** 0.5
    assert abs(float((excess * probability_n[:, None]).mean())) < 0.01, "each observation has its own probability"
    others = [second.float() - probability_n[:, None], excess.roll(1, 0), *([excess.roll(1, 1)] if width > 1 else [])]
    for other in others:
        assert abs(np.corrcoef(excess.flatten(), other.flatten())[0, 1]) < 5 / (3000 * width) ** 0.5


def test_a_chance_does_not_depend_on_the_company():
    many, few = Draws(5, torch.arange(100)), Draws(5, torch.tensor([70, 3]))
    half = torch.full((100,), 0.5)
    assert torch.equal(many.bernoulli(half, 9)[[70, 3]], few.bernoulli(half[:2], 9))


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
