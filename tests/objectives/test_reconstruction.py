"""The terms of the loss: each kind's likelihood, the ramp of the KL divergence, the adversary, the pulls."""

from typing import NamedTuple

import pytest
import torch
from torch.nn import functional as F

from omicsmlm._stored import StoredGrid, StoredValues
from omicsmlm._types import Batch, Encoded, Grid, Masked
from omicsmlm.objectives import (
    ClusterAlignment,
    LatentReconstruction,
    bernoulli,
    expected_values,
    gaussian,
    gaussian_kl,
    multinomial,
    negative_binomial,
    negative_log_likelihood,
)

N, G = 4, 6
KINDS = ["counts", "protein", "accessibility", "fraction", "real"]


class Said(NamedTuple):
    logits: torch.Tensor
    log_dispersion: torch.Tensor | None
    features: torch.Tensor | None = None
    category: torch.Tensor = torch.arange(N)


class Outputs(NamedTuple):
    encoded: Encoded
    decoded: dict
    batch_logits: torch.Tensor | None


@pytest.fixture
def target():
    torch.manual_seed(0)
    return Grid(torch.poisson(torch.full((N, G), 2.0)), torch.ones(N, G, dtype=torch.bool), torch.zeros(N))


def said(kind):
    torch.manual_seed(1)
    return Said(torch.randn(N, G), torch.randn(N, G) if kind in ("counts", "protein", "real") else None)


def outputs(kind, batch_logits=None):
    torch.manual_seed(2)
    return Outputs(Encoded(torch.randn(N, 3), torch.randn(N, 3)), {"m": said(kind)}, batch_logits)


def batch(codes=(0, 1, 1, 0)):
    return Batch({}, {}, {}, torch.tensor(codes)[:, None], torch.arange(N))


def objective(kind, **options):
    settings = {"kl_weight": 2.0, "kl_warmup": 0.5, "adversary_weight": 3.0, **options}
    return LatentReconstruction({"m": kind}, {"m": 1.5}, **settings)


def test_each_kind_has_its_likelihood(target):
    one = {kind: said(kind) for kind in KINDS}
    fraction = target._replace(values=target.values / 10)
    depth = target.values.sum(1, keepdim=True)
    expected = {
        "counts": negative_binomial(
            target.values, (one["counts"].logits.softmax(1) * depth).log(), one["counts"].log_dispersion
        ),
        "protein": negative_binomial(target.values, one["protein"].logits, one["protein"].log_dispersion),
        "accessibility": multinomial((target.values > 0).float(), one["accessibility"].logits),
        "fraction": bernoulli(fraction.values, one["fraction"].logits, target.visible),
        "real": gaussian(target.values, one["real"].logits, one["real"].log_dispersion, target.visible),
    }
    for kind in KINDS:
        found = negative_log_likelihood(kind, one[kind], fraction if kind == "fraction" else target)
        torch.testing.assert_close(found, expected[kind])


def test_a_sample_of_regions_is_scaled_up(target):
    whole = said("accessibility")
    chosen = torch.tensor([4, 1])
    part = negative_log_likelihood("accessibility", Said(whole.logits[:, chosen], None, chosen), target)
    torch.testing.assert_close(part, 3 * multinomial((target.values[:, chosen] > 0).float(), whole.logits[:, chosen]))


