"""Probes: how well simple classifiers predict labels from an embedding."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm._dense import dense

logger = logging.getLogger(__name__)

INVERSE_REGULARISATION = 0.1
"""C of the linear probe, the same for every embedding so that none is tuned: on standardised dimensions it keeps a few dozen of
them from being fitted to noise."""

_Fold = tuple[str, np.ndarray, np.ndarray]  # what is held out, training observations, test observations


class _Plan(NamedTuple):
    """What is held out, and how it is predicted; see :func:`probe`."""

    split: tuple[Any, Any] | None
    n_splits: int
    n_neighbors: int
    min_cells: int
    seed: int


def _folds(
    label_n: np.ndarray,
    group_n: np.ndarray | None,
    split: tuple[np.ndarray, np.ndarray] | None,
    n_splits: int,
    seed: int,
) -> Iterator[_Fold]:
    from sklearn.model_selection import StratifiedKFold

    if split is not None:
        yield "test", np.flatnonzero(split[0]), np.flatnonzero(split[1])
    elif group_n is not None:
        for group in pd.unique(group_n):
            yield str(group), np.flatnonzero(group_n != group), np.flatnonzero(group_n == group)
    else:
        folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
        for i, (train, test) in enumerate(folds.split(np.zeros(len(label_n)), label_n)):
            yield f"fold {i + 1}", train, test


def _classifiers(n_neighbors: int) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = LogisticRegression(C=INVERSE_REGULARISATION, class_weight="balanced", max_iter=2000)
    return {
        "linear": make_pipeline(StandardScaler(), linear),
        "k-NN": KNeighborsClassifier(n_neighbors),
    }


def _checked(embedding: Any, labels: Any, others: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    x_nd = dense(embedding, np.float64)
    if x_nd.ndim != 2:
        raise value_error("probe", "an embedding (n_obs, d)", f"an array of shape {x_nd.shape}", "pass .obsm[key]")
    if not np.isfinite(x_nd).all():
        bad = int((~np.isfinite(x_nd).all(axis=1)).sum())
        found = f"NaN or infinity in {bad} of {len(x_nd)} observations"
        raise value_error("probe", "a finite embedding", found, "leave these observations out")
    checked = {name: None if value is None else np.asarray(value) for name, value in others.items()}
    label_n = pd.Series(np.asarray(labels, dtype=object)).to_numpy()
    for name, value in {"labels": label_n, **checked}.items():
        if value is not None and (value.ndim == 0 or len(value) != len(x_nd)):
            found = f"{value.size} for {len(x_nd)} observations"
            raise value_error("probe", f"one entry of {name} per observation", found, "pass the same observations")
    return x_nd, label_n, checked


def _kept_rows(label_n: np.ndarray, group_n: np.ndarray | None, min_cells: int) -> tuple[np.ndarray, list[str]]:
    """Return which observations have a group, and a label that `min_cells` of them carry; and the labels that fall short."""
    if group_n is not None:
        label_n = pd.Series(label_n, dtype=object).mask(pd.isna(group_n), None).to_numpy()
    counts = pd.Series(label_n).value_counts()
    rare = sorted(str(label) for label in counts.index[counts < min_cells])
    kept_n = pd.Series(label_n).map(counts).fillna(0).to_numpy() >= max(min_cells, 1)
    if rare:
        logger.info("probe: labels with fewer than %d cells are left out: %s.", min_cells, named(rare))
    return kept_n, rare


def _scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    return {
        "accuracy": float(accuracy_score(truth, guess)),
        "balanced accuracy": float(recall_score(truth, guess, labels=np.unique(truth), average="macro")),
        "macro F1": float(f1_score(truth, guess, average="macro", zero_division=0)),
    }


@in_one_sentence_of_types
def probe(
    embedding: Any,
    labels: Any,
    groups: Any = None,
    *,
    split: tuple[Any, Any] | None = None,
    n_splits: int = 5,
    n_neighbors: int = 15,
    min_cells: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Score a linear and a nearest-neighbour classifier on held-out observations of an embedding.

    Linear: standardised on the training observations, logistic regression with balanced class weights, C = 0.1. k-NN:
    majority of the `n_neighbors` nearest training observations, Euclidean, not standardised. A linear probe rewards
    dimensions: compare embeddings of equal dimension only.

    Parameters
    ----------
    embedding
        (n_obs, d), finite.
    labels
        (n_obs,) classes; an observation whose label is missing is left out.
    groups
        (n_obs,) e.g. batches: each group is held out in turn; an observation whose group is missing is left out.
        Without groups: stratified folds.
    split
        Two boolean masks (n_obs,), training and test observations, in place of folds.
    n_splits
        Number of stratified folds where neither `groups` nor `split` is given.
    n_neighbors
        Number of neighbours of the k-NN classifier.
    min_cells
        Labels of fewer observations are left out of training and scoring, named in ``attrs["left_out"]`` and logged. So
        are, in a fold, the test observations whose label no training observation has (their number per fold in
        ``attrs["untrained"]``).
    seed
        Seed of the stratified folds.

    Returns
    -------
    DataFrame
        Index (classifier, held_out): ``linear`` and ``k-NN``, each fold and ``mean``, the plain mean over folds.
        Columns: ``accuracy``, ``balanced accuracy`` (mean recall over the labels of the test observations), ``macro
        F1`` (over labels that occur in test observations or predictions), ``n_test``.

    Raises
    ------
    ValueError
        If shapes disagree, the embedding is not finite, or there are not two labels or two groups to tell apart.

    Examples
    --------
    >>> import numpy as np
    >>> scores = probe(np.repeat([[0.0], [9.0]], 20, axis=0), ["a"] * 20 + ["b"] * 20)
    >>> float(scores.loc[("linear", "mean"), "accuracy"])
    1.0
    """
    predicted = _predictions(embedding, labels, groups, _Plan(split, n_splits, n_neighbors, min_cells, seed))
    rows = []
    for (name, held_out), part in predicted.groupby(["classifier", "held_out"], sort=False):
        scores = _scores(part["label"].to_numpy(), part["predicted"].to_numpy())
        rows.append({"classifier": name, "held_out": held_out, **scores, "n_test": len(part)})
    return _with_means(rows, predicted.attrs)


