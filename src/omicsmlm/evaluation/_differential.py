"""Features that differ between groups of observations, with donors or samples as the replicates: pseudobulks."""

import logging
from typing import Any, NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse, stats

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import check_type, named, shortened, value_error
from omicsmlm.evaluation.baselines._measured import measured

from ._benchmark import obs_column

logger = logging.getLogger(__name__)

FEWEST_SAMPLES = 3
"""Pairs that a test needs: of two, any difference that both have is significant, or none."""
COLUMNS = ["group", "feature", "log2_fold_change", "mean_log2_cpm", "t", "p_value", "q_value", "n_samples"]


class Pseudobulks(NamedTuple):
    """Sums of raw counts over the observations of each sample in each group, and how many these are."""

    counts_sgf: np.ndarray  # (samples, groups, features) float64
    n_observations_sg: np.ndarray  # (samples, groups)


@in_one_sentence_of_types
def differential_features(
    data: ad.AnnData | md.MuData,
    groupby: str,
    sample_key: str,
    *,
    reference: str | None = None,
    modality: str | None = None,
    min_cells: int = 10,
    min_count: float = 10.0,
) -> pd.DataFrame:
    """Test which features differ between groups of observations, with samples as the replicates.

    Raw counts are summed by sample and group (pseudobulks), since observations of one sample are no replicates of each
    other, imputed ones least of all: tests that count them as such call differences between donors significant (Squair et
    al. 2021). For each group, its sums and those of the rest of the same samples become
    log2(10⁶ (count + 0.5) / (total + 1)) (Law et al. 2014), and a paired t-test asks whether their mean difference is 0;
    Benjamini and Hochberg's procedure gives the false discovery rate.

    Parameters
    ----------
    data
        AnnData or MuData with raw counts in ``X`` (or in ``layers["counts"]``, where ``X`` has none). Not changed.
    groupby
        Column of ``.obs`` with the groups: cell types, clusters, or a condition. Choose groups that were
        not made from the values to be tested: clusters differ in what they were made by.
    sample_key
        Column of ``.obs`` with what is independent and has several groups: donors, patients, samples.
    reference
        Group to compare the others with; None compares each group with all others taken together.
    modality
        Of a MuData; None for RNA.
    min_cells
        Observations that a sample must have on either side of a comparison, to count for it.
    min_count
        Counts of a feature that the smaller of the two sides has, in the mean of samples, were there no difference;
        features with fewer are not tested, as their logarithms are biased. That is the same whichever way they differ.

    Returns
    -------
    pandas.DataFrame
        A row for each group and tested feature, most significant first within a group: ``group``; ``feature``;
        ``log2_fold_change``, the mean difference to the rest; ``mean_log2_cpm``, of both sides; ``t``; ``p_value``,
        two-sided; ``q_value``, the false discovery rate within the group; ``n_samples``, the pairs.
        ``attrs["left_out"]`` names the groups that fewer than three samples have, which are not tested.

    Raises
    ------
    ValueError
        If a column, the modality or the reference is not there, values are no raw counts, or no group can be tested.

    Examples
    --------
    >>> import omicsmlm
    >>> mdata = omicsmlm.datasets.simulate_multiome(400, 60, 80)
    >>> mdata.obs["donor"] = [f"donor {i % 5}" for i in range(400)]
    >>> table = differential_features(mdata, "cell_type", "donor", min_cells=5)
    >>> int(table["n_samples"].max())
    5
    """
    for name, number in (("min_cells", min_cells), ("min_count", min_count)):
        is_number = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        if not is_number or not number >= 0:
            raise value_error(name, "a number, at least 0", shortened(number), "leave it out for the default")
    check_type("reference", reference, (str, type(None)), "the name of a group", "pass it as text, or leave it out")
    group_n, sample_n = obs_column(data, groupby, "groupby"), obs_column(data, sample_key, "sample_key")
    taken = measured(data, modality)
    _check_counts(taken.modality, taken.values)
    group_n, sample_n = group_n[taken.indices_n], sample_n[taken.indices_n]
    used_n = ~(pd.isna(group_n) | pd.isna(sample_n))
    if not used_n.any():
        remedy = "pass columns that hold them"
        raise value_error("differential_features", "observations with a group and a sample", "none", remedy)
    groups = sorted(pd.unique(group_n[used_n]))
    if reference is not None and reference not in groups:
        raise value_error("reference", f"one of {named(groups)}", shortened(reference), "pass one of these, or None")
    bulks = pseudobulks(taken.values[used_n], sample_n[used_n], group_n[used_n])
    tables, left_out, most = [], [], 0
    for position, group in enumerate(groups):
        if group == reference:
            continue
        of_rest = np.array([other != group if reference is None else other == reference for other in groups])
        own_sf, rest_sf, paired_s = _sides(bulks, position, of_rest, min_cells)
        most = max(most, int(paired_s.sum()))
        if paired_s.sum() < FEWEST_SAMPLES:
            left_out.append(group)
            continue
        tables.append(_tested(group, taken.var_names, own_sf[paired_s], rest_sf[paired_s], min_count))
    if not tables:
        raise value_error(
            f"sample_key {sample_key!r}",
            f"at least {FEWEST_SAMPLES} samples with {min_cells} observations both of a group and of what it is compared with",
            str(most),
            "pass the column of donors or samples, each with several groups; cells are no replicates",
        )
    if left_out:
        message = (
            "differential_features: fewer than %d samples have %d observations of the groups %s, which are not tested."
        )
        logger.warning(message, FEWEST_SAMPLES, min_cells, named(left_out))
    table = pd.concat(tables, ignore_index=True)
    table.attrs["left_out"] = left_out
    return table


