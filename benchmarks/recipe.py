"""Recipes of OmicsMLM, or ScMBERT, compared by leaving one set out: which settings would have been chosen without the set, and what they give on it.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/recipe.py [--recipes default constant …] [--sets …|variants] [--seeds 0] [--cache DIR] [--baselines-only] [--errors]
    python benchmarks/recipe.py --recipes default --sets kept_back --data DIR [--seeds 0 1 2]
    python benchmarks/recipe.py --family ScMBERT --recipes default "adversary of all alike" [--sets …] [--seeds 0]

A recipe is a set of changes to the configuration (``RECIPES``). Each is trained on each set; the regret of a recipe on a set is
the score of the best plain baseline of the set less its own, for the scib total, the accuracy and macro F1 of the linear probe,
and the accuracy of k-NN. The recipe that is chosen without a set is the one of the least largest regret over all other sets (then
of the least mean); it is reported on the set that was left out. Plain baselines: PCA, PCA beside the second modality, and Harmony
of these, with at most 80 dimensions, scVI, TotalVI and MultiVI.
Of several seeds the means are compared, and their standard deviations printed; --errors prints the standard errors of the regrets
of both probes, by a paired bootstrap over cells. ``--sets variants`` takes sets that no recipe was
compared on (``_recipe_sets.VARIANTS``), ``--sets kept_back`` sets out of a folder of yours that had no part in any choice
(``_kept_back.SOURCES``): with one recipe nothing is chosen on them. Embeddings are kept in the cache, so that a further recipe costs its own training and
scoring alone.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _cache import Kept
from _kept_back import SOURCES, kept_back
from _paired_errors import paired_error, predicted
from _recipe_sets import SETS, VARIANTS, Data, Set, evaluated_part

from omicsmlm import OmicsMLM, OmicsMLMConfig, ScMBERT, ScMBERTConfig, evaluation
from omicsmlm.evaluation import baselines
from omicsmlm.models.omicsmlm import _model
from omicsmlm.models.scmbert import _model as _scmbert_model

ALL: dict[str, Set] = SETS | VARIANTS
JUDGED = ["Total", "linear", "linear F1", "k-NN"]
PRINTED = ["Total", "Bio", "Batch", "linear", "linear F1", "k-NN", "k-NN F1"]


class Family(NamedTuple):
    """A family of models."""

    model: Any
    config: Any
    room: Any
    """The module that has its constants."""
    key: str
    """What its embeddings are kept by."""


FAMILIES = {
    "OmicsMLM": Family(OmicsMLM, OmicsMLMConfig, _model, "ours"),
    "ScMBERT": Family(ScMBERT, ScMBERTConfig, _scmbert_model, "ScMBERT"),
}


class Recipe(NamedTuple):
    """What differs from the default recipe."""

    config: Mapping[str, Any] = {}
    """Fields of the configuration."""
    constants: Mapping[str, Any] = {}
    """Constants of the family's room, which must have them."""
    depth_of_all: bool = False
    """Whether proteins and open regions count as depth beside RNA, as they did in version 0.1."""


RECIPES = {
    "default": Recipe(),
    "power 2.25 of all": Recipe(constants={"KL_POWER": 2.25}, depth_of_all=True),
    "constant": Recipe(constants={"KL_POWER": 0.0}),
    "80 linear": Recipe({"n_nonlinear": 0, "n_linear": 80}),
    "weak alignment": Recipe(constants={"ALIGNMENT_WEIGHT": 10.0}),
    "mild masks": Recipe({"mask_rates": (0.1, 0.6)}),
    "no own neighbours": Recipe(constants={"OWN_NEIGHBOUR_WEIGHT": 0.0}),
    "own neighbours 30": Recipe(constants={"OWN_NEIGHBOUR_WEIGHT": 30.0}),
    "half batch strength": Recipe({"batch_strength": 0.5}),
    "batch left in": Recipe({"batch_strength": 0.0}),
    "no adversary": Recipe(constants={"ADVERSARY_WEIGHT": 0.0}),
    "no neighbours": Recipe(constants={"NEIGHBOUR_WEIGHT": 0.0}),
    "no alignment": Recipe(constants={"ALIGNMENT_WEIGHT": 0.0}),
    "adversary of all alike": Recipe(constants={"MOST_BALANCE": None}),
    "balance 1": Recipe(constants={"MOST_BALANCE": 1.0}),
    "balance 2": Recipe(constants={"MOST_BALANCE": 2.0}),
    "balance 8": Recipe(constants={"MOST_BALANCE": 8.0}),
}


