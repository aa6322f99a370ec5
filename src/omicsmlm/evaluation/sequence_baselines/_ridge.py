"""Ridge regression in closed form, its strength chosen on held-out groups of the training observations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import check_switch, value_error
from omicsmlm.evaluation._splits import splits

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-6, 15))
"""Ridge strengths tried: 0.001 to 10,000,000, for standardised features."""
N_FOLDS = 5
"""Folds of the training observations in which the strength is chosen."""
FEWEST = 10
"""Training observations that an output needs at least."""


class _Fit(NamedTuple):
    """A ridge regression at all strengths of those outputs that are measured in the same observations."""

    mean_d: np.ndarray
    mean_t: np.ndarray
    basis_dr: np.ndarray  # from features to the axes of the solution
    weight_srt: np.ndarray  # strength, axis, output

    def predict(self, x_nd: np.ndarray, strength: int) -> np.ndarray:
        return self.mean_t + ((x_nd - self.mean_d) @ self.basis_dr) @ self.weight_srt[strength]


@in_one_sentence_of_types
def ridge(
    features_nd: Any,
    targets_nt: Any,
    trained_n: Any,
    *,
    groups: Any = None,
    standardise: bool = True,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> np.ndarray:
    """Predict outputs linearly from features.

    Minimises ‖y − a − x w‖² + strength · ‖w‖² for each output over the training observations in which it is measured,
    by an eigendecomposition of the smaller of x'x and x x'. One strength serves all outputs: that with the smallest
    squared error of held-out training observations in five folds, each output's errors divided by its variance first.

    Parameters
    ----------
    features_nd
        (n, d) finite.
    targets_nt
        (n, t) outputs, NaN where not measured; not looked at outside of the training observations.
    trained_n
        (n,) bool: the observations to fit on. Each output must be measured in ten of them.
    groups
        (n,) names: training observations of one gene, say, are held out together. None if observations are independent.
    standardise
        Whether features are given mean 0 and variance 1 in the training observations; those that do not vary there are
        left out.
    strengths
        To choose from, positive; a single one is taken as it is.
    seed
        Seed of the division into folds.

    Returns
    -------
    numpy.ndarray
        float32 (n, t), for all observations.

    Raises
    ------
    ValueError
        If the numbers of observations differ, a feature is not finite, a strength not positive, or an output is
        measured in too few training observations.

    Examples
    --------
    >>> x_nd = np.arange(20.0)[:, None]
    >>> ridge(x_nd, 2 * x_nd, np.arange(20) < 15, strengths=[1e-9])[-1].round(3).tolist()
    [38.0]
    """
    check_switch("standardise", standardise)
    x_nd, y_nt, trained_n = _checked(features_nd, targets_nt, trained_n, strengths)
    if standardise:
        x_nd = _standardised(x_nd, trained_n)
    indices_m = np.flatnonzero(trained_n)
    own_m = None if groups is None else np.asarray(groups, dtype=object)[indices_m]
    strength = 0
    if len(strengths) > 1:
        divided = splits(np.zeros(len(indices_m)), own_m, n_folds=N_FOLDS, seed=seed)
        strength = _best_strength(
            x_nd[indices_m], y_nt[indices_m], [(fold.train, fold.test) for fold in divided], strengths
        )
    predicted_nt = np.empty(y_nt.shape, dtype=np.float32)
    for of_t, measured_m in _patterns(y_nt[indices_m]):
        rows = indices_m[measured_m]
        fit = _fitted(x_nd[rows], y_nt[np.ix_(rows, of_t)], [strengths[strength]])
        predicted_nt[:, of_t] = fit.predict(x_nd, 0)
    return predicted_nt


def _checked(features: Any, targets: Any, trained: Any, strengths: Sequence[float]) -> tuple[np.ndarray, ...]:
    x_nd, y_nt = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    trained_n = np.asarray(trained)
    if x_nd.ndim != 2 or y_nt.ndim != 2 or trained_n.dtype != bool or not len(x_nd) == len(y_nt) == len(trained_n):
        wanted = "as many rows of features and targets, both (n, columns), and booleans"
        found = f"features {x_nd.shape}, targets {y_nt.shape} and {trained_n.shape} of {trained_n.dtype}"
        raise value_error("ridge", wanted, found, "pass those of the same observations")
    if not np.isfinite(x_nd).all():
        n_bad = int((~np.isfinite(x_nd)).any(axis=1).sum())
        remedy = "leave these observations out, or pass absent modalities to concatenated_ridge"
        raise value_error("features_nd", "finite values", f"NaN or infinity in {n_bad} observations", remedy)
    if not len(strengths) or not min(strengths) > 0:
        raise value_error("strengths", "positive numbers", str(list(strengths)), "pass such")
    least = int(np.isfinite(y_nt[trained_n]).sum(axis=0).min(initial=FEWEST))
    if least < FEWEST:
        wanted = f"each output measured in {FEWEST} training observations"
        raise value_error("targets_nt", wanted, f"one in {least}", "leave it out, or train on more observations")
    return x_nd, y_nt, trained_n


def _standardised(x_nd: np.ndarray, trained_n: np.ndarray) -> np.ndarray:
    """Scale features to mean 0 and variance 1 in the training observations; those that do not vary are left out."""
    mean_d, std_d = x_nd[trained_n].mean(axis=0), x_nd[trained_n].std(axis=0)
    varies_d = std_d > 1e-12 * np.maximum(np.abs(mean_d), 1e-12)
    return (x_nd[:, varies_d] - mean_d[varies_d]) / std_d[varies_d]


def _patterns(y_mt: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the outputs that are measured in the same observations, and these observations (bool)."""
    kinds, kind_t = np.unique(np.isfinite(y_mt), axis=1, return_inverse=True)
    for kind in range(kinds.shape[1]):
        yield np.flatnonzero(kind_t.ravel() == kind), kinds[:, kind]


