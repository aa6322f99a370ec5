import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from omicsmlm.models.classifier._linear_model import (
    CHOOSING_OBSERVATIONS,
    FAR,
    FEWEST_BATCHES,
    LEAST_VARIANCE,
    REGULARISATIONS,
    LabelData,
    choose_regularisation,
    fit_logistic,
    fit_novelty,
    fit_scale,
    held_out_logits,
    held_out_novelty,
    label_folds,
    label_weights,
    scaled,
    set_linear,
)
from omicsmlm.nn import LabelHead

pytestmark = pytest.mark.usefixtures("whole_grid")


def obs_of(n_labels: int, n: int = 90, d: int = 3, seed: int = 0) -> LabelData:
    rng = np.random.default_rng(seed)
    label_n = rng.choice(n_labels, n, p=np.arange(1, n_labels + 1) / np.arange(1, n_labels + 1).sum())
    z_nd = rng.normal(0, 1, (n_labels, d))[label_n] + rng.normal(0, 1, (n, d))
    return LabelData(z_nd, label_n, np.arange(n) % 3)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_the_solution_is_the_minimum_of_the_penalised_mean_loss(n_labels, balance):
    rows, regularisation = obs_of(n_labels), 0.1
    weight_n = label_weights(rows.label_n, n_labels, balance)[rows.label_n]
    design = np.hstack([rows.z_nd, np.ones((90, 1))])

    def loss(flat: np.ndarray) -> float:
        w = flat.reshape(n_labels, 4)
        p_n = log_softmax(design @ w.T, axis=1)[np.arange(90), rows.label_n]
        return -(weight_n * p_n).mean() + regularisation * (w[:, :3] ** 2).sum() / 2

    best = minimize(loss, np.zeros(n_labels * 4)).x.reshape(n_labels, 4)
    found = fit_logistic(rows, n_labels, regularisation, balance)
    np.testing.assert_allclose(found.weight_cd, best[:, :3], atol=2e-3)
    np.testing.assert_allclose(found.bias_c - found.bias_c.mean(), best[:, 3] - best[:, 3].mean(), atol=2e-3)


def test_weights_make_labels_count_alike():
    label_n = np.array([0] * 6 + [1] * 3 + [2])
    for balance, sums in ((0.0, [6, 3, 1]), (1.0, [10 / 3] * 3)):
        weight_c = label_weights(label_n, 3, balance)
        np.testing.assert_allclose(np.bincount(label_n, weight_c[label_n]), sums)


def test_a_label_without_rows_has_no_probability():
    found = fit_logistic(obs_of(2), 4, 0.1, 1.0)
    assert np.isinf(found.bias_c[2:]).all()
    only = fit_logistic(obs_of(2)._replace(label_n=np.full(90, 1)), 3, 0.1, 1.0)
    assert only.bias_c.tolist() == [-np.inf, 0, -np.inf]


def test_held_out_rows_have_no_part_in_their_own_logits():
    rows = obs_of(3)
    logits_nc = held_out_logits(rows, 3, 0.1, 1.0, {})
    for fold in range(3):
        out_n = rows.fold_n == fold
        head = fit_logistic(rows.only(~out_n), 3, 0.1, 1.0)
        np.testing.assert_allclose(logits_nc[out_n], rows.z_nd[out_n] @ head.weight_cd.T + head.bias_c, atol=1e-6)


def test_held_out_rows_have_no_part_in_their_own_novelty():
    rows, head = obs_of(3), LabelHead(3, 3)
    novelty_n = held_out_novelty(head, rows)
    for fold in range(3):
        out_n = rows.fold_n == fold
        fit_novelty(head, rows.z_nd[~out_n], rows.label_n[~out_n])
        by_hand = head.novelty(torch.from_numpy(rows.z_nd[out_n]).float()).detach().numpy()
        np.testing.assert_allclose(novelty_n[out_n], by_hand, rtol=1e-3, atol=1e-3)


def test_novelty_survives_an_embedding_without_variance():
    head = LabelHead(3, 2)
    fit_novelty(head, np.zeros((10, 3)), np.arange(10) % 2)
    assert torch.isfinite(head.novelty(torch.zeros(1, 3))).all()


def test_noise_asks_for_a_stronger_penalty_than_signal():
    rng = np.random.default_rng(3)
    clear = LabelData(rng.normal(0, 1, (200, 20)), np.empty(200, int), np.arange(200) % 4)
    clear = clear._replace(label_n=(clear.z_nd[:, 0] > 0).astype(int))
    chance = clear._replace(label_n=rng.integers(0, 2, 200))
    strong, losses = choose_regularisation(chance, chance.label_n, 2, 1.0, 0)
    weak, _ = choose_regularisation(clear, clear.label_n, 2, 1.0, 0)
    assert weak < strong
    assert losses[strong] == min(losses.values())


