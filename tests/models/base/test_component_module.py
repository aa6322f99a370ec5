"""The part of a network that is initialised at principal components."""

import numpy as np
import pytest
import torch
from torch import nn

from omicsmlm._types import Encoded, Grid
from omicsmlm.models.base import Batches, ComponentModule, _component_module
from omicsmlm.models.base._component_module import COMPONENT_SCALES, COMPONENT_WEIGHTS
from omicsmlm.nn import Component, LatentHead

KINDS = {"rna": "counts", "atac": "accessibility", "prot": "protein", "meth": "fraction", "z": "real"}
N_DECODED = {"rna": 7, "atac": 9, "prot": 3, "meth": 4, "z": 2}
WIDTH = 6


class Small(ComponentModule):
    """A linear layer in, and what all of these networks have behind it."""

    def __init__(self, kinds=KINDS, n_categories=(3, 2), n_fixed=None, n_reference=5, *, has_adversary=True):
        super().__init__()
        self.kinds = kinds
        self.readout = LatentHead(WIDTH, 2, 8, 0.0)
        n_decoded = {name: N_DECODED[name] for name in kinds}
        batches = Batches(n_categories, n_fixed, n_reference)
        self._set_up_decoder(WIDTH, n_decoded, 5, batches, has_adversary=has_adversary)

    def encode(self, views):
        return Encoded(views["rna"].values[:, :10], views["rna"].values[:, :10])

    def forward(self, views, batch):
        return self.encode(views)


def test_heads_are_made_for_the_kinds():
    decoder = Small().decoder
    assert decoder.names == list(KINDS)
    for name, n in N_DECODED.items():
        head = decoder.head(name)
        assert head.linear.weight.shape == (n, WIDTH)
        assert head.bias.shape == (3, n)
        assert (head.log_dispersion is not None) == (name in ("rna", "prot", "z"))
        assert head.n_sampled == (5 if name == "atac" else 0)
    covariates = decoder.trunk[0].weight.shape[1]
    assert covariates == 10 + 3 + 2, "latent, batch, and the further covariate"


def test_the_latent_is_that_of_the_readout():
    module = Small()
    assert module.n_latent == 10
    assert module.reference_md.shape == (5, 10)
    assert "reference_md" in module.state_dict()


@pytest.mark.parametrize(
    ("n_categories", "n_fixed", "has_adversary", "expected"),
    [
        ((3,), None, True, 3),
        ((2,), None, True, 2),
        ((3,), None, False, None),
        ((1,), None, True, None),
        ((), None, True, None),
        ((3,), 2, True, None),
    ],
)
def test_a_reference_of_several_batches_has_an_adversary(n_categories, n_fixed, has_adversary, expected):
    module = Small(n_categories=n_categories, n_fixed=n_fixed, has_adversary=has_adversary)
    assert (module.adversary is None) == (expected is None)
    if expected:
        assert module.adversary(torch.zeros(4, 10)).shape == (4, expected)


def test_a_query_has_an_alignment_of_its_new_batches_alone():
    assert Small().alignment is None
    alignment = Small(n_categories=(5, 2), n_fixed=3).alignment
    z_nd = torch.randn(5, 10)
    with torch.no_grad():
        alignment.shift_brkd.fill_(1.0)
    moved_nd = alignment(z_nd, torch.arange(5))
    assert torch.equal(moved_nd[:3], z_nd[:3])
    assert (moved_nd[3:] != z_nd[3:]).all()
    assert len(alignment.shift_brkd) == 2


@pytest.mark.parametrize("n_components", [80, 20, 3])
def test_components_are_divided_by_weight(n_components):
    module = Small()
    total = 1.0 + 0.48 + 0.6 + 1.0 + 1.0
    for name, weight in {"rna": 1.0, "atac": 0.48, "prot": 0.6, "meth": 1.0, "z": 1.0}.items():
        assert module._component_fraction(name, n_components) == max(1, int(n_components * weight / total))
    assert Small({"atac": "accessibility"})._component_fraction("atac", 80) == 80, "one modality has all of them"
    assert set(COMPONENT_WEIGHTS) == set(KINDS.values())


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_the_latent_starts_at_the_components(name):
    module = Small({"rna": "counts", "atac": "accessibility"})
    with torch.no_grad():
        module.readout.skip.weight.zero_()
    strength_k = np.array([1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.01], dtype=np.float32)
    n, factor = (5, 1.0) if name == "rna" else (2, 0.4)  # int(8 * 1 / 1.48), int(8 * 0.48 / 1.48)
    assert COMPONENT_SCALES.get(module.kinds[name], 1.0) == factor
    module._initialize_latent(name, Component(1, strength_k, {}), 8, 3.0, 2.0)
    expected_d = torch.ones(10)
    expected_d[2 : 2 + n] = torch.from_numpy((factor * strength_k[:n]) ** 2)
    torch.testing.assert_close(module.readout.scale_d, expected_d)
    expected_dw = torch.zeros(10, WIDTH)
    for k in range(min(n, WIDTH - 1)):
        expected_dw[2 + k, 1 + k] = 3.0
    torch.testing.assert_close(module.readout.skip.weight.detach(), expected_dw)


def test_moments_of_modalities_are_matched_where_they_are_kept():
    module, mean_nd = Small(), torch.arange(30.0).view(3, 10)
    encoded = Encoded(mean_nd, torch.zeros(3, 10))
    is_present = {"rna": torch.tensor([True, False, True]), "atac": torch.tensor([False, True, True])}
    assert module._matched(encoded, is_present) is encoded, "links tie no modalities"
    module.set_up_moments(())
    assert module.moments is None
    module.set_up_moments(("rna", "atac"))
    module.moments.scale_md[0], module.moments.offset_md[1] = 3.0, 5.0
    found = module._matched(encoded, is_present)
    expected_nd = torch.stack([3 * mean_nd[0], mean_nd[1] + 5, 2 * mean_nd[2] + 2.5])
    torch.testing.assert_close(found.mean, expected_nd)
    assert torch.equal(found.log_variance, encoded.log_variance)


def test_heads_start_at_the_log_means_of_the_batches():
    module = Small({"rna": "counts", "prot": "protein"}, n_categories=(2,))
    x_ng = torch.tensor([[2.0, 0.0, 4.0], [4.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
    grid = Grid(x_ng, torch.ones(3, 3, dtype=torch.bool), x_ng.sum(1))
    batch_n, has_n = np.array([0, 1, 0, 1, 1]), np.array([True, False, True, True, False])
    module._initialize_head("prot", [grid], batch_n, has_n)  # those that have it are of batches 0, 0, 1
    expected_bg = torch.log(torch.stack([x_ng[:2].mean(0), x_ng[2]]) + 0.01)
    torch.testing.assert_close(module.decoder.head("prot").bias.detach(), expected_bg)
    alone = Small({"prot": "protein"}, n_categories=())
    alone._initialize_head("prot", [grid], None, has_n)
    torch.testing.assert_close(alone.decoder.head("prot").bias.detach(), torch.log(x_ng.mean(0) + 0.01)[None])


def test_it_is_a_network():
    assert isinstance(Small(), nn.Module)
    with pytest.raises(TypeError, match="abstract"):
        ComponentModule()


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _component_module.N_DIRECTIONS == 80
    assert _component_module.N_SAMPLED == 2000
