"""Every argument of the public functions and getters, given as what it should not be, the others as they should."""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from omicsmlm import MOJO, IsoFormer, OmicsMLM, ScMBERT, TxFM, datasets, evaluation, pp
from omicsmlm.evaluation import baselines, perturbation, sequence_baselines, survival
from tests.hostile.judging import FINE, NO_OBJECT, Verdict, of_error, quietly
from tests.hostile.running import Tally
from tests.objects import (
    QUIET,
    SMALL,
    SMALL_ISOFORMER,
    SMALL_MOJO,
    SMALL_SCMBERT,
    SMALL_TXFM,
    bulk,
    multiome,
    rna,
    transcripts,
)

N = 40
"""Observations of what is given."""
VALUES: dict[str, Any] = {
    "None": None, "a half": 0.5, "NaN": np.nan, "a negative": -1, "a text": "nothing", "a list of texts": ["a", "b"], "a dict": {"a": 1},
    "a class": dict, "an array": np.zeros(3), "as many NaN": np.full(N, np.nan), "as many texts": np.array([f"x{i}" for i in range(N)]),
}  # fmt: skip
"""What an argument may be in the place of what it should be."""


class Call(NamedTuple):
    """A function and arguments that it takes; those that it has besides are found in its signature."""

    function: Callable[..., Any]
    good: dict[str, Any]
    left_out: tuple[str, ...] = ()
    """Arguments that are not changed, as what they do takes long or asks another library."""


