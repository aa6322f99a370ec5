"""Baselines of query mapping: components of the reference, and scVI and scANVI by architectural surgery."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm.evaluation.baselines._linear import _variable_genes, are_counts, dense, log_normalise
from omicsmlm.evaluation.baselines._measured import Measured, measured
from omicsmlm.evaluation.baselines._variational import (
    _LABELLED_EPOCHS,
    _PER_LABEL,
    _WARM_UP,
    _few_genes,
    _light,
    _obs_at,
    _seeded,
)

logger = logging.getLogger(__name__)

UNLABELED = "Unknown"
"""Label, for scANVI, of an observation whose label is unknown."""
_SURGERY = {
    "n_layers": 2,
    "dropout_rate": 0.2,
    "encode_covariates": True,
    "use_layer_norm": "both",
    "use_batch_norm": "none",
}
"""The architecture that scArches' authors recommend for a reference."""


class Transferred(NamedTuple):
    """What scANVI predicts for a query."""

    reference_nd: np.ndarray
    """(n_obs of the reference, n_latent) float32."""
    query_nd: np.ndarray
    """(n_obs of the query, n_latent) float32."""
    labels: pd.Series
    """(n_obs of the query,) the most probable label."""
    probabilities: pd.DataFrame
    """(n_obs of the query, labels), each row summing to one."""


