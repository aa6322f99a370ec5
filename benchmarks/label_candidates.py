"""Labels of cells of another donor or chemistry: Classifier and each of its candidates beside plain logistic regressions.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/label_candidates.py [--sets cite pbmc_3tech kang] [--seeds 0]

Each donor (BMMC CITE, Kang) or chemistry (pbmc_3tech) in turn is left out of everything. "LR" are standardised logistic
regressions, C = 0.1, of 50 principal components of RNA of the reference; CITE: with 30 of the centred log ratios of
proteins, or with all of these.
"""

import argparse
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, OmicsMLMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines

N_VARIABLE, C = 2000, 0.1
SETS = {
    "cite": (lambda: datasets.load("sc/bmmc_cite_2donor.h5mu"), "batch"),
    "pbmc_3tech": (datasets.pbmc_3tech, "batch"),
    "kang": (lambda: datasets.load("sc/kang_ifnb_pbmc.h5ad"), "donor"),
}
"""How a set is loaded, and the column of what is left out."""


def dense(part: Any) -> np.ndarray:
    return np.asarray(part.X.toarray() if hasattr(part.X, "toarray") else part.X, dtype=np.float64)


def plain_features(reference: Any, test: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if "adt" not in getattr(reference, "mod", {}):
        return {"LR PCA": baselines.projected_pca(reference, test)}
    rna, protein = [], []
    for data in (reference, test):
        x_ng, y_ng = dense(data["rna"]), np.log1p(dense(data["adt"]))
        rna.append(np.log1p(x_ng / x_ng.sum(1, keepdims=True) * 1e4))
        protein.append(y_ng - y_ng.mean(1, keepdims=True))
    variable = np.argsort(-rna[0].var(0))[:N_VARIABLE]
    of_rna = PCA(50, random_state=0).fit(rna[0][:, variable])
    of_protein = PCA(30, random_state=0).fit(protein[0])
    x_nd, q_nd = (of_rna.transform(part[:, variable]) for part in rna)
    y_nd, p_nd = (of_protein.transform(part) for part in protein)
    return {
        "LR PCA + CLR (80)": (np.hstack([x_nd, y_nd]), np.hstack([q_nd, p_nd])),
        "LR PCA + all CLR": (np.hstack([x_nd, protein[0]]), np.hstack([q_nd, protein[1]])),
    }


def probabilities(reference: Any, test: Any, seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    n_batches = reference.obs["batch"].nunique()
    model = OmicsMLM(reference, OmicsMLMConfig(seed=seed), batch_key="batch" if n_batches > 1 else None)
    model.train(key_added=None, progress_bar=False)
    classifier = Classifier.from_model(model, "cell_type", config=ClassifierConfig(seed=seed, component_models=True))
    classifier.train(progress_bar=False)
    print(classifier.candidates.round(3).to_string())
    yield "Classifier", classifier.predict(test, soft=True)
    for name, table in classifier.predict_candidates(test).items():
        yield f"  {name}", table
    for name, (x_nd, q_nd) in plain_features(reference, test).items():
        for weight in ("balanced", None):
            regression = LogisticRegression(C=C, class_weight=weight, max_iter=2000)
            fitted = make_pipeline(StandardScaler(), regression).fit(x_nd, reference.obs["cell_type"].astype(str))
            yield f"{name}, {weight or 'unbalanced'}", pd.DataFrame(fitted.predict_proba(q_nd), columns=fitted.classes_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    for name in arguments.sets:
        load, key = SETS[name]
        data = load()
        batches, rows = data.obs[key].astype(str), []
        for seed in arguments.seeds:
            for batch in sorted(batches.unique()):
                is_test = (batches == batch).to_numpy()
                test = data[is_test].copy()
                truth = test.obs["cell_type"].astype(str)
                for method, table in probabilities(data[~is_test].copy(), test, seed):
                    called = table.columns.to_numpy()[table.to_numpy().argmax(1)]
                    scores = {
                        "accuracy": accuracy_score(truth, called),
                        "macro F1": f1_score(truth, called, average="macro", zero_division=0),
                        "ECE": evaluation.reliability(table, truth).attrs["ECE"],
                    }
                    rows.append({"method": method, "left out": batch, "seed": seed, **scores})
        found = pd.DataFrame(rows)
        print(f"\n== {name}\n{found.round(3).to_string()}")
        means = found.groupby("method", sort=False)[["accuracy", "macro F1", "ECE"]].mean()
        print(means.round(3).to_string())
        regret = means[means.index.str.startswith("LR")][["accuracy", "macro F1"]].max() - means.loc["Classifier"]
        print(f"regret of Classifier: {regret[['accuracy', 'macro F1']].round(3).to_dict()}", flush=True)


if __name__ == "__main__":
    main()
