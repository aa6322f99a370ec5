"""What is added for the observations that maps were fitted to, against plain products of each."""

import copy

import numpy as np
import pytest
import torch

from omicsmlm.nn import Component, CrossFitting, Estimates, FoldEstimates, FoldSizes, ScaledTokens

SIZES = {"rna": 5, "atac": 4}
N_FOLDS = 3


def estimates(g, k, seed):
    rng = np.random.default_rng(seed)
    folds = FoldEstimates(
        rng.normal(size=(N_FOLDS, g, k)).astype(np.float32), rng.normal(size=(N_FOLDS, k)).astype(np.float32)
    )
    return Estimates(np.zeros((g, k), np.float32), np.zeros(k, np.float32), np.ones(k, np.float32), folds)


COMPONENTS = {
    "rna": Component(0, np.ones(2, np.float32), {"rna": estimates(5, 2, 0), "atac": estimates(4, 2, 1)}),
    "atac": Component(2, np.ones(3, np.float32), {"atac": estimates(4, 3, 2), "rna": estimates(5, 3, 3)}),
}
DIGESTS = np.array([40, -7, 3, 9, 3])


@pytest.fixture
def layer():
    made = CrossFitting(SIZES, 6, FoldSizes(N_FOLDS, 4))
    made.initialize(DIGESTS, COMPONENTS)
    return made


def test_the_fold_of_a_known_observation_follows_from_its_digest(layer):
    found = layer.folds(torch.tensor([3, 9, -7, 40, 41, -100, 10**15, 0]))
    assert found.tolist() == [0, 0, 2, 1, -1, -1, -1, -1]
    np.testing.assert_array_equal(layer.fold_of(DIGESTS), layer.folds(torch.from_numpy(DIGESTS)))


def by_loop(name, x, fold_n):
    added = np.zeros((len(x), 6), np.float32)
    for n, fold in enumerate(fold_n.tolist()):
        for component in COMPONENTS.values() if fold >= 0 else ():
            folds = component.estimates[name].folds
            columns = slice(component.first, component.first + len(component.strength_k))
            added[n, columns] = x[n].numpy() @ folds.weights_fgk[fold] + folds.offset_fk[fold]
    return added


FOLDS = torch.tensor([2, -1, 0, 0, 1, -1])


@pytest.mark.parametrize("name", SIZES)
def test_of_values(layer, name):
    x = torch.randn(6, SIZES[name], generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(layer(name, x, FOLDS), by_loop(name, x, FOLDS), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", SIZES)
def test_of_tokens(layer, name):
    """Two gene panels, an observation without tokens."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([3, 0, 2, 1, 4, 2])
    columns = torch.cat([torch.randperm(SIZES[name], generator=generator)[:n] for n in lengths.tolist()])
    above = torch.randn(len(columns), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    zeros, factors = torch.randn(2, SIZES[name], generator=generator), torch.rand(6, generator=generator)
    panels = torch.tensor([0, 1, 1, 0, 1, 0])
    dense = zeros[panels].clone()
    for n in range(6):
        dense[n, columns[offsets[n] : offsets[n + 1]]] += above[offsets[n] : offsets[n + 1]]
    found = layer(name, ScaledTokens(columns, above, offsets, zeros, panels, factors), FOLDS)
    np.testing.assert_allclose(found, by_loop(name, dense * factors[:, None], FOLDS), rtol=2e-3, atol=2e-3)


def test_a_device_gets_the_same_without_being_waited_for(layer, monkeypatch):
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    expected = layer("rna", x, FOLDS)
    monkeypatch.setattr("omicsmlm.nn._cross_fitting.is_on_host", lambda tensor: False)
    torch.testing.assert_close(layer("rna", x, FOLDS), expected, rtol=1e-4, atol=1e-5)


def test_rates_divide_what_the_layer_is_given():
    plain, scaled = (CrossFitting(SIZES, 6, FoldSizes(N_FOLDS, 4)) for _ in range(2))
    plain.initialize(DIGESTS, COMPONENTS)
    rates = {"rna": np.array([1, 2, 0.5, 4, 1], np.float32), "atac": np.ones(4, np.float32)}
    scaled.initialize(DIGESTS, COMPONENTS, rates)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        scaled("rna", x / torch.from_numpy(rates["rna"]), FOLDS), plain("rna", x, FOLDS), rtol=2e-3, atol=2e-3
    )


def test_it_is_saved_with_the_weights_and_not_trained(layer):
    assert not list(layer.parameters())
    other = CrossFitting(SIZES, 6, FoldSizes(N_FOLDS, 4))
    other.load_state_dict(layer.state_dict())
    x = torch.ones(6, 5)
    assert torch.equal(other("rna", x, FOLDS), layer("rna", x, FOLDS))
    assert other.folds(torch.tensor([40, 5])).tolist() == [1, -1]


def test_weights_that_were_loaded_or_moved_are_used_at_once(layer):
    """The copy in single precision is of the buffer as it is now, and no copy of the network carries it along."""
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    first = layer("rna", x, FOLDS)
    other = copy.deepcopy(layer)
    assert other._singles == {}
    layer.load_state_dict(
        {name: 2 * value if name.startswith("weights") else value for name, value in layer.state_dict().items()}
    )
    offset_nc = torch.where((FOLDS >= 0)[:, None], layer.offset_0[FOLDS.clamp(min=0)], 0.0)
    torch.testing.assert_close(layer("rna", x, FOLDS) - offset_nc, 2 * (first - offset_nc))
    torch.testing.assert_close(other("rna", x, FOLDS), first)


def test_a_training_may_follow_an_embedding(layer):
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        layer("rna", x, FOLDS)
    x.requires_grad_()
    layer("rna", x, FOLDS).sum().backward()
    assert x.grad is not None
    assert (x.grad[FOLDS >= 0].abs().sum(1) > 0).all()
