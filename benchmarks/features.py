"""What OmicsMLM makes of features: known gene pairs in its feature embedding, and markers in its attributions.

    OMICSMLM_DATA=../shared/data python benchmarks/features.py [--cache DIR] [--seed 0]

Pairs: share of known pairs of genes (gene_pairs.csv.gz) whose cosine is in the lowest or the highest 5 % of all pairs;
.10 by chance; of all pairs, and of pairs of genes as abundant as they. The definition of the embedding was chosen with both
sets in view: neither is a clean test of it. Attributions: the five first features of each type, and, against a t-test, what is lost when a type's first features are set to their mean, and how
well a logistic regression tells the types by the first features alone.
"""

import argparse
import logging
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _pairs import gene_pairs, mean_beside_noise
from anndata import AnnData
from mudata import MuData
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import omicsmlm
from omicsmlm.data import observation_loader

SETS = {"teaseq": (omicsmlm.datasets.teaseq, None), "pbmc_3tech": (omicsmlm.datasets.pbmc_3tech, "batch")}
MARKERS = ["IL7R", "CD3D", "MS4A1", "CD79A", "LYZ", "CD14", "NKG7", "GNLY", "FCGR3A", "FCER1A", "PPBP", "CD8A"]
MARKERS += [f"adt:{name}" for name in ("CD3", "CD4", "CD8a", "CD14", "CD16", "CD19", "CD56")]


def fitted(name: str, folder: Path | None, seed: int) -> tuple[omicsmlm.OmicsMLM, omicsmlm.OmicsMLM]:
    """The model untrained and trained, from the cache if it is there."""
    load, batch_key = SETS[name]
    data = load()
    untrained = omicsmlm.OmicsMLM(data, omicsmlm.OmicsMLMConfig(seed=seed), batch_key=batch_key)
    place = None if folder is None else folder / f"features-{name}-{seed}"
    if place is not None and place.exists():
        return untrained, omicsmlm.OmicsMLM.load(place, load())
    model = omicsmlm.OmicsMLM(load(), omicsmlm.OmicsMLMConfig(seed=seed), batch_key=batch_key)
    start = time.process_time()
    model.train(key_added=None, progress_bar=False)
    print(f"{name}: trained in {time.process_time() - start:.0f} CPU-s", flush=True)
    if place is not None:
        model.save(place)
    return untrained, model


def inputs(model: omicsmlm.OmicsMLM) -> pd.DataFrame:
    """The scaled values of all features, one column per modality and feature."""
    n_obs = model.adata.n_obs
    (batch,) = observation_loader(model.adata_manager, np.arange(n_obs), n_obs)
    scaled = model._scaled(model.parts.tokenizer(batch))
    blocks = []
    for name, x_ng in scaled.items():
        names = np.asarray(model.adata_manager.modalities[name]["vocabulary"])[model._encoded_features(name)]
        blocks.append(pd.DataFrame(x_ng.numpy(), columns=pd.MultiIndex.from_product([[name], names])))
    return pd.concat(blocks, axis=1)


# ---- known pairs --------------------------------------------------------------------------------------------------


def recall(embedding_gd: np.ndarray, names: pd.Index, abundance_g: np.ndarray) -> dict[str, float]:
    """Share of known pairs in the two tails, per source: of all pairs, and of pairs of genes as abundant."""
    found = omicsmlm.evaluation.relationship_recall(embedding_gd, names, gene_pairs())
    matched = omicsmlm.evaluation.relationship_recall(embedding_gd, names, gene_pairs(), matched_on=abundance_g)
    of_all = {f"{source} ({row.n:.0f})": row.recall for source, row in found.iterrows()}
    return {**of_all, **{f"matched {source}": row.recall for source, row in matched.iterrows()}}


def abundance(model: omicsmlm.OmicsMLM, names: pd.Index) -> np.ndarray:
    """Mean log count of some genes."""
    assert model.adata is not None
    rna = model.adata["rna"] if isinstance(model.adata, MuData) else model.adata
    x_ng = omicsmlm.evaluation.baselines._linear.log_normalise(rna.X)
    return np.asarray(x_ng.mean(0)).ravel()[rna.var_names.get_indexer(names)]


def svd(x_ng: np.ndarray, k: int) -> np.ndarray:
    _, strength, turned = np.linalg.svd(x_ng - x_ng.mean(0), full_matrices=False)
    return (turned[:k] * strength[:k, None]).T


def embeddings(untrained: omicsmlm.OmicsMLM, model: omicsmlm.OmicsMLM, seed: int) -> dict[str, np.ndarray]:
    """Ours, other definitions from the same model, and the controls."""
    rng, x_ng = np.random.default_rng(seed), inputs(model)["rna"].to_numpy()
    module = model.module
    token_gw = module.features.features[module.features.names.index("rna")].weight.detach().numpy().T
    linear_dw = (module.readout.scale_d[:, None] * module.readout.skip.weight).detach().numpy()
    ours = model.get_feature_embedding("rna").to_numpy()
    made = {
        "OmicsMLM": ours,
        "  untrained": untrained.get_feature_embedding("rna").to_numpy(),
        "  names shuffled": rng.permutation(ours),
        "  token embedding": token_gw,
        "  linear path": token_gw @ linear_dw.T,
        "  decoder": model.get_feature_embedding("rna", which="decoder").to_numpy(),
        "  decoder, untrained": untrained.get_feature_embedding("rna", which="decoder").to_numpy(),
        "gene SVD (50)": svd(x_ng, 50),
        f"gene SVD ({ours.shape[1]})": svd(x_ng, ours.shape[1]),
        "random": rng.normal(size=ours.shape),
    }
    if "batch" in model.adata.obs:
        means = pd.DataFrame(x_ng).groupby(model.adata.obs["batch"].to_numpy()).transform("mean").to_numpy()
        made[f"gene SVD ({ours.shape[1]}) within batch"] = svd(x_ng - means, ours.shape[1])
    return made


