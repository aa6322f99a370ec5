"""Whether a perturbation can be recognised in a batch that was not learned from."""

from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm.evaluation._probe import INVERSE_REGULARISATION
from omicsmlm.evaluation.perturbation._controls import finite, labels


@in_one_sentence_of_types
def retrieval(
    embedding: Any, perturbations: Any, batches: Any, *, n_neighbors: int = 15, tops: tuple[int, ...] = (1, 5)
) -> pd.DataFrame:
    """Predict the perturbation of each observation by classifiers that know all batches but its own.

    Linear: standardised on the observations learned from, logistic regression with balanced class weights, C = 0.1.
    k-NN: the nearest observations, Euclidean, weighted by 1 / distance. Chance: the names that are commonest in the
    training observations.

    Parameters
    ----------
    embedding
        (n, d), finite.
    perturbations
        (n,) names; controls can be one of them, or left out.
    batches
        (n,) batches, two at least; each is held out in turn. Observations whose perturbation no other batch has are not
        scored.
    n_neighbors
        Neighbours of k-NN.
    tops
        An observation is found if its perturbation is among so many that are predicted likeliest.

    Returns
    -------
    DataFrame
        Rows ``linear``, ``k-NN`` and ``chance``; a column ``top-1``, ``top-5`` … for each of `tops`, the fraction of
        observations that are found, mean over held-out batches; and ``mean``, that of these columns.

    Raises
    ------
    ValueError
        If shapes disagree, the embedding is not finite, or there are not two batches and two perturbations.

    Examples
    --------
    >>> x, names = np.repeat(np.eye(3), 8, axis=0), np.repeat(["a", "b", "c"], 8)
    >>> retrieval(x, names, ["one", "two"] * 12, tops=(1, 2)).round(3).loc["k-NN"].tolist()
    [1.0, 1.0, 1.0]
    """
    x_nd = finite(embedding)
    name_n, batch_n = labels("perturbations", perturbations, len(x_nd)), labels("batches", batches, len(x_nd))
    for place, given_n in (("perturbations", name_n), ("batches", batch_n)):
        if len(np.unique(given_n)) < 2:
            raise value_error(place, "at least two to tell apart", str(len(np.unique(given_n))), "pass another column")
    folds = []
    for batch in np.unique(batch_n):
        train, test = np.flatnonzero(batch_n != batch), np.flatnonzero(batch_n == batch)
        test = test[np.isin(name_n[test], name_n[train])]
        if len(test) and len(np.unique(name_n[train])) > 1:
            guesses = _ranked(x_nd[train], name_n[train], x_nd[test], n_neighbors)
            folds.append({m: [_found(ranked, name_n[test], k) for k in tops] for m, ranked in guesses.items()})
    if not folds:
        raise value_error("batches", "a perturbation that two of them hold", "none", "pass another column")
    columns = [f"top-{k}" for k in tops]
    mean = {name: np.mean([fold[name] for fold in folds], axis=0) for name in folds[0]}
    table = pd.DataFrame.from_dict(mean, orient="index", columns=columns)
    return table.assign(mean=table.mean(axis=1))


def _ranked(x_md: np.ndarray, name_m: np.ndarray, x_nd: np.ndarray, n_neighbors: int) -> dict[str, np.ndarray]:
    """Per classifier, (n, names): the names learned from, the likeliest first."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifiers = {
        "linear": make_pipeline(
            StandardScaler(), LogisticRegression(C=INVERSE_REGULARISATION, class_weight="balanced", max_iter=2000)
        ),
        "k-NN": KNeighborsClassifier(min(n_neighbors, len(x_md)), weights="distance"),
    }
    found = {}
    for name, classifier in classifiers.items():
        p_nc = classifier.fit(x_md, name_m).predict_proba(x_nd)
        found[name] = classifier.classes_[np.argsort(-p_nc, axis=1, kind="stable")]
    known, count = np.unique(name_m, return_counts=True)
    common = known[np.argsort(-count, kind="stable")]
    return found | {"chance": np.broadcast_to(common, (len(x_nd), len(common)))}


def _found(ranked_nc: np.ndarray, truth_n: np.ndarray, k: int) -> float:
    return float((ranked_nc[:, :k] == truth_n[:, None]).any(axis=1).mean())