def _fitted(x_md: np.ndarray, y_mt: np.ndarray, strengths: Sequence[float]) -> _Fit:
    """Fit ridge regression: with x = U s V': w = V s / (s² + strength) U' y, from the eigenvectors of x'x or those of x x'."""
    mean_d, mean_t = x_md.mean(axis=0), y_mt.mean(axis=0)
    x_md, y_mt = x_md - mean_d, y_mt - mean_t
    if x_md.shape[1] <= x_md.shape[0]:
        square_r, basis_dr = np.linalg.eigh(x_md.T @ x_md)
        along_rt = basis_dr.T @ (x_md.T @ y_mt)
    else:
        square_r, left_mr = np.linalg.eigh(x_md @ x_md.T)
        basis_dr, along_rt = x_md.T @ left_mr, left_mr.T @ y_mt
    shrunk_sr = 1 / (np.maximum(square_r, 0) + np.asarray(strengths)[:, None])
    return _Fit(mean_d, mean_t, basis_dr, shrunk_sr[:, :, None] * along_rt)


def _best_strength(
    x_md: np.ndarray, y_mt: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]], strengths: Sequence[float]
) -> int:
    """Return the position of the strength with the smallest held-out error, relative to the variance of each output."""
    variance_t = np.maximum(np.nanvar(y_mt, axis=0), 1e-12)
    error_s = np.zeros(len(strengths))
    for trained, held in folds:
        for of_t, measured_m in _patterns(y_mt[trained]):
            rows = trained[measured_m]
            fit = _fitted(x_md[rows], y_mt[np.ix_(rows, of_t)], strengths)
            axes_hr, truth_ht = (x_md[held] - fit.mean_d) @ fit.basis_dr, y_mt[np.ix_(held, of_t)]
            for s in range(len(strengths)):
                error_ht = (axes_hr @ fit.weight_srt[s] + fit.mean_t - truth_ht) ** 2 / variance_t[of_t]
                error_s[s] += np.nansum(error_ht)
    return int(error_s.argmin())


@in_one_sentence_of_types
def concatenated(features: Mapping[str, Any], trained_n: Any) -> np.ndarray:
    """Concatenate the features of several modalities, those of absent ones too.

    Each feature is standardised on the training observations that have its modality, and each modality divided by the
    root of its number of features, so that all weigh alike. An absent modality is zero, the mean. A column of its own,
    1 or 0, says that it is there, unless that is so in all observations.

    Parameters
    ----------
    features
        By modality, (n, d) pooled embeddings or frequencies; NaN in the observations that lack the modality.
    trained_n
        (n,) bool: the training observations.

    Returns
    -------
    numpy.ndarray
        float64 (n, sum of d + modalities that are absent somewhere), finite.

    Raises
    ------
    ValueError
        If there is no modality, observations differ, or no training observation has a modality.

    Examples
    --------
    >>> concatenated({"rna": [[1.0], [3.0]], "protein": [[2.0], [np.nan]]}, np.array([True, True])).tolist()
    [[-1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if not features:
        raise value_error("features", "at least one modality", "none", "pass some")
    trained_n, blocks = np.asarray(trained_n, dtype=bool), []
    for modality, given in features.items():
        x_nd = np.asarray(given, dtype=np.float64)
        if x_nd.ndim != 2 or len(x_nd) != len(trained_n):
            wanted = f"features (n, d) of {len(trained_n)} observations"
            raise value_error(modality, wanted, str(x_nd.shape), "pass those of the same observations")
        visible_n = np.isfinite(x_nd).all(axis=1)
        if not (visible_n & trained_n).any():
            raise value_error(modality, "some training observation that has it", "none", "leave the modality out")
        fitted_md = x_nd[visible_n & trained_n]
        std_d = fitted_md.std(axis=0)
        scaled_nd = (x_nd - fitted_md.mean(axis=0)) / np.where(std_d > 0, std_d, 1) / np.sqrt(x_nd.shape[1])
        blocks.append(np.where(visible_n[:, None], scaled_nd, 0.0))
        if not visible_n.all():
            blocks.append(visible_n[:, None].astype(np.float64))
    return np.hstack(blocks)
