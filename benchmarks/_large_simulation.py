"""Counts of up to millions of cells, written to an uncompressed CSR ``.h5ad`` in blocks; of which 10,000 are scored.

A cell i has the same batch, type, state, depth and counts in a file of any size, by the seed alone: a larger file has the
cells of a smaller one and more. The first 10,000 are marked ``obs["evaluated"]``. In the file the cells stand by batch, within
it in an order that has nothing to do with their number, so that the scored ones are spread over it.

The simulation is hard: batches differ by more than types, gene by gene and type by type, in their frequencies of types (each
lacks one or two), in depth and in how much of a batch's average (ambient) is in each cell; types are three levels deep, the
last pairs close; within a type cells vary between three states.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from numba import njit

N_GENES, N_BATCHES, N_TYPES, N_STATES = 20_000, 8, 12, 3
N_SCORED = 10_000
BLOCK = 5_000
"""Cells that are in memory at once."""


class Strengths(NamedTuple):
    """How strong each effect is: standard deviations of natural logarithms, shares between 0 and 1."""

    expression: float = 1.7
    lineage: float = 1.0
    family: float = 0.8
    type: float = 0.7
    marker_share: float = 0.06
    state: float = 0.7
    batch: float = 0.55
    type_batch: float = 0.2
    ambient: tuple[float, float] = (0.0, 0.2)
    depth: float = 0.35
    batch_depth: float = 0.25
    median_depth: float = 850.0


STRENGTHS = Strengths()


class Rows(NamedTuple):
    """Some rows of counts: values and columns one row after the other, and how many each row has."""

    values: np.ndarray
    columns: np.ndarray
    lengths_n: np.ndarray


class Tables(NamedTuple):
    """Alias tables (Vose 1991) of each type, batch and state, (t, b, s, genes): a draw costs the same for any profile."""

    threshold: np.ndarray
    alias: np.ndarray


def profiles(seed: int, strengths: Strengths = STRENGTHS) -> np.ndarray:
    """Draw (types, batches, states, genes) expected shares of the genes; each profile sums to 1."""
    rng, s, g = np.random.default_rng([seed, 1]), strengths, N_GENES

    def effects(n: int, strength: float, fraction: float) -> np.ndarray:
        return strength * rng.normal(size=(n, g)) * (rng.random((n, g)) < fraction)

    lineage, family = np.arange(N_TYPES) // 4, np.arange(N_TYPES) // 2  # three lineages of two families of two types
    base_g = s.expression * rng.normal(size=g)
    type_tg = effects(3, s.lineage, s.marker_share)[lineage] + effects(6, s.family, s.marker_share)[family]
    type_tg += effects(N_TYPES, s.type, s.marker_share)
    state_sg = effects(6 * N_STATES, s.state, s.marker_share).reshape(6, N_STATES, g)[family]
    log_tbsg = (base_g + type_tg)[:, None, None] + state_sg[:, None]
    log_tbsg = log_tbsg + effects(N_BATCHES, s.batch, 1.0)[None, :, None]
    log_tbsg += effects(N_TYPES * N_BATCHES, s.type_batch, 1.0).reshape(N_TYPES, N_BATCHES, 1, g)
    share_tbsg = np.exp(log_tbsg)
    share_tbsg /= share_tbsg.sum(3, keepdims=True)
    ambient_b = rng.uniform(*s.ambient, size=N_BATCHES)[None, :, None, None]
    return (1 - ambient_b) * share_tbsg + ambient_b * share_tbsg.mean((0, 2), keepdims=True)


def frequencies(seed: int) -> np.ndarray:
    """Draw (batches, types) frequencies; each batch lacks one or two types, and no type is in under half of the batches."""
    rng = np.random.default_rng([seed, 2])
    usual_t = np.sort(rng.dirichlet(np.full(N_TYPES, 3.0)))[::-1] + 0.02
    frequency_bt = rng.gamma(2.0, size=(N_BATCHES, N_TYPES)) * rng.permutation(usual_t) + 0.005
    lacking = rng.permutation(N_TYPES)
    for b in range(N_BATCHES):
        frequency_bt[b, lacking[b % N_TYPES]] = 0
        if b % 2:
            frequency_bt[b, lacking[(b + 5) % N_TYPES]] = 0
    return frequency_bt / frequency_bt.sum(1, keepdims=True)


def cells(n_obs: int, seed: int, strengths: Strengths = STRENGTHS) -> pd.DataFrame:
    """Draw the cells, in the order of the file: ``cell`` (their number), ``batch``, ``cell_type``, ``depth``, ``evaluated``."""
    rngs = iter(np.random.default_rng([seed, 3]).spawn(6))
    batch_share = np.random.default_rng([seed, 4]).dirichlet(np.full(N_BATCHES, 8.0))
    batch_n = np.searchsorted(batch_share.cumsum()[:-1], next(rngs).random(n_obs), side="right")
    frequency_bt = frequencies(seed).cumsum(1)
    u_n = next(rngs).random(n_obs)
    type_n = (u_n[:, None] > frequency_bt[batch_n, :-1]).sum(1)
    of_batch_b = strengths.batch_depth * next(rngs).normal(size=N_BATCHES)
    log_depth_n = np.log(strengths.median_depth) + of_batch_b[batch_n] + strengths.depth * next(rngs).normal(size=n_obs)
    order_n = np.lexsort((next(rngs).random(n_obs), batch_n))
    return pd.DataFrame(
        {
            "cell": np.arange(n_obs),
            "batch": batch_n,
            "cell_type": type_n,
            "depth": np.exp(log_depth_n).clip(200, 20_000).astype(np.int32),
            "scored": np.arange(n_obs) < N_SCORED,
        }
    ).iloc[order_n]


@njit(cache=True)
def _alias(share_pg, threshold_pg, alias_pg):  # pragma: no cover - compiled
    n_genes = share_pg.shape[1]
    small, large = np.empty(n_genes, np.int32), np.empty(n_genes, np.int32)
    for p in range(len(share_pg)):
        left_g = share_pg[p] * n_genes
        n_small = n_large = 0
        for g in range(n_genes):
            if left_g[g] < 1:
                small[n_small] = g
                n_small += 1
            else:
                large[n_large] = g
                n_large += 1
        while n_small and n_large:
            low, high = small[n_small - 1], large[n_large - 1]
            threshold_pg[p, low], alias_pg[p, low] = left_g[low], high
            left_g[high] -= 1 - left_g[low]
            n_small -= 1
            if left_g[high] < 1:
                small[n_small] = high
                n_small += 1
                n_large -= 1
        for i in range(n_small):
            threshold_pg[p, small[i]], alias_pg[p, small[i]] = 1, small[i]
        for i in range(n_large):
            threshold_pg[p, large[i]], alias_pg[p, large[i]] = 1, large[i]


def tables(share_tbsg: np.ndarray) -> Tables:
    """Make the alias tables of profiles."""
    share_pg = share_tbsg.reshape(-1, share_tbsg.shape[-1])
    made = Tables(np.empty(share_pg.shape, np.float32), np.empty(share_pg.shape, np.int32))
    _alias(share_pg, *made)
    return Tables(*(table.reshape(share_tbsg.shape) for table in made))


@njit(inline="always")
def _next(state):  # pragma: no cover - compiled
    """SplitMix64 (Steele, Lea & Flood 2014): the next state and 64 random bits."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@njit(cache=True)
