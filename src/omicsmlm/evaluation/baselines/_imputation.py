"""Baselines of imputation: ridge regression and TotalVI."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import mudata as md
import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm.evaluation.baselines._measured import measured
from omicsmlm.evaluation.baselines._variational import _WARM_UP, _few_genes, _light, _seeded

logger = logging.getLogger(__name__)

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-4, 11))
"""Ridge strengths tried: 0.01 to 100,000."""
_SAMPLES = 25


@in_one_sentence_of_types
def ridge_imputation(
    predictors_nd: np.ndarray,
    targets_ng: np.ndarray,
    trained_n: np.ndarray,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> np.ndarray:
    """Predict one modality from the components of another, linearly.

    Ridge regression with an intercept, ‖y − a − Xw‖² + strength · ‖w‖², fitted on the observations that have both. The
    strength is chosen for each target on its own by the squared error of leaving out one training observation at a
    time. Predictors are taken as they are: weak components count less than strong ones unless they are standardised
    before.

    Parameters
    ----------
    predictors_nd
        (n, d), finite: components of the modality that all observations have, such as :func:`pca` or :func:`lsi`.
    targets_ng
        (n, g), finite in the training observations: what is to be predicted, such as :func:`clr`; not looked at
        elsewhere.
    trained_n
        (n,) bool: the observations to fit on, at least two.
    strengths
        The strengths to choose from, positive.

    Returns
    -------
    ndarray
        float32 (n, g), for all observations.

    Raises
    ------
    ValueError
        If the numbers of observations differ, fewer than two observations are left to fit on, or a value needed is not
        finite.
    """
    from sklearn.linear_model import RidgeCV

    x_nd, y_ng = np.asarray(predictors_nd, dtype=np.float64), np.asarray(targets_ng, dtype=np.float64)
    chosen_n = np.asarray(trained_n)
    if not len(x_nd) == len(y_ng) == len(chosen_n) or chosen_n.dtype != bool:
        wanted = f"as many booleans and rows of targets as rows of predictors, {len(x_nd)}"
        found = f"{len(chosen_n)} of {chosen_n.dtype} and {len(y_ng)}"
        raise value_error("trained_n, targets_ng", wanted, found, "pass one per observation")
    if chosen_n.sum() < 2:
        raise value_error("trained_n", "at least two observations to fit on", str(chosen_n.sum()), "pass more")
    for name, values in (("predictors_nd", x_nd), ("targets_ng", y_ng[chosen_n])):
        if not np.isfinite(values).all():
            n_bad = int((~np.isfinite(values)).any(axis=1).sum())
            raise value_error(
                name, "finite values", f"NaN or infinity in {n_bad} observations", "leave these observations out"
            )
    if not np.size(strengths) or not (np.asarray(strengths) > 0).all():
        raise value_error("strengths", "numbers above 0", named(np.ravel(strengths), 3), "leave them out")
    ridge = RidgeCV(np.asarray(strengths), alpha_per_target=y_ng.shape[1] > 1).fit(x_nd[chosen_n], y_ng[chosen_n])
    return np.asarray(ridge.predict(x_nd), dtype=np.float32).reshape(y_ng.shape)


@in_one_sentence_of_types
def totalvi_imputation(
    data: md.MuData,
    masked_n: np.ndarray,
    *,
    n_top_genes: int = 2000,
    max_epochs: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the proteins of observations whose proteins are masked, by TotalVI (Gayoso et al. 2021).

    The masked observations are a batch of their own without any protein, which is how TotalVI knows that it was not
    measured. Trained as :func:`totalvi` on all observations; then the masked ones are decoded as if of the batch with
    proteins: the mean of 25 samples, background included, since that is what is measured.

    Parameters
    ----------
    data
        A MuData with raw RNA and protein counts in the same observations; not changed.
    masked_n
        (n_obs,) bool: the observations whose proteins are masked.
    n_top_genes, max_epochs, seed
        As in :func:`totalvi`.

    Returns
    -------
    DataFrame
        Expected counts, non-negative: the masked observations by name, all proteins.

    Raises
    ------
    ValueError
        If a modality is not there, some observation lacks one, or `masked_n` does not divide the observations.
    """
    from scvi.model import TOTALVI

    rna, protein = _few_genes(measured(data), n_top_genes), measured(data, role="protein")
    masked_n = np.asarray(masked_n)
    if len(rna.indices_n) < data.n_obs or len(protein.indices_n) < data.n_obs:
        found = f"{len(rna.indices_n)} and {len(protein.indices_n)} of {data.n_obs}"
        raise value_error("data", "observations that all have RNA and protein", found, "leave the others out")
    if masked_n.shape != (data.n_obs,) or masked_n.dtype != bool or masked_n.all() or not masked_n.any():
        wanted = f"{data.n_obs} booleans, some of them True and some False"
        found = f"{masked_n.sum()} True in shape {masked_n.shape} of {masked_n.dtype}"
        raise value_error("masked_n", wanted, found, "pass one boolean per observation")
    obs = pd.DataFrame({"batch": pd.Categorical(np.where(masked_n, "masked", "visible"))}, index=data.obs_names)
    indices_n = np.arange(data.n_obs)
    with _seeded(seed), warnings.catch_warnings():  # making a MuData draws random numbers too
        warnings.filterwarnings("ignore", "Some proteins have all 0 counts", UserWarning)
        light = md.MuData({"rna": _light(rna, indices_n, obs[[]]), "protein": _light(protein, indices_n, obs[[]])})
        light.obs = obs
        light["protein"].X = light["protein"].X.toarray() * ~masked_n[:, None]
        chosen = {"rna_layer": "rna", "protein_layer": "protein"}
        TOTALVI.setup_mudata(light, batch_key="batch", modalities=chosen)
        return _expected_proteins(TOTALVI(light), np.flatnonzero(masked_n), max_epochs)


def _expected_proteins(model: Any, indices_n: np.ndarray, max_epochs: int | None) -> pd.DataFrame:
    model.train(
        max_epochs,
        early_stopping=True,
        early_stopping_warmup_epochs=_WARM_UP,
        n_epochs_kl_warmup=_WARM_UP,
        enable_progress_bar=False,
    )
    logger.info("TotalVI: trained for %d epochs.", len(next(iter(model.history.values()))))
    _, expected = model.get_normalized_expression(
        indices=indices_n,
        n_samples=_SAMPLES,
        transform_batch="visible",
        include_protein_background=True,
        return_mean=True,
    )
    return expected
