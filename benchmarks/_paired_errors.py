"""The standard error of a regret of the probes: a paired bootstrap over the observations that are held out."""

from typing import Any, NamedTuple

import numpy as np

from omicsmlm import evaluation

N_RESAMPLES = 200


class Predicted(NamedTuple):
    """What a probe predicts of each part that is held out in turn."""

    truth: list[np.ndarray]
    called: list[np.ndarray]

    def scores(self, rows: list[np.ndarray] | None = None) -> np.ndarray:
        """Compute accuracy and macro F1, the means over parts, of these rows of each."""
        parts = zip(self.truth, self.called, rows or [slice(None)] * len(self.truth), strict=True)
        return np.mean([_scores(truth[at], called[at]) for truth, called, at in parts], axis=0)


def _scores(truth: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """Compute accuracy and macro F1 of codes; labels that occur in neither do not count."""
    n = int(max(truth.max(), called.max())) + 1
    count_cc = np.bincount(truth * n + called, minlength=n * n).reshape(n, n)
    either_c = count_cc.sum(0) + count_cc.sum(1)
    f1_c = 2 * np.diag(count_cc)[either_c > 0] / either_c[either_c > 0]
    return float(np.diag(count_cc).sum() / len(truth)), float(f1_c.mean())


def predicted(embedding: np.ndarray, types: Any, options: dict[str, Any]) -> dict[str, Predicted]:
    """Return what ``evaluation.probe`` predicts, of "linear" and "k-NN"."""
    table = evaluation.probe_predictions(embedding, types, **options)
    names = np.unique(table[["label", "predicted"]].to_numpy().astype(str))
    codes = {column: np.searchsorted(names, table[column].to_numpy().astype(str)) for column in ("label", "predicted")}
    table = table.assign(**codes)
    found = {}
    for probe, of_probe in table.groupby("classifier"):
        parts = [part for _, part in of_probe.groupby("held_out", sort=False)]
        found[str(probe)] = Predicted(*([part[column].to_numpy() for part in parts] for column in codes))
    return found


def paired_error(plain: Predicted, ours: list[Predicted]) -> np.ndarray:
    """Compute the standard errors of the regrets in accuracy and macro F1: the plain one's less the mean of ours over seeds."""
    rng, drawn = np.random.default_rng(0), []
    for _ in range(N_RESAMPLES):
        rows = [rng.integers(0, len(truth), len(truth)) for truth in plain.truth]
        drawn.append(plain.scores(rows) - np.mean([seed.scores(rows) for seed in ours], axis=0))
    return np.std(drawn, axis=0)
