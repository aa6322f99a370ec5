"""IsoFormer on real sequences: expression in 61 tissues, of 3'-UTR reporters, and of the isoforms of a gene.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/isoformer.py [--parts tissues mpra isoforms] [--seeds 0 1] [--baselines-only] [--models all cds ...]
                                   [--epochs N] [--pretrain N] [--rows N] [--set width=96 ...] [--by-output]
                                   [--shuffle protein ...] [--intervals] [--cache DIR] [--out DIR]

Everything is fitted on the rows with ``split`` train (strengths and epochs on a part of these, by group) and scored on test;
val is not touched. R2, Spearman and the centred, that is tissue-specific, correlation are means over outputs; for isoforms also
the order within genes. Each block of the table holds the same test rows for all its methods.

tissues   Rows with a promoter, a protein, a coding sequence, with several of these, and all. "all" is trained on all rows and
          shown all that a row has; "k-mers and lengths of all" is ridge on the frequencies and lengths beside each other, zero
          and an indicator where a modality is absent, and "average of these ridges" the mean of those that a row has sequences
          for. "all, shown X" is trained on all and shown X alone at the test.
mpra      Fragments of 3'-UTRs.
isoforms  RNA, the protein of the longest open reading frame, and both. The first baseline says that isoforms are alike.

With --models these alone are trained, "all" or columns, and no baselines. With --rows the training rows are cut to the first so many. With --epochs
trainings are cut short, to try the script out: the regressions beside the network are then the same, the network is not.
--set changes the Config of all models, --pretrain N lets encoders guess letters for N epochs first. --shuffle, a control, gives
the sequences of a column to the models as those of other observations, drawn at random among training and among test rows. --by-output tells, tissue by
tissue, how well the model of all predicts from each sequence alone, on the rows that have several. With --intervals
each model's lead over the best plain baseline of a block has its 95 % interval, by a paired bootstrap over the groups of the test
rows, means of seeds.
"""

import argparse
import ast
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import shown, verdict
from anndata import AnnData

from omicsmlm import IsoFormer, IsoFormerConfig, datasets
from omicsmlm.evaluation import sequence_baselines as baselines
from omicsmlm.evaluation.sequence_baselines import AMINO_ACIDS, NUCLEOTIDES

OURS = "IsoFormer"
COLUMNS = ["rows", "R2", "Spearman", "centred", "Spearman within", "pairs within", "CPU-s"]
SLACK = 0.02
"""What a model of all may lose against one that was trained without the others, when it is shown one modality alone."""
LEAST = 30
"""Test rows from which on a set of modalities gets a block of its own."""
N_DRAWS = 500
"""Draws of a bootstrap."""


class Kmers(NamedTuple):
    """What the ridge baseline of a sequence looks at."""

    alphabet: str
    sizes: tuple[int, ...]  # 0 stands for codons
    more: tuple[tuple[int, ...], ...] = ()  # further baselines


class Part(NamedTuple):
    """One table, its sequences (column: key of setup_anndata), and R2 and Spearman from the README of the data."""

    load: Callable[[], AnnData]
    group: str
    keys: dict[str, str]
    kmers: dict[str, Kmers]
    reference: dict[str, tuple[float, float]]


PARTS = {
    "tissues": Part(
        datasets.tissues61,
        "group",
        {"promoter": "dna", "protein": "protein", "cds": "rna"},
        {
            "promoter": Kmers(NUCLEOTIDES, (5,), ((4,),)),
            "protein": Kmers(AMINO_ACIDS, (1, 2)),
            "cds": Kmers(NUCLEOTIDES, (0,)),
        },
        {"promoter": (0.301, 0.528), "protein": (0.084, 0.326), "cds": (-0.005, 0.278)},
    ),
    "mpra": Part(
        datasets.mpra_utr,
        "group",
        {"utr": "rna"},
        {"utr": Kmers(NUCLEOTIDES, (1, 2, 3, 4, 5), ((4,),))},
        {"utr": (0.096, 0.352)},
    ),
    "isoforms": Part(
        datasets.isoforms,
        "gene_id",
        {"rna": "rna", "protein": "protein"},
        {"rna": Kmers(NUCLEOTIDES, (3, 4)), "protein": Kmers(AMINO_ACIDS, (1, 2))},
        {"rna": (0.052, 0.275)},
    ),
}


class Task(NamedTuple):
    """A table in memory."""

    name: str
    part: Part
    adata: AnnData
    y_nt: np.ndarray
    trained_n: np.ndarray  # bool
    tested_n: np.ndarray
    visible: dict[str, np.ndarray]  # which rows have the sequence

    @property
    def groups(self) -> np.ndarray:
        return self.adata.obs[self.part.group].astype(str).to_numpy()

    def texts(self, column: str) -> list[Any]:
        return self.adata.obs[column].tolist()