def test_folds_hold_out_batches_if_there_are_three_and_else_rows_of_every_label():
    label_n, batch_n = np.repeat([0, 1, 2], [40, 15, 5]), np.arange(60) % 7
    by_batch = label_folds(label_n, batch_n, 5, 0)
    assert all(len(np.unique(by_batch[batch_n == batch])) == 1 for batch in range(7))
    assert len(np.unique(by_batch)) == 5
    for batches in (None, batch_n % 2, batch_n):
        first, same, other = (label_folds(label_n, batches, 5, seed) for seed in (0, 0, 1))
        assert (first == same).all()
        assert (first != other).any()
    for batches in (None, batch_n % 2):
        by_row = label_folds(label_n, batches, 5, 0)
        for label in range(3):
            counts = np.bincount(by_row[label_n == label], minlength=5)
            assert counts.max() - counts.min() <= 1
    assert len(np.unique(label_folds(np.arange(5), None, 5, 0))) == 5, "labels of one row are spread"


def test_a_start_near_by_leads_to_the_same_model():
    rows = obs_of(3)
    found, start = fit_logistic(rows, 3, 0.1, 1.0), fit_logistic(rows, 3, 0.3, 1.0)
    again = fit_logistic(rows, 3, 0.1, 1.0, start)
    np.testing.assert_allclose(again.weight_cd, found.weight_cd, atol=2e-3)
    np.testing.assert_allclose(again.bias_c, found.bias_c, atol=2e-3)


def test_one_fold_alone_has_no_held_out_logits_or_novelty():
    rows = obs_of(3)._replace(fold_n=np.zeros(90, dtype=int))
    assert not held_out_logits(rows, 3, 0.1, 1.0, {}).any()
    assert not held_out_novelty(LabelHead(3, 3), rows).any()


def test_the_scale_of_a_head_is_the_root_mean_variance():
    head, z_nd = LabelHead(2, 3), np.array([[0.0, 0], [2, 4], [0, 4], [2, 0]], np.float32)
    fit_scale(head, z_nd)
    assert head.centre_d.tolist() == [1, 2]
    assert float(head.scale) == pytest.approx(((1 + 4) / 2) ** 0.5)
    found = scaled(head, z_nd)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, (z_nd - [1, 2]) / 2.5**0.5, rtol=1e-6)
    fit_scale(head, z_nd[:1])
    assert float(head.scale) == 1, "an embedding without variance stays as it is"


def test_a_linear_layer_is_set():
    head = LabelHead(3, 4)
    found = fit_logistic(obs_of(2), 4, 0.1, 1.0)
    set_linear(head, found)
    np.testing.assert_allclose(head.linear.weight.detach(), found.weight_cd, rtol=1e-6)
    np.testing.assert_allclose(head.linear.bias.detach(), found.bias_c, rtol=1e-6)


def test_the_regularisation_goes_from_strong_to_weak_and_stops_past_the_minimum(monkeypatch):
    assert REGULARISATIONS == pytest.approx([10.0**k for k in np.arange(0, -5.5, -0.5)])
    assert len(REGULARISATIONS) == 11
    assert (CHOOSING_OBSERVATIONS, LEAST_VARIANCE, FEWEST_BATCHES, FAR) == (20_000, 1e-6, 3, 1e6)
    rng = np.random.default_rng(3)
    chance = LabelData(rng.normal(0, 1, (200, 20)), rng.integers(0, 2, 200), np.arange(200) % 4)
    _, losses = choose_regularisation(chance, chance.label_n, 2, 1.0, 0)
    assert list(losses) == list(REGULARISATIONS[: len(losses)])
    assert 4 <= len(losses) < 11
    clear = chance._replace(label_n=(chance.z_nd[:, 0] > 0).astype(int))
    weakest, losses = choose_regularisation(clear, clear.label_n, 2, 1.0, 0)
    assert weakest == min(losses, key=losses.get)


def test_of_many_observations_a_sample_chooses(monkeypatch):
    monkeypatch.setattr("omicsmlm.models.classifier._linear_model.CHOOSING_OBSERVATIONS", 60)
    rows = obs_of(2)
    chosen = np.sort(np.random.default_rng(5).permutation(90)[:60])
    part = rows.only(chosen)
    assert choose_regularisation(rows, rows.label_n, 2, 1.0, 5) == choose_regularisation(part, part.label_n, 2, 1.0, 5)
    assert (
        choose_regularisation(rows, rows.label_n, 2, 1.0, 6)[1]
        != choose_regularisation(part, part.label_n, 2, 1.0, 5)[1]
    )


def test_novelty_is_the_whitened_distance_and_labels_of_nothing_are_far():
    rng = np.random.default_rng(0)
    x_nd, label_n = rng.normal(0, 1, (500, 2)) + np.repeat([[0, 0], [9, 0]], 250, axis=0), np.repeat([0, 2], 250)
    head = LabelHead(2, 3)
    fit_novelty(head, x_nd, label_n)
    np.testing.assert_allclose(head.means_cd[[0, 2]], [x_nd[:250].mean(0), x_nd[250:].mean(0)], rtol=1e-5, atol=1e-6)
    assert head.means_cd[1].tolist() == [1e6, 1e6]
    np.testing.assert_allclose(head.within_dd @ head.within_dd.T, np.eye(2), atol=0.2)
