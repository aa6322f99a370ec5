import numpy as np
import pytest
import torch

from omicsmlm._cox import Times, partial_likelihood
from omicsmlm._types import Batch
from omicsmlm.objectives import CoxObjective, DiscreteHazards, log_risk
from omicsmlm.objectives._hazards import negative_log_partial_likelihood


def batch_of(rows):
    return Batch({}, {}, {}, torch.zeros(len(rows), 0), torch.tensor(rows))


@pytest.fixture
def times(rng):
    return Times(np.ceil(rng.exponential(5, 60)), rng.random(60) < 0.6, rng.integers(0, 3, 60))


def cox_of(times):
    parts = (torch.from_numpy(part) for part in times)
    return CoxObjective(*(part.float() if part.dtype == torch.float64 else part for part in parts))


def test_cox_is_the_likelihood_per_event_of_the_rows_in_the_batch(times, rng):
    rows = rng.permutation(60)[:40].tolist()
    for shift in (0.0, 200.0):
        eta = torch.from_numpy(rng.normal(size=40) + shift)
        found = cox_of(times)(eta[:, None].float(), None, batch_of(rows), 0.5)["cox"]
        part = times.only(np.array(rows))
        assert float(found) == pytest.approx(-partial_likelihood(eta.numpy(), part) / part.event_n.sum(), rel=1e-4)


def test_a_batch_without_events_says_nothing_and_can_be_learned_from():
    objective = CoxObjective(torch.arange(3.0), torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.long))
    outputs = torch.randn(3, 1, requires_grad=True)
    loss = objective(outputs, None, batch_of([0, 1, 2]), 0.5)["cox"]
    loss.backward()
    assert float(loss) == 0
    assert not outputs.grad.any()


def test_hazards_of_intervals_by_hand():
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.5, -1.0, 0.0]])
    hazard = logits.sigmoid()
    objective = DiscreteHazards(torch.tensor([9, 1, 2]), torch.tensor([False, True, False]))
    found = objective(logits, None, batch_of([1, 2]), 0.5)["hazards"]
    first = (1 - hazard[0, 0]).log() + hazard[0, 1].log()  # the event in the second interval
    second = (1 - hazard[1]).log().sum()  # none until the end
    assert float(found) == pytest.approx(-float(first + second) / 2)


def test_the_log_risk_of_hazards_is_the_log_of_the_cumulative_hazard():
    logits = torch.tensor([[0.3, -2.0, 1.0]])
    survival = (1 - logits.sigmoid()).prod(1)
    torch.testing.assert_close(log_risk(logits), (-survival.log()).log())
    torch.testing.assert_close(log_risk(logits[:, :1]), logits[:, 0])


def test_gradients_are_finite_and_those_of_differences(times, rng):
    eta = torch.from_numpy(rng.normal(size=(60, 1))).float().requires_grad_()
    cox_of(times)(eta, None, batch_of(list(range(60))), 0.5)["cox"].backward()
    for i in (0, 7, 31):
        step = torch.zeros(60, 1)
        step[i] = 1e-2
        high, low = (
            -partial_likelihood((eta.detach() + s)[:, 0].double().numpy(), times) / times.event_n.sum()
            for s in (step, -step)
        )
        assert float(eta.grad[i]) == pytest.approx((high - low) / 2e-2, rel=1e-2, abs=1e-5)


def test_several_devices_are_refused(times):
    with pytest.raises(
        ValueError, match="devices: expected one device for Cox's likelihood, .* got several; pass devices=1"
    ):
        cox_of(times)(torch.zeros(2, 1), None, batch_of([0, 1])._replace(n_ranks=2), 0.5)


def test_the_log_risk_of_no_hazard_is_finite():
    assert float(log_risk(torch.full((1, 2), -1e3))) == pytest.approx(np.log(1e-30))


