import numpy as np
import pytest

from omicsmlm._cox import Times, ridge_cox
from omicsmlm.models.survival import _linear_models
from omicsmlm.models.survival._linear_models import (
    FEWEST_EVENTS,
    Penalties,
    RiskData,
    components,
    event_folds,
    fit_cox,
    fit_stratum_models,
)


def made(rng, n=90, g=40, n_strata=1):
    x_ng = rng.normal(size=(n, g)).astype(np.float32) * np.linspace(2, 0.1, g, dtype=np.float32)
    age_n1 = rng.normal(size=(n, 1)).astype(np.float32)
    time_n = rng.exponential(np.exp(-0.6 * x_ng[:, 0] - 0.5 * age_n1[:, 0]))
    times = Times(time_n, rng.random(n) < 0.8, np.arange(n) % n_strata)
    return RiskData(x_ng, age_n1, times, event_folds(times, 5, 0))


def test_folds_hold_events_and_strata_alike(rng):
    times = Times(np.arange(103.0), rng.random(103) < 0.3, rng.integers(0, 2, 103))
    fold_n = event_folds(times, 5, 0)
    for stratum in (0, 1):
        for event in (True, False):
            count_k = np.bincount(fold_n[(times.stratum_n == stratum) & (times.event_n == event)], minlength=5)
            assert np.ptp(count_k) <= 1
    assert (event_folds(times, 5, 0) == fold_n).all()
    assert (event_folds(times, 5, 1) != fold_n).any()


@pytest.mark.parametrize("shape", [(20, 50), (50, 20)])
def test_components_are_those_of_the_singular_value_decomposition(rng, shape):
    x_ng = rng.normal(size=shape) + 3
    centred = x_ng - x_ng.mean(0)
    direction_gk = components(x_ng, 5)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    score_nk = centred @ direction_gk
    np.testing.assert_allclose(score_nk.std(0), s[:5] / s[0], rtol=1e-6)
    np.testing.assert_allclose(
        np.abs((centred @ vt[:5].T * score_nk).sum(0)) / (score_nk**2).sum(0),
        s[0] / 20**0.5 if shape[0] == 20 else s[0] / 50**0.5,
        rtol=1e-6,
    )
    assert components(np.ones((5, 3)), 2).shape[1] <= 1, "rows that do not differ have no directions but one of nothing"


def test_the_solution_with_all_components_is_that_in_the_features(rng):
    visible = made(rng)
    solved = fit_cox(visible, Penalties(90, 0.03))
    centred = visible.x_ng - visible.x_ng.mean(0)
    scale = np.linalg.svd(centred, compute_uv=False)[0] / np.sqrt(90)
    penalty = np.r_[np.full(40, solved.regularisation * scale**2), 0.03]
    exact = ridge_cox(np.hstack([visible.x_ng, visible.covariate_nk]), visible.times, penalty)
    np.testing.assert_allclose(solved.weight_f, exact, atol=1e-4)
    assert solved.losses[solved.regularisation] == min(solved.losses.values())


def test_held_out_scores_do_not_know_their_own_times(rng):
    visible = made(rng)
    out_n = visible.fold_n == 2
    time_n = np.where(out_n, rng.permutation(visible.times.time_n), visible.times.time_n)
    changed = visible._replace(times=visible.times._replace(time_n=time_n))
    fits = [fit_cox(part, Penalties(10, 0.03)) for part in (visible, changed)]
    if fits[0].regularisation == fits[1].regularisation:
        np.testing.assert_allclose(fits[0].held_out_n[out_n], fits[1].held_out_n[out_n])
    noise = visible._replace(times=visible.times._replace(time_n=rng.permutation(visible.times.time_n)))
    assert fit_cox(noise, Penalties(10, 0.03)).regularisation >= 1, "what is not there calls for a strong ridge"


def test_a_stratum_with_few_events_has_no_model_of_its_own(rng):
    visible = made(rng, n_strata=2)
    event_n = visible.times.event_n & ((visible.times.stratum_n == 0) | (np.arange(90) < FEWEST_EVENTS))
    assert list(
        fit_stratum_models(visible._replace(times=visible.times._replace(event_n=event_n)), 2, Penalties(5, 0.1))
    ) == [0]


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _linear_models.REGULARISATIONS == (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
    assert _linear_models.FEWEST_EVENTS == 10
    assert _linear_models.LEAST_EIGENVALUE == 1e-06


def test_directions_that_are_rounding_are_left_out(rng):
    """A third feature that differs by a ten-thousandth of the first has an eigenvalue of 10⁻⁸ of the largest."""
    x_ng = rng.normal(size=(60, 2)) @ np.diag([1.0, 0.5])
    small = np.column_stack([x_ng, 1e-4 * rng.normal(size=60)])
    assert components(small, 3).shape == (3, 2)
    assert components(np.column_stack([x_ng, 1e-2 * rng.normal(size=60)]), 3).shape == (3, 3)
    assert components(small, 1).shape == (3, 1)
    assert components(small[:2], 3).shape == (3, 1), "two observations span one direction"
    assert components(small, 2).dtype == np.float64
