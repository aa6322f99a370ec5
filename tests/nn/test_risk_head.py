import pytest
import torch

from omicsmlm.nn import RiskHead, _risk_head


def made(**changes):
    torch.manual_seed(0)
    return RiskHead(4, 2, 6, 3, **changes).eval()


def rows(n=5):
    torch.manual_seed(1)
    return torch.randn(n, 4), torch.tensor([0, 1, 2, 0, 1])[:n], torch.randn(n, 2), torch.randn(n, 6)


def test_the_wide_part_starts_at_nothing_and_adds_a_linear_function():
    head = made()
    z, stratum, covariate, x = rows()
    torch.testing.assert_close(head(z, stratum, covariate, x), head(z, stratum, covariate, 0 * x))
    with torch.no_grad():
        head.wide.weight.copy_(torch.arange(6.0)[None])
    added = head(z, stratum, covariate, x) - head(z, stratum, covariate, 0 * x)
    torch.testing.assert_close(added, 0.3 * x @ torch.arange(6.0)[:, None], atol=1e-5, rtol=1e-5)


def test_an_unknown_stratum_has_an_embedding_of_zeros():
    head = made()
    z, _, covariate, x = rows(1)
    known, unknown = (head(z, torch.tensor([code]), covariate, x) for code in (0, -1))
    assert not torch.allclose(known, unknown)
    with torch.no_grad():
        head.strata.weight[1] = 0
    torch.testing.assert_close(head(z, torch.tensor([0]), covariate, x), unknown)


def test_the_scale_of_the_embedding_does_not_matter():
    head, other = made(), made()
    z, stratum, covariate, x = rows()
    head.fit_scale(z)
    other.fit_scale(100 * z + 3)
    torch.testing.assert_close(
        head(z, stratum, covariate, x), other(100 * z + 3, stratum, covariate, x), atol=1e-4, rtol=1e-4
    )
    assert made(n_outputs=7)(z, stratum, covariate, x).shape == (5, 7)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _risk_head.N_STRATUM == 8


def test_usual_settings():
    head = RiskHead(4, 2, 6, 3)
    dropout, first, _, norm, last = head.deep
    assert (dropout.p, head.feature_dropout.p, head.wide_scale) == (0.3, 0.5, 0.3)
    assert (first.in_features, first.out_features, norm.normalized_shape, last.out_features) == (
        4 + 8 + 2,
        64,
        (64,),
        1,
    )
    assert head.strata.weight.shape == (4, 8)
    assert not head.strata.weight[0].any(), "of an unknown stratum"
    assert head.wide.bias is None
    assert head.wide.out_features == 1


def test_the_scale_is_the_root_mean_variance():
    head, z = made(), torch.tensor([[0.0, 0, 0, 0], [2, 4, 0, 0]])
    head.fit_scale(z)
    assert head.centre_d.tolist() == [1, 2, 0, 0]
    assert float(head.scale) == pytest.approx((5 / 4) ** 0.5)
    head.fit_scale(z[:1])
    assert float(head.scale) == pytest.approx(1e-6), "of one observation"