def task(name: str, rows: int | None) -> Task:
    part = PARTS[name]
    adata = part.load()
    split = adata.obs["split"].astype(str).to_numpy()
    trained_n = split == "train"
    if rows is not None:
        trained_n &= np.cumsum(trained_n) <= rows
    visible = {column: adata.obs[column].notna().to_numpy() for column in part.keys}
    y_nt = np.asarray(adata.X, dtype=np.float64)
    return Task(name, part, adata, y_nt, trained_n, split == "test", visible)


# ---- baselines ----------------------------------------------------------------------------------------------------


def label(sizes: tuple[int, ...]) -> str:
    words = "codons" if sizes == (0,) else f"{', '.join(map(str, sizes))}-mers"
    return f"ridge on {words} and length"


def on_rows(of: Task, visible_n: np.ndarray, predict: Callable[..., np.ndarray]) -> np.ndarray:
    """Predictions of a baseline for the rows that have what it reads, NaN elsewhere; `predict` is given the rows."""
    predicted_nt = np.full(of.y_nt.shape, np.nan)
    rows = np.flatnonzero(visible_n)
    predicted_nt[rows] = predict(rows, of.y_nt[rows], of.trained_n[rows], groups=of.groups[rows])
    return predicted_nt


def kmer_baseline(of: Task, column: str, sizes: tuple[int, ...]) -> np.ndarray:
    texts, alphabet = np.array(of.texts(column), dtype=object), of.part.kmers[column].alphabet

    def predict(rows: np.ndarray, *data: Any, **groups: Any) -> np.ndarray:
        if sizes == (0,):
            return baselines.codon_ridge(texts[rows], *data, **groups)
        return baselines.kmer_ridge(texts[rows], *data, k=sizes, alphabet=alphabet, **groups)

    return on_rows(of, of.visible[column], predict)


def length_baseline(of: Task, columns: list[str]) -> np.ndarray:
    texts = {column: np.array(of.texts(column), dtype=object) for column in columns}
    some_n = np.any([of.visible[column] for column in columns], axis=0)
    return on_rows(
        of,
        some_n,
        lambda rows, *data, **groups: baselines.length({c: t[rows] for c, t in texts.items()}, *data, **groups),
    )


def concatenation(of: Task) -> np.ndarray:
    """Ridge on the k-mers and lengths of all modalities."""
    features = {}
    for column, kmers in of.part.kmers.items():
        texts = of.texts(column)
        blocks = [
            baselines.kmer_frequencies(texts, size, kmers.alphabet) if size else baselines.codon_frequencies(texts)
            for size in kmers.sizes
        ]
        lengths_nd = baselines.length_features({column: texts})[:, :2]
        absent_n = ~of.visible[column][:, None]
        features[column] = np.where(absent_n, np.nan, np.hstack(blocks))
        features[f"length of {column}"] = np.where(absent_n, np.nan, lengths_nd)
    return baselines.concatenated_ridge(features, of.y_nt, of.trained_n, groups=of.groups)


def plain(of: Task) -> dict[str, Callable[[], np.ndarray]]:
    """Each baseline by its name."""
    found: dict[str, Callable[[], np.ndarray]] = {}
    mean_t = np.nanmean(of.y_nt[of.trained_n], axis=0)
    found["mean of the training rows"] = lambda: np.tile(mean_t, (len(of.y_nt), 1))
    for column, kmers in of.part.kmers.items():
        found[f"{column}: length"] = lambda c=column: length_baseline(of, [c])
        for sizes in (kmers.sizes, *kmers.more):
            found[f"{column}: {label(sizes)}"] = lambda c=column, s=sizes: kmer_baseline(of, c, s)
    if len(of.part.keys) > 1:
        found["lengths of all"] = lambda: length_baseline(of, list(of.part.keys))
        found["k-mers and lengths of all"] = lambda: concatenation(of)
    return found


def averaged(of: Task, kept: dict[str, tuple[np.ndarray, float]]) -> dict[str, tuple[np.ndarray, float]]:
    """The mean of what the ridges of the sequences that a row has say, one per modality."""
    if len(of.part.keys) == 1:
        return {}
    own = [kept[f"{column}: {label(kmers.sizes)}"] for column, kmers in of.part.kmers.items()]
    return {"average of these ridges": (np.nanmean([nt for nt, _ in own], axis=0), sum(spent for _, spent in own))}


