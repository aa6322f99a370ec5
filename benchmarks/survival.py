"""Survival on bulk RNA: 13 cohorts, breast cancer and leukaemia (with methylation), beside Cox models of the plain features and of age.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/survival.py [--sets pancan brca laml] [--seeds 0 1 2] [--trained] [--tunings full frozen lora ia3]
                                  [--likelihoods cox discrete] [--family OmicsMLM] [--folds 0 1 2 3 4] [--cache DIR]

Folds are those of the data (porpoise_val_fold; paired_fold of LAML). The model is made of the training rows of a fold alone, and so are
scalings, components and all choices; test rows are seen once, by predict. The family, OmicsMLM or MOJO, is at its linear
start unless --trained; seeds change the start, the networks, and the inner folds.

"C-index": mean over cohorts of the C-index within the cohort (pairs of test rows of a fold), then over folds; "weighted"
by the number of test rows; "pooled" over all test rows by predicted survival. ± is the standard deviation over seeds.
p: sign flips of the differences from the per-cohort Cox model, of the 13 cohorts (mean over folds and seeds), or of the
5 folds where there is one cohort.
"""

import argparse
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import shown, verdict
from mudata import MuData

from omicsmlm import MOJO, MOJOConfig, OmicsMLM, OmicsMLMConfig, Survival, SurvivalConfig, datasets
from omicsmlm.evaluation import baselines, sign_flip
from omicsmlm.evaluation.survival import concordances

OURS, EXACT, AGE = "Survival", "Survival, exact models alone", "age alone"
COX = "Cox per cohort, PCA-30"
FAMILIES: dict[str, tuple[Any, Any]] = {"OmicsMLM": (OmicsMLM, OmicsMLMConfig), "MOJO": (MOJO, MOJOConfig)}


class Set(NamedTuple):
    """A data set, and what is known of its rows."""

    name: str
    data: Any
    features_ng: np.ndarray
    stratum_key: str | None

    @property
    def stratum_n(self) -> np.ndarray:
        if self.stratum_key is None:
            return np.full(self.data.n_obs, self.name)
        return self.data.obs[self.stratum_key].astype(str).to_numpy()

    def column(self, key: str) -> np.ndarray:
        return self.data.obs[key].astype(float).to_numpy()


def made(name: str) -> Set:
    if name == "pancan":
        data = datasets.load("bulk/tcga_pancan13_rna_survival.h5mu")
        return Set(name, data, _features(data), "cancer_type")
    if name == "laml":
        whole = datasets.load("bulk/tcga_laml_survival.h5mu")
        rows = (whole.obs["paired_fold"].fillna(-1) >= 0) & (whole.obs["time_days"] > 0) & whole.obs["event"].notna()
        data = MuData({part: whole[part][whole.obs_names[rows]].copy() for part in whole.mod})
        data.obs = whole.obs.loc[data.obs_names].rename(columns={"paired_fold": "porpoise_val_fold"})
        return Set(name, data, _features(data), None)
    whole = datasets.load("bulk/tcga_brca_pam50_survival.h5mu")
    rows = whole.obs["has_rna"] & whole.obs["time_days"].notna() & whole.obs["event"].notna()
    rows &= whole.obs["porpoise_val_fold"] >= 0
    data = MuData({"rna": whole["rna"][whole.obs_names[rows]].copy()})
    data.obs = whole.obs.loc[data.obs_names].copy()
    return Set(name, data, _features(data), None)


def _features(data: MuData) -> np.ndarray:
    x = data["rna"][data.obs_names].X
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float64)


def folds(of: Set) -> Iterator[tuple[int, np.ndarray]]:
    fold_n = of.data.obs["porpoise_val_fold"].to_numpy()
    for fold in range(5):
        yield fold, fold_n != fold


