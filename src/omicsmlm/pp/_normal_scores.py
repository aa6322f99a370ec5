"""Values of each feature as normal quantiles of their ranks, so that data sets of different units can be put together."""

import numpy as np
from anndata import AnnData
from scipy.special import ndtri

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error

from ._input import one_modality, values_of


@in_one_sentence_of_types
def normal_scores(adata: AnnData, reference: AnnData | None = None) -> AnnData:
    r"""Return a copy whose values are the normal quantiles of their ranks within each feature.

    .. math:: \Phi^{-1}\Big(\frac{\#\{r < x\} + \#\{r \le x\}}{2 n}\Big)

    over the n measured values r of the feature in the reference; the fraction is kept between 1 / 2n and 1 - 1 / 2n. What is
    lost is the distribution of a feature, and how it differs between the sets; what stays is the order of its observations.

    Parameters
    ----------
    adata
        Values in any unit, NaN where not measured, which they stay. Not changed.
    reference
        Observations that the ranks are taken in, with the same features in any order: those of training, for test
        observations. None for `adata` itself.

    Returns
    -------
    AnnData
        ``X``: dense float32, of mean 0 and a variance of nearly 1 over the reference.

    Raises
    ------
    ValueError
        If the reference lacks a feature, or either is no AnnData.

    Examples
    --------
    >>> from anndata import AnnData
    >>> found = normal_scores(AnnData(np.array([[1.0], [5.0], [900.0]])))
    >>> found.X.ravel().astype(float).round(3).tolist()  # at 1/6, 1/2 and 5/6
    [-0.967, 0.0, 0.967]
    """
    adata = one_modality("normal_scores", adata)
    source = adata if reference is None else one_modality("reference", reference)
    at_g = source.var_names.get_indexer(adata.var_names)
    if (at_g < 0).any():
        missing = named(adata.var_names[at_g < 0])
        raise value_error(
            "reference", "the features of the object", f"none named {missing}", "pass both on the same genes"
        )
    x_ng, reference_ng = _dense(adata), _dense(source)[:, at_g]
    scores_ng = np.full(x_ng.shape, np.nan, dtype=np.float32)
    for g, (x_n, known_n) in enumerate(zip(x_ng.T, reference_ng.T, strict=True)):
        known_n = np.sort(known_n[~np.isnan(known_n)])
        has_n = ~np.isnan(x_n)
        if not len(known_n) or not has_n.any():
            continue  # a feature that the reference did not measure has no ranks: it counts as not measured here, too
        below_n, up_to_n = (np.searchsorted(known_n, x_n[has_n], side) for side in ("left", "right"))
        least = 0.5 / len(known_n)
        scores_ng[has_n, g] = ndtri(np.clip((below_n + up_to_n) / (2 * len(known_n)), least, 1 - least))
    found = adata.copy()
    found.X = scores_ng
    return found


def _dense(adata: AnnData) -> np.ndarray:
    values = values_of("normal_scores", adata, None)
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