# ---- models -------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """What the command line asks for."""

    seeds: list[int]
    epochs: int | None
    rows: int | None
    pretrain: int
    models: list[str] | None
    changes: dict[str, Any]
    shuffle: list[str]
    kept: Kept

    @property
    def tag(self) -> str:
        short = {"epochs": self.epochs, "rows": self.rows, "pretrain": self.pretrain or None}
        short["shuffle"] = "+".join(self.shuffle) or None
        told = {**self.changes, **{name: value for name, value in short.items() if value is not None}}
        return "_".join(f"{name}={value}" for name, value in told.items())


def only(adata: AnnData, columns: list[str], keys: dict[str, str]) -> AnnData:
    """The rows without their other sequences."""
    light = adata.copy()
    for column in keys:
        if column not in columns:
            light.obs[column] = pd.Series([None] * light.n_obs, index=light.obs_names, dtype=object)
    return light


def shuffled(of: Task, columns: list[str], seed: int) -> Task:
    """The task with the sequences of columns given to other rows that have one, of the training or of the test rows."""
    adata, rng = of.adata.copy(), np.random.default_rng(seed)
    for column in columns:
        texts = np.array(of.texts(column), dtype=object)
        for of_n in (of.trained_n, of.tested_n):
            rows = np.flatnonzero(of_n & of.visible[column])
            texts[rows] = texts[rng.permutation(rows)]
        adata.obs[column] = pd.Series(texts, index=adata.obs_names, dtype=object)
    return of._replace(adata=adata)


def trained(of: Task, columns: list[str], run: Run, seed: int) -> IsoFormer:
    """A model of these sequences, on the training rows that have one of them."""
    some_n = np.any([of.visible[column] for column in columns], axis=0)
    adata = of.adata[of.trained_n & some_n].copy()
    keys = {f"{of.part.keys[column]}_key": column for column in columns}
    IsoFormer.setup_anndata(adata, group_key=of.part.group, **keys)
    model = IsoFormer(adata, IsoFormerConfig(**run.changes, seed=seed))
    if run.pretrain:
        model.pretrain(run.pretrain, progress_bar=False)
    model.train(run.epochs, progress_bar=False, key_added=None)
    return model


def foretold(of: Task, model: IsoFormer, columns: list[str]) -> np.ndarray:
    """What a model that is shown these sequences says of the test rows that have one of them; NaN elsewhere."""
    rows = np.flatnonzero(np.any([of.visible[column] for column in columns], axis=0) & of.tested_n)
    predicted_nt = np.full(of.y_nt.shape, np.nan)
    predicted_nt[rows] = model.predict(only(of.adata[rows], columns, of.part.keys)).to_numpy()
    return predicted_nt


def ours(of: Task, run: Run, seed: int) -> dict[str, tuple[np.ndarray, float]]:
    """Predictions of the models and the CPU-seconds of their training."""
    columns, found = list(of.part.keys), {}
    of = shuffled(of, run.shuffle, seed)
    for column in [c for c in columns if run.models is None or c in run.models]:
        name = f"{OURS}, {column} alone"
        stored = f"{of.name} {name} {run.tag} {seed}"
        found[name] = run.kept(stored, lambda c=column: foretold(of, trained(of, [c], run, seed), [c]))
    if len(columns) == 1 or (run.models is not None and "all" not in run.models):
        return found

    def together() -> dict[str, np.ndarray]:
        model = trained(of, columns, run, seed)
        shown_alone = {f"{OURS}, all, shown {c}": foretold(of, model, [c]) for c in columns}
        return {f"{OURS}, all": foretold(of, model, columns), **shown_alone}

    arrays, seconds = run.kept.arrays(f"{of.name} {OURS}, all {run.tag} {seed}", together)
    return found | {name: (predicted_nt, seconds) for name, predicted_nt in arrays.items()}


# ---- tables -------------------------------------------------------------------------------------------------------


def blocks(of: Task) -> dict[str, np.ndarray]:
    """Sets of test rows by what they have; of equal ones the first."""
    found = {f"rows with {column}": of.tested_n & visible_n for column, visible_n in of.visible.items()}
    kind_n = np.array(
        [" + ".join(c for c in of.visible if of.visible[c][n]) for n in range(of.adata.n_obs)], dtype=object
    )
    for kind in pd.unique(kind_n[of.tested_n]):
        if "+" in kind and (of.tested_n & (kind_n == kind)).sum() >= LEAST:
            found[f"rows with {kind} alone"] = of.tested_n & (kind_n == kind)
    found["rows with several"] = of.tested_n & (np.sum(list(of.visible.values()), axis=0) > 1)
    found["all rows"] = of.tested_n
    names: dict[bytes, str] = {}
    for block, of_n in found.items():
        names.setdefault(of_n.tobytes(), block)
    return {block: found[block] for block in names.values() if found[block].any()}