@in_one_sentence_of_types
def projected_pca(
    reference: ad.AnnData | md.MuData,
    query: ad.AnnData | md.MuData,
    n_comps: int = 50,
    *,
    n_top_genes: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute principal components of the reference, and the query projected onto them.

    As :func:`pca`, but the variable genes, their means and standard deviations and the components are those of the
    reference. Genes are matched by name; one that the query lacks is taken to be at its mean.

    Parameters
    ----------
    reference, query
        An AnnData or MuData each (the RNA is used); not changed. Where the reference holds raw counts, the query is
        log-normalised too, whether its counts are whole or expected ones.
    n_comps
        Number of components; fewer where the reference has fewer observations or genes.
    n_top_genes
        Number of variable genes kept, where there are more.
    seed
        Seed of the solver's starting vector.

    Returns
    -------
    tuple of ndarray
        float32 (n_obs, n_comps) of the reference and of the query; NaN in observations without RNA.

    Raises
    ------
    ValueError
        If there is no RNA, or the two share no gene.
    """
    from sklearn.decomposition import PCA

    first, second = measured(reference), measured(query)
    if are_counts(first.values):
        first, second = (part._replace(values=log_normalise(part.values)) for part in (first, second))
        kept = _variable_genes(first.values, n_top_genes)
        first = first._replace(values=first.values[:, kept], var_names=first.var_names[kept])
    matched, found_g = _on_genes_of(first, second)
    x_ng, q_ng = (np.asarray(dense(part.values), dtype=np.float32) for part in (first, matched))
    mean_g, std_g = x_ng.mean(axis=0), x_ng.std(axis=0, ddof=1)
    x_ng, q_ng = (np.clip((v - mean_g) / np.where(std_g > 0, std_g, 1), -10, 10) for v in (x_ng, q_ng))
    q_ng[:, ~found_g] = 0
    components = PCA(max(min(n_comps, min(x_ng.shape) - 1), 1), svd_solver="arpack", random_state=seed).fit(x_ng)
    return first.place(components.transform(x_ng)), second.place(components.transform(q_ng))


@in_one_sentence_of_types
def scvi_query(
    reference: ad.AnnData | md.MuData,
    query: ad.AnnData | md.MuData,
    batch_key: str,
    *,
    n_latent: int = 10,
    max_epochs: int | None = None,
    query_epochs: int = 200,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute latent means of scVI, trained on the reference and then on the query by scArches (Lotfollahi et al. 2022).

    The reference model has the architecture that scArches recommends and is trained to convergence as in :func:`scvi`.
    Then only the weights of the query's batches are trained, without weight decay, so that the reference stays where it
    is. Genes are matched by name; one that the query lacks is zero there.

    Parameters
    ----------
    reference, query
        An AnnData or MuData each, with raw RNA counts; not changed. The 2,000 most variable genes of the reference
        are used.
    batch_key
        Column of the top-level ``.obs`` of both.
    n_latent
        Number of latent dimensions.
    max_epochs
        On the reference; by default scvi-tools' rule, min(400, 400 * 20,000 / n_obs).
    query_epochs
        On the query; 200 in the tutorial of scvi-tools.
    seed
        Seed of the weights, the split and the batches; the global generators are put back afterwards.

    Returns
    -------
    tuple of ndarray
        float32 (n_obs, n_latent) of the reference and of the query; NaN in observations without RNA.

    Raises
    ------
    ValueError
        If there is no RNA, the two share no gene, or one lacks the column.
    """
    from scvi.model import SCVI

    first, second, light, query_light = _lights(reference, query, batch_key)
    with _seeded(seed):
        model = _reference_scvi(light, n_latent, max_epochs)
        adapted = SCVI.load_query_data(query_light, model)
        _adapt(adapted, query_epochs, {})
        return first.place(model.get_latent_representation()), second.place(adapted.get_latent_representation())


@in_one_sentence_of_types
def scanvi_query(
    reference: ad.AnnData | md.MuData,
    query: ad.AnnData | md.MuData,
    batch_key: str,
    labels_key: str,
    *,
    max_epochs: int | None = None,
    query_epochs: int = 100,
    seed: int = 0,
) -> Transferred:
    """Compute latent means and labels of scANVI (Xu et al. 2021), adapted to the query by scArches.

    scANVI starts from the reference model of :func:`scvi_query`, of 10 dimensions, and learns the labels for 20 epochs
    of at most 100 observations of each. The labels of the query are not looked at.

    Parameters
    ----------
    reference, query, batch_key, seed
        As in :func:`scvi_query`.
    labels_key
        Column of the top-level ``.obs`` of the reference; a missing label is one that is not known.
    max_epochs
        On the reference, of scVI and, if less than 20, of scANVI; by default scvi-tools' rule and 20.
    query_epochs
        On the query; 100 in the tutorial of scvi-tools.

    Returns
    -------
    Transferred
        NaN in observations without RNA.

    Raises
    ------
    ValueError
        As :func:`scvi_query`.
    """
    from scvi.model import SCANVI

    first, second, light, query_light = _lights(reference, query, batch_key)
    label_n = pd.Series(list(_column(reference, labels_key, "labels_key")), dtype=object)[first.indices_n]
    light.obs["label"] = pd.Categorical(label_n.where(label_n.isna(), label_n.astype(str)).fillna(UNLABELED))
    query_light.obs["label"] = UNLABELED
    labelled_epochs = _LABELLED_EPOCHS if max_epochs is None else min(max_epochs, _LABELLED_EPOCHS)
    with _seeded(seed):
        start = _reference_scvi(light, 10, max_epochs)
        model = SCANVI.from_scvi_model(start, UNLABELED, labels_key="label")
        model.train(labelled_epochs, n_samples_per_label=_PER_LABEL, enable_progress_bar=False)
        adapted = SCANVI.load_query_data(query_light, model)
        _adapt(adapted, query_epochs, {"check_val_every_n_epoch": 10})
        probabilities = adapted.predict(soft=True).sort_index(axis=1).reindex(query.obs_names)
        labels = probabilities.dropna().idxmax(axis=1).reindex(query.obs_names)
        reference_nd = first.place(model.get_latent_representation())
        query_nd = second.place(adapted.get_latent_representation())
    return Transferred(reference_nd, query_nd, labels, probabilities)


def _column(data: ad.AnnData | md.MuData, key: str, argument: str) -> np.ndarray:
    if key not in data.obs:
        found = f"no such column among {named(data.obs.columns)}"
        raise value_error(f"{argument} {key!r}", "a column of the top-level .obs", found, "pass one of these or add it")
    return data.obs[key].to_numpy()


def _on_genes_of(reference: Measured, query: Measured) -> tuple[Measured, np.ndarray]:
    """Return the query on the genes of the reference, zero where it lacks one, and which genes it has."""
    where_g = pd.Index(query.var_names).get_indexer(reference.var_names)
    found_g = where_g >= 0
    if not found_g.any():
        wanted, found = f"genes of the reference ({named(reference.var_names, 3)})", named(query.var_names, 3)
        raise value_error("query", wanted, found, "name the genes of both alike")
    if not found_g.all():
        logger.info("query: %d of %d genes are missing.", (~found_g).sum(), len(found_g))
    kept = sp.diags_array(found_g.astype(np.float32))
    values = sp.csr_matrix(query.values)[:, np.where(found_g, where_g, 0)] @ kept
    return query._replace(values=sp.csr_matrix(values), var_names=reference.var_names), found_g


def _lights(
    reference: ad.AnnData | md.MuData, query: ad.AnnData | md.MuData, batch_key: str
) -> tuple[Measured, Measured, ad.AnnData, ad.AnnData]:
    """Return what is measured of both, on the variable genes of the reference, and copies for scvi-tools."""
    for data in (reference, query):
        _column(data, batch_key, "batch_key")
    first = _few_genes(measured(reference), 2000)
    second, _ = _on_genes_of(first, measured(query))
    light = _light(first, first.indices_n, _obs_at(reference, first.indices_n, batch_key))
    query_light = _light(second, second.indices_n, _obs_at(query, second.indices_n, batch_key))
    return first, second, light, query_light


def _reference_scvi(light: ad.AnnData, n_latent: int, max_epochs: int | None) -> Any:
    from scvi.model import SCVI

    SCVI.setup_anndata(light, batch_key="batch")
    model = SCVI(light, n_latent=n_latent, **_SURGERY)
    model.train(
        max_epochs,
        early_stopping=True,
        early_stopping_warmup_epochs=_WARM_UP,
        plan_kwargs={"n_epochs_kl_warmup": _WARM_UP},
        enable_progress_bar=False,
    )
    logger.info("scVI: trained on the reference for %d epochs.", len(next(iter(model.history.values()))))
    return model


def _adapt(model: Any, epochs: int, options: Mapping[str, Any]) -> None:
    model.train(epochs, plan_kwargs={"weight_decay": 0.0}, enable_progress_bar=False, **options)
