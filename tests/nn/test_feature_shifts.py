"""Weights of features that a new batch has shifted, against cases worked by hand and another solver."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from omicsmlm.nn import FeatureShifts, Observed
from omicsmlm.nn._feature_shifts import HALVING, ROBUSTNESS, shared_size, unexplained

N_TYPES, N_FEATURES = 3, 40
MARKERS = np.repeat(np.eye(N_TYPES), (13, 13, 14), axis=1) * 2


def cells(n_per_type: tuple[int, ...], seed: int, shift_g: np.ndarray | float = 0.0) -> tuple[Observed, np.ndarray]:
    """Cells of types with markers, and an embedding in which types are apart."""
    rng = np.random.default_rng(seed)
    type_n = np.repeat(np.arange(len(n_per_type)), n_per_type)
    x_ng = MARKERS[type_n] + rng.normal(0, 0.5, (len(type_n), N_FEATURES)) + shift_g
    z_nd = np.eye(N_TYPES)[type_n] * 9 + rng.normal(0, 0.5, (len(type_n), N_TYPES))
    return Observed(x_ng.astype(np.float32), np.ones(x_ng.shape, dtype=bool)), z_nd


@pytest.fixture
def shifts():
    made = FeatureShifts({"rna": 30, "adt": 10}, 6, 2, 4)
    made.summarise(*cells((100, 100, 100), 0), np.arange(300) % 2)
    return made


def one_feature(g: int, size: float) -> np.ndarray:
    return np.eye(N_FEATURES)[g] * size


def test_a_shifted_feature_counts_less_and_the_others_as_before(shifts):
    shifts.fit(2, *cells((80, 80, 80), 1, one_feature(5, 3.0)))
    weight_g = shifts.weight_bg[0]
    assert weight_g[5] < 0.05
    assert (weight_g[np.arange(N_FEATURES) != 5] > 0.9).all()
    assert shifts.is_shifted_b.tolist() == [True, False]
    assert shifts.n_shifted() == 1


@pytest.mark.parametrize("composition", [(200, 0, 0), (10, 200, 30), (0, 60, 60)])
def test_another_composition_is_no_shift(shifts, composition):
    shifts.fit(2, *cells(composition, 1))
    assert (shifts.weight_bg[0] > 0.9).all(), "though means of markers differ by 1 and more"


def test_markers_of_a_type_that_the_reference_lacks_keep_their_weight():
    reference = FeatureShifts({"rna": N_FEATURES}, 4, 1, 2)
    reference.summarise(*cells((100, 100), 0), np.zeros(200, dtype=int))
    reference.fit(1, *cells((80, 80, 50), 1))
    weight_g = reference.weight_bg[0]
    assert (weight_g > 0.5).all(), "fewer than a third have them"
    assert weight_g[26:].mean() > 0.9


def test_batches_of_the_reference_say_what_is_tolerated():
    observed, z_nd = cells((100, 100, 100), 0)
    batch_n = np.arange(300) % 2
    observed.x_ng[batch_n == 1] += one_feature(7, 2.0).astype(np.float32)
    shifts = FeatureShifts({"rna": N_FEATURES}, 3, 2, 3)
    shifts.summarise(observed, z_nd, batch_n)
    shifts.fit(2, *cells((80, 80, 80), 1, one_feature(7, 2.0) + one_feature(8, 2.0)))
    assert shifts.weight_bg[0, 7] > 0.9 > 0.15 > shifts.weight_bg[0, 8]


def test_the_same_observations_as_a_new_batch_have_no_shift(shifts):
    observed, z_nd = cells((100, 100, 100), 0)
    first_n = np.arange(300) % 2 == 0
    shifts.fit(3, Observed(observed.x_ng[first_n], observed.visible_ng[first_n]), z_nd[first_n])
    assert torch.equal(shifts.weight_bg[1], torch.ones(N_FEATURES))
    assert not shifts.is_shifted_b.any()


def test_few_observations_and_unmeasured_features_say_nothing(shifts):
    shifts.fit(2, *cells((10, 10, 9), 1, 5.0))
    assert torch.equal(shifts.weight_bg, torch.ones(2, N_FEATURES))
    observed, z_nd = cells((80, 80, 80), 1, one_feature(5, 3.0))
    observed.visible_ng[:, 5:9] = False
    observed.x_ng[:, 5:9] = 0
    shifts.fit(2, observed, z_nd)
    assert (shifts.weight_bg[0] > 0.9).all()


def test_only_observations_of_shifted_batches_are_weighed(shifts):
    shifts.fit(3, *cells((80, 80, 80), 1, one_feature(35, 3.0)))
    x = {"rna": torch.ones(4, 30), "atac": torch.ones(4, 5), "adt": torch.ones(4, 10)}
    batch_n = torch.tensor([0, -1, 2, 3])
    found = shifts(x, batch_n)
    assert list(found) == list(x)
    assert torch.equal(found["atac"], x["atac"])
    assert torch.equal(found["adt"][:3], x["adt"][:3])
    torch.testing.assert_close(found["adt"][3], shifts.weight_bg[1, 30:])
    assert shifts.is_shifted(batch_n).tolist() == [False, False, False, True]


def test_a_later_query_takes_over_the_weights(shifts):
    shifts.fit(2, *cells((80, 80, 80), 1, one_feature(5, 3.0)))
    later = FeatureShifts({"rna": 30, "adt": 10}, 6, 2, 7)
    later.load_from(shifts)
    assert torch.equal(later.weight_bg[:2], shifts.weight_bg)
    assert later.is_shifted_b.tolist() == [True, False, False, False, False]


def test_weights_are_as_the_formula_says(shifts):
    observed, z_nd = cells((80, 80, 80), 1, one_feature(5, 0.8))
    shifts.fit(2, observed, z_nd)
    size_g = shifts._shifts(observed, z_nd)
    for g in (0, 5):
        excess = max(0.0, size_g[g] - float(shifts.tolerance_g[g]) - 2 / 240**0.5)
        assert float(shifts.weight_bg[0, g]) == pytest.approx(1 / (1 + (excess / HALVING) ** 2), rel=1e-4)


def test_what_is_unexplained_is_that_of_a_slow_robust_fit():
    rng = np.random.default_rng(0)
    profile_kg = rng.normal(size=(3, 50))
    mean_g = np.array([0.5, 0.5, 0.0]) @ profile_kg + rng.normal(0, 0.02, 50) + np.r_[np.full(5, 4.0), np.zeros(45)]
    softmax = lambda a_k: np.exp(a_k) / np.exp(a_k).sum()

    def loss(a_k: np.ndarray) -> float:  # whose stationary points are those of the reweighted fits
        return float(np.log1p(((mean_g - softmax(a_k) @ profile_kg) / ROBUSTNESS) ** 2).sum())

    slow = softmax(minimize(loss, [1.0, 1.0, -3.0], method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-10}).x)
    found_g = unexplained(profile_kg, mean_g)
    np.testing.assert_allclose(found_g, mean_g - slow @ profile_kg, atol=0.01)
    assert (found_g[:5] > 3.8).all()
    np.testing.assert_array_equal(unexplained(profile_kg, np.full(50, np.nan)), np.zeros(50))


def test_the_shared_size_is_that_of_counting():
    rng = np.random.default_rng(1)
    shift_jg, n_j = rng.normal(size=(6, 20)), rng.integers(5, 50, 6)
    found_g = shared_size(shift_jg, n_j, 1 / 3)
    for g in range(20):
        each_n = np.repeat(shift_jg[:, g], n_j)
        sizes = [s for s in np.abs(shift_jg[:, g]) if max((each_n >= s).mean(), (each_n <= -s).mean()) >= 1 / 3]
        assert found_g[g] == pytest.approx(max(sizes, default=0.0))