@in_one_sentence_of_types
def probe_predictions(
    embedding: Any,
    labels: Any,
    groups: Any = None,
    *,
    split: tuple[Any, Any] | None = None,
    n_splits: int = 5,
    n_neighbors: int = 15,
    min_cells: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the label of each held-out observation of an embedding, as :func:`probe` does.

    Two embeddings can so be compared observation by observation: by :func:`mcnemar`, or by resampling observations.

    Parameters
    ----------
    embedding, labels, groups, split, n_splits, n_neighbors, min_cells, seed
        As in :func:`probe`.

    Returns
    -------
    DataFrame
        A row for each classifier and held-out observation: ``classifier`` and ``held_out`` as in :func:`probe`,
        ``observation``, its position in `embedding`, ``label`` and ``predicted``; the same ``attrs``.

    Raises
    ------
    ValueError
        As :func:`probe`.

    Examples
    --------
    >>> import numpy as np
    >>> embedding, labels = np.repeat([[0.0], [9.0]], 20, axis=0), ["a"] * 20 + ["b"] * 20
    >>> even = np.arange(40) % 2 == 0
    >>> probe_predictions(embedding, labels, split=(even, ~even)).iloc[0].to_dict()
    {'classifier': 'linear', 'held_out': 'test', 'observation': 1, 'label': 'a', 'predicted': 'a'}
    """
    return _predictions(embedding, labels, groups, _Plan(split, n_splits, n_neighbors, min_cells, seed))


def _predictions(embedding: Any, labels: Any, groups: Any, plan: _Plan) -> pd.DataFrame:
    """Return what the classifiers predict of each held-out observation; see :func:`probe_predictions`."""
    masks = (None, None) if plan.split is None else plan.split
    x_nd, label_n, others = _checked(embedding, labels, {"groups": groups, "split[0]": masks[0], "split[1]": masks[1]})
    kept_n, rare = _kept_rows(label_n, others["groups"], plan.min_cells)
    x_nd, label_n = x_nd[kept_n], label_n[kept_n].astype(str)
    others = {name: None if value is None else value[kept_n] for name, value in others.items()}
    _check_variety(label_n, others["groups"], plan.min_cells)
    chosen = None if plan.split is None else (others["split[0]"].astype(bool), others["split[1]"].astype(bool))
    parts, untrained = [], {}
    for held_out, train, test in _folds(label_n, others["groups"], chosen, plan.n_splits, plan.seed):
        known = np.isin(label_n[test], label_n[train])
        untrained[held_out] = int((~known).sum())
        test = test[known]
        if len(test) == 0:
            wanted = f"a test observation of {held_out!r} with a label of a training observation"
            raise value_error("probe", wanted, "none", "pass another split")
        for name, classifier in _classifiers(min(plan.n_neighbors, len(train))).items():
            guess = classifier.fit(x_nd[train], label_n[train]).predict(x_nd[test])
            columns = {"observation": np.flatnonzero(kept_n)[test], "label": label_n[test], "predicted": guess}
            parts.append(pd.DataFrame({"classifier": name, "held_out": held_out, **columns}))
    table = pd.concat(parts, ignore_index=True)
    table.attrs.update({"left_out": rare, "untrained": untrained})
    return table


def _check_variety(label_n: np.ndarray, group_n: np.ndarray | None, min_cells: int) -> None:
    """Raise a ValueError if there are not two labels, or not two groups."""
    if len(np.unique(label_n)) < 2:
        wanted = f"at least two labels of {min_cells} cells or more"
        raise value_error("probe", wanted, "fewer", "pass other labels or a smaller min_cells")
    if group_n is not None and len(pd.unique(group_n)) < 2:
        raise value_error("probe", "at least two groups", named(pd.unique(group_n)), "pass groups=None for folds")


def _with_means(rows: list[dict[str, Any]], attrs: dict[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    means = table.drop(columns="held_out").groupby("classifier", sort=False).mean().reset_index()
    sums = table.groupby("classifier", sort=False)["n_test"].sum()
    means = means.assign(held_out="mean", n_test=means["classifier"].map(sums))
    table = pd.concat([table, means], ignore_index=True).sort_values("classifier", kind="stable", ascending=False)
    table = table.set_index(["classifier", "held_out"])
    table.attrs.update(attrs)
    return table
