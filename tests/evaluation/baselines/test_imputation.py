import random

import numpy as np
import pytest
import torch
from mudata import MuData

from omicsmlm.evaluation import baselines
from tests.objects import modality, multiome, state_of

STRENGTHS = [0.01, 1.0, 30.0, 1000.0]


def solved(x_nd, y_n, strength):
    """Slope and intercept from the normal equations, the intercept not penalised."""
    beside_nd = np.column_stack([x_nd, np.ones(len(x_nd))])
    penalty = strength * np.eye(beside_nd.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(beside_nd.T @ beside_nd + penalty, beside_nd.T @ y_n)


def left_out_error(x_nd, y_n, strength):
    errors = []
    for i in range(len(x_nd)):
        others = np.arange(len(x_nd)) != i
        weights = solved(x_nd[others], y_n[others], strength)
        errors.append((y_n[i] - np.append(x_nd[i], 1) @ weights) ** 2)
    return np.mean(errors)


def regression(rng):
    """Two targets that follow the predictors, one of them hardly; 30 observations to fit on, 10 others."""
    x_nd = rng.normal(0, [3, 1, 1, 1], (40, 4))
    y_ng = x_nd @ rng.normal(0, 1, (4, 2)) * [1.0, 0.1] + rng.normal(0, 1, (40, 2)) + 5
    return x_nd, y_ng, rng.permutation(40) < 30


def test_ridge_by_hand(rng):
    x_nd, y_ng, trained_n = regression(rng)
    found = baselines.ridge_imputation(x_nd, y_ng, trained_n, strengths=STRENGTHS)
    best = []
    for j in range(2):
        errors = [left_out_error(x_nd[trained_n], y_ng[trained_n, j], strength) for strength in STRENGTHS]
        best.append(STRENGTHS[int(np.argmin(errors))])
        weights = solved(x_nd[trained_n], y_ng[trained_n, j], best[-1])
        np.testing.assert_allclose(found[:, j], np.column_stack([x_nd, np.ones(40)]) @ weights, rtol=1e-4)
    assert best[0] != best[1]  # each target has its own
    assert found.dtype == np.float32


def test_targets_of_the_other_rows_are_not_looked_at(rng):
    x_nd, y_ng, trained_n = regression(rng)
    hidden = np.where(trained_n[:, None], y_ng, np.nan)
    first, second = (baselines.ridge_imputation(x_nd, values, trained_n) for values in (y_ng, hidden))
    np.testing.assert_array_equal(first, second)


def test_a_single_target_is_a_column(rng):
    x_nd, y_ng, trained_n = regression(rng)
    one = baselines.ridge_imputation(x_nd, y_ng[:, :1], trained_n)
    np.testing.assert_allclose(one, baselines.ridge_imputation(x_nd, y_ng, trained_n)[:, :1], rtol=1e-5)


def test_ridge_on_wrong_input_gets_a_sentence(rng):
    x_nd, y_ng, trained_n = regression(rng)
    message = "trained_n, targets_ng: expected as many booleans and rows .* 40, got 40 of int64 and 40; pass one per observation"
    with pytest.raises(ValueError, match=message):
        baselines.ridge_imputation(x_nd, y_ng, np.arange(40))
    with pytest.raises(ValueError, match="got 39 of bool and 40; pass one per observation"):
        baselines.ridge_imputation(x_nd, y_ng, trained_n[1:])
    with pytest.raises(ValueError, match="trained_n: expected at least two observations to fit on, got 1; pass more"):
        baselines.ridge_imputation(x_nd, y_ng, np.arange(40) == 3)
    holes = np.where(np.arange(40)[:, None] == np.flatnonzero(trained_n)[0], np.nan, y_ng)
    with pytest.raises(
        ValueError, match="targets_ng: expected finite values, got NaN or infinity in 1 observations; leave"
    ):
        baselines.ridge_imputation(x_nd, holes, trained_n)
    with pytest.raises(ValueError, match="predictors_nd: expected finite values"):
        baselines.ridge_imputation(np.where(x_nd > 4, np.inf, x_nd), y_ng, trained_n)


def cite(n=60, n_proteins=12):
    return MuData({"rna": modality("counts", n), "prot": modality("protein", n, n_proteins)})


def test_totalvi_imputes_what_it_was_not_shown():
    mdata = cite()
    masked_n = np.arange(60) % 4 == 0
    states = random.getstate(), torch.get_rng_state().tolist()
    before = state_of(mdata, without_registry=False)
    found = baselines.totalvi_imputation(mdata, masked_n, max_epochs=1)
    assert list(found.index) == list(mdata.obs_names[masked_n])
    assert list(found.columns) == list(mdata["prot"].var_names)
    assert np.isfinite(found.to_numpy()).all()
    assert (found.to_numpy() >= 0).all()
    assert state_of(mdata, without_registry=False) == before
    assert (random.getstate(), torch.get_rng_state().tolist()) == states
    other = mdata.copy()
    values = other["prot"].X.toarray()
    values[masked_n] = 7 * values[masked_n] + 1
    other["prot"].X = values
    np.testing.assert_array_equal(baselines.totalvi_imputation(other, masked_n, max_epochs=1), found)


@pytest.mark.slow
def test_totalvi_imputes_what_the_types_have():
    mdata = cite(240)
    masked_n = np.arange(240) % 5 == 0
    found = np.log1p(baselines.totalvi_imputation(mdata, masked_n, max_epochs=100).to_numpy())
    truth = np.log1p(mdata["prot"].X.toarray()[masked_n])
    assert np.median([np.corrcoef(found[:, j], truth[:, j])[0, 1] for j in range(12)]) > 0.5


def test_totalvi_on_wrong_input_gets_a_sentence():
    mdata = cite()
    for wrong, found in (
        (np.zeros(60, dtype=bool), r"0 True in shape \(60,\)"),
        (np.ones(9, dtype=bool), r"shape \(9,\)"),
    ):
        with pytest.raises(
            ValueError, match=f"masked_n: expected 60 booleans, .*{found}.*; pass one boolean per observation"
        ):
            baselines.totalvi_imputation(mdata, wrong)
    with pytest.raises(
        ValueError, match="data: expected observations that all have RNA and protein, got 60 and 66 of 72; leave"
    ):
        baselines.totalvi_imputation(multiome(), np.arange(72) < 9)