def measured(of: Task, methods: dict[str, tuple[np.ndarray, float]], seed: int) -> pd.DataFrame:
    """Scores in each block of the methods that predict all of its rows."""
    groups, rows = of.groups if of.name == "isoforms" else None, []
    for block, of_n in blocks(of).items():
        for method, (predicted_nt, seconds) in methods.items():
            if not np.isfinite(predicted_nt[of_n]).all():
                continue
            own = None if groups is None else groups[of_n]
            scores = baselines.sequence_scores(of.y_nt[of_n], predicted_nt[of_n], own)
            rows.append(
                {"block": block, "method": method, "seed": seed, "rows": of_n.sum(), "CPU-s": seconds, **scores}
            )
    return pd.DataFrame(rows)


def report(of: Task, rows: pd.DataFrame) -> None:
    print(f"\n== {of.name}: {of.trained_n.sum():,} training rows, {of.y_nt.shape[1]} outputs")
    for block, table in rows.groupby("block", sort=False):
        print(f"\n-- {block}: {table['rows'].iloc[0]:,} test rows")
        columns = [column for column in COLUMNS if column != "rows" and column in table]
        print(shown(table.set_index("method"), columns, "Spearman").to_string())
        r2, spearman = of.part.reference.get(str(block).removeprefix("rows with "), (np.nan, np.nan))
        if np.isfinite(r2):
            print(f"reference (README of the data): R2 {r2:.3f}, Spearman {spearman:.3f}")
    for line in verdicts(of, rows):
        print(line)


def intervals(
    of: Task, kept: dict[str, tuple[np.ndarray, float]], found: list[dict[str, tuple[np.ndarray, float]]]
) -> None:
    """Print by how much the models of all seeds lead the best plain baseline, R2 and Spearman, and 95 % intervals."""
    print(f"\n-- lead over the best plain baseline by Spearman, and 95 % interval over groups ({N_DRAWS} draws)")
    for block, of_n in blocks(of).items():
        usable = {name: p_nt for name, (p_nt, _) in kept.items() if np.isfinite(p_nt[of_n]).all()}
        ours = [name for name in found[0] if np.isfinite(found[0][name][0][of_n]).all()]
        if not usable or not ours:
            continue
        best = max(usable, key=lambda name: _two(of.y_nt[of_n], usable[name][of_n])[1])
        rows = list(pd.Series(np.flatnonzero(of_n)).groupby(of.groups[of_n]).apply(np.asarray))
        for name in ours:
            told = lead(of.y_nt, [methods[name][0] for methods in found], usable[best], rows)
            print(f"{block}, {name} over {best}: R2 {told[0]}, Spearman {told[1]}", flush=True)


def lead(y_nt: np.ndarray, ours: list[np.ndarray], other_nt: np.ndarray, rows: list[np.ndarray]) -> list[str]:
    """By how much R2 and Spearman of ours, mean of seeds, exceed the other's, in words; ``rows`` are those of each group."""

    def above(at: np.ndarray) -> np.ndarray:
        return np.mean([_two(y_nt[at], own_nt[at]) for own_nt in ours], axis=0) - _two(y_nt[at], other_nt[at])

    draws = np.random.default_rng(0).integers(0, len(rows), (N_DRAWS, len(rows)))
    drawn = [above(np.concatenate([rows[group] for group in groups])) for groups in draws]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    found = above(np.concatenate(rows))
    return [f"{x:.3f} ({a:.3f} to {b:.3f})" for x, a, b in zip(found, low, high, strict=True)]


def _two(y_nt: np.ndarray, predicted_nt: np.ndarray) -> np.ndarray:
    scores = baselines.sequence_scores(y_nt, predicted_nt)
    return np.array([scores["R2"], scores["Spearman"]])


