"""Cross-entropy of masked bins and the agreement of views, against loops."""

import math
from typing import NamedTuple

import pytest
import torch

from omicsmlm import _sizes
from omicsmlm._sizes import binomial_bound
from omicsmlm._types import Encoded, Grid, Masked
from omicsmlm.objectives import BinCrossEntropy, BinsAndValues, divergence, info_nce
from tests.objects import NO_BATCH


class Read(NamedTuple):
    """Logits of all tokens."""

    all: torch.Tensor

    def logits(self, at_ng):
        return self.all[at_ng]

    def logits_at(self, place_t, n_features):
        assert n_features == self.all.shape[1]
        return self.all.flatten(0, 1)[place_t]


class Outputs(NamedTuple):
    encoded: Encoded
    token_logits: dict
    values: dict | None = None


def case(n=4, g=5, b=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = {name: torch.randn(n, g, b, generator=generator) for name in ("rna", "meth")}
    grids, evaluated = {}, {}
    for name in logits:
        values = torch.randint(0, b - 2, (n, g), generator=generator).float()
        visible = torch.rand(n, g, generator=generator) < 0.8
        evaluated[name] = visible & (torch.rand(n, g, generator=generator) < 0.5)
        grids[name] = Grid(values, visible, values.sum(1))
    mean = torch.randn(n, 3, generator=generator)
    outputs = Outputs(Encoded(mean, torch.zeros(n, 3)), {name: Read(part) for name, part in logits.items()})
    return outputs, Masked(grids, grids, evaluated)


def by_loop(outputs, masked, name):
    losses = []
    logits = outputs.token_logits[name].all
    for i, j in masked.evaluated[name].nonzero().tolist():
        p = logits[i, j].double().softmax(0)
        losses.append(-math.log(p[int(masked.targets[name].values[i, j])]))
    return sum(losses) / len(losses)


def test_the_cross_entropy_of_the_judged_tokens():
    outputs, masked = case()
    terms = BinCrossEntropy()(outputs, masked, NO_BATCH, 1.0)
    assert set(terms) == {"rna", "meth"}, "one term each, without weights"
    for name in terms:
        assert float(terms[name]) == pytest.approx(by_loop(outputs, masked, name), rel=1e-5)


def test_a_modality_without_judged_tokens_costs_nothing():
    outputs, masked = case()
    masked.evaluated["meth"].zero_()
    terms = BinCrossEntropy()(outputs, masked, NO_BATCH, 1.0)
    assert float(terms["meth"]) == 0
    assert float(terms["rna"]) > 0


def test_consistency_compares_the_halves_of_a_doubled_batch():
    outputs, masked = case(n=6)
    for evaluated in masked.evaluated.values():
        evaluated[3:] = evaluated[:3]
    terms = BinCrossEntropy(consistency=2.0, temperature=0.3)(outputs, masked, NO_BATCH, 1.0)
    assert set(terms) == {"rna", "meth", "agreement", "divergence"}
    mean = outputs.encoded.mean
    assert float(terms["agreement"]) == pytest.approx(2 * float(info_nce(mean[:3], mean[3:], 0.3)))
    parts = []
    for name, read in outputs.token_logits.items():
        at = masked.evaluated[name][:3]
        parts.append(float(divergence(read.all[:3][at], read.all[3:][at])))
    assert float(terms["divergence"]) == pytest.approx(sum(parts), rel=1e-5)


def test_smoothed_targets_are_normal_about_the_true_bin():
    outputs, masked = case(b=6)  # four bins, padding and mask
    terms = BinCrossEntropy(weight=0.5, smoothing=1.5, n_bins=4)(outputs, masked, NO_BATCH, 1.0)
    for name in ("rna", "meth"):
        losses = []
        for i, j in masked.evaluated[name].nonzero().tolist():
            log_p = outputs.token_logits[name].all[i, j].double().log_softmax(0)
            true = int(masked.targets[name].values[i, j])
            weights = [math.exp(-0.5 * ((k - true) / 1.5) ** 2) for k in range(4)]
            losses.append(-sum(w * float(log_p[k]) for k, w in enumerate(weights)) / sum(weights))
        assert float(terms[name]) == pytest.approx(0.5 * sum(losses) / len(losses), rel=1e-5)


def test_values_are_compared_wherever_they_were_measured():
    outputs, masked = case()
    generator = torch.Generator().manual_seed(1)
    predicted = {name: torch.randn(4, 5, generator=generator) for name in ("rna", "meth")}
    objective = BinsAndValues(
        BinCrossEntropy(weight=0.0), lambda name, grid: grid.values / 2 - float(name == "rna"), 3.0
    )
    terms = objective(outputs._replace(values=predicted), masked, NO_BATCH, 1.0)
    assert set(terms) == {"rna", "meth", "rna_values", "meth_values"}
    assert float(terms["rna"]) == float(terms["meth"]) == 0
    for name, predicted_ng in predicted.items():
        target, errors = masked.targets[name], []
        for i, j in target.visible.nonzero().tolist():
            errors.append((float(predicted_ng[i, j]) - (float(target.values[i, j]) / 2 - (name == "rna"))) ** 2)
        assert float(terms[f"{name}_values"]) == pytest.approx(3 * sum(errors) / len(errors), rel=1e-5)


def test_usual_settings():
    usual = BinCrossEntropy()
    assert (usual.consistency, usual.temperature, usual.rate) == (0, 0.1, 1)


def test_the_rate_bounds_the_number_of_logits():
    """Twice: of the whole batch, and of each half of a doubled one."""
    for consistency, n in ((0.0, 8), (1.0, 4)):
        outputs, masked = case(n=8, g=500)
        for evaluated in masked.evaluated.values():
            evaluated[:] = True
        asked = []
        counting = {name: Counting(part.all, asked) for name, part in outputs.token_logits.items()}
        BinCrossEntropy(consistency, rate=0.1)(outputs._replace(token_logits=counting), masked, NO_BATCH, 1.0)
        bound = binomial_bound(n * 500, 0.1) * (2 if consistency else 1)
        assert asked == [bound, bound]
        assert bound < 8 * 500


class Counting:
    """Logits that note for how many they are asked."""

    def __init__(self, all_ngb, asked):
        self.all, self.asked = all_ngb, asked

    def logits_at(self, place_t, n_features):
        self.asked.append(len(place_t))
        return self.all.flatten(0, 1)[place_t]


def test_what_is_not_there_is_not_in_the_mean(monkeypatch):
    """On a device there are as many places as the bound says."""
    outputs, masked = case()
    expected = BinCrossEntropy()(outputs, masked, NO_BATCH, 1.0)
    monkeypatch.setattr(_sizes, "is_on_host", lambda tensor: False)
    found = BinCrossEntropy()(outputs, masked, NO_BATCH, 1.0)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_consistency_on_a_device_is_that_of_the_cpu(monkeypatch):
    outputs, masked = case(n=6)
    for evaluated in masked.evaluated.values():
        evaluated[3:] = evaluated[:3]
    expected = BinCrossEntropy(1.0)(outputs, masked, NO_BATCH, 1.0)
    monkeypatch.setattr(_sizes, "is_on_host", lambda tensor: False)
    found = BinCrossEntropy(1.0)(outputs, masked, NO_BATCH, 1.0)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])
