"""Simulated counts with types, batches and missing modalities, built block by block as CSR."""

from typing import NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error

_BLOCK = 512  # cells whose rates are dense at any one time
_N_PROGRAMS = 6  # continuous axes shared by the modalities of a cell
_RARE_FRACTION = 0.03  # fraction of cells of the last type


class _Cells(NamedTuple):
    """Latent properties of simulated cells, common to all modalities."""

    type_n: np.ndarray  # (n,) type of each cell
    batch_n: np.ndarray  # (n,) batch of each cell
    program_np: np.ndarray  # (n, programs) continuous state, standard normal
    depth_n: np.ndarray  # (n,) relative depth of sequencing, median about 1


class _Profile(NamedTuple):
    """Log rates of one modality: those of a cell are the sum of the rows of its type, batch and programs."""

    type_kg: np.ndarray  # (types, features) base level and the type's own shift
    batch_bg: np.ndarray  # (batches, features) feature-wise batch factor
    program_pg: np.ndarray  # (programs, features) loadings of the continuous state


def _draw_cells(n_obs: int, n_types: int, n_batches: int, rng: np.random.Generator) -> _Cells:
    """Return cells whose types have different frequencies, which also differ between batches; the last type is rare."""
    fraction_k = np.linspace(1.6, 0.6, n_types)
    if n_types > 2:
        fraction_k[-1] = _RARE_FRACTION * fraction_k[:-1].sum() / (1 - _RARE_FRACTION)
    batch_n = rng.integers(n_batches, size=n_obs)
    weight_bk = fraction_k * rng.gamma(8.0, 1 / 8.0, size=(n_batches, n_types))  # composition differs between batches
    cumulative_bk = np.cumsum(weight_bk / weight_bk.sum(axis=1, keepdims=True), axis=1)
    type_n = (rng.random(n_obs)[:, None] > cumulative_bk[batch_n, :-1]).sum(axis=1)
    depth_b = np.exp(rng.normal(0, 0.3, size=n_batches))
    depth_n = depth_b[batch_n] * np.exp(rng.normal(0, 0.45, size=n_obs))
    program_np = rng.normal(size=(n_obs, _N_PROGRAMS)).astype(np.float32)
    return _Cells(type_n, batch_n, program_np, depth_n.astype(np.float32))