def _draw(start_n, type_n, batch_n, depth_n, threshold, alias):  # pragma: no cover - compiled
    """Draw each cell's counts: molecules of a mixture of the three states of its type, by weights of its own."""
    n_states, n_genes = threshold.shape[2:]
    counts_g = np.zeros(n_genes, np.int32)
    columns, values = np.empty(depth_n.sum(), np.int32), np.empty(depth_n.sum(), np.float32)
    lengths_n, at, to_unit = np.empty(len(type_n), np.int64), 0, 2.0**-32
    for i in range(len(type_n)):
        state = start_n[i]
        weight_s = np.empty(n_states)
        for s in range(n_states):
            state, bits = _next(state)
            weight_s[s] = -np.log(((bits >> np.uint64(32)) + 0.5) * to_unit)  # exponential: the mixture is uniform
        weight_s = (weight_s / weight_s.sum()).cumsum()
        for _ in range(depth_n[i]):
            state, bits = _next(state)
            u, s = (bits & np.uint64(0xFFFFFFFF)) * to_unit, 0
            while s < n_states - 1 and u > weight_s[s]:
                s += 1
            place = (bits >> np.uint64(32)) * to_unit * n_genes
            g = int(place)
            if place - g > threshold[type_n[i], batch_n[i], s, g]:
                g = alias[type_n[i], batch_n[i], s, g]
            counts_g[g] += 1
        first = at
        for g in range(n_genes):
            if counts_g[g]:
                columns[at], values[at] = g, counts_g[g]
                counts_g[g] = 0
                at += 1
        lengths_n[i] = at - first
    return values[:at], columns[:at], lengths_n