def possible(family: Family) -> list[str]:
    """Recipes that change what the family has."""
    fields = family.config.__dataclass_fields__
    return [
        name
        for name, recipe in RECIPES.items()
        if set(recipe.config) <= set(fields)
        and set(recipe.constants) <= set(vars(family.room))
        and not (recipe.depth_of_all and family.model is not OmicsMLM)
    ]


def loaded(name: str) -> Data:
    """The set, with its types in ``obs["type"]``, those of fewer than ten cells and what is no type left out."""
    data = ALL[name].load()
    types = data.obs["cell_type"].astype(object).where(~data.obs["cell_type"].isin(ALL[name].dropped), None)
    counts = types.value_counts()
    data.obs["type"] = types.where(types.map(counts).fillna(0) >= 10, None)
    return data


def plain(name: str, data: Data, seed: int) -> dict[str, Callable[[], np.ndarray]]:
    """The plain baselines of a set."""
    own = ALL[name]
    made: dict[str, Callable[[], np.ndarray]] = {
        "PCA (50)": lambda: baselines.pca(data, 50),
        "PCA (80)": lambda: baselines.pca(data, 80),
        "scVI": lambda: baselines.scvi(data, own.batch_key, seed=seed),
    }
    if own.second == "atac":
        made["PCA+LSI (80)"] = lambda: baselines.pca_lsi(data, 80)
        made["MultiVI"] = lambda: baselines.multivi(data, own.batch_key, max_epochs=80, seed=seed)
    if own.second == "adt":
        made["PCA+CLR (80)"] = lambda: baselines.pca_clr(data, 80)
        made["TotalVI"] = lambda: baselines.totalvi(data, own.batch_key, seed=seed)
    if own.batch_key is not None:
        made["Harmony"] = lambda: baselines.harmony(data, str(own.batch_key))
        second = next((key for key in ("PCA+LSI (80)", "PCA+CLR (80)") if key in made), None)
        if second is not None:
            made[f"Harmony of {second}"] = lambda: harmonised(made[second](), data.obs[own.batch_key])
    return made


def harmonised(x_nd: np.ndarray, batch: pd.Series) -> np.ndarray:
    """Harmony of an embedding that is there already."""
    import harmonypy

    found = harmonypy.run_harmony(
        x_nd.astype(np.float64), pd.DataFrame({"batch": batch.astype(str).to_numpy()}), "batch"
    )
    corrected = np.asarray(found.Z_corr, dtype=np.float32)
    return corrected if corrected.shape == x_nd.shape else corrected.T


