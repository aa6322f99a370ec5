import numpy as np
import pytest
import torch
from scipy.special import softmax

from omicsmlm import ClassifierConfig
from omicsmlm.models.classifier import _head_fit
from omicsmlm.models.classifier._calibration import calibrate
from omicsmlm.models.classifier._head_fit import HeldOut, calibrate_head, fit_head
from omicsmlm.models.classifier._linear_model import (
    LabelData,
    choose_regularisation,
    fit_logistic,
    held_out_logits,
    held_out_novelty,
)
from omicsmlm.nn import LabelHead

pytestmark = pytest.mark.usefixtures("whole_grid")

CONFIG = ClassifierConfig()


def embedded(n=120, spread=4.0, seed=0):
    """Three labels on a line of an embedding of two dimensions, far from zero and wide."""
    rng = np.random.default_rng(seed)
    label_n = np.arange(n) % 3
    z_nd = 10 + 5 * (np.stack([spread * label_n, np.zeros(n)], 1) + rng.normal(size=(n, 2)))
    return LabelData(z_nd.astype(np.float32), label_n, np.arange(n) // 3 % 4)


def test_the_head_is_the_regression_on_the_scaled_embedding():
    data, head = embedded(), LabelHead(2, 3)
    fitted = fit_head(head, data, np.arange(120), CONFIG)
    np.testing.assert_allclose(head.centre_d, data.z_nd.mean(0), rtol=1e-5)
    assert float(head.scale) == pytest.approx(np.sqrt(data.z_nd.var(0).mean()), rel=1e-5)
    x_nd = (data.z_nd - data.z_nd.mean(0)) / np.sqrt(data.z_nd.var(0).mean())
    scaled = data._replace(z_nd=x_nd.astype(np.float64))
    chosen, losses = choose_regularisation(scaled, data.label_n, 3, 1.0, 0)
    assert fitted.losses == pytest.approx(losses, rel=1e-3)
    weights = fit_logistic(scaled, 3, chosen, 1.0)
    np.testing.assert_allclose(head.linear.weight.detach(), weights.weight_cd, atol=1e-3)
    np.testing.assert_allclose(head.linear.bias.detach(), weights.bias_c, atol=1e-3)
    assert (fitted.label_n == data.label_n).all(), "labels that are right are kept"
    assert (fitted.held_out.label_n == data.label_n).all()
    np.testing.assert_allclose(fitted.held_out.logits_nc, held_out_logits(scaled, 3, chosen, 1.0, {}), atol=5e-3)
    np.testing.assert_allclose(fitted.held_out.novelty_n, held_out_novelty(head, scaled), atol=1e-2)
    centred = torch.from_numpy(np.stack([x_nd[data.label_n == c].mean(0) for c in range(3)]))
    torch.testing.assert_close(head.means_cd, centred.float(), atol=1e-4, rtol=1e-4)


def test_wrong_labels_are_corrected_and_weigh_less():
    data = embedded(300)
    wrong_n = np.arange(300) % 10 == 0
    given = data._replace(label_n=np.where(wrong_n, (data.label_n + 1) % 3, data.label_n))
    head = LabelHead(2, 3)
    fitted = fit_head(head, given, np.arange(300), CONFIG)
    assert (fitted.label_n == data.label_n).mean() > 0.96, "those that held-out observations contradict are corrected"
    assert (fitted.held_out.label_n == given.label_n).all(), "calibration is against the labels as they were given"
    x = data._replace(z_nd=((data.z_nd - data.z_nd.mean(0)) / np.sqrt(data.z_nd.var(0).mean())).astype(np.float64))
    corrected = x._replace(label_n=fitted.label_n)
    chosen, _ = choose_regularisation(corrected, given.label_n, 3, 0.5, 0)
    np.testing.assert_allclose(
        head.linear.weight.detach(), fit_logistic(corrected, 3, chosen, 0.5).weight_cd, atol=1e-2
    )


def test_copies_of_an_observation_are_corrected_with_it():
    data = embedded(300)
    wrong_n = np.arange(300) % 10 == 0
    given_n = np.where(wrong_n, (data.label_n + 1) % 3, data.label_n)
    position_n = np.r_[np.arange(300), np.arange(300)]
    copies = LabelData(data.z_nd[position_n], given_n[position_n], data.fold_n[position_n])
    copies.z_nd[300:] = copies.z_nd[:300].mean(0)  # the copies alone tell nothing
    fitted = fit_head(LabelHead(2, 3), copies, position_n, CONFIG)
    assert (fitted.label_n[:300] == fitted.label_n[300:]).all()
    assert (fitted.label_n[:300] == data.label_n).mean() > 0.96


def test_temperature_and_threshold_are_those_of_held_out_observations(rng):
    label_n = rng.integers(0, 3, 400)
    logits_nc = 3 * rng.normal(size=(400, 3)) + 6 * np.eye(3)[label_n]
    novelty_n = rng.normal(size=400)
    head = LabelHead(2, 3)
    noise, found = calibrate_head(head, HeldOut(logits_nc, novelty_n, label_n), 0.1)
    expected = calibrate(logits_nc, label_n)
    assert float(head.temperature) == pytest.approx(expected.temperature)
    assert noise == expected.noise
    assert float(head.threshold) == pytest.approx(np.sort(novelty_n)[360]), "at most a tenth is above"
    assert found["share rejected"] == 39 / 400
    assert found["accuracy"] == pytest.approx((logits_nc.argmax(1) == label_n).mean())
    confidence_n = softmax(logits_nc / expected.temperature, axis=1).max(1)
    assert found["ECE"] < abs(softmax(logits_nc, axis=1).max(1).mean() - confidence_n.mean()) + 0.05
    assert found["ECE"] != found["ECE uncalibrated"]


def test_observations_whose_label_the_head_did_not_know_set_no_threshold():
    logits_nc = np.array([[0.0, 1.0], [1.0, 0.0], [-np.inf, 0.0]])
    head = LabelHead(2, 2)
    calibrate_head(head, HeldOut(logits_nc, np.array([1.0, 2.0, 99.0]), np.array([1, 0, 0])), 0.0)
    assert float(head.threshold) == 2.0


def test_predictions_that_hold_as_they_are_keep_the_temperature_one(rng):
    label_n = rng.integers(0, 3, 400)
    logits_nc = 3 * rng.normal(size=(400, 3)) + 6 * np.eye(3)[label_n]
    head, other = LabelHead(2, 3), LabelHead(2, 3)
    data = HeldOut(logits_nc, rng.normal(size=400), label_n)
    noise, found = calibrate_head(head, data, 0.1, is_calibrated=True)
    expected_noise, expected = calibrate_head(other, data, 0.1)
    assert float(head.temperature) == 1
    assert found["ECE"] == found["ECE uncalibrated"] == expected["ECE uncalibrated"]
    assert (noise, float(head.threshold)) == (expected_noise, float(other.threshold))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _head_fit.NOISY == 0.02
