"""Embeddings relative to controls: centred, standardised, or typical variation normalised."""

from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm._dense import dense

_LEAST_DEVIATION = 1e-9
"""A dimension in which controls differ by less is only centred."""


@in_one_sentence_of_types
def centre(embedding: Any, is_control: Any, batches: Any = None) -> np.ndarray:
    """Subtract the mean of the controls, of those of each observation's own batch if there are batches.

    Parameters
    ----------
    embedding
        (n, d), finite.
    is_control
        (n,) bool.
    batches
        (n,) batches, each of which holds controls; None for one batch.

    Returns
    -------
    ndarray
        (n, d) float64.

    Raises
    ------
    ValueError
        If shapes disagree, the embedding is not finite, or a batch has fewer than two controls.

    Examples
    --------
    >>> centre([[1.0], [3.0], [7.0]], [True, True, False]).ravel().tolist()
    [-1.0, 1.0, 5.0]
    """
    x_nd, control_n, batch_n = checked(embedding, is_control, batches)
    return _each(x_nd, control_n, batch_n, lambda x, controls: x - controls.mean(0))


@in_one_sentence_of_types
def standardise(embedding: Any, is_control: Any, batches: Any = None) -> np.ndarray:
    """Subtract the mean of the controls and divide by their standard deviation, per dimension and batch.

    Parameters
    ----------
    embedding, is_control, batches
        As in :func:`centre`. The standard deviation is that of the population (divided by n).

    Returns
    -------
    ndarray
        (n, d) float64.

    Raises
    ------
    ValueError
        As in :func:`centre`.

    Examples
    --------
    >>> standardise([[1.0], [5.0], [9.0]], [True, True, False]).ravel().tolist()
    [-1.0, 1.0, 3.0]
    """
    x_nd, control_n, batch_n = checked(embedding, is_control, batches)
    return _each(x_nd, control_n, batch_n, _standardised)


@in_one_sentence_of_types
def tvn(embedding: Any, is_control: Any, batches: Any = None, *, ridge: float = 0.5) -> np.ndarray:
    r"""Normalise by typical variation (Ando et al. 2017): what controls differ by counts little afterwards.

    Standardised on all controls; rotated to the principal axes of the controls (all of them); standardised on the
    controls of each batch; then, with batches, each batch b is whitened (CORAL, Sun et al. 2016) by the covariance of
    its controls,

    .. math:: x \leftarrow x\,(\Sigma_b + r I)^{-1/2}.

    Parameters
    ----------
    embedding, is_control, batches
        As in :func:`centre`. Of d dimensions and m controls, min(d, m) axes are kept.
    ridge
        r.

    Returns
    -------
    ndarray
        (n, min(d, m)) float64.

    Raises
    ------
    ValueError
        As in :func:`centre`.
    """
    x_nd, control_n, batch_n = checked(embedding, is_control, batches)
    x_nd = _standardised(x_nd, x_nd[control_n])
    mean_d = x_nd[control_n].mean(0)
    axes_kd = np.linalg.svd(x_nd[control_n] - mean_d, full_matrices=False)[2]
    x_nk = _each((x_nd - mean_d) @ axes_kd.T, control_n, batch_n, _standardised)
    if batches is None:
        return x_nk
    return _each(x_nk, control_n, batch_n, lambda x, controls: x @ _whitening(controls, ridge))


@in_one_sentence_of_types
def profiles(embedding: Any, perturbations: Any, is_control: Any) -> pd.DataFrame:
    """Average the observations of each perturbation, controls left out: its profile.

    Parameters
    ----------
    embedding
        (n, d), best after one of the functions above.
    perturbations
        (n,) names.
    is_control
        (n,) bool.

    Returns
    -------
    DataFrame
        One row per perturbation, by name.

    Raises
    ------
    ValueError
        If shapes disagree or the embedding is not finite.

    Examples
    --------
    >>> profiles([[0.0], [2.0], [4.0]], ["none", "a", "a"], [True, False, False]).loc["a"].tolist()
    [3.0]
    """
    x_nd, control_n, _ = checked(embedding, is_control, None, fewest=0)
    names_n = labels("perturbations", perturbations, len(x_nd))
    return pd.DataFrame(x_nd[~control_n]).groupby(names_n[~control_n]).mean()


def checked(
    embedding: Any, is_control: Any, batches: Any, *, fewest: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n, d) float64, (n,) bool and (n,) names of batches, of shapes that agree."""
    x_nd = finite(embedding)
    control_n = np.asarray(is_control)
    if control_n.shape != (len(x_nd),) or control_n.dtype != bool:
        found = f"{control_n.dtype} of shape {control_n.shape}"
        remedy = 'pass adata.obs["perturbation"] == "control", say'
        raise value_error("is_control", f"{len(x_nd)} booleans, one per observation", found, remedy)
    batch_n = np.full(len(x_nd), "all") if batches is None else labels("batches", batches, len(x_nd))
    for batch in np.unique(batch_n):
        n_controls = int(control_n[batch_n == batch].sum())
        if n_controls < fewest:
            place = "is_control" if batches is None else f"batch {str(batch)!r}"
            raise value_error(
                place,
                f"at least {fewest} controls",
                str(n_controls),
                "leave these observations out, or pass no batches",
            )
    return x_nd, control_n, batch_n


def finite(embedding: Any) -> np.ndarray:
    """Return an embedding as (n, d) float64; refuse other shapes and values that are not finite."""
    x_nd = dense(embedding, np.float64)
    if x_nd.ndim != 2 or not np.isfinite(x_nd).all():
        found = f"shape {x_nd.shape}" if x_nd.ndim != 2 else "NaN or infinity"
        raise value_error(
            "embedding", "finite values of shape (n, d)", found, "pass .obsm[key], of observations that have one"
        )
    return x_nd


def labels(place: str, values: Any, n: int) -> np.ndarray:
    """Return names, (n,) str; refuse another number of them, and missing ones."""
    name_n = pd.Series(np.asarray(values, dtype=object))
    if len(name_n) != n or name_n.isna().any():
        found = f"{len(name_n)}" if len(name_n) != n else f"{int(name_n.isna().sum())} missing"
        raise value_error(
            place, f"{n} names, one per observation", found, "pass a column of the .obs of these observations"
        )
    return np.asarray(name_n.astype(str), dtype=str)


def _each(x_nd: np.ndarray, control_n: np.ndarray, batch_n: np.ndarray, change: Any) -> np.ndarray:
    """Transform the observations of each batch, given its controls."""
    out_nd = np.empty_like(x_nd)
    for batch in np.unique(batch_n):
        own_n = batch_n == batch
        out_nd[own_n] = change(x_nd[own_n], x_nd[own_n & control_n])
    return out_nd


def _standardised(x_nd: np.ndarray, controls_md: np.ndarray) -> np.ndarray:
    deviation_d = controls_md.std(0)
    return (x_nd - controls_md.mean(0)) / np.where(deviation_d > _LEAST_DEVIATION, deviation_d, 1.0)


def _whitening(controls_md: np.ndarray, ridge: float) -> np.ndarray:
    covariance_dd = np.atleast_2d(np.cov(controls_md, rowvar=False)) + ridge * np.eye(controls_md.shape[1])
    strength_d, axes_dd = np.linalg.eigh(covariance_dd)
    return (axes_dd / np.sqrt(strength_d)) @ axes_dd.T