def _draw_profile(
    n_features: int,
    cells: _Cells,
    strong: int,
    spread: float,
    rng: np.random.Generator,
) -> _Profile:
    """Return the log rates of a modality.

    Types come in pairs of relatives; those of pairs whose number is `strong` modulo 2 differ clearly in this modality.
    """
    n_types, n_batches = int(cells.type_n.max()) + 1, int(cells.batch_n.max()) + 1
    base_g = rng.normal(0, spread, size=n_features)

    def shift(size: float, fraction: float) -> np.ndarray:
        return rng.normal(0, size, size=n_features) * (rng.random(n_features) < fraction)

    lineages = [shift(0.9, 0.15) for _ in range(n_types // 2 + 1)]
    own = [shift(0.85 if (k // 2) % 2 == strong else 0.55, 0.1) for k in range(n_types)]
    type_kg = np.stack([base_g + lineages[k // 2] + own[k] for k in range(n_types)])
    batch_bg = rng.normal(0, 0.35, size=(n_batches, n_features))
    program_pg = np.stack([shift(0.3, 0.2) for _ in range(_N_PROGRAMS)])
    return _Profile(type_kg.astype(np.float32), batch_bg.astype(np.float32), program_pg.astype(np.float32))


def _rates(cells: _Cells, profile: _Profile, indices: np.ndarray | slice) -> np.ndarray:
    """Return the relative rates of some cells, (n, features), depth included."""
    log_ng = profile.type_kg[cells.type_n[indices]] + profile.batch_bg[cells.batch_n[indices]]
    log_ng += cells.program_np[indices] @ profile.program_pg
    return np.exp(log_ng) * cells.depth_n[indices, None]


def _scale_for(density: float, rate_t: np.ndarray, shape: float) -> float:
    """Return the factor on the rates at which a fraction `density` of the gamma-Poisson counts is not zero, by bisection.

    P(count > 0) = 1 - (1 + rate / shape) ** -shape.
    """
    low, high = 1e-9, 1e9
    for _ in range(50):
        middle = np.sqrt(low * high)
        reached = 1 - ((1 + middle * rate_t / shape) ** -shape).mean()
        low, high = (middle, high) if reached < density else (low, middle)
    return float(low)


def _invert(uniform_t: np.ndarray, mean_t: np.ndarray, shape: float) -> np.ndarray:
    """Return negative-binomial quantiles: the smallest count whose cumulative probability is at least `uniform_t`.

    With p = mean / (mean + shape): P(0) = (1 - p) ** shape and P(k + 1) = P(k) * p * (k + shape) / (k + 1).
    """
    counts_t = np.zeros(len(mean_t), dtype=np.float32)
    open_t = np.arange(len(mean_t))
    p_t = mean_t / (mean_t + shape)
    mass_t = (1 - p_t) ** shape
    reached_t = mass_t.copy()
    k = 0
    while True:
        undone = uniform_t > reached_t
        open_t, uniform_t, p_t = open_t[undone], uniform_t[undone], p_t[undone]
        if len(open_t) == 0:
            return counts_t
        mass_t = mass_t[undone] * p_t * (k + shape) / (k + 1)
        reached_t = np.maximum(reached_t[undone] + mass_t, (k > 100_000) * 1.0)
        k += 1
        counts_t[open_t] = k


def _draw_counts(
    cells: _Cells, profile: _Profile, density: float, shape: float, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return negative-binomial counts (variance = mean + mean**2 / shape), CSR float32, never dense beyond one block."""
    n_obs = len(cells.type_n)
    indices = rng.choice(n_obs, size=min(n_obs, 512), replace=False)
    sample_t = rng.choice(_rates(cells, profile, indices).ravel(), size=100_000)
    scale = _scale_for(density, sample_t.astype(np.float64), shape)
    blocks = []
    for start in range(0, n_obs, _BLOCK):
        mean_ng = _rates(cells, profile, slice(start, start + _BLOCK)) * np.float32(scale)
        uniform_ng = rng.random(mean_ng.shape, dtype=np.float32)
        # u > P(0) is first asked of all entries in a cheap form, log(u) > log P(0); only the hits are then inverted
        with np.errstate(divide="ignore"):  # a draw of exactly 0 is below any P(0)
            log_uniform_ng = np.log(uniform_ng)
        indices, columns = np.nonzero(log_uniform_ng > -shape * np.log1p(mean_ng / np.float32(shape)))
        counts = _invert(
            uniform_ng[indices, columns].astype(np.float64), mean_ng[indices, columns].astype(np.float64), shape
        )
        indptr = np.searchsorted(indices, np.arange(len(mean_ng) + 1))
        block = sp.csr_matrix((counts, columns.astype(np.int32), indptr), shape=mean_ng.shape)
        block.eliminate_zeros()
        blocks.append(block)
    return sp.csr_matrix(sp.vstack(blocks, format="csr"))


def _describe(cells: _Cells) -> pd.DataFrame:
    """Return ``obs`` of the cells."""
    names = [f"cell_{i:06d}" for i in range(len(cells.type_n))]
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical([f"type_{chr(97 + k)}" if k < 26 else f"type_{k}" for k in cells.type_n]),
            "batch": pd.Categorical([f"batch_{b}" for b in cells.batch_n]),
        },
        index=names,
    )


def _check(n_obs: int, n_types: int, n_batches: int, density: float | None) -> None:
    """Raise if an argument is out of range."""
    for name, value in (("n_obs", n_obs), ("n_types", n_types), ("n_batches", n_batches)):
        if value < 1:
            raise value_error(name, "at least 1", str(value), "pass a positive whole number")
    if density is not None and not 0 < density < 1:
        raise value_error("density", "a fraction between 0 and 1", str(density), "pass e.g. density=0.08")


@in_one_sentence_of_types
def simulate_rna(
    n_obs: int = 2000,
    n_genes: int = 1000,
    density: float | None = None,
    n_types: int = 6,
    n_batches: int = 2,
    seed: int = 0,
) -> ad.AnnData:
    """Return simulated RNA counts with overlapping types, a rare one, and a batch effect.

    Counts are gamma-Poisson (negative binomial); types come in pairs of relatives, the last one is rare (about 3 %),
    every cell also has a continuous state and its own depth, and each batch multiplies every gene by its own factor.
    The counts are made in blocks of 512 cells, so 100,000 x 20,000 at a density of 0.08 needs little more than its
    CSR matrix.

    Parameters
    ----------
    n_obs, n_genes
        Number of cells and genes.
    density
        Fraction of the counts that are not zero, in (0, 1). Default 0.2.
    n_types, n_batches
        Number of cell types and batches.
    seed
        Seed of the generator; the same seed gives the same counts.

    Returns
    -------
    AnnData
        ``X``: raw counts, CSR float32 (n_obs, n_genes); ``obs``: ``cell_type`` and ``batch``.

    Raises
    ------
    ValueError
        If a number is below 1 or the density is outside (0, 1).

    Examples
    --------
    >>> adata = simulate_rna(n_obs=50, n_genes=200)
    >>> adata.shape
    (50, 200)
    """
    _check(n_obs, n_types, n_batches, density)
    rng = np.random.default_rng(seed)
    cells = _draw_cells(n_obs, n_types, n_batches, rng)
    counts = _draw_counts(cells, _draw_profile(n_genes, cells, 0, 1.2, rng), density or 0.2, 2.0, rng)
    var = pd.DataFrame(index=[f"gene_{j:05d}" for j in range(n_genes)])
    return ad.AnnData(counts, obs=_describe(cells), var=var)


@in_one_sentence_of_types
def simulate_multiome(
    n_obs: int = 2000,
    n_genes: int = 1000,
    n_peaks: int = 4000,
    n_types: int = 6,
    n_batches: int = 2,
    missing: float = 0.5,
    density: float | None = None,
    seed: int = 0,
) -> md.MuData:
    """Return a simulated multiome (RNA + ATAC) of which a fraction of the cells lacks one modality.

    As :func:`simulate_rna`; half of the pairs of related types differ more clearly in RNA, the other half in ATAC, and
    the continuous state of a cell affects both modalities. A cell without a modality is absent from that AnnData, so
    with ``missing > 0`` not all cells are paired.

    Parameters
    ----------
    n_obs, n_genes, n_peaks
        Number of cells, genes and peaks.
    n_types, n_batches
        Number of cell types and batches.
    missing
        Fraction of the cells that lack a modality, in [0, 1]: half of them lack RNA, half lack ATAC.
    density
        Fraction of the RNA counts that are not zero, in (0, 1). Default 0.2. (ATAC: 0.05, nearly all of them 1.)
    seed
        Seed of the generator; the same seed gives the same object.

    Returns
    -------
    MuData
        Modalities ``rna`` and ``atac`` with raw counts, CSR float32; ``obs`` of all cells: ``cell_type``, ``batch``
        and ``modalities`` (``"rna + atac"``, ``"rna"`` or ``"atac"``).

    Raises
    ------
    ValueError
        If a number is below 1 or a fraction is out of its range.

    Examples
    --------
    >>> mdata = simulate_multiome(n_obs=100, missing=0.5)
    >>> mdata.n_obs, mdata["rna"].n_obs, mdata["atac"].n_obs
    (100, 75, 75)
    """
    _check(n_obs, n_types, n_batches, density)
    if not 0 <= missing <= 1:
        raise value_error("missing", "a fraction from 0 to 1", str(missing), "pass e.g. missing=0.5")
    rng = np.random.default_rng(seed)
    cells = _draw_cells(n_obs, n_types, n_batches, rng)
    rna = _draw_counts(cells, _draw_profile(n_genes, cells, 0, 1.2, rng), density or 0.2, 2.0, rng)
    atac = _draw_counts(cells, _draw_profile(n_peaks, cells, 1, 0.8, rng), 0.05, 8.0, rng)
    obs = _describe(cells)
    order = rng.permutation(n_obs)
    n_lacking = int(round(missing * n_obs))
    lacks_rna, lacks_atac = order[: n_lacking // 2], order[n_lacking // 2 : n_lacking]
    obs["modalities"] = pd.Categorical(["rna + atac"] * n_obs, categories=["rna + atac", "rna", "atac"])
    obs.iloc[lacks_rna, 2], obs.iloc[lacks_atac, 2] = "atac", "rna"
    starts = np.sort(rng.integers(0, 200_000_000, size=n_peaks))
    names = {"rna": [f"gene_{j:05d}" for j in range(n_genes)]}
    names["atac"] = [f"chr{1 + j % 19}:{start}-{start + 500}" for j, start in enumerate(starts)]
    parts = {}
    for modality, counts, lacking in (("rna", rna, lacks_rna), ("atac", atac, lacks_atac)):
        kept = np.setdiff1d(np.arange(n_obs), lacking)
        var = pd.DataFrame(index=names[modality])
        parts[modality] = ad.AnnData(counts[kept], obs=pd.DataFrame(index=obs.index[kept]), var=var)
    mdata = md.MuData({modality: part for modality, part in parts.items() if part.n_obs})
    for column in obs:
        mdata.obs[column] = obs.loc[mdata.obs_names, column].array
    return mdata