def counts(drawn: pd.DataFrame, table: Tables, seed: int) -> Iterator[Rows]:
    """Draw the counts of cells, a block at a time."""
    mixed = np.random.default_rng([seed, 5]).integers(2**63, dtype=np.uint64)
    for first in range(0, len(drawn), BLOCK):
        block = drawn.iloc[first : first + BLOCK]
        start_n = (block["cell"].to_numpy().astype(np.uint64) * np.uint64(0xD1342543DE82EF95)) ^ mixed
        of_cell = (block[name].to_numpy() for name in ("cell_type", "batch", "depth"))
        yield Rows(*_draw(start_n, *of_cell, *table))


def write(path: Path, obs: pd.DataFrame, var_names: list[str], blocks: Iterator[Rows]) -> int:
    """Write rows to an uncompressed ``.h5ad``, which gets its name when it is whole; give the number of stored values."""
    part = path.with_suffix(".part")
    ad.AnnData(obs=obs, var=pd.DataFrame(index=var_names)).write_h5ad(part)
    stored, lengths = 0, []
    with h5py.File(part, "r+") as file:
        if "X" in file:
            del file["X"]
        x = file.create_group("X")
        x.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (len(obs), len(var_names))}
        )
        usual = (700 * len(obs),)  # from which h5py takes the size of the chunks, as when anndata writes a file
        data = x.create_dataset("data", usual, np.float32, maxshape=(None,))
        indices = x.create_dataset("indices", usual, np.int32, maxshape=(None,))
        for rows in blocks:
            last = stored + len(rows.values)
            if last > len(data):
                data.resize((2 * last,))
                indices.resize((2 * last,))
            data[stored:last], indices[stored:last] = rows.values, rows.columns
            stored = last
            lengths.append(rows.lengths_n)
        data.resize((stored,))
        indices.resize((stored,))
        x["indptr"] = np.concatenate([[0], np.concatenate(lengths).cumsum()]).astype(np.int64)
    part.rename(path)
    return stored


def simulate(path: Path, n_obs: int, seed: int, strengths: Strengths = STRENGTHS) -> int:
    """Write a simulated file of so many cells; give the number of stored values."""
    drawn = cells(n_obs, seed, strengths)
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical.from_codes(drawn["batch"], [f"batch {b}" for b in range(N_BATCHES)]),
            "cell_type": pd.Categorical.from_codes(drawn["cell_type"], [f"type {t:02d}" for t in range(N_TYPES)]),
            "scored": drawn["scored"].to_numpy(),
        },
        index=[f"cell_{i}" for i in drawn["cell"]],
    )
    blocks = counts(drawn, tables(profiles(seed, strengths)), seed)
    return write(path, obs, [f"gene_{g:05d}" for g in range(N_GENES)], blocks)
