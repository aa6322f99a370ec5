"""The initial weights of TxFM: a factor analysis within data sets, and small residual branches."""

import numpy as np
import torch

from omicsmlm.models.txfm import _initialization
from omicsmlm.models.txfm._initialization import Components, gene_components, initialize
from omicsmlm.models.txfm._module import TxFMModule
from tests.objects import SMALL_TXFM


def test_components_are_those_within_data_sets_each_of_which_counts_alike():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(400, 1)), rng.normal(size=(2, 30))
    values = 5 + np.vstack([u[:50] * v[0], 3 + u[50:] * v[0]]) + rng.normal(size=(400, 30)) * 0.1
    visible = np.ones((400, 30), dtype=bool)
    visible[:50, 20:] = False
    found = gene_components(np.where(visible, values, 0), visible, np.repeat([0, 1], [50, 350]), 4, 0)
    assert abs(np.corrcoef(found.table_gk[:20, 0], v[0, :20])[0, 1]) > 0.99, "not the shift between"
    assert found.strength_k[1] < 0.2 * found.strength_k[0]
    np.testing.assert_allclose(found.mean_g[20:], values[50:, 20:].mean(0), rtol=1e-3)
    both = (values[:50, :20].mean(0) + values[50:, :20].mean(0)) / 2
    np.testing.assert_allclose(found.mean_g[:20], both, rtol=1e-3)
    assert (found.noise_g > 0).all()
    few = gene_components(values[:5, :3], visible[:5, :3], np.zeros(5), 8, 0)
    assert (few.table_gk[:, 3:] == 0).all(), "three genes have no more components"


def test_components_are_those_of_an_exact_decomposition():
    rng = np.random.default_rng(0)
    n, g, k = 60, 12, 3
    x = (rng.normal(size=(n, k)) * [5, 3, 2] @ rng.normal(size=(k, g)) + 0.2 * rng.normal(size=(n, g))).astype(
        np.float32
    )
    found = gene_components(x, np.ones((n, g), dtype=bool), np.zeros(n), k, 0)
    centred = x.astype(np.float64) - x.mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(found.mean_g, x.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.abs(found.table_gk), np.abs(vt[:k].T) * np.sqrt(g), rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(np.square(found.table_gk).mean(0), 1, rtol=1e-4)
    np.testing.assert_allclose(found.strength_k, s[:k] / np.sqrt(n * g), rtol=1e-3)
    left = np.square(centred).mean(0) - np.square(vt[:k].T * s[:k]).sum(1) / n
    np.testing.assert_allclose(found.noise_g, 0.5 * left.mean() + 0.5 * left, rtol=1e-2)
    assert all(part.dtype == np.float32 for part in found)


def test_values_that_were_not_measured_count_for_nothing():
    rng = np.random.default_rng(1)
    x = rng.normal(2, 1, (50, 8)).astype(np.float32)
    visible = np.ones((50, 8), dtype=bool)
    visible[:20, 5:] = False
    sets = np.repeat([0, 1], [20, 30])
    found = gene_components(x * visible, visible, sets, 2, 0)
    other = gene_components(np.where(visible, x, 9.0), visible, sets, 2, 0)
    np.testing.assert_allclose(other.strength_k, found.strength_k, rtol=1e-4)
    np.testing.assert_allclose(other.mean_g, found.mean_g, rtol=1e-4)
    left = found.noise_g[5:]
    assert (left > 0.2).all(), "the variance of genes of one data set is that of its cells alone"


def test_a_gene_that_the_components_explain_wholly_keeps_some_noise():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 1)) @ np.array([[20.0, 0, 0, 0, 0, 0]]) + rng.normal(size=(40, 6)) * [0, 1, 1, 1, 1, 1]
    found = gene_components(x.astype(np.float32), np.ones((40, 6), dtype=bool), np.zeros(40), 1, 0)
    others = found.noise_g[1:]
    assert found.noise_g[0] < others.min()
    assert found.noise_g[0] > 0.4 * others.mean(), "half of the mean noise"
    constant = gene_components(np.ones((5, 3), np.float32), np.ones((5, 3), dtype=bool), np.zeros(5), 2, 0)
    np.testing.assert_allclose(constant.noise_g, 1e-6)
    np.testing.assert_allclose(constant.strength_k, 1e-6)


@torch.no_grad()
def test_the_module_starts_at_the_components():
    torch.manual_seed(0)
    before, after = TxFMModule("rna", 9, SMALL_TXFM), TxFMModule("rna", 9, SMALL_TXFM)
    after.load_state_dict(before.state_dict())
    rng = np.random.default_rng(0)
    strength = np.linspace(4, 1, 15)
    parts = rng.random(9), rng.normal(size=(9, 15)), strength, rng.random(9) + 0.1
    components = Components(*(part.astype(np.float32) for part in parts))
    initialize(after, components)
    np.testing.assert_array_equal(after.tokens.features.weight, components.table_gk)
    np.testing.assert_array_equal(after.fit.mean_g, components.mean_g)
    np.testing.assert_array_equal(after.fit.strength_k, components.strength_k)
    np.testing.assert_allclose(after.fit.log_noise_g.exp(), components.noise_g, rtol=1e-5)
    np.testing.assert_allclose(after.size_k, np.sqrt(strength / 4), rtol=1e-5)
    for own, random in zip(after.transformer.blocks, before.transformer.blocks, strict=True):
        for scale in ("attention_scale", "feed_forward_scale"):
            torch.testing.assert_close(getattr(own, scale), 0.1 * getattr(random, scale))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _initialization.NOISE_SHRINKAGE == 0.5
    assert _initialization.MIN_STRENGTH == 1e-06
    assert _initialization.N_POWER_ITERATIONS == 4
    assert _initialization.LEAST_SINGULAR_VALUE == 0.0001
    assert _initialization.MIN_VARIANCE == 1e-06
    assert _initialization.BRANCH_SCALE == 0.1