# ---- attributions -------------------------------------------------------------------------------------------------


def t_test(x: pd.DataFrame, label_n: np.ndarray, types: list[str]) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # features that are the same in all rows
        rows = [stats.ttest_ind(x[label_n == t], x[label_n != t], equal_var=False).statistic for t in types]
    return pd.DataFrame(np.nan_to_num(rows), index=types, columns=x.columns)


def evaluated(model: omicsmlm.OmicsMLM, x: pd.DataFrame, label_n: np.ndarray, score: pd.DataFrame) -> dict[str, float]:
    """Loss of the labels' classifier when first features are set to their mean; a probe on first features alone."""
    evaluated_n = np.isin(label_n, score.index)
    z_nd = model.get_latent_representation()
    probe = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    mean_d, deviation_d = z_nd.mean(0), z_nd.std(0)
    probe.fit((z_nd - mean_d) / deviation_d, label_n)
    ranked = np.argsort(-score.to_numpy(), axis=1)
    found = {}
    for k in (10, 50):
        moved = x.to_numpy(copy=True)
        for i, label in enumerate(score.index):
            moved[np.ix_(label_n == label, ranked[i, :k])] = 0
        z_moved_nd = embedded(model, moved)
        right_n = probe.predict((z_moved_nd - mean_d) / deviation_d) == label_n
        found[f"accuracy without first {k}"] = float(right_n[evaluated_n].mean())
    for k in (2, 5):
        chosen = np.unique(ranked[:, :k])
        score_n = cross_val_score(probe, x.to_numpy()[evaluated_n][:, chosen], label_n[evaluated_n], cv=5)
        found[f"accuracy by first {k}"] = float(score_n.mean())
    return found


def embedded(model: omicsmlm.OmicsMLM, x_ng: np.ndarray) -> np.ndarray:
    (batch,) = observation_loader(model.adata_manager, np.arange(len(x_ng)), len(x_ng))
    grids = model.parts.tokenizer(batch)
    sizes = np.cumsum([grid.values.shape[1] for grid in grids.values()])[:-1]
    scaled = dict(zip(grids, map(torch.from_numpy, np.split(x_ng, sizes, axis=1)), strict=True))
    with torch.no_grad():
        return model._embed_scaled(scaled, grids, batch).numpy()


def explained(model: omicsmlm.OmicsMLM, seed: int) -> None:
    """Print the first features of each type and the comparison with a t-test."""
    data: AnnData | MuData = model.adata
    label_n = data.obs["cell_type"].astype(str).to_numpy()
    start = time.process_time()
    table = model.attribute(labels="cell_type")
    spent, error = time.process_time() - start, table.attrs["completeness_error"] / table.attrs["difference"]
    print(f"attributions in {spent:.0f} CPU-s, completeness error {error:.2%} of the difference")
    x = inputs(model)
    wide = table.pivot(index="label", columns=["modality", "feature"], values="attribution")[x.columns]
    types = [t for t in wide.index if (label_n == t).sum() >= 10]
    scores = {"attribution": wide.loc[types], "t-test": t_test(x, label_n, types)}
    noise = np.random.default_rng(seed).normal(size=scores["t-test"].shape)
    scores["random"] = pd.DataFrame(noise, index=types, columns=x.columns)
    show = lambda place: place[1] if place[1].startswith("adt:") or place[0] == "rna" else f"{place[0]}:{place[1]}"
    for label in types:
        firsts = [" ".join(map(show, scores[s].loc[label].nlargest(5).index)) for s in ("attribution", "t-test")]
        print(f"  {label:16s} {(label_n == label).sum():4d}  {firsts[0]}\n{'':24s}t-test: {firsts[1]}")
    ranks = {s: scores[s].rank(axis=1, ascending=False) for s in ("attribution", "t-test")}
    shown = {show(place): [int(rank[place].min()) for rank in ranks.values()] for place in x.columns}
    print("  best rank in a type (attribution, t-test):", {m: shown[m] for m in MARKERS if m in shown})
    print(pd.DataFrame({s: evaluated(model, x, label_n, score) for s, score in scores.items()}).T.round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in arguments.sets:
        untrained, model = fitted(name, arguments.cache, arguments.seed)
        names = inputs(model)["rna"].columns
        print(f"\n== {name}: known pairs among {len(names)} genes")
        abundance_g, made = abundance(model, names), embeddings(untrained, model, arguments.seed)
        control_gk = mean_beside_noise(abundance_g, 80, np.random.default_rng(arguments.seed))
        made["  mean log count, random numbers"] = control_gk
        found = {k: recall(e_gd, names, abundance_g) for k, e_gd in made.items()}
        print(pd.DataFrame(found).T.round(3).to_string())
        explained(model, arguments.seed)


if __name__ == "__main__":
    main()
