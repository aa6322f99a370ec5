"""Negative peaks: of the observation, none twice, and as common as the accessible ones."""

import math

import numpy as np
import pytest
import torch

from omicsmlm import _sizes, _types
from omicsmlm._draws import Draws
from omicsmlm._types import TokenSet, positions_of
from omicsmlm.masking import _negatives
from omicsmlm.masking._negatives import MAX_DRAWS, draw_negatives


def token_set(has_ng, measured_g=None, surplus=0):
    """The tokens of a matrix of presence; `surplus` more of no observation stand at the end."""
    n, g = has_ng.shape
    ids = torch.cat([has_ng.nonzero()[:, 1], torch.zeros(surplus, dtype=torch.int64)])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), has_ng.sum(1).cumsum(0)])
    measured_g = torch.ones(g, dtype=torch.bool) if measured_g is None else measured_g
    return TokenSet(ids, torch.ones(len(ids)), offsets, torch.ones(n), torch.ones(n), measured_g, torch.ones(n).bool())


def negatives_of(part, prevalence_g, for_t=None, seed=0, most=None):
    """The drawn peaks, (observation, peak) each, of which as many are asked for as there are tokens if not told."""
    obs_t, position_t = positions_of(part.offsets, len(part.ids))
    own_t = torch.arange(len(part.ids)) < part.offsets[-1]
    for_t = own_t if for_t is None else for_t
    draws = Draws(seed, torch.arange(len(part.present)))
    most = int(for_t.sum()) if most is None else most
    found = draw_negatives(part, own_t, (obs_t, position_t), for_t, most, prevalence_g, draws)
    return torch.stack([found.indices, found.ids], 1)[found.is_taken].tolist()


@pytest.fixture
def has_ng(rng):
    """Two thousand observations of eight peaks, whose prevalence goes from 0.1 to 0.8."""
    return torch.from_numpy(rng.random((2000, 8)) < np.linspace(0.1, 0.8, 8))


def test_they_are_peaks_that_the_observation_lacks_each_once_and_in_order(has_ng):
    pairs = negatives_of(token_set(has_ng), has_ng.float().mean(0))
    assert len(set(map(tuple, pairs))) == len(pairs)
    assert pairs == sorted(pairs)
    assert not any(has_ng[obs, peak] for obs, peak in pairs)
    assert len(pairs) > 1000


def test_they_are_as_common_as_the_accessible_peaks(rng):
    prevalence = np.linspace(0.05, 0.6, 400)
    has_ng = torch.from_numpy(rng.random((300, 400)) < prevalence)
    few_t = torch.from_numpy(rng.random(int(has_ng.sum())) < 1 / 30)  # so few that hardly any peak is drawn twice
    counts = np.zeros(400)
    for seed in range(6):
        pairs = negatives_of(token_set(has_ng), torch.from_numpy(prevalence).float(), few_t, seed)
        counts += np.bincount([peak for _, peak in pairs], minlength=400)
    found, expected = counts.reshape(5, -1).sum(1), prevalence.reshape(5, -1).sum(1)
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), atol=0.02)
    assert counts.sum() / (6 * int(few_t.sum())) == pytest.approx(1, abs=0.06), "about one for each token"


def test_peaks_that_are_not_measured_or_accessible_everywhere_are_never_negatives(has_ng):
    measured_g = torch.ones(8, dtype=torch.bool)
    measured_g[3] = False
    prevalence_g = has_ng.float().mean(0)
    prevalence_g[5] = 1
    found = {peak for _, peak in negatives_of(token_set(has_ng, measured_g), prevalence_g)}
    assert found == {0, 1, 2, 4, 6, 7}


def test_where_no_peak_can_be_lacked_there_are_none(has_ng):
    assert negatives_of(token_set(has_ng), torch.ones(8)) == []
    assert negatives_of(token_set(has_ng), has_ng.float().mean(0), torch.zeros(int(has_ng.sum())).bool()) == []


def test_an_observation_gets_the_same_in_any_company(has_ng):
    prevalence_g = has_ng.float().mean(0)
    whole = [pair for pair in negatives_of(token_set(has_ng), prevalence_g) if pair[0] == 0]
    assert whole
    assert negatives_of(token_set(has_ng[:1]), prevalence_g) == whole


def test_on_a_device_they_are_the_same(has_ng, monkeypatch):
    has_ng, prevalence_g = has_ng[:200], has_ng.float().mean(0)
    expected = negatives_of(token_set(has_ng), prevalence_g)
    for module in (_negatives, _sizes, _types):
        monkeypatch.setattr(module, "is_on_host", lambda tensor: False)
    part = token_set(has_ng, surplus=7)
    assert negatives_of(part, prevalence_g, most=len(part.ids) + 5) == expected


def test_the_number_of_draws_makes_up_for_those_that_are_rejected():
    weight_g, n_draws = _negatives._weights(torch.tensor([0.5, 0.8]), torch.ones(2).bool())
    assert weight_g.tolist() == pytest.approx([1, 4])
    assert float(n_draws) == pytest.approx(5 / (1 * 0.5 + 4 * 0.2))
    weight_g, n_draws = _negatives._weights(torch.tensor([0.5, 0.999, 1.0]), torch.tensor([True, True, True]))
    assert weight_g.tolist() == pytest.approx([1, 127, 0]), "the prevalence is capped at 127 / 128"
    assert float(n_draws) == MAX_DRAWS
    n_draws = _negatives._weights(torch.tensor([0.5] * 1000 + [0.999]), torch.ones(1001).bool())[1]
    assert float(n_draws) == pytest.approx(1127 / (500 + 127 * 0.001), rel=1e-5), (
        "rejected as often as it is accessible"
    )
    assert math.isclose(float(_negatives._weights(torch.tensor([0.5]), torch.tensor([False]))[1]), 0)


def test_draws_for_neighbouring_tokens_are_independent(rng):
    has_ng = torch.from_numpy(rng.random((20, 400)) < 0.5)
    pairs = negatives_of(token_set(has_ng), torch.full((400,), 0.5))
    # 200 accepted draws among 200 peaks that are lacked reach a fraction of 1 - 1 / e of them
    assert len(pairs) / int((~has_ng).sum()) == pytest.approx(1 - 1 / math.e, abs=0.03)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _negatives.MAX_DRAWS == 8
    assert _negatives.MAX_PREVALENCE == 127 / 128
    assert _negatives.UBIQUITOUS == 1 - 1e-05
