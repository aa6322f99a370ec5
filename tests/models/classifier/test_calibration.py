import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from omicsmlm.evaluation import reliability
from omicsmlm.models.classifier import _calibration
from omicsmlm.models.classifier._calibration import Calibration, calibrate, calibration_error, corrected, scores


def draws(temperature: float, noise: float, n: int = 20_000, n_labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too sure by a temperature, and labels of which a share is drawn at random."""
    rng = np.random.default_rng(0)
    logits_nc = rng.normal(0, 3, (n, n_labels))
    label_n = (logits_nc / temperature + rng.gumbel(size=logits_nc.shape)).argmax(1)
    return logits_nc, np.where(rng.random(n) < noise, rng.integers(0, n_labels, n), label_n)


@pytest.mark.parametrize(("temperature", "noise"), [(1.0, 0.0), (2.0, 0.0), (0.5, 0.3), (2.0, 0.4)])
def test_temperature_and_noise_are_found(temperature, noise):
    found = calibrate(*draws(temperature, noise))
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.noise == pytest.approx(noise, abs=0.02)


def test_labels_that_the_head_did_not_know_are_left_out():
    logits_nc, label_n = draws(2.0, 0.0, 2000)
    whole = calibrate(np.vstack([logits_nc, [[-np.inf, 0, 0, 0]]]), np.append(label_n, 0))
    assert whole == calibrate(logits_nc, label_n)
    assert calibrate(np.array([[-np.inf, 0.0]]), np.array([0])).temperature == 1.0


def test_correction_is_bayes_rule_row_by_row():
    rng = np.random.default_rng(1)
    logits_nc, label_n = rng.normal(0, 4, (50, 3)), rng.integers(0, 3, 50)
    found = Calibration(2.0, 0.3, 0.0)
    by_hand = [
        max(range(3), key=lambda c, p=p, y=y: p[c] * (0.7 * (c == y) + 0.1))
        for p, y in zip(softmax(logits_nc / 2, axis=1), label_n, strict=True)
    ]
    answer_n = corrected(logits_nc, label_n, found)
    np.testing.assert_array_equal(answer_n, by_hand)
    assert (answer_n != label_n).any()
    assert (answer_n == label_n).any()
    assert corrected(np.array([[-np.inf, 9.0, 0.0]]), np.array([0]), found) == [0], "a label it did not know stays"
    assert corrected(np.array([[0.0, 90.0, 0.0]]), np.array([0]), found) == [0], "the last row of a label stays"


def test_the_error_is_that_of_the_evaluation_room():
    rng = np.random.default_rng(2)
    p_nc, label_n = rng.dirichlet([0.5] * 4, 300), rng.integers(0, 4, 300)
    table = reliability(pd.DataFrame(p_nc, columns=list("abcd")), np.array(list("abcd"))[label_n])
    assert calibration_error(p_nc, label_n) == pytest.approx(table.attrs["ECE"])


def test_scores_of_a_hand_worked_case():
    before_nc = np.array([[0.6, 0.4], [0.6, 0.4], [0.3, 0.7]])
    after_nc = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = scores(before_nc, after_nc, np.array([False, True, False]), np.array([0, 1, 1]))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced accuracy"] == pytest.approx(0.75)
    assert found["macro F1"] == pytest.approx(2 / 3)
    assert found["ECE"] == pytest.approx(1 / 3)
    assert found["ECE uncalibrated"] == pytest.approx((0.2 + 0.3) / 3)
    assert found["share rejected"] == pytest.approx(1 / 3)
    assert found["accuracy of kept"] == 1.0


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _calibration.N_BINS == 15
    assert _calibration.BOUNDS == [(-3.0, 3.0), (-9.0, 2.0)]
    assert _calibration.STARTS == ([0.0, -4.0], [-0.5, -1.0])
    assert _calibration.LOWEST_LOGIT == -10000.0
    assert _calibration.SMALLEST == 1e-12


def test_the_error_of_no_observation_is_none_and_full_confidence_has_a_bin():
    assert calibration_error(np.zeros((0, 2)), np.zeros(0, int)) == 0
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([1])) == 1


def test_one_observation_of_no_label_known_has_no_loss():
    assert calibrate(np.array([[-np.inf, 0.0]]), np.array([0])) == (1.0, 0.0, np.inf)


@pytest.mark.parametrize(("factor", "bound"), [(1e-4, -3.0), (1e4, 3.0)])
def test_temperatures_are_bounded(factor, bound):
    """Logits that are far too small, or too large and often wrong."""
    rng = np.random.default_rng(0)
    logits_nc = rng.normal(0, 3, (3000, 3))
    label_n = (logits_nc + rng.gumbel(size=logits_nc.shape)).argmax(1)
    found = calibrate(logits_nc * factor, label_n)
    assert np.log(found.temperature) == pytest.approx(bound, abs=0.05) or found.noise > 0.1
    assert -3 - 1e-6 <= np.log(found.temperature) <= 3 + 1e-6


def test_the_loss_is_the_mean_negative_log_probability_at_what_was_found():
    logits_nc, label_n = draws(2.0, 0.4, 3000)
    found = calibrate(logits_nc, label_n)
    p_n = softmax(logits_nc / found.temperature, axis=1)[np.arange(3000), label_n]
    expected = -np.log((1 - found.noise) * p_n + found.noise / 4 + 1e-12).mean()
    assert found.loss == pytest.approx(expected, rel=1e-9)
    for temperature, noise in ((found.temperature * 1.2, found.noise), (found.temperature, found.noise * 1.2)):
        p_n = softmax(logits_nc / temperature, axis=1)[np.arange(3000), label_n]
        assert found.loss < -np.log((1 - noise) * p_n + noise / 4 + 1e-12).mean()
