"""The fit of components against the posterior of a Gaussian, row by row, and what it makes of subsets."""

import numpy as np
import torch

from omicsmlm.nn import ComponentFit


def made(n=6, g=20, k=3):
    torch.manual_seed(0)
    layer = ComponentFit(g, k)
    layer.initialize(torch.randn(g), torch.tensor([2.0, 1.0, 0.3]), torch.rand(g) + 0.2)
    table = torch.randn(g, k)
    visible = torch.rand(n, g) < 0.5
    visible[1], visible[2], visible[3] = False, True, visible[0]
    return layer, torch.randn(n, g) * 2, visible, table


def test_it_is_the_posterior_mean_given_what_is_seen():
    layer, values, visible, table = made()
    found = layer(values, visible, table).detach().numpy()
    loading = (table * layer.strength_k).double().numpy()
    noise = layer.log_noise_g.exp().detach().double().numpy()
    z = (values - layer.mean_g).double().numpy()
    for i in range(len(values)):
        own = visible[i].numpy()
        # u and z are jointly normal: E[u | z] = cov(u, z) cov(z, z)⁻¹ z
        covariance = loading[own] @ loading[own].T + np.diag(noise[own])
        np.testing.assert_allclose(found[i], loading[own].T @ np.linalg.solve(covariance, z[i, own]), atol=1e-4)
    assert (found[1] == 0).all(), "of nothing"


def test_a_row_does_not_depend_on_the_others():
    layer, values, visible, table = made()
    alone = torch.cat([layer(values[i, None], visible[i, None], table) for i in range(6)])
    torch.testing.assert_close(layer(values, visible, table), alone)


def test_what_is_not_seen_leaves_no_trace():
    layer, values, visible, table = made()
    assert torch.equal(layer(values, visible, table), layer(torch.where(visible, values, 7.0), visible, table))


def test_it_finds_the_components_of_simulated_rows_and_better_from_more_features():
    rng = torch.Generator().manual_seed(0)
    table, u = torch.randn(400, 3, generator=rng), torch.randn(50, 3, generator=rng)
    values = u @ table.T + 3 * torch.randn(50, 400, generator=rng)
    layer = ComponentFit(400, 3)
    layer.initialize(torch.zeros(400), torch.ones(3), torch.full((400,), 9.0))
    errors = []
    for n_seen in (20, 100, 400):
        visible = (torch.arange(400) < n_seen).expand(50, -1)
        errors.append(float((layer(values, visible, table).detach() - u).square().mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.04, "the noise of 400 features, 9 / 400, and little more"


def test_what_stands_out_of_the_weakest_component():
    layer = ComponentFit(5, 3)
    layer.initialize(torch.zeros(5), torch.tensor([2.0, 1.0, 0.5]), torch.ones(5))
    torch.testing.assert_close(layer.excess_k(), torch.tensor([1 - 1 / 16, 0.75, 0.0]))


def test_everything_learns():
    layer, values, visible, table = made()
    table.requires_grad_()
    layer(values, visible, table).square().sum().backward()
    assert (layer.log_noise_g.grad != 0).all()
    assert (table.grad != 0).all()


def test_each_observation_by_itself_gives_the_same():
    layer, values, visible, table = made()
    whole = layer(values, visible, table)
    for most in (int(visible.sum(1).max()), 20):
        torch.testing.assert_close(layer(values, visible, table, most), whole, atol=1e-5, rtol=1e-4)
    assert layer(values[:0], visible[:0], table).shape == (0, 3)


def test_it_is_computed_in_single_precision_whatever_autocast_says():
    layer, values, visible, table = made()
    expected = layer(values, visible, table)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(values, visible, table)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    half = layer(values.bfloat16(), visible, table.bfloat16())
    assert half.dtype == torch.float32


def test_before_it_is_initialised_loadings_and_noise_have_size_one():
    layer = ComponentFit(5, 3)
    assert layer.mean_g.tolist() == [0] * 5
    assert layer.strength_k.tolist() == [1] * 3
    assert layer.log_noise_g.tolist() == [0] * 5
    assert set(layer.state_dict()) == {"mean_g", "strength_k", "log_noise_g"}, "the keys are not saved"
    assert torch.equal(layer.key_g, ComponentFit(5, 3).key_g), "and the same in each"
    assert len(set(ComponentFit(1000, 1).key_g.tolist())) == 1000
    assert ComponentFit(1000, 1).key_g.abs().max() > 2**61
