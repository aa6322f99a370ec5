"""The small reference that comes with the package: one donor mapped onto the other, and the model of both saved with its card.

    python benchmarks/reference.py [--seeds 0] [--save FOLDER]

600 cells of bone marrow with RNA and proteins (datasets.bmmc_cite, in the package). Each donor in turn is the query of a model
of the other: ``linear`` and ``k-NN`` carry labels from the reference to the query (types of fewer than 10 cells are left out).
``query of RNA``: the query's proteins were not given. ``shuffled proteins``: the reference was trained with the proteins of
other cells. PCA and log-ratios of proteins are those of the reference, the query projected. With --save the model of both donors and its card are written to a folder.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.decomposition import PCA

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines

Pair = tuple[np.ndarray, np.ndarray]  # embeddings of the reference and of the query
DESCRIPTION = """\
A small reference of human bone marrow: {n_obs} mononuclear cells of two donors by CITE-seq, {n_rna:,} genes and {n_adt} proteins
(a random subset of GSE194122, as in openproblems-bio/neurips2021_multimodal_viash, MIT). It shows how a query is mapped in a
minute; for work, train a reference on an atlas. For labels, neighbours in plain components of both modalities are better here:
what it adds is a place for queries that lack a modality, the alignment of new batches, and expected values of what is missing.

It was trained without labels. Metrics below: each donor mapped onto a model of the other one, seeds {seeds}
(`benchmarks/reference.py`); `untrained` is the same model before training, which starts at principal components."""


def by_donor(data: MuData, donor: str) -> tuple[MuData, MuData]:
    """The cells of all other donors, and those of one."""
    is_query = (data.obs["batch"] == donor).to_numpy()
    return data[~is_query].copy(), data[is_query].copy()


def shuffled_proteins(data: MuData, seed: int) -> MuData:
    """A copy in which each cell has the proteins of another."""
    copy = data.copy()
    copy["adt"].X = copy["adt"].X[np.random.default_rng(seed).permutation(copy.n_obs)]
    return copy


def projected_clr(reference: MuData, query: MuData, n_comps: int) -> Pair:
    """Principal components of the reference's log-ratios of proteins, and the query projected onto them."""
    first, second = baselines.clr(reference, modality="adt"), baselines.clr(query, modality="adt")
    components = PCA(n_comps, random_state=0).fit(first)
    return components.transform(first), components.transform(second)


def beside(first: Pair, second: Pair) -> Pair:
    """Two embeddings side by side, each of total variance one in the reference."""
    scaled = [[part / np.sqrt(pair[0].var(axis=0).sum()) for part in pair] for pair in (first, second)]
    return np.hstack([scaled[0][0], scaled[1][0]]), np.hstack([scaled[0][1], scaled[1][1]])


def ours(reference: MuData, query: MuData, seed: int, *, trained: bool = True) -> dict[str, Pair]:
    """The two by a model of the reference; the query as it is mapped, without training, whole and its RNA alone."""
    model = OmicsMLM(reference, OmicsMLMConfig(seed=seed), batch_key="batch")
    if trained:
        model.train(progress_bar=False, key_added=None)
    first = model.get_latent_representation()
    of_rna = model.get_latent_representation(query["rna"].copy())
    return {"": (first, model.get_latent_representation(query)), ", query of RNA": (first, of_rna)}


def embeddings(reference: MuData, query: MuData, seed: int) -> dict[str, Pair]:
    """By method."""
    mapped = {f"OmicsMLM{suffix}": pair for suffix, pair in ours(reference, query, seed).items()}
    untrained = ours(reference, query, seed, trained=False)
    n_dimensions = mapped["OmicsMLM"][0].shape[1]
    rna = baselines.projected_pca(reference, query, 50)
    return {
        **mapped,
        **{f"OmicsMLM untrained{suffix}": pair for suffix, pair in untrained.items()},
        "OmicsMLM, shuffled proteins": ours(shuffled_proteins(reference, seed), query, seed)[""],
        f"PCA of RNA ({n_dimensions})": baselines.projected_pca(reference, query, n_dimensions),
        "log-ratios of proteins (30)": projected_clr(reference, query, 30),
        "PCA of RNA (50) + log-ratios (30)": beside(rna, projected_clr(reference, query, 30)),
    }


def scores(data: MuData, donor: str, pair: Pair) -> dict[str, float]:
    """Accuracy of labels carried from the other donors to this one."""
    is_query = (data.obs["batch"] == donor).to_numpy()
    whole = np.empty((data.n_obs, pair[0].shape[1]), np.float32)
    whole[~is_query], whole[is_query] = pair
    accuracy = evaluation.probe(whole, data.obs["cell_type"], split=(~is_query, is_query)).xs("mean", level="held_out")
    return {name: float(accuracy.loc[name, "accuracy"]) for name in ("linear", "k-NN")}


def table(data: MuData, seeds: list[int]) -> pd.DataFrame:
    """Mean over donors and seeds, a row per method."""
    rows = []
    for seed in seeds:
        for donor in data.obs["batch"].cat.categories:
            for name, pair in embeddings(*by_donor(data, donor), seed).items():
                rows.append({"embedding": name, "query": donor, "seed": seed, **scores(data, donor, pair)})
                print(rows[-1], flush=True)
    return pd.DataFrame(rows).groupby("embedding", sort=False)[["linear", "k-NN"]].mean().round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("omicsmlm").setLevel(logging.WARNING)
    data = datasets.bmmc_cite()
    found = table(data, arguments.seeds)
    print(found.to_string())
    if arguments.save is None:
        return
    model = OmicsMLM(data, OmicsMLMConfig(seed=0), batch_key="batch")
    model.train(progress_bar=False, key_added=None)
    sizes = {"n_obs": data.n_obs, "n_rna": data["rna"].n_vars, "n_adt": data["adt"].n_vars}
    card = DESCRIPTION.format(**sizes, seeds=", ".join(map(str, arguments.seeds)))
    model.save_to_hub(arguments.save, description=card, license="mit", metrics=found, overwrite=True)
    print(f"{sum(file.stat().st_size for file in arguments.save.iterdir()) / 2**20:.2f} MiB in {arguments.save}")


if __name__ == "__main__":
    main()