@cache
def calls() -> dict[str, Call]:
    """Return the calls by name; models in them are trained for one epoch, once."""
    rng = np.random.default_rng(0)
    z_nd = rng.normal(size=(N, 4))
    number = np.arange(N)
    label_n, batch_n = np.array(["a", "b"])[number % 2], np.array(["x", "y"])[number // 4 % 2]
    control_n, trained_n = number % 4 < 2, number < 30
    time_n, event_n = 1.0 + rng.exponential(size=N), number % 3 > 0
    data, both = rna(N), multiome(N)
    data.obs["donor"] = [f"d{i % 5}" for i in number]
    data.obsm["X"] = z_nd
    sequences = ["".join(rng.choice(list("ACGT"), 60)) for _ in number]
    coding = ["ATGAAACGT" * (1 + i % 3) for i in number]
    y_nt = rng.normal(size=(N, 2))
    table = pd.DataFrame({"a": [0.6, 0.2] * (N // 2), "b": [0.4, 0.8] * (N // 2)})
    pairs = pd.DataFrame({"gene_a": ["g0", "g1", "g2"], "gene_b": ["g3", "g4", "g5"]})
    found: dict[Any, dict[str, Any]] = {
        evaluation.avg_bio_batch: {"embeddings": z_nd, "labels": label_n, "batches": batch_n},
        evaluation.homology_groups: {"sequences": sequences},
        evaluation.mcnemar: {"first_right": control_n, "second_right": trained_n},
        evaluation.probe: {"embedding": z_nd, "labels": label_n, "min_cells": 2},
        evaluation.relationship_recall: {"embedding": z_nd[:6], "names": [f"g{i}" for i in range(6)], "pairs": pairs},
        evaluation.reliability: {"probabilities": table, "truth": label_n},
        evaluation.sequence_split: {"sequences": sequences, "test": 0.4, "val": 0.0},
        evaluation.shuffle_modality: {"mdata": both, "modality": "atac"},
        evaluation.sign_flip: {"first": z_nd[:, 0], "second": z_nd[:, 1], "n_draws": 50},
        evaluation.splits: {"stratify": label_n, "groups": np.arange(N) // 2, "n_folds": 3},
        evaluation.differential_features: {
            "data": data,
            "groupby": "type",
            "sample_key": "donor",
            "min_cells": 1,
            "min_count": 1,
        },
        survival.brier: {"survival": np.full((N, 2), 0.5), "times": [1.5, 2.0], "time": time_n, "event": event_n},
        survival.calibration: {"survival": z_nd[:, 0] % 1, "time": time_n, "event": event_n, "horizon": 2.0},
        survival.concordance: {"risk": z_nd[:, 0], "time": time_n, "event": event_n},
        survival.concordances: {"risk": z_nd[:, 0], "time": time_n, "event": event_n, "stratum": batch_n},
        survival.kaplan_meier: {"time": time_n, "event": event_n},
        survival.log_rank: {"time": time_n, "event": event_n, "group": label_n},
        survival.risk_groups: {"risk": z_nd[:, 0]},
        baselines.pca: {"data": data, "n_comps": 3},
        baselines.lsi: {"data": both, "n_comps": 3},
        baselines.clr: {"data": both},
        baselines.pca_lsi: {"data": both, "n_comps": 8},
        baselines.pca_clr: {"data": both, "n_comps": 8},
        baselines.projected_pca: {"reference": data, "query": data, "n_comps": 3},
        baselines.cox: {"features": z_nd, "time": time_n, "event": event_n, "trained_n": trained_n, "n_comps": 3},
        baselines.logistic_regression: {"features": z_nd, "labels": label_n, "trained_n": trained_n},
        baselines.ridge_imputation: {"predictors_nd": z_nd, "targets_ng": y_nt, "trained_n": trained_n},
        perturbation.centre: {"embedding": z_nd, "is_control": control_n, "batches": batch_n},
        perturbation.standardise: {"embedding": z_nd, "is_control": control_n, "batches": batch_n},
        perturbation.tvn: {"embedding": z_nd, "is_control": control_n, "batches": batch_n},
        perturbation.consistency: {
            "embedding": z_nd,
            "perturbations": label_n,
            "is_control": control_n,
            "n_null": 120,
        },
        perturbation.ilisi: {"embedding": z_nd, "batches": batch_n, "n_neighbors": 10},
        perturbation.inversion: {"embedding": z_nd, "log_counts": z_nd, "batches": batch_n},
        perturbation.profiles: {"embedding": z_nd, "perturbations": label_n, "is_control": control_n},
        perturbation.retrieval: {"embedding": z_nd, "perturbations": label_n, "batches": batch_n},
        sequence_baselines.codon_frequencies: {"sequences": coding},
        sequence_baselines.codon_ridge: {"sequences": coding, "targets_nt": y_nt, "trained_n": trained_n},
        sequence_baselines.concatenated: {"features": {"a": z_nd, "b": z_nd}, "trained_n": trained_n},
        sequence_baselines.concatenated_ridge: {"features": {"a": z_nd}, "targets_nt": y_nt, "trained_n": trained_n},
        sequence_baselines.kmer_frequencies: {"sequences": sequences, "k": 2},
        sequence_baselines.kmer_ridge: {"sequences": sequences, "targets_nt": y_nt, "trained_n": trained_n, "k": 2},
        sequence_baselines.length: {"sequences": {"dna": sequences}, "targets_nt": y_nt, "trained_n": trained_n},
        sequence_baselines.length_features: {"sequences": {"dna": sequences}},
        sequence_baselines.output_scores: {"truth_nt": y_nt, "predicted_nt": y_nt},
        sequence_baselines.sequence_scores: {"truth_nt": y_nt, "predicted_nt": y_nt},
        sequence_baselines.ridge: {"features_nd": z_nd, "targets_nt": y_nt, "trained_n": trained_n},
        pp.normal_scores: {"adata": data},
        pp.log_tpm: {"counts": data, "gene_lengths": pd.Series(1000.0, data.var_names)},
        pp.map_regions: {"atac": both["atac"], "regions": list(both["atac"].var_names[:5])},
        pp.link_peaks: {"rna": _placed(data), "atac": both["atac"]},
        datasets.read_many: {"sources": {"a": data, "b": data}},
        datasets.pool: {"sets": {"a": bulk(N), "b": bulk(N)}},
        datasets.simulate_rna: {"n_obs": 20, "n_genes": 10, "n_types": 2},
        datasets.simulate_multiome: {"n_obs": 20, "n_genes": 10, "n_peaks": 20, "n_types": 2},
    }
    made = {
        f"{function.__module__.split('.')[1]}.{function.__name__}": Call(function, good)
        for function, good in found.items()
    }
    return made | {f"{type(m).__name__}.{call.function.__name__}": call for m, call in _of_models(data, both)}


def _placed(data: AnnData) -> AnnData:
    """RNA whose genes lie where the peaks do."""
    placed = data.copy()
    start_g = 100 * np.arange(data.n_vars)
    placed.var = pd.DataFrame({"chrom": "chr1", "start": start_g, "end": start_g + 50}, index=data.var_names)
    return placed


def _of_models(data: AnnData, both: Any) -> Iterator[tuple[Any, Call]]:
    """Yield the getters of small trained models."""
    models = [
        OmicsMLM(both, SMALL),
        ScMBERT(multiome(N), SMALL_SCMBERT),
        MOJO(bulk(N), SMALL_MOJO),
        TxFM(rna(N), SMALL_TXFM),
    ]
    for model in models:
        model.train(1, **QUIET)
        several = [*model.adata_manager.modalities][:1]
        given = {"modality": several[0]}
        if hasattr(model, "impute"):
            yield model, Call(model.impute, given)
        yield model, Call(model.get_feature_embedding, given)
        yield model, Call(model.get_latent_representation, {})
        if hasattr(model, "attribute"):
            yield model, Call(model.attribute, {"labels": "type", "n_steps": 2})
        if hasattr(model, "evaluate_tokens"):
            yield model, Call(model.evaluate_tokens, {})
    made = IsoFormer(transcripts(N), SMALL_ISOFORMER)
    made.train(1, **QUIET)
    yield made, Call(made.predict, {})
    yield made, Call(made.attribute_modalities, {})
    yield made, Call(made.attribute_regions, {"modality": "dna", "target": "liver", "n_regions": 2})


def arguments_judged(name: str, argument: str, what: str) -> Verdict:
    """Call a function with one argument as it should not be."""
    call = calls()[name]
    with quietly():
        try:
            call.function(**{**call.good, argument: VALUES[what]})
        except Exception as error:  # noqa: BLE001 - whatever comes is judged
            return of_error(error, f"{name}, {argument} is {what}")
    return Verdict(FINE)


def cases() -> list[tuple[str, str, str]]:
    """Return all: name of the call, its argument, and what that is."""
    listed = []
    for name, call in calls().items():
        arguments = [p for p in inspect.signature(call.function).parameters if p not in call.left_out]
        listed += [(name, argument, what) for argument in arguments for what in VALUES]
    return listed


def run_arguments(report: Callable[[str], None], only: str = "") -> Tally:
    """Judge all cases whose name begins with a text, in this process: none of them can crash."""
    tally = Tally()
    for name, argument, what in cases():
        if name.startswith(only):
            verdict = arguments_judged(name, argument, what)
            tally.add(f"{name}, {argument} is {what}", verdict)
            if verdict.is_fault:
                report(f"{name}, {argument} is {what} | {verdict.key} | {verdict.text}")
    return tally


def good_calls() -> dict[str, Verdict]:
    """Make each call as it should be: each must be fine."""
    found = {}
    for name, call in calls().items():
        with quietly():
            try:
                call.function(**call.good)
                found[name] = Verdict(FINE)
            except Exception as error:  # noqa: BLE001
                found[name] = Verdict(NO_OBJECT, name, repr(error)[:300])
    return found