@pytest.mark.parametrize(
    "kind",
    KINDS,
)
def test_unmeasured_features_are_not_judged(target, kind):
    target.visible[:, 2] = False
    target.values[:, 2] = 0
    one = said(kind)
    logits = one.logits.clone().requires_grad_()
    negative_log_likelihood(kind, one._replace(logits=logits), target).sum().backward()
    assert not logits.grad[:, 2].any()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_zeros_have_finite_loss_and_gradient(kind):
    zeros = Grid(torch.zeros(N, G), torch.ones(N, G, dtype=torch.bool), torch.zeros(N))
    one = said(kind)
    logits = one.logits.clone().requires_grad_()
    loss = negative_log_likelihood(kind, one._replace(logits=logits), zeros)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_predictions_stay_finite(kind, target):
    fraction = target._replace(values=target.values / 10)
    for size in (-50.0, 50.0):
        extreme = Said(torch.full((N, G), size), torch.full((N, G), size))
        assert negative_log_likelihood(kind, extreme, fraction if kind == "fraction" else target).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_terms_are_means_over_rows_and_a_row_without_the_modality_adds_nothing(kind, target):
    target = target._replace(values=target.values / 10 if kind == "fraction" else target.values)
    target.visible[1] = False
    target.values[1] = 0
    out = outputs(kind)
    terms = objective(kind)(out, Masked({}, {"m": target}), batch(), 1.0)
    nll_n = negative_log_likelihood(kind, out.decoded["m"], target)
    torch.testing.assert_close(terms["m"], 1.5 * (nll_n[0] + nll_n[2] + nll_n[3]) / N)


@pytest.mark.parametrize(("progress", "fraction"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)])
def test_the_divergence_rises_over_the_warm_up(target, progress, fraction):
    out = outputs("real")
    terms = objective("real")(out, Masked({}, {"m": target}), batch(), progress)
    torch.testing.assert_close(terms["kl"], 2.0 * fraction * gaussian_kl(*out.encoded).mean())


def test_without_warm_up_the_divergence_counts_at_once(target):
    out = outputs("real")
    terms = objective("real", kl_warmup=0.0)(out, Masked({}, {"m": target}), batch(), 0.0)
    torch.testing.assert_close(terms["kl"], 2.0 * gaussian_kl(*out.encoded).mean())


def test_the_adversary_is_judged_on_known_batches(target):
    logits = torch.randn(N, 2)
    masked = Masked({}, {"m": target})
    terms = objective("real")(outputs("real", logits), masked, batch((0, -1, 1, -1)), 1.0)
    torch.testing.assert_close(terms["adversary"], 3.0 * F.cross_entropy(logits[[0, 2]], torch.tensor([0, 1])))
    assert "adversary" not in objective("real")(outputs("real"), masked, batch(), 1.0)


def test_observations_count_in_the_adversary_what_the_alignment_says(target):
    x, weight_n = torch.randn(N, 3), torch.tensor([0.5, 2.0, 1.0, 3.0])
    clusters = ClusterAlignment(n_clusters=1, most_weight=9.0)
    clusters.refresh(x, torch.tensor([[0], [1], [1], [0]]), torch.arange(N))
    clusters._weight_m = weight_n
    logits, codes = torch.randn(N, 2), torch.tensor([0, 1, -1, 0])
    of = objective("real", alignment_losses={"alignment": (clusters, 1.0)})
    terms = of(outputs("real", logits), Masked({}, {"m": target}), batch(codes.tolist()), 1.0)
    known = codes >= 0
    each = F.cross_entropy(logits[known], codes[known], reduction="none")
    expected = 3.0 * (weight_n[known] * each).sum() / weight_n[known].sum()
    torch.testing.assert_close(terms["adversary"], expected)


def test_no_known_batch_at_all_is_no_trouble(target):
    terms = objective("real")(outputs("real", torch.randn(N, 2)), Masked({}, {"m": target}), batch((-1,) * N), 1.0)
    assert float(terms["adversary"]) == 0


def test_expected_counts_have_the_depth_of_what_was_measured():
    head = Said(torch.tensor([[0.5, 0.25, 0.25]]).log().repeat(3, 1), None)
    visible = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    grid = Grid(torch.tensor([[4.0, 0, 4], [3, 0, 0], [0, 0, 0]]), visible, torch.zeros(3))
    torch.testing.assert_close(
        expected_values("counts", head, grid, 100.0), torch.tensor([[4.0, 2, 2], [3, 1.5, 1.5], [50, 25, 25]])
    )
    torch.testing.assert_close(
        expected_values("accessibility", head, grid, 1.0),
        torch.tensor([[1, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 0.25, 0.25]]),
    )