def plain(of: Set, fold: int, trained_n: np.ndarray, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Risks of the baselines, of all rows."""
    times = of.column("time_days"), of.column("event"), trained_n
    age_n, how = of.column("age"), {"stratum": of.stratum_n}

    def solved() -> dict[str, np.ndarray]:
        return {
            COX: baselines.cox(of.features_ng, *times, **how),
            f"{COX} + age": baselines.cox(of.features_ng, *times, covariates=age_n, **how),
            AGE: baselines.cox(None, *times, covariates=age_n, **how),
            "Cox per cohort, PCA-80": baselines.cox(of.features_ng, *times, n_comps=80, **how),
        }

    arrays, _ = Kept(arguments.cache).arrays(f"{of.name}-plain-{fold}", solved)
    return arrays


def encoder(of: Set, trained_n: np.ndarray, seed: int, arguments: argparse.Namespace) -> Any:
    """The family of the training rows, at its start or trained."""
    family, config = FAMILIES[arguments.family]
    made = family(of.data[trained_n].copy(), config(seed=seed))
    if arguments.trained:
        made.train(progress_bar=False, accelerator="cpu", key_added=None)
    return made


def start_of(arguments: argparse.Namespace) -> str:
    return ("" if arguments.family == "OmicsMLM" else f"{arguments.family}-") + (
        "trained" if arguments.trained else "start"
    )


def ours(of: Set, fold: int, trained_n: np.ndarray, seed: int, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Scores of the test rows: the parts of Survival and what it makes of them, and survival at the median time."""
    kept, found, test = Kept(arguments.cache), {}, of.data[~trained_n].copy()
    start = start_of(arguments)
    for tuning in arguments.tunings:
        for likelihood in arguments.likelihoods:
            for covariates in ((), ("age",)):
                config = SurvivalConfig(seed=seed, tuning=tuning, likelihood=likelihood)

                def fitted(config: SurvivalConfig = config, covariates: Any = covariates) -> dict[str, np.ndarray]:
                    keys = ("time_days", "event", of.stratum_key, covariates)
                    survival = Survival.from_model(encoder(of, trained_n, seed, arguments), *keys, config=config)
                    survival.train(progress_bar=False, accelerator="cpu")
                    of_fold = f"{of.name}, fold {fold}, seed {seed}, {'age' if covariates else 'no covariates'}"
                    assert survival.candidates is not None
                    print(f"{of_fold}\n{survival.candidates.round(3).to_string()}", flush=True)
                    scores = survival.evaluate(test)
                    pooled = -survival.predict_survival([np.median(of.column("time_days"))], test).to_numpy()
                    parts = survival.predict_parts(test)
                    calibrated = scores.loc[["mean", "pooled"], ["Brier", "Brier, no risk", "calibration error"]]
                    held_out = survival.evaluate().loc["mean", "C-index"]
                    return {
                        **{name: parts[name].to_numpy() for name in parts},
                        "pooled": pooled[:, 0],
                        "calibrated": calibrated.to_numpy(),
                        "held out": np.array(held_out),
                    }

                name = f"{of.name}-{fold}-{seed}-{start}-{tuning}-{likelihood}-{'age' if covariates else 'none'}"
                arrays, _ = kept.arrays(name, fitted)
                label = "" if tuning == "full" and likelihood == "cox" else f", {tuning}, {likelihood}"
                label += f", {arguments.family}" * (arguments.family != "OmicsMLM") + ", trained" * arguments.trained
                suffix = " + age" if covariates else ""
                found[f"{OURS}{label}{suffix}"] = arrays
    return found


def frozen_embedding(of: Set, fold: int, trained_n: np.ndarray, seed: int, arguments: argparse.Namespace) -> np.ndarray:
    """Risks of all rows by a per-cohort Cox model of the embedding."""

    def embedded() -> np.ndarray:
        return encoder(of, trained_n, seed, arguments).get_latent_representation(of.data)

    start = start_of(arguments)
    z_nd, _ = Kept(arguments.cache)(f"{of.name}-z-{fold}-{seed}-{start}", embedded)
    times = of.column("time_days"), of.column("event"), trained_n
    return baselines.cox(z_nd, *times, stratum=of.stratum_n, n_comps=z_nd.shape[1])


def standardised(score_n: np.ndarray, group_n: np.ndarray) -> np.ndarray:
    return pd.Series(score_n).groupby(group_n).transform(lambda s: (s - s.mean()) / (s.std() or 1)).to_numpy()


def measured(of: Set, arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per method, seed and fold, and the C-index per cohort."""
    rows: list[dict[str, Any]] = []
    cohorts: list[dict[str, Any]] = []

    def score(method: str, seed: int, fold: int, test_n: np.ndarray, risk_n: np.ndarray, **others: Any) -> None:
        pooled_n = others.pop("pooled", None)
        columns = of.column("time_days")[test_n], of.column("event")[test_n], of.stratum_n[test_n]
        table = concordances(risk_n, *columns, pooled_n)["C-index"]
        pooled = table["pooled"] if pooled_n is not None else np.nan
        row = {"C-index": table["mean"], "weighted": table["weighted"], "pooled": pooled, **others}
        rows.append({"method": method, "seed": seed, "fold": fold, **row})
        for cohort, value in table.drop(["mean", "weighted", "pooled"]).items():
            cohorts.append({"method": method, "seed": seed, "fold": fold, "cohort": cohort, "C-index": value})

    for fold, trained_n in folds(of):
        if arguments.folds is not None and fold not in arguments.folds:
            continue
        test_n = ~trained_n
        for method, risk_n in plain(of, fold, trained_n, arguments).items():
            for seed in arguments.seeds[:1]:
                score(method, seed, fold, test_n, risk_n[test_n])
        for seed in arguments.seeds:
            start = "trained" if arguments.trained else "at its start"
            z_risk_n = frozen_embedding(of, fold, trained_n, seed, arguments)
            score(f"Cox per cohort, {arguments.family} {start}", seed, fold, test_n, z_risk_n[test_n])
            for method, found in ours(of, fold, trained_n, seed, arguments).items():
                (brier, none, _), (_, _, error) = found["calibrated"]
                own = {
                    "Brier": brier,
                    "Brier, no risk": none,
                    "calibration": error,
                    "held out": float(found["held out"]),
                }
                score(method, seed, fold, test_n, found["log risk"], pooled=found["pooled"], **own)
                for part in ("covariates", "own Cox", "pooled Cox", "network"):
                    if np.isfinite(found[part]).all():
                        score(f"  {part} of {method}", seed, fold, test_n, found[part])
    return pd.DataFrame(rows), pd.DataFrame(cohorts)


def p_values(cohorts: pd.DataFrame, unit: str) -> Callable[[str, str], str]:
    means = cohorts.groupby(["method", unit], sort=False)["C-index"].mean().unstack(0)

    def compared(method: str, rival: str) -> str:
        both = means[[method, rival]].dropna()
        found = sign_flip(both[method], both[rival])
        won = int((both[method] > both[rival]).sum())
        return f"{method} - {rival}: {found.difference:+.4f}, higher in {won} of {len(both)}, p = {found.p_value:.4f}"

    return compared


def report(of: Set, rows: pd.DataFrame, cohorts: pd.DataFrame) -> None:
    per_seed = rows.drop(columns="fold").groupby(["method", "seed"], sort=False).mean().reset_index("seed")
    columns = ["C-index", "weighted", "pooled", "Brier", "Brier, no risk", "calibration", "held out"]
    print(f"\n== {of.name}: {of.data.n_obs:,} patients, {int(of.column('event').sum()):,} deaths")
    print(shown(per_seed, columns, "C-index").to_string())
    means = per_seed.groupby(level=0)["C-index"].mean()
    compared = p_values(cohorts, "cohort" if of.stratum_key else "fold")
    for method in [name for name in means.index if name.startswith(OURS)]:
        with_age = "age" in method
        for rival in [f"{COX} + age" if with_age else COX, *([AGE] if with_age else [])]:
            print(compared(method, rival))
    age = means.get(AGE, np.nan)
    goals = {
        "pancan": {OURS: 0.651, f"{OURS} + age": 0.679},
        "brca": {f"{OURS} + age": age},
        "laml": {f"{OURS} + age": age - 0.005},
    }
    for method, bar in goals[of.name].items():
        if method in means:
            print(verdict(means[method] >= bar, f"{of.name}, {method}: {means[method]:.4f}, wanted {bar:.4f}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=["pancan", "brca", "laml"], default=["pancan", "brca", "laml"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--trained", action="store_true", help="train the family before")
    parser.add_argument("--family", choices=list(FAMILIES), default="OmicsMLM")
    parser.add_argument("--folds", nargs="+", type=int, default=None, help="all by default")
    parser.add_argument("--tunings", nargs="+", choices=["full", "frozen", "lora", "ia3"], default=["full"])
    parser.add_argument("--likelihoods", nargs="+", choices=["cox", "discrete"], default=["cox"])
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    for name in arguments.sets:
        of = made(name)
        rows, cohorts = measured(of, arguments)
        report(of, rows, cohorts)


if __name__ == "__main__":
    main()