def test_ties_by_efron_by_hand():
    """Three of one time, two with the event: each is at risk with all, the second less half of the two."""
    eta = torch.tensor([1.0, 0.0, -2.0])
    hazard = eta.exp()
    risk, tied = hazard.sum(), hazard[:2].sum()
    expected = risk.log() + (risk - tied / 2).log() - eta[:2].sum()
    event = torch.tensor([True, True, False])
    one = torch.ones(3)
    torch.testing.assert_close(negative_log_partial_likelihood(eta, one, event, torch.zeros(3)), expected)
    alone = negative_log_partial_likelihood(eta, one, event, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(alone, (hazard[1:].sum()).log() - eta[1], msg="strata are not compared")


def test_a_hazard_of_nothing_left_is_bounded():
    """Of two tied with events, one is at e⁻¹⁰⁰ of the other: half of the sum is left for the second."""
    eta = torch.tensor([100.0, 0.0])
    found = negative_log_partial_likelihood(eta, torch.ones(2), torch.ones(2, dtype=torch.bool), torch.zeros(2))
    assert float(found) == pytest.approx(200 + np.log(0.5) - 100, rel=1e-6)


def test_hazards_count_until_the_last_interval():
    """An observation without the event is known to have none in its last interval; nothing is known of later ones."""
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for last in range(4):
        for has_event in (False, True):
            logits.grad = None
            DiscreteHazards(torch.tensor([last]), torch.tensor([has_event]))(logits, None, batch_of([0]), 0.5)[
                "hazards"
            ].backward()
            expected = logits.detach().sigmoid()[0] * (torch.arange(4) <= last)
            expected[last] -= float(has_event)
            torch.testing.assert_close(logits.grad[0], expected)


def test_log_risks_of_several_intervals_grow_with_each():
    assert float(log_risk(torch.tensor([[0.0, 0.0]]))) == pytest.approx(np.log(2 * np.log(2)), rel=1e-6)
    assert log_risk(torch.tensor([[1.0], [2.0]])).tolist() == [1.0, 2.0]
    assert log_risk(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_risks_of_views_differ_by_what_their_strata_do_not_share(times, rng):
    rows = rng.permutation(60)[:20]
    full, partial = (torch.from_numpy(rng.normal(size=(20, 1))).float().requires_grad_() for _ in range(2))
    stratum_n, squares = times.stratum_n[rows], []
    f_n, p_n = full.detach().numpy()[:, 0], partial.detach().numpy()[:, 0]
    for i in range(20):
        of = stratum_n == stratum_n[i]
        squares.append(((p_n[i] - p_n[of].mean()) - (f_n[i] - f_n[of].mean())) ** 2)
    found = cox_of(times).distance(full, partial, batch_of(rows.tolist()))
    assert float(found.detach()) == pytest.approx(np.mean(squares), rel=1e-4)
    assert torch.autograd.grad(found, (full, partial), allow_unused=True)[0] is None, "the full view is the teacher"
    shifted = full.detach() + torch.from_numpy(stratum_n[:, None] * 7.0).float()
    assert float(cox_of(times).distance(full, shifted, batch_of(rows.tolist())).detach()) == pytest.approx(0, abs=1e-8)


def test_hazards_of_views_differ_by_the_divergence_of_when_the_event_happens(rng):
    full, partial = (torch.from_numpy(rng.normal(size=(6, 4))).float() for _ in range(2))

    def fractions(logits_nu):
        """Of each interval, and of none of them."""
        h_nu = logits_nu.sigmoid().double().numpy()
        left_nu = np.cumprod(1 - h_nu, 1)
        return np.hstack([h_nu * np.hstack([np.ones((6, 1)), left_nu[:, :-1]]), left_nu[:, -1:]])

    p, q = fractions(full), fractions(partial)
    np.testing.assert_allclose(p.sum(1), 1)
    objective = DiscreteHazards(torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.bool))
    found = objective.distance(full, partial.requires_grad_(), batch_of(range(6)))
    assert float(found.detach()) == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)
    assert float(objective.distance(full, full, batch_of(range(6)))) == pytest.approx(0, abs=1e-7)