def test_other_kinds_are_expected_as_their_likelihood_has_them():
    head, grid = Said(torch.tensor([[0.0, 2.0]]), None), Grid(*torch.zeros(3, 1, 2))
    assert expected_values("real", head, grid, 1.0).tolist() == [[0, 2]]
    torch.testing.assert_close(expected_values("protein", head, grid, 1.0), head.logits.exp())
    torch.testing.assert_close(expected_values("fraction", head, grid, 1.0), torch.tensor([[0.5, 0.880797]]))


def test_counts_add_up_to_what_the_size_factor_says_and_without_one_to_what_was_counted(target):
    one, shown = said("counts"), target.visible.clone()
    shown[:, 0] = False
    partial = target._replace(values=target.values * shown, visible=shown)
    depth_n = torch.tensor([10.0, 20.0, float("nan"), 40.0])
    found_n = negative_log_likelihood("counts", one, partial, depth_n)
    plain_n = negative_log_likelihood("counts", one, partial)
    mean_ng = one.logits.softmax(1) * depth_n[:, None]  # over all features: the masked one takes its part
    by_hand_n = negative_binomial(target.values[:, 1:], mean_ng[:, 1:].log(), one.log_dispersion[:, 1:])
    torch.testing.assert_close(found_n[[0, 1, 3]], by_hand_n[[0, 1, 3]])
    assert found_n[2] == plain_n[2]
    assert not torch.isclose(found_n, plain_n)[[0, 1, 3]].any()


def test_size_factors_scale_the_depth_of_counts_alone(target):
    relative_n = torch.tensor([0.5, 1.0, 2.0, 1.0])
    with_factors = batch()._replace(size_factors=relative_n)
    for kind, changes in (("counts", True), ("protein", False)):
        scorer = objective(kind, depths={"m": 12.0})
        plain, scaled = (scorer(outputs(kind), Masked({}, {"m": target}), b, 1.0)["m"] for b in (batch(), with_factors))
        assert (plain != scaled) == changes
    expected_n = negative_log_likelihood("counts", said("counts"), target, 12 * relative_n)
    found = objective("counts", depths={"m": 12.0})(outputs("counts"), Masked({}, {"m": target}), with_factors, 1.0)
    torch.testing.assert_close(found["m"], 1.5 * expected_n.mean())


# ---- bounds ---------------------------------------------------------------------------------------------------------


def of(logit, log_dispersion=0.0, g=G):
    """Parameters that are the same of all features."""
    return Said(torch.full((N, g), logit), torch.full((N, g), log_dispersion))


@pytest.mark.parametrize(("logit", "bound"), [(-7.0, -6.0), (-5.0, -5.0), (11.0, 11.0), (13.0, 12.0)])
def test_expected_counts_of_proteins_are_bounded(target, logit, bound):
    found = negative_log_likelihood("protein", of(logit), target)
    expected = negative_binomial(target.values, torch.full((N, G), bound), torch.zeros(N, G))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        expected_values("protein", of(logit), target, 1.0), torch.full((N, G), bound).exp(), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(("kind", "least"), [("counts", -6), ("protein", -6), ("real", -8)])
def test_log_dispersions_are_bounded(target, kind, least):
    def nll(log_dispersion):
        return negative_log_likelihood(kind, of(0.5, log_dispersion), target)

    assert torch.equal(nll(least - 1.0), nll(float(least)))
    assert torch.equal(nll(9.0), nll(8.0))
    assert not torch.equal(nll(least + 0.5), nll(float(least)))
    assert not torch.equal(nll(7.5), nll(8.0))


