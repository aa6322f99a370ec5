"""Estimates of several modalities averaged by their precision, against a loop over rows and dimensions."""

import numpy as np
import pytest
import torch

from omicsmlm.nn import Estimates, PrecisionWeighting, SetEncoder, _set_encoder
from omicsmlm.nn._scaling import ScaledTokens
from omicsmlm.nn._set_encoder import summed

NAMES = ("a", "b", "c")


@pytest.fixture
def combination():
    torch.manual_seed(0)
    combination = PrecisionWeighting(NAMES, 4)
    with torch.no_grad():
        for vector in combination.parameters():
            vector.normal_()
    return combination


def case(n=6):
    generator = torch.Generator().manual_seed(1)
    sums = {name: torch.randn(n, 4, generator=generator) for name in NAMES}
    relative_depth = {name: 2 * torch.rand(n, generator=generator) for name in NAMES}
    return sums, relative_depth


def by_loop(combination, sums, relative_depth):
    n = len(relative_depth["a"])
    out = np.zeros((n, 4))
    for i in range(n):
        for d in range(4):
            total, mean = 0.0, 0.0
            for m, name in enumerate(NAMES):
                e = float(relative_depth[name][i])
                if e == 0:
                    out[i, d] += float(combination.absent[m][d].detach())
                    continue
                precision = e * np.exp(float(combination.log_precision[m][d].detach()))
                total += precision
                mean += precision * (float(combination.offset[m][d].detach()) + float(sums[name][i, d]))
            out[i, d] += mean / total if total else 0.0
    return out


def test_estimates_count_by_precision_times_evidence(combination):
    sums, relative_depth = case()
    for i, gone in enumerate(["", "a", "b", "ab", "bc", "abc"]):
        for name in gone:
            relative_depth[name][i] = 0.0
    found = combination(sums, relative_depth).detach()
    np.testing.assert_allclose(found, by_loop(combination, sums, relative_depth), rtol=1e-4, atol=1e-5)


def test_what_an_absent_modality_says_does_not_matter(combination):
    sums, relative_depth = case()
    for name in NAMES:
        relative_depth[name][2] = 0.0
    relative_depth["b"][:] = 0.0
    found = combination(sums, relative_depth)
    other = {name: part.clone() for name, part in sums.items()}
    other["b"] += 100
    other["a"][2] -= 100
    assert torch.equal(combination(other, relative_depth), found)


def test_the_only_modality_counts_whole_whatever_its_evidence(combination):
    sums, relative_depth = case()
    for name in "ac":
        relative_depth[name].zero_()
    expected = sums["b"] + combination.offset[1] + combination.absent[0] + combination.absent[2]
    torch.testing.assert_close(combination(sums, relative_depth), expected)
    torch.testing.assert_close(combination(sums, {**relative_depth, "b": relative_depth["b"] / 1000}), expected)


def test_it_starts_at_estimates_in_their_dimensions():
    combination = PrecisionWeighting(["a", "b"], 5)
    nothing = np.zeros((3, 2), np.float32)
    offset, precision = np.array([[1, 2], [4, 9]], np.float32)
    combination.initialize("b", Estimates(nothing, offset, precision), 2)
    assert combination.offset[1].tolist() == [0, 0, 1, 2, 0]
    torch.testing.assert_close(combination.log_precision[1][2:4].exp().detach(), torch.tensor([4.0, 9.0]))
    assert len(set(combination.log_precision[1][[0, 1, 4]].tolist() + combination.log_precision[0].tolist())) == 1
    sums = {"a": torch.zeros(1, 5), "b": torch.ones(1, 5)}
    h = combination(sums, {"a": torch.ones(1), "b": torch.ones(1)})
    small = np.exp(-3)
    assert h[0].tolist() == pytest.approx([0.5, 0.5, 2 * 4 / (4 + small), 3 * 9 / (9 + small), 0.5], rel=1e-4)


def test_one_modality_alone_counts_as_it_does_beside_one_that_is_absent():
    torch.manual_seed(0)
    alone, beside = PrecisionWeighting(["a"], 5), PrecisionWeighting(["a", "b"], 5)
    with torch.no_grad():
        for part in (alone.offset[0], alone.absent[0], alone.log_precision[0]):
            part.normal_()
        for mine, other in ((alone.offset, beside.offset), (alone.absent, beside.absent)):
            other[0].copy_(mine[0])
    sums_nd, relative_depth_n = torch.randn(4, 5), torch.tensor([1.0, 0.0, 0.3, 2.0])
    found = alone({"a": sums_nd}, {"a": relative_depth_n})
    torch.testing.assert_close(
        found, beside({"a": sums_nd, "b": sums_nd}, {"a": relative_depth_n, "b": torch.zeros(4)})
    )
    torch.testing.assert_close(found[1], alone.absent[0])


