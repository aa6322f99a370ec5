"""Agreement of a partial view with the full view, against sums over observations."""

import math

import pytest
import torch

from omicsmlm.objectives import divergence, info_nce


def test_the_bound_on_mutual_information():
    generator = torch.Generator().manual_seed(0)
    full, partial = torch.randn(2, 5, 3, generator=generator)
    expected = 0.0
    for i in range(5):
        cosines = [float(torch.cosine_similarity(partial[i], full[j], 0)) / 0.2 for j in range(5)]
        expected -= math.log(math.exp(cosines[i]) / sum(map(math.exp, cosines))) / 5
    assert float(info_nce(full, partial, 0.2)) == pytest.approx(expected, rel=1e-5)
    assert float(info_nce(full, full, 0.01)) < float(info_nce(full, partial, 0.01))


def test_the_divergence_of_predictions():
    generator = torch.Generator().manual_seed(0)
    full, partial = torch.randn(2, 4, 3, generator=generator)
    expected = 0.0
    for i in range(4):
        p, q = (part[i].double().softmax(0).tolist() for part in (full, partial))
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 4
    assert float(divergence(full, partial)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(full, full)) == pytest.approx(0, abs=1e-6)
    assert float(divergence(full[:0], partial[:0])) == 0


def test_the_full_view_is_the_teacher():
    for term in (info_nce, divergence):
        torch.manual_seed(0)
        full, partial = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
        term(full, partial).backward()
        assert full.grad is None
        assert partial.grad.abs().sum() > 0


def test_the_usual_temperature_is_a_tenth():
    full, partial = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    assert float(info_nce(full, partial)) == float(info_nce(full, partial, 0.1)) != float(info_nce(full, partial, 0.2))


def test_only_observations_that_count_are_in_the_mean():
    full, partial = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    counts_n = torch.tensor([True, False, True, False])
    torch.testing.assert_close(divergence(full, partial, counts_n), divergence(full[::2], partial[::2]))
    one = torch.tensor([False, True, False, False])
    torch.testing.assert_close(divergence(full, partial, one), divergence(full[1:2], partial[1:2]))
    assert float(divergence(full, partial, torch.zeros(4, dtype=torch.bool))) == 0


def test_views_in_half_precision_are_compared_in_single():
    full, partial = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    for term in (info_nce, divergence):
        assert term(full, partial).dtype == torch.float32
        assert torch.equal(term(full, partial), term(full.float(), partial.float()))
