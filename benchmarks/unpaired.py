"""Two unpaired halves of SNARE-seq: one half of the training cells without RNA, the other without ATAC.

    OMICSMLM_DATA=../shared/data python benchmarks/unpaired.py [--seeds 0 1 2]

Labels are carried by 15 nearest neighbours between two disjoint halves of the test libraries, which no training saw: from
RNA-only to ATAC-only cells, back, and, beside it, with both modalities and within one. The same for a model that was
trained on paired cells.
"""

import argparse

import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.neighbors import KNeighborsClassifier

import omicsmlm


def halves(mdata: MuData, seed: int) -> MuData:
    """Take RNA from a random half of the cells and ATAC from the other half."""
    has_rna = np.random.default_rng(seed).permutation(mdata.n_obs) < mdata.n_obs // 2
    return MuData({"rna": mdata["rna"][has_rna].copy(), "atac": mdata["atac"][~has_rna].copy()})


def with_batch(part: MuData, whole: MuData) -> MuData:
    """Carry the library over to the rows of a part."""
    part.obs["library"] = whole.obs["batch"].astype(str).reindex(part.obs_names).to_numpy()
    return part


def transfer(reference: np.ndarray, query: np.ndarray, label_n: np.ndarray, first_n: np.ndarray) -> float:
    """Accuracy of labels carried from the first half of the cells to the second."""
    classifier = KNeighborsClassifier(15).fit(reference[first_n], label_n[first_n])
    return classifier.score(query[~first_n], label_n[~first_n])


def main() -> None:
    """Train on paired and on unpaired cells, print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    mdata = omicsmlm.datasets.snareseq()
    mdata = mdata[(mdata.obs["cell_type"] != "Mis").to_numpy()].copy()
    is_test = (mdata.obs["split"] == "test").to_numpy()
    training, test = mdata[~is_test].copy(), mdata[is_test].copy()
    label_n = test.obs["cell_type"].astype(str).to_numpy()
    views = {
        "both": test,
        "RNA only": MuData({"rna": test["rna"].copy()}),
        "ATAC only": MuData({"atac": test["atac"].copy()}),
    }
    rows = []
    for seed in arguments.seeds:
        first_n = np.random.default_rng(seed).permutation(test.n_obs) < test.n_obs // 2
        paired = with_batch(MuData({name: adata.copy() for name, adata in training.mod.items()}), training)
        for name, data in (("paired", paired), ("unpaired halves", with_batch(halves(training, seed), training))):
            model = omicsmlm.OmicsMLM(data, omicsmlm.OmicsMLMConfig(seed=seed), batch_key="library")
            model.train(key_added=None)
            z = {view: model.get_latent_representation(part) for view, part in views.items()}
            for reference, query in (
                ("both", "both"),
                ("RNA only", "RNA only"),
                ("ATAC only", "ATAC only"),
                ("RNA only", "ATAC only"),
                ("ATAC only", "RNA only"),
            ):
                accuracy = transfer(z[reference], z[query], label_n, first_n)
                rows.append({"trained on": name, "from": reference, "to": query, "seed": seed, "k-NN": accuracy})
    table = pd.DataFrame(rows).groupby(["from", "to", "trained on"], sort=False)["k-NN"].agg(["mean", "std"])
    majority = pd.Series(label_n).value_counts(normalize=True).iloc[0]
    print(table.round(3).to_string())
    print(
        f"majority type {majority:.3f}; {test.n_obs} test cells, {training.n_obs} training cells, seeds {arguments.seeds}"
    )


if __name__ == "__main__":
    main()