# ---- the set encoder against loops over tokens

SIZES = {"rna": 5, "atac": 3}


@pytest.fixture
def scaled():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, g, generator=generator) for name, g in SIZES.items()}


def test_the_sum_over_tokens(scaled):
    torch.manual_seed(0)
    encoder = SetEncoder(SIZES, 6)
    with torch.no_grad():
        for vector in encoder.combination.absent:
            vector.normal_()
        for vector in (*encoder.combination.log_precision, *encoder.combination.offset):
            vector.normal_()
    relative_depth = {"rna": torch.tensor([1.0, 0.0, 0.5, 1.0]), "atac": torch.tensor([1.0, 0.2, 0.0, 2.0])}
    out = encoder(scaled, relative_depth)
    for i in range(4):
        expected, total = torch.zeros(6), torch.zeros(6)
        for m, name in enumerate(SIZES):
            precision = relative_depth[name][i] * encoder.combination.log_precision[m].exp()
            total = total + precision
            expected = expected + precision * encoder.combination.offset[m]
            for g in range(SIZES[name]):
                expected = expected + precision * scaled[name][i, g] * encoder.features[m].weight[:, g]
        expected = expected / total
        for m, name in enumerate(SIZES):
            if relative_depth[name][i] == 0:
                expected = expected + encoder.combination.absent[m]
        torch.testing.assert_close(out[i], expected)


def test_of_one_modality_the_sum_is_plain(scaled):
    encoder = SetEncoder({"rna": 5}, 6)
    out = encoder({"rna": scaled["rna"]}, {"rna": torch.full((4,), 0.1)})
    torch.testing.assert_close(out, scaled["rna"] @ encoder.features[0].weight.T)


def test_the_linear_start_gives_the_directions():
    encoder = SetEncoder(SIZES, 6)
    directions = np.arange(10, dtype=np.float32).reshape(5, 2)
    encoder.shrink()
    offset, precision = np.array([[1, 2], [4, 9]], dtype=np.float32)
    encoder.initialize("rna", Estimates(directions, offset, precision), 1)
    assert torch.equal(encoder.features[0].weight[1:3].detach(), torch.from_numpy(directions.T))
    assert float(encoder.features[0].weight[3:].detach().abs().max()) < 0.1, "the other dimensions start small"
    assert torch.equal(encoder.combination.offset[0].detach(), torch.tensor([0.0, 1, 2, 0, 0, 0]))
    torch.testing.assert_close(encoder.combination.log_precision[0][1:3].exp().detach(), torch.tensor([4.0, 9.0]))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _set_encoder.UNKNOWN_LOG_PRECISION == -3.0
    assert _set_encoder.ABSENT_SCORE == -10000.0


def test_estimates_shrink_to_a_tenth():
    encoder = SetEncoder(SIZES, 6)
    before = [features.weight.detach().clone() for features in encoder.features]
    encoder.shrink()
    for features, old in zip(encoder.features, before, strict=True):
        torch.testing.assert_close(features.weight.detach(), 0.1 * old)
        assert features.bias is None


def test_sums_of_tokens_are_those_of_the_grid():
    """Two panels, the second of which did not measure the last feature; the second observation has no token."""
    features, zero_sg = torch.nn.Linear(3, 2, bias=False), torch.tensor([[1.0, -1, 2], [1, -1, 0]])
    tokens = ScaledTokens(
        column_t=torch.tensor([0, 2, 1]),
        above_t=torch.tensor([3.0, 4.0, 5.0]),
        offsets=torch.tensor([0, 2, 2, 3]),
        zero_sg=zero_sg,
        panel_n=torch.tensor([0, 1, 1]),
        factor_n=torch.tensor([1.0, 2.0, 0.5]),
    )
    dense = torch.tensor([[4.0, -1, 6], [2, -2, 0], [0.5, 2, 0]])
    torch.testing.assert_close(summed(features, tokens), features(dense))


def test_depths_that_are_next_to_nothing_count_as_a_millionth():
    combination = PrecisionWeighting(["a", "b"], 1)
    sums = {"a": torch.ones(1, 1), "b": torch.zeros(1, 1)}
    found = combination(sums, {"a": torch.tensor([1e-9]), "b": torch.tensor([1e-5])})
    assert float(found) == pytest.approx(1e-6 / (1e-6 + 1e-5), rel=1e-4)