def by_output(of: Task, found: list[dict[str, tuple[np.ndarray, float]]]) -> None:
    """Print which sequence predicts each output best, of the model of all that is shown one alone; rows that have them all.

    The halves of the test rows, at random, tell whether outputs differ in this by more than chance.
    """
    columns = [c for c in of.part.keys if c != "cds"]  # of which a protein is the translation
    of_n = np.flatnonzero(of.tested_n & np.all([of.visible[c] for c in columns], axis=0))
    order = np.random.default_rng(0).permutation(len(of_n))
    halves = {"all": of_n, "one half": of_n[order[::2]], "other half": of_n[order[1::2]]}
    names = [f"{OURS}, all", *(f"{OURS}, all, shown {c}" for c in columns)]

    def scores(rows: np.ndarray) -> pd.DataFrame:
        seeds = [
            {m: baselines.output_scores(of.y_nt[rows], methods[m][0][rows])["Spearman"].to_numpy() for m in names}
            for methods in found
        ]
        return sum(pd.DataFrame(own, index=of.adata.var_names) for own in seeds) / len(seeds)

    tables = {name: scores(rows) for name, rows in halves.items()}
    gains = {name: table[names[1]] - table[names[2]] for name, table in tables.items()}
    agreement = gains["one half"].corr(gains["other half"], method="spearman")
    print(f"\n-- by output, {len(of_n):,} test rows with {' and '.join(columns)}: Spearman over rows, mean of seeds")
    print(tables["all"].describe().loc[["mean", "std", "min", "max"]].round(3).to_string())
    best = tables["all"][names[1:]].idxmax(axis=1).value_counts()
    print("best by one alone:", ", ".join(f"{name.rpartition(' ')[2]} {n}" for name, n in best.items()))
    print(f"{columns[0]} less {columns[1]}, halves of the rows: Spearman over outputs {agreement:.2f}")
    order = gains["all"].sort_values()
    print(pd.concat([order.head(5), order.tail(5)]).round(3).to_string())


def verdicts(of: Task, rows: pd.DataFrame) -> list[str]:
    """What the issue asks for: one modality above its baselines, all above whatever else there is, and one that is dropped at
    the test no loss against a model that never had it.
    """
    lines = []
    for block, table in rows.groupby("block", sort=False):
        means = table.groupby("method", sort=False)[["R2", "Spearman"]].mean()
        for method in means.index[means.index.str.startswith(OURS)]:
            column = method.removeprefix(f"{OURS}, all, shown ").removeprefix(f"{OURS}, ").removesuffix(" alone")
            slack = 0.0
            if ", shown " in method:
                rivals, slack = means.loc[means.index == f"{OURS}, {column} alone"], SLACK
            elif column == "all":
                rivals = means.loc[~means.index.str.contains(", shown ")].drop(index=method)
            else:
                rivals = means.loc[means.index.str.startswith(f"{column}:")].copy()
                if block == f"rows with {column}" and column in of.part.reference:
                    rivals.loc["reference"] = of.part.reference[column]
            for score in rivals if len(rivals) else ():
                got, bar, best = means.loc[method, score], rivals[score].max() - slack, rivals[score].idxmax()
                what = (
                    f"{block}, {method}: {score} {got:.3f}, wanted > {bar:.3f} ({best}{f' less {slack}' * (slack > 0)})"
                )
                lines.append(verdict(got > bar, what))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--baselines-only", action="store_true")
    parser.add_argument("--models", nargs="+", default=None, metavar="NAME", help="all, or columns")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--pretrain", type=int, default=0)
    parser.add_argument("--rows", type=int, default=None, help="training rows")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="Config of the models")
    parser.add_argument("--shuffle", nargs="+", default=[], metavar="COLUMN")
    parser.add_argument("--by-output", action="store_true")
    parser.add_argument("--intervals", action="store_true")
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None, help="folder for the scores as tables")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    changes = {name: _value(value) for name, _, value in (text.partition("=") for text in arguments.set)}
    cut = arguments.epochs, arguments.rows, arguments.pretrain
    run = Run(arguments.seeds, *cut, arguments.models, changes, arguments.shuffle, Kept(arguments.cache))
    for name in arguments.parts:
        of = task(name, arguments.rows)
        baselines_of = plain(of) if run.models is None else {}
        cut = "" if arguments.rows is None else f" rows={arguments.rows}"
        kept = {method: run.kept(f"{name} {method}{cut}", make) for method, make in baselines_of.items()}
        tables = [measured(of, kept | averaged(of, kept), arguments.seeds[0])] if kept else []
        found = [ours(of, run, seed) for seed in ([] if arguments.baselines_only else run.seeds)]
        tables += [measured(of, methods, seed) for methods, seed in zip(found, run.seeds, strict=False)]
        rows = pd.concat(tables, ignore_index=True)
        report(of, rows)
        if arguments.intervals and kept and found:
            intervals(of, kept | averaged(of, kept), found)
        if arguments.by_output and len(of.part.keys) > 1:
            by_output(of, found)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            rows.to_csv(arguments.out / f"isoformer_{name}.csv", index=False)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
