"""How many patients: risks read off frozen embeddings of RNA alone (methylation absent in all), beside PCA, by training rows.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/risk_curve.py [--seeds 0] [--folds 0] [--epochs 2] [--skip OmicsMLM …] [--cache DIR]

5,240 patients of 13 cohorts; a fold of porpoise_val_fold is tested, and the mean of the folds shown. The encoders are pre-trained on all the other patients,
without their outcomes; the Cox models (per cohort, ridge, omicsmlm.evaluation.baselines.cox) learn from 500, 1,500 and all
of them, drawn by the seed. Mean over cohorts of the C-index within the cohort; MOJO is also shown untrained. --epochs are MOJO's,
in place of its default.
"""

import argparse
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _cache import Kept
from survival import Set, made

from omicsmlm import MOJO, MOJOConfig, OmicsMLM, OmicsMLMConfig
from omicsmlm.evaluation import baselines
from omicsmlm.evaluation.survival import concordances

SIZES = (500, 1500)
N_COMPONENTS = 30


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


def curve(of: Set, fold: int, seed: int, arguments: argparse.Namespace) -> pd.DataFrame:
    trained_n = of.data.obs["porpoise_val_fold"].to_numpy() != fold
    kept, order = Kept(arguments.cache), np.random.default_rng(seed).permutation(np.flatnonzero(trained_n))
    found = {"PCA": of.features_ng}
    for name, make in embeddings(of, trained_n, seed, arguments.epochs).items():
        if name.startswith(tuple(arguments.skip)):
            continue
        found[name], _ = kept(f"risk-{name}-{fold}-{seed}-{arguments.epochs}", make)
    outcome, test_n, scores = (of.column("time_days"), of.column("event")), ~trained_n, {}
    for n in (*SIZES, "all"):
        few = np.isin(np.arange(of.data.n_obs), order if n == "all" else order[:n])
        for name, x_nd in found.items():
            risk_n = baselines.cox(x_nd, *outcome, few, stratum=of.stratum_n, n_comps=min(N_COMPONENTS, x_nd.shape[1]))
            table = concordances(risk_n[test_n], *(column[test_n] for column in outcome), of.stratum_n[test_n])
            scores.setdefault(name, {})[n] = table["C-index"]["mean"]
    print(
        f"fold {fold}, seed {seed}\n{pd.DataFrame.from_dict(scores, orient='index').round(3).to_string()}", flush=True
    )
    return pd.DataFrame.from_dict(scores, orient="index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--skip", nargs="+", default=[], help="methods to leave out, by how their names begin")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    of = made("pancan")
    tables = pd.concat([curve(of, fold, seed, arguments) for fold in arguments.folds for seed in arguments.seeds])
    print(f"\n== mean C-index within cohorts, folds {arguments.folds}, seeds {arguments.seeds}")
    print(tables.groupby(level=0, sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