def ours(data: Data, batch_key: str | None, family: Family, recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """The embedding of the trained model, and of its untrained start."""
    with in_place(recipe, family.room):
        model = family.model(data, family.config(seed=seed, **recipe.config), batch_key=batch_key)
        untrained = model.get_latent_representation()
        model.train(key_added=None, progress_bar=False)
    return {"embedding": model.get_latent_representation(), "untrained": untrained}


@contextmanager
def in_place(recipe: Recipe, room: Any) -> Iterator[None]:
    """Give the constants of the model's room other values, for as long as a model is made and trained."""
    before = {name: getattr(room, name) for name in recipe.constants}
    derive = OmicsMLM._derive

    def of_all(self: OmicsMLM, sample: Any) -> Any:
        found, weights = derive(self, sample), self._weights(protein_weight=1.0)
        return replace(found, depth=sum(weights[name] * depth for name, depth in found.depths.items()))

    for name, value in recipe.constants.items():
        setattr(room, name, value)
    if recipe.depth_of_all:
        OmicsMLM._derive = of_all  # type: ignore[method-assign]
    try:
        yield
    finally:
        OmicsMLM._derive = derive  # type: ignore[method-assign]
        for name, value in before.items():
            setattr(room, name, value)


def held_out(own: Set, data: Data) -> dict[str, Any]:
    """What the probes are evaluated on, as arguments of ``evaluation.probe``."""
    if own.held_out == "split":
        is_test = (data.obs["split"] == "test").to_numpy()
        return {"split": (~is_test, is_test)}
    return {} if own.held_out == "folds" else {"groups": data.obs[own.held_out]}


def scored(name: str, data: Data, embedding: np.ndarray) -> dict[str, float]:
    """All scores of one embedding: scib total, bio and batch, and both probes on what is held out."""
    own, type_n = ALL[name], data.obs["type"]
    part = evaluated_part(data.n_obs)
    small = data[part].copy()
    table = evaluation.benchmark(small, {"it": embedding[part]}, own.batch_key, "type")
    row = table.loc["it"]
    found = {"Total": row["Total"], "Bio": row["Bio conservation"], "Batch": row.get("Batch correction", np.nan)}
    probes = evaluation.probe(embedding, type_n, **held_out(own, data)).xs("mean", level="held_out")
    accuracy, f1 = probes["accuracy"], probes["macro F1"]
    return found | {
        "linear": accuracy["linear"],
        "linear F1": f1["linear"],
        "k-NN": accuracy["k-NN"],
        "k-NN F1": f1["k-NN"],
    }


class Scores:
    """The scores of embeddings, kept beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = Kept(folder)

    def __call__(self, name: str, data: Data, key: str, make: Callable[[], np.ndarray]) -> pd.Series:
        file = self.folder / f"{key.replace(' ', '_')}.scores.json"
        if file.exists():
            return pd.read_json(file, typ="series")
        embedding, spent = self.kept(key, make)
        row = pd.Series(scored(name, data, embedding) | {"dimensions": embedding.shape[1], "CPU-s": spent})
        row.to_json(file)
        return row


def table_of(
    name: str, family: Family, recipes: list[str], seeds: list[int], keep: Scores, skipped: list[str]
) -> pd.DataFrame:
    """Scores of all baselines and recipes on one set; means over seeds of the recipes."""
    data, rows, spread = loaded(name), {}, {}
    start = time.process_time()
    for method, make in plain(name, data, 0).items():
        if method in skipped:
            continue
        rows[method] = keep(name, data, f"{name}-{method}-0", make)
    for recipe in recipes:
        found = []
        for seed in seeds:
            key = f"{name}-{family.key}-{recipe}-{seed}"

            def both(recipe: str = recipe, seed: int = seed, key: str = key) -> np.ndarray:
                made = ours(data, ALL[name].batch_key, family, RECIPES[recipe], seed)
                keep.kept(f"{key}-untrained", lambda: made["untrained"])
                return made["embedding"]

            found.append(keep(name, data, key, both))
            if recipe == recipes[0] and seed == seeds[0]:
                rows["untrained"] = keep(name, data, f"{key}-untrained", lambda: np.empty(0))
        rows[recipe] = pd.concat(found, axis=1).mean(axis=1)
        spread[f"{recipe}, ±"] = pd.concat(found, axis=1).std(axis=1)
    print(
        f"\n== {name}: {data.n_obs} observations, {data.obs['type'].nunique()} types; {time.process_time() - start:.0f} CPU-s"
    )
    table = pd.DataFrame(rows).T
    printed = pd.concat([table, pd.DataFrame(spread).T.dropna(how="all")])
    print(printed[[*PRINTED, "dimensions", "CPU-s"]].round(3).to_string(), flush=True)
    return table


def regrets(table: pd.DataFrame, recipes: list[str]) -> pd.DataFrame:
    """What the best plain baseline of the set has more, by recipe and score."""
    best = table.drop(index=[*recipes, "untrained"], errors="ignore")[JUDGED].max()
    return best - table.loc[recipes, JUDGED]


def errors(
    name: str, table: pd.DataFrame, family: Family, recipe: str, seeds: list[int], keep: Scores
) -> dict[str, float]:
    """Standard errors of the regrets of the probes, paired over cells; embeddings are those of the cache."""
    data, best = loaded(name), table.drop(index=[*RECIPES, "untrained"], errors="ignore")
    options = held_out(ALL[name], data)

    def of(key: str) -> dict[str, Any]:
        with np.load(keep.folder / f"{key.replace(' ', '_')}.npz") as kept:
            return predicted(kept["embedding"], data.obs["type"], options)

    own, found = [of(f"{name}-{family.key}-{recipe}-{seed}") for seed in seeds], {}
    for score in ("linear", "linear F1", "k-NN"):
        probe = score.removesuffix(" F1")
        plain = of(f"{name}-{best[score].idxmax()}-0")[probe]
        found[score] = paired_error(plain, [each[probe] for each in own])[int(score.endswith("F1"))]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    groups = {"variants": list(VARIANTS), "kept_back": list(SOURCES)}
    parser.add_argument("--sets", nargs="+", choices=[*groups, *ALL, *SOURCES], default=list(SETS))
    parser.add_argument("--data", type=Path, default=Path("kept-back"), help="folder with the files of kept_back")
    parser.add_argument("--family", choices=list(FAMILIES), default="OmicsMLM")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), help="all that the family has, if none is named")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--baselines-only", action="store_true")
    parser.add_argument("--skip", nargs="+", default=[], help="baselines to leave out, such as MultiVI")
    parser.add_argument("--errors", action="store_true", help="of the regrets of the first recipe")
    parser.add_argument("--cache", type=Path, default=Path("recipe-results"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    family, seeds = FAMILIES[arguments.family], arguments.seeds
    recipes = [] if arguments.baselines_only else arguments.recipes or possible(family)
    if not set(recipes) <= set(possible(family)):
        parser.error(f"{arguments.family} has {', '.join(possible(family))}")
    names = [n for name in arguments.sets for n in groups.get(name, [name])]
    ALL.update(kept_back(arguments.data))
    keep = Scores(arguments.cache)
    tables = {name: table_of(name, family, recipes, seeds, keep, arguments.skip) for name in names}
    if not recipes:
        return
    found = {name: regrets(table, recipes) for name, table in tables.items()}
    if arguments.errors:
        paired = {name: errors(name, table, family, recipes[0], seeds, keep) for name, table in tables.items()}
        print(f"\nPaired standard errors of the regrets of {recipes[0]}\n{pd.DataFrame(paired).round(3).to_string()}")
    whole = pd.concat(found)  # (set, recipe) by score
    print(
        "\nRegret (best plain baseline less ours; below 0 is better)\n",
        whole.round(3).unstack(0).swaplevel(axis=1).T.to_string(),
    )
    lines = []
    for left_out in names if min(len(names), len(recipes)) > 1 else []:
        others = whole.drop(index=left_out, level=0).groupby(level=1, sort=False)
        largest, mean = others.max().max(axis=1), others.mean().mean(axis=1)
        chosen = (
            pd.concat([largest.rename("largest"), mean.rename("mean")], axis=1)
            .sort_values(["largest", "mean"])
            .index[0]
        )
        of_all = whole.loc[left_out].max(axis=1)
        lines.append(
            {
                "set": left_out,
                "chosen without it": chosen,
                "its largest regret there": of_all[chosen],
                "best with it": of_all.idxmin(),
                "its": of_all.min(),
            }
        )
    if lines:
        print("\nChosen without the set, and what it gives there, beside what the set itself would have chosen")
        print(pd.DataFrame(lines).round(3).to_string(index=False))
    largest = whole.groupby(level=1, sort=False).max().max(axis=1)
    print("\nLargest regret over all sets\n", largest.sort_values().round(3).to_string())


if __name__ == "__main__":
    main()