def pseudobulks(values: Any, sample_n: np.ndarray, group_n: np.ndarray) -> Pseudobulks:
    """Sum counts by sample and group.

    Parameters
    ----------
    values
        (n, f) raw counts, dense or sparse.
    sample_n, group_n
        (n,) text.

    Returns
    -------
    Pseudobulks
        Samples and groups in the order of their names; 0 where a sample has no observation of a group.

    Examples
    --------
    >>> bulks = pseudobulks(np.array([[1, 0], [2, 5], [4, 1]]), np.array(["a", "a", "b"]), np.array(["x", "x", "x"]))
    >>> bulks.counts_sgf.tolist(), bulks.n_observations_sg.tolist()
    ([[[3.0, 5.0]], [[4.0, 1.0]]], [[2], [1]])
    """
    samples, sample_code_n = np.unique(sample_n.astype(str), return_inverse=True)
    groups, group_code_n = np.unique(group_n.astype(str), return_inverse=True)
    shape, n = (len(samples), len(groups)), len(sample_n)
    cell_n = sample_code_n * len(groups) + group_code_n
    sums = sparse.csr_array((np.ones(n), (cell_n, np.arange(n))), shape=(shape[0] * shape[1], n))
    counts = sums @ values
    counts_sgf = np.asarray(counts.toarray() if sparse.issparse(counts) else counts, dtype=np.float64)
    return Pseudobulks(
        counts_sgf.reshape(*shape, -1), np.bincount(cell_n, minlength=shape[0] * shape[1]).reshape(shape)
    )


def log2_cpm(counts_sf: np.ndarray) -> np.ndarray:
    """Compute log2 of counts per million, with offsets for which that of a Poisson count is unbiased to first order.

    E log(x + c) ≈ log μ + (c − 1/2) / μ for x of mean and variance μ, so that c = 1/2 lets pseudobulks of many and of few
    observations be compared (Law et al. 2014, voom).

    Parameters
    ----------
    counts_sf
        (samples, features) counts.

    Returns
    -------
    numpy.ndarray
        (samples, features).

    Examples
    --------
    >>> log2_cpm(np.array([[0, 7.5]])).round(3).tolist()  # 0.5 and 8 of 8.5 times 10⁶
    [[15.844, 19.844]]
    """
    return np.log2((counts_sf + 0.5) / (counts_sf.sum(1, keepdims=True) + 1) * 1e6)


def _sides(
    bulks: Pseudobulks, position: int, of_rest: np.ndarray, min_cells: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the counts of a group and of what it is compared with, (samples, features), and which samples have both."""
    rest_sf, n_rest_s = bulks.counts_sgf[:, of_rest].sum(1), bulks.n_observations_sg[:, of_rest].sum(1)
    own_sf, n_own_s = bulks.counts_sgf[:, position], bulks.n_observations_sg[:, position]
    has_counts_s = (own_sf.sum(1) > 0) & (rest_sf.sum(1) > 0)
    return own_sf, rest_sf, (np.minimum(n_own_s, n_rest_s) >= min_cells) & has_counts_s


def _tested(group: str, names: np.ndarray, own_sf: np.ndarray, rest_sf: np.ndarray, min_count: float) -> pd.DataFrame:
    """Compute the table of one group."""
    total_s1, smaller_s1 = (own_sf + rest_sf).sum(1, keepdims=True), np.minimum(own_sf.sum(1), rest_sf.sum(1))[:, None]
    tested_f = ((own_sf + rest_sf) / total_s1 * smaller_s1).mean(0) >= min_count
    own_sf, rest_sf = log2_cpm(own_sf)[:, tested_f], log2_cpm(rest_sf)[:, tested_f]
    difference_sf = own_sf - rest_sf
    error_f = difference_sf.std(0, ddof=1) / np.sqrt(len(difference_sf))
    with np.errstate(divide="ignore", invalid="ignore"):
        t_f = np.nan_to_num(
            difference_sf.mean(0) / error_f, nan=0.0, posinf=np.inf, neginf=-np.inf
        )  # 0/0: no difference
    p_f = 2 * stats.t.sf(np.abs(t_f), len(difference_sf) - 1)
    q_f = stats.false_discovery_control(p_f) if len(p_f) else p_f
    means = (difference_sf.mean(0), (own_sf + rest_sf).mean(0) / 2)
    columns = [group, names[tested_f], *means, t_f, p_f, q_f, len(difference_sf)]
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), index=pd.RangeIndex(len(t_f)))
    return table.sort_values("p_value", kind="stable")


def _check_counts(modality: str, values: Any) -> None:
    """Refuse values that are no raw counts: there is nothing to be summed."""
    stored = np.asarray(values.data if sparse.issparse(values) else values)
    if not np.isfinite(stored).all() or (stored < 0).any() or (stored != np.round(stored)).any():
        remedy = 'put the measured counts into X or layers["counts"]; imputed or normalised values are no replicates'
        found = f"values such as {_offending(stored)}"
        raise value_error(modality, "raw counts (non-negative integers)", found, remedy)


def _offending(stored: np.ndarray) -> str:
    is_bad = ~np.isfinite(stored) | (stored < 0) | (stored != np.round(stored))
    return f"{stored[is_bad].ravel()[0]:g}"
