"""How many patients: risks by RNA alone (methylation absent in all) with MOJO, OmicsMLM and PCA, by patients with an outcome.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/risk_curve.py [--seeds 0] [--folds 0] [--epochs 2] [--sizes 500 1500 0] [--skip OmicsMLM …] [--cache DIR]

5,240 patients of 13 cohorts; a fold of porpoise_val_fold is tested, and the mean of the folds shown. The encoders are made of all the other patients,
without their outcomes; of these, 500, 1,500 and all (0), drawn by the seed, have one. Mean over cohorts of the C-index within the cohort.
--epochs are MOJO's, in place of its default.

PCA, MOJO, …       Cox models (per cohort, ridge, omicsmlm.evaluation.baselines.cox) of 30 components, and of the frozen embedding
Survival, MOJO tuned   Survival.from_model(MOJO) by its defaults, MOJO at its start; "its networks", "its pooled Cox": its parts
Survival, MOJO frozen  with networks on the frozen embedding (tuning="frozen"), at a tenth of the time
Survival, no networks  linear models of the genes alone (n_networks=0): no encoder takes part, which is the control of what MOJO adds
"""

import argparse
import logging
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cache import Kept
from survival import Set, made

from omicsmlm import MOJO, MOJOConfig, OmicsMLM, OmicsMLMConfig, Survival, SurvivalConfig
from omicsmlm.evaluation import baselines
from omicsmlm.evaluation.survival import concordances

SIZES = (500, 1500, 0)
N_COMPONENTS = 30
HEADS: dict[str, dict[str, Any]] = {
    "Survival, MOJO tuned": {},
    "Survival, MOJO frozen": {"tuning": "frozen"},
    "Survival, no networks": {"n_networks": 0},
}
"""Rows of Survival, and what is not by default."""
PARTS = {"log risk": "", "network": ": its networks", "pooled Cox": ": its pooled Cox"}
"""Columns of Survival.predict_parts, and the ends of their rows' names."""


def embeddings(of: Set, trained_n: np.ndarray, seed: int, epochs: int | None) -> dict[str, Callable[[], np.ndarray]]:
    """(n, d) of all rows, from encoders that saw the training rows."""
    reference = of.data[trained_n].copy()
    quiet = {"progress_bar": False, "accelerator": "cpu", "key_added": None}

    def mojo(n_epochs: int | None) -> np.ndarray:
        model = MOJO(reference, MOJOConfig(seed=seed))
        if n_epochs != 0:
            model.train(n_epochs, **quiet)
        return model.get_latent_representation(of.data)

    def omics() -> np.ndarray:
        model = OmicsMLM(reference, OmicsMLMConfig(seed=seed))
        model.train(**quiet)
        return model.get_latent_representation(of.data)

    return {"OmicsMLM": omics, "MOJO": lambda: mojo(epochs), "MOJO, untrained": lambda: mojo(0)}


def head_risks(of: Set, model: MOJO, few_n: np.ndarray, test_n: np.ndarray, config: SurvivalConfig) -> dict[str, Any]:
    """Risks of the test rows by Survival on a model, and by its parts, (n,) each; only a few of the model's rows have an outcome."""
    time_n = pd.Series(np.where(few_n, of.column("time_days"), np.nan), index=of.data.obs_names)
    model.adata.obs["time_days"] = time_n.loc[model.adata.obs_names]
    survival = Survival.from_model(model, "time_days", "event", of.stratum_key, config=config)
    survival.train(progress_bar=False, accelerator="cpu")
    parts = survival.predict_parts(of.data[test_n].copy())
    return {part: parts[part].to_numpy() for part in PARTS}


def index_within(of: Set, risk_n: np.ndarray, test_n: np.ndarray) -> float:
    """Compute the mean over cohorts of the C-index within the cohort, of the test rows' risks."""
    columns = (of.column(key)[test_n] for key in ("time_days", "event"))
    return float(concordances(risk_n, *columns, of.stratum_n[test_n])["C-index"]["mean"])


def frozen_index(
    of: Set, x_nd: np.ndarray, few_n: np.ndarray, test_n: np.ndarray, n_comps: int = N_COMPONENTS
) -> float:
    """Compute that of Cox models per cohort, on components of some columns of all rows."""
    times = of.column("time_days"), of.column("event"), few_n
    risk_n = baselines.cox(x_nd, *times, stratum=of.stratum_n, n_comps=min(n_comps, x_nd.shape[1]))
    return index_within(of, risk_n[test_n], test_n)


def drawn(trained_n: np.ndarray, sizes: list[int], seed: int) -> dict[str, np.ndarray]:
    """Return which rows have an outcome, (n,) bool, by how many: the first of one random order, all for 0."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(trained_n))
    return {str(n or "all"): np.isin(np.arange(len(trained_n)), order[: n or None]) for n in sizes}


def curve(of: Set, fold: int, seed: int, arguments: argparse.Namespace) -> pd.DataFrame:
    trained_n = of.data.obs["porpoise_val_fold"].to_numpy() != fold
    kept, skipped = Kept(arguments.cache), tuple(arguments.skip)
    found = {"PCA": of.features_ng}
    for name, make in embeddings(of, trained_n, seed, arguments.epochs).items():
        if not name.startswith(skipped):
            found[name], _ = kept(f"risk-{name}-{fold}-{seed}-{arguments.epochs}", make)
    start = cache(lambda: MOJO(of.data[trained_n].copy(), MOJOConfig(seed=seed)))
    scores: dict[str, dict[str, float]] = {}
    for size, few_n in drawn(trained_n, arguments.sizes, seed).items():
        for name, x_nd in found.items():
            scores.setdefault(name, {})[size] = frozen_index(of, x_nd, few_n, ~trained_n)
        for name, changes in HEADS.items():
            if name.startswith(skipped):
                continue

            def fitted(few_n: np.ndarray = few_n, changes: dict[str, Any] = changes) -> dict[str, Any]:
                return head_risks(of, start(), few_n, ~trained_n, SurvivalConfig(seed=seed, **changes))

            risks, _ = kept.arrays(f"risk-{name}-{fold}-{seed}-{size}", fitted)
            for part, end in PARTS.items():
                if np.isfinite(risks[part]).all():
                    scores.setdefault(f"{name}{end}", {})[size] = index_within(of, risks[part], ~trained_n)
    table = pd.DataFrame.from_dict(scores, orient="index")
    print(f"fold {fold}, seed {seed}\n{table.round(3).to_string()}", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--skip", nargs="+", default=[], help="methods to leave out, by how their names begin")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    of = made("pancan")
    tables = [curve(of, fold, seed, arguments) for fold in arguments.folds for seed in arguments.seeds]
    report(tables, f"folds {arguments.folds}, seeds {arguments.seeds}")


def report(tables: list[pd.DataFrame], of_which: str) -> None:
    """Print means over folds and seeds, and how far they are from PCA's, paired."""
    mean = pd.concat(tables).groupby(level=0, sort=False).mean()
    print(f"\n== mean C-index within cohorts, {of_which}\n{mean.round(3).to_string()}")
    less = pd.concat([table - table.loc["PCA"] for table in tables]).groupby(level=0, sort=False)
    text = less.mean().map("{:+.3f}".format)
    if len(tables) > 1:
        text += " ± " + (less.std() / len(tables) ** 0.5).map("{:.3f}".format)
    print(f"\nless PCA, paired; ± is one standard error over these\n{text.drop(index='PCA').to_string()}", flush=True)


if __name__ == "__main__":
    main()