def test_dispersions_of_a_category_are_those_of_its_observations(target):
    log_dispersion = torch.randn(2, G)
    head = Said(torch.zeros(N, G), log_dispersion, None, torch.tensor([1, 0, 1, 1]))
    each = Said(torch.zeros(N, G), log_dispersion[head.category])
    torch.testing.assert_close(
        negative_log_likelihood("counts", head, target), negative_log_likelihood("counts", each, target)
    )


def test_an_observation_of_zeros_has_a_depth_of_one():
    zeros = Grid(torch.zeros(N, G), torch.ones(N, G, dtype=torch.bool), torch.zeros(N))
    found = negative_log_likelihood("counts", of(0.0), zeros)
    expected = negative_binomial(zeros.values, torch.full((N, G), 1 / G).log(), torch.zeros(N, G))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("n_stored", "is_used"), [(11, True), (12, False), (13, False)])
def test_stored_counts_are_used_where_they_are_under_half_of_all(target, n_stored, is_used, monkeypatch):
    """N · G is 24."""
    given = []
    monkeypatch.setattr(
        "omicsmlm.objectives._reconstruction.negative_binomial",
        lambda *parts: given.append(parts[3]) or parts[0].sum(1),
    )
    at = torch.arange(n_stored)
    stored = StoredValues(at, at // G, at % G, torch.ones(n_stored), torch.empty(0))
    negative_log_likelihood("counts", of(0.0), StoredGrid.of(target, stored))
    assert (given[0] is stored) == is_used
    negative_log_likelihood("counts", of(0.0), target)
    assert given[1] is None


def test_the_likelihood_is_in_single_precision_whatever_autocast_says(target):
    logits = torch.randn(N, G)
    for kind in KINDS:
        head = Said(logits.bfloat16(), torch.zeros(N, G))
        plain = negative_log_likelihood(kind, head, target._replace(values=target.values / 10))
        with torch.autocast("cpu", torch.bfloat16):
            found = negative_log_likelihood(kind, head, target._replace(values=target.values / 10))
        assert found.dtype == torch.float32
        assert torch.equal(found, plain)


def test_a_kind_of_accessibility_asks_whether_a_region_is_open(target):
    twice = negative_log_likelihood("accessibility", said("accessibility"), target._replace(values=2 * target.values))
    assert torch.equal(twice, negative_log_likelihood("accessibility", said("accessibility"), target))


def test_expected_accessibility_is_a_probability():
    head = Said(torch.tensor([[0.9, 0.05, 0.05]]).log(), None)
    grid = Grid(torch.tensor([[3.0, 1, 1]]), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1))
    torch.testing.assert_close(expected_values("accessibility", head, grid, 9.0), torch.tensor([[1.0, 0.15, 0.15]]))


def test_a_depth_estimated_from_next_to_nothing_is_bounded():
    head = Said(torch.tensor([[-30.0, 0.0]]), None)
    grid = Grid(torch.tensor([[2.0, 0.0]]), torch.tensor([[True, False]]), torch.zeros(1))
    found = expected_values("counts", head, grid, 9.0)
    torch.testing.assert_close(found, 2 / 1e-6 * torch.softmax(head.logits, 1))


def test_alignment_losses_are_terms_with_weights_and_begin_late(target):
    class Loss:
        calls: list = []

        def __call__(self, mean_nd, batch):
            return mean_nd.square().sum()

        def refresh(self, *parts, is_whole):
            self.calls.append((parts, is_whole))

        def clear(self):
            self.calls.append("clear")

    loss, out = Loss(), outputs("real")
    made = objective("real", alignment_losses={"near": (loss, 4.0)})
    terms = made(out, Masked({}, {"m": target}), batch(), 1.0)
    torch.testing.assert_close(terms["near"], 4 * out.encoded.mean.square().sum())
    made.refresh(1, 2, 3)
    made.refresh(1, 2, 3, is_whole=False)
    made.clear()
    assert loss.calls == [((1, 2, 3), True), ((1, 2, 3), False), "clear"]
    assert made.start == 0.2
    assert objective("real").alignment_losses == {}
