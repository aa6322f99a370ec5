"""The network of OmicsMLM: its embedding, what it decodes, and its initial weights."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm import OmicsMLM, OmicsMLMConfig
from omicsmlm._draws import Draws
from omicsmlm._types import Grid
from omicsmlm.models.base import Batches
from omicsmlm.models.omicsmlm._module import OmicsMLMModule
from omicsmlm.nn import Fitting
from tests.objects import QUIET, SMALL, modality, multiome


@pytest.fixture(scope="module")
def model():
    """A model of three modalities and two batches; tests must not change it."""
    model = OmicsMLM(multiome(48), SMALL, batch_key="batch")
    model.train(2, **QUIET)
    return model


def batch_of(model):
    batch = model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]
    return model.parts.tokenizer(batch), batch


# ---- the embedding ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_embedding_reads_the_sum_over_features_twice(model):
    module, (grids, batch) = model.module, batch_of(model)
    scaled, evidence = module.scalings(grids), module.scalings.relative_depth(grids)
    h_nd = module.features(scaled, evidence)
    expected = module.readout(h_nd, h_nd)
    for found in (module.encode(grids), module.encode(grids, scaled), module.embed(grids, batch)):
        torch.testing.assert_close(found.mean, expected.mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.log_variance, expected.log_variance, atol=1e-4, rtol=1e-4)
    zeros = {name: torch.zeros_like(values) for name, values in scaled.items()}
    assert not torch.allclose(module.encode(grids, zeros).mean, expected.mean, atol=1e-2), "given values are used"


@torch.no_grad()
def test_attention_adds_to_the_second_reading():
    model = OmicsMLM(multiome(48), replace(SMALL, n_attention_layers=1), batch_key="batch")
    module, (grids, _) = model.module, batch_of(model)
    for weight in module.attention.parameters():
        weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    scaled, evidence = module.scalings(grids), module.scalings.relative_depth(grids)
    h_nd = module.features(scaled, evidence)
    added_nd = module.attention(scaled, {name: grid.visible for name, grid in grids.items()})
    assert added_nd.abs().max() > 1e-2
    expected = module.readout(h_nd, h_nd + added_nd).mean
    torch.testing.assert_close(module.encode(grids).mean, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(module.encode(grids, scaled).mean, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(module.readout(h_nd, h_nd).mean, expected, atol=1e-3)


def test_attention_is_independent_of_the_batch_and_of_absent_modalities():
    config = replace(SMALL, n_attention_layers=1)
    mdata = multiome()
    model = OmicsMLM(mdata, config, batch_key="batch")
    model.train(2, **QUIET)
    whole = mdata.obsm["X_omics"]
    np.testing.assert_allclose(model.get_latent_representation(batch_size=5), whole, atol=1e-5)
    query = MuData({"rna": mdata.mod["rna"].copy()})
    expected = pd.DataFrame(whole, index=mdata.obs_names).loc[query.obs_names].to_numpy()
    only_rna = ~np.isin(query.obs_names, list(mdata.mod["atac"].obs_names) + list(mdata.mod["prot"].obs_names))
    np.testing.assert_allclose(model.get_latent_representation(query)[only_rna], expected[only_rna], atol=1e-5)


# ---- reconstruction -----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_mean_is_decoded_and_in_training_a_draw(model):
    module, (grids, batch) = model.module, batch_of(model)
    encoded = module.embed(grids, batch)
    batch = batch._replace(draws=Draws(0, batch.indices))
    outputs = module.eval()(grids, batch)
    expected = module.decoder(encoded.mean, batch.covariates, None)
    for name in module.kinds:
        torch.testing.assert_close(outputs.decoded[name].logits, expected[name].logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs.batch_logits, module.adversary(encoded.mean), atol=1e-4, rtol=1e-4)
    module.train()
    try:
        noisy = module(grids, batch)
    finally:
        module.eval()
    assert not torch.allclose(noisy.batch_logits, outputs.batch_logits, atol=1e-3)


@pytest.mark.parametrize(
    ("batch_strength", "n_batches", "is_there"), [(1.0, 2, True), (0.0, 2, False), (1.0, 1, False)]
)
def test_an_adversary_is_there_for_several_batches_whose_effect_is_removed(batch_strength, n_batches, is_there):
    config = replace(SMALL, batch_strength=batch_strength).for_n_obs(72)
    module = OmicsMLMModule({"rna": "counts"}, {"rna": 5}, Batches([n_batches], None, 0), config)
    assert (module.adversary is not None) == is_there


def test_the_initial_layer_is_the_feature_embeddings_and_their_combination(model):
    first = {id(weight) for weight in model.module.initial_layer()}
    names = {name for name, weight in model.module.named_parameters() if id(weight) in first}
    assert names == {name for name, _ in model.module.named_parameters() if name.startswith("features.")}


# ---- initial weights ----------------------------------------------------------------------------------------------


def test_linear_dimensions_start_as_components_of_their_strength(rng):
    axes = np.linalg.qr(rng.normal(size=(30, 3)))[0]
    x = (rng.normal(size=(200, 3)) * [8, 4, 2] @ axes.T).astype(np.float32) + rng.normal(0, 0.01, (200, 30))
    config = OmicsMLMConfig(n_nonlinear=0, n_linear=3, linear_scale=2.0, linear_power=2.0, residual_scale=0.0)
    model = OmicsMLM(MuData({"x": AnnData(x.astype(np.float32))}), config)
    scaled = (x - x.mean(0)) / x.std(0)
    strength = np.linalg.svd(scaled, compute_uv=False)[:3]
    deviation = model.get_latent_representation().std(0)
    np.testing.assert_allclose(deviation, 2.0 * (strength / strength[0]) ** 2, rtol=0.02)


def test_open_regions_start_weaker():
    config = OmicsMLMConfig(n_nonlinear=0, n_linear=6, residual_scale=0.0, linear_scale=1.0, linear_power=1.0)
    mdata = MuData({"rna": modality("counts", 60), "atac": modality("accessibility", 60)})
    deviation = OmicsMLM(mdata, config).get_latent_representation().std(0)
    assert deviation[[0, 4]] == pytest.approx([1.0, 0.4], rel=0.05), "four components of RNA, then those of ATAC"


def real(values_ng: np.ndarray) -> Grid:
    x_ng = torch.from_numpy(values_ng.astype(np.float32))
    return Grid(x_ng, torch.ones_like(x_ng, dtype=torch.bool), x_ng.sum(1))


@torch.no_grad()
def test_added_features_estimate_what_the_features_of_the_reference_say(rng):
    factors_nk = rng.normal(size=(300, 3))
    grids = {
        name: real(factors_nk @ rng.normal(size=(3, g)) + 0.1 * rng.normal(size=(300, g)))
        for name, g in (("a", 20), ("a+", 15))
    }
    torch.manual_seed(0)
    config = replace(SMALL, width=8).for_n_obs(300)
    module = OmicsMLMModule({"a": "real", "a+": "real"}, {"a": 20, "a+": 15}, Batches([1], None, 0), config).eval()
    has = dict.fromkeys(grids, np.ones(300, dtype=bool))
    module.initialize({name: [grid] for name, grid in grids.items()}, has, Fitting(0), config, lambda name: None)
    before = module.features.features[0].weight.clone()
    module.features.features[1].weight.normal_()  # what is added is fitted anew
    halves = [
        {name: Grid(*(part[own] for part in grid)) for name, grid in grids.items()}
        for own in (slice(0, 140), slice(140, 300))
    ]
    module.initialize_added(halves, ["a+"], None, seed=0)
    assert torch.equal(module.features.features[0].weight, before), "the reference stays"
    by_reference, by_added = (module._summed(grids, without=[name]).numpy() for name in ("a+", "a"))
    varying = by_reference.std(0) > 1e-3
    assert varying.sum() >= 3
    for k in np.flatnonzero(varying)[:3]:
        assert np.corrcoef(by_reference[:, k], by_added[:, k])[0, 1] > 0.95
