"""What a Cox model gets out of MOJO's state, by how the state is read out and how wide it is, beside PCA; RNA of 13 cohorts.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/risk_readouts.py [--folds 0 1 2 3 4] [--seed 0] [--sizes 500 1500 0] [--widths 64 256] [--epochs 0] [--cache DIR]

As in risk_curve.py: MOJO is made of the patients outside of a fold, without outcomes (at its start, or trained for --epochs; -1 for its default), of whom
so many have an outcome; a ridge Cox model per cohort; mean C-index within the cohorts of the fold.

embedding           what get_latent_representation gives: the state half whitened, of one length
…, any length       not normalised; "not whitened", "wholly whitened": by MOJOConfig.whitening 0 and 1
30 of the cohort    the Cox model takes the 30 principal components within the cohort, of dimensions as they are; otherwise all dimensions
30 standardised     the same of dimensions that are scaled to one variance in the cohort, as risk_curve.py does with an embedding
genes, 64 first     principal components of standardised genes over all cohorts, then as "30 of the cohort": a control without MOJO;
                    "as MOJO": half whitened and of one length before
"chosen on other folds": the readout of MOJO that has the highest mean in the other folds, for each fold.
"""

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _cache import Kept
from risk_curve import N_COMPONENTS, SIZES, drawn, frozen_index, report
from survival import Set, made

from omicsmlm import MOJO, MOJOConfig

POWERS = {"half whitened": 0.5, "not whitened": 0.0, "wholly whitened": 1.0}


def states(of: Set, trained_n: np.ndarray, config: MOJOConfig, epochs: int) -> dict[str, np.ndarray]:
    """Readouts of MOJO's state of all rows, (n, k), from a model of the training rows."""
    model = MOJO(of.data[trained_n].copy(), config)
    if epochs:
        how: dict[str, Any] = {"progress_bar": False, "accelerator": "cpu", "key_added": None}
        model.train(None if epochs < 0 else epochs, **how)
    row, tokenizer = model.module.row, model.parts.tokenizer
    assert row is not None
    state_nk, _ = model.map_observations(
        of.data, None, None, row.n_latent, lambda batch: model.module.row_state(tokenizer(batch))
    )
    found = {"embedding": model.get_latent_representation(of.data)}
    for name, power in POWERS.items():
        row.fit_readout(torch.from_numpy(state_nk[trained_n]), power)
        centre_k, whitening_kk = (row.get_buffer(part).numpy() for part in ("centre_k", "whitening_kk"))
        found[f"{name}, any length"] = (state_nk - centre_k) @ whitening_kk
    return found


def within(x_nd: np.ndarray, group_n: np.ndarray, trained_n: np.ndarray) -> np.ndarray:
    """Compute the scores, (n, 30), of the principal components of each group's training rows, of columns as they are."""
    found = np.zeros((len(x_nd), N_COMPONENTS))
    for group in np.unique(group_n):
        of = np.flatnonzero(group_n == group)
        centred_nd = x_nd[of] - x_nd[of][trained_n[of]].mean(0)
        direction_kd = np.linalg.svd(centred_nd[trained_n[of]], full_matrices=False)[2][:N_COMPONENTS]
        found[of, : len(direction_kd)] = centred_nd @ direction_kd.T
    return found


def first_components(x_ng: np.ndarray, trained_n: np.ndarray, n_comps: int) -> np.ndarray:
    """Compute principal components of standardised genes over all cohorts, (n, k)."""
    scaled_ng = (x_ng - x_ng[trained_n].mean(0)) / np.maximum(x_ng[trained_n].std(0), 1e-8)
    scaled_ng = scaled_ng.astype(np.float32)
    return scaled_ng @ np.linalg.svd(scaled_ng[trained_n], full_matrices=False)[2][:n_comps].T


def measured(of: Set, fold: int, arguments: argparse.Namespace) -> pd.DataFrame:
    """C-index of each readout, by how many patients have an outcome."""
    trained_n, kept = of.data.obs["porpoise_val_fold"].to_numpy() != fold, Kept(arguments.cache)
    inputs: dict[str, tuple[np.ndarray, int]] = {}
    for width in arguments.widths:
        config, end = MOJOConfig(seed=arguments.seed, row_width=width), f"{fold}-{arguments.seed}-{arguments.epochs}"

        def made_states(config: MOJOConfig = config) -> dict[str, np.ndarray]:
            return states(of, trained_n, config, arguments.epochs)

        def made_components(width: int = width) -> np.ndarray:
            return first_components(of.features_ng, trained_n, width)

        readouts, _ = kept.arrays(f"readouts-{width}-{end}", made_states)
        for name, x_nk in readouts.items():
            inputs[f"{width}: {name}"] = x_nk, width
            inputs[f"{width}: {name}, 30 of the cohort"] = within(x_nk, of.stratum_n, trained_n), N_COMPONENTS
        inputs[f"{width}: embedding, 30 standardised"] = readouts["embedding"], N_COMPONENTS
        x_nk, _ = kept(f"components-{width}-{fold}", made_components)
        inputs[f"genes, {width} first"] = within(x_nk, of.stratum_n, trained_n), N_COMPONENTS
        unit_nk = x_nk / x_nk[trained_n].std(0) ** 0.5
        unit_nk /= np.linalg.norm(unit_nk, axis=1, keepdims=True)
        inputs[f"genes, {width} first, as MOJO"] = within(unit_nk, of.stratum_n, trained_n), N_COMPONENTS
    scores: dict[str, dict[str, float]] = {}
    for size, few_n in drawn(trained_n, arguments.sizes, arguments.seed).items():
        scores.setdefault("PCA", {})[size] = frozen_index(of, of.features_ng, few_n, ~trained_n)
        for name, (x_nd, n_comps) in inputs.items():
            scores.setdefault(name, {})[size] = frozen_index(of, x_nd, few_n, ~trained_n, n_comps)
    table = pd.DataFrame.from_dict(scores, orient="index")
    print(f"fold {fold}\n{table.round(3).to_string()}", flush=True)
    return table


def chosen(tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Add the readout of MOJO that is best in the mean of the other folds, by size."""
    found = []
    for k, table in enumerate(tables):
        others = pd.concat(tables[:k] + tables[k + 1 :]).groupby(level=0, sort=False).mean()
        best = others[others.index.str.contains("^[0-9]")].idxmax()
        row = pd.DataFrame({size: [table.loc[name, size]] for size, name in best.items()}, ["chosen on other folds"])
        print(f"without this fold: {best.to_dict()}")
        found.append(pd.concat([table, row]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    of = made("pancan")
    tables = [measured(of, fold, arguments) for fold in arguments.folds]
    report(chosen(tables) if len(tables) > 1 else tables, f"folds {arguments.folds}, seed {arguments.seed}")


if __name__ == "__main__":
    main()
