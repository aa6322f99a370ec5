"""The initial weights of MOJO: loadings of components, convolutions near the identity, fitted heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mudata import MuData
from torch import nn

from omicsmlm import MOJO, MOJOConfig
from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked
from omicsmlm.models.mojo import _initialization
from omicsmlm.models.mojo._initialization import fit_heads, gene_features, initialize, set_values
from omicsmlm.models.mojo._module import MOJOModule
from tests.objects import NO_BATCH, SMALL_MOJO, factor_profiles


def all_samples(model: MOJO):
    return model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]


PLAIN = replace(SMALL_MOJO, genes_per_position=1, n_levels=2)


# ---- features of genes ----------------------------------------------------------------------------------------------


def incomplete(n: int = 40, g: int = 12) -> Grid:
    """Bins of genes of which some were not measured everywhere, one nowhere, and one is constant; two samples lack all."""
    rng = np.random.default_rng(0)
    bins_ng = np.round(4 + 2 * rng.normal(size=(n, 2)) @ rng.normal(size=(2, g)) + rng.normal(size=(n, g)))
    visible_ng = rng.random((n, g)) > 0.2
    visible_ng[:, 3], visible_ng[[5, 6]] = False, False
    bins_ng[:, 7] = 9.0
    return Grid(torch.tensor(bins_ng).float(), torch.tensor(visible_ng), torch.zeros(n))


def by_gene(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, deviation and standardised values, 0 where not measured, gene by gene."""
    n, g = grid.visible.shape
    mean, deviation, x = np.zeros(g), np.zeros(g), np.zeros((n, g))
    for j in range(g):
        seen = grid.visible[:, j].numpy()
        if seen.any():
            values = grid.values[seen, j].double().numpy()
            mean[j], deviation[j] = values.mean(), values.std()
            if deviation[j] > 0:
                x[seen, j] = (values - mean[j]) / deviation[j]
    return mean, deviation, x


def test_genes_have_the_loadings_of_components_then_their_moments():
    grid = incomplete()
    found = gene_features([grid], 4, 2, np.random.default_rng(0)).numpy()
    mean, deviation, x = by_gene(grid)
    loading_kg = np.linalg.svd(x, full_matrices=False)[2][:4]
    assert found.shape == (12, 6)
    n_varying = (deviation > 0).sum()
    assert n_varying == 10
    for k in range(4):
        expected = loading_kg[k] * np.sqrt(n_varying)
        np.testing.assert_allclose(found[:, k] * np.sign(found[0, k]), expected * np.sign(expected[0]), atol=1e-3)
    measured = np.arange(12) != 3
    for k, moment in ((4, mean), (5, deviation)):
        own = moment[measured]
        np.testing.assert_allclose(found[measured, k], (own - own.mean()) / own.std(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[3], 0, atol=1e-6, err_msg="a gene that nobody measured has no features")
    np.testing.assert_allclose(found[7, :4], 0, atol=1e-6, err_msg="a constant gene has no loadings")


def test_several_batches_are_as_one():
    grid = incomplete()
    halves = [Grid(*(part[own] for part in grid)) for own in (slice(0, 15), slice(15, 40))]
    whole, parted = (gene_features(grids, 3, 2, np.random.default_rng(0)) for grids in ([grid], halves))
    torch.testing.assert_close(whole, parted)


def test_fewer_samples_than_components_leave_zeros():
    grid = incomplete()
    few = Grid(*(part[:3] for part in grid))
    found = gene_features([few], 5, 2, np.random.default_rng(0))
    assert found.shape == (12, 7)
    assert found[:, :2].abs().sum(0).gt(0).all()
    assert not found[:, 3:5].any(), "three samples have no more than three components"


def test_a_modality_that_nobody_has_gives_zeros():
    nothing = Grid(torch.zeros(4, 6), torch.zeros(4, 6, dtype=torch.bool), torch.zeros(4))
    assert not gene_features([nothing], 3, 2, np.random.default_rng(0)).any()


def test_of_many_samples_a_random_choice_of_those_that_have_the_modality_is_read(monkeypatch):
    monkeypatch.setattr(_initialization, "COMPONENT_SAMPLES", 10)
    grid = incomplete()
    found = gene_features([grid], 2, 2, np.random.default_rng(3))
    has = [i for i in range(40) if i not in (5, 6)]
    chosen = np.sort(np.random.default_rng(3).permutation(has)[:10])
    part = Grid(*(part[chosen] for part in grid))
    torch.testing.assert_close(found, gene_features([part], 2, 2, np.random.default_rng(3)))


# ---- the module ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    """A module with random weights, and the same after initialization on two modalities."""
    torch.manual_seed(0)
    before = MOJOModule(["rna", "methylation"], 12, PLAIN)
    after = MOJOModule(["rna", "methylation"], 12, PLAIN)
    after.load_state_dict(before.state_dict())
    grids = [{"rna": incomplete(), "methylation": incomplete()}]
    centres_b = torch.linspace(0, 1, SMALL_MOJO.n_bins)
    initialize(after, grids, centres_b, seed=0)
    return before, after


@torch.no_grad()
def test_each_modality_has_dimensions_of_its_own(pair):
    before, after = pair
    table = gene_features([incomplete()], 6, 2, np.random.default_rng(0))
    genes = after.embedding.features.weight
    torch.testing.assert_close(genes[:12, :8], table)
    torch.testing.assert_close(genes[:12, 8:16], table)
    torch.testing.assert_close(genes[12:], 0.1 * before.embedding.features.weight[12:])
    centres_b = torch.linspace(0, 1, 16).double()
    value_b = ((centres_b - 0.5) / centres_b.std()).float()
    for m, (own, random) in enumerate(zip(after.embedding.tokens, before.embedding.tokens, strict=True)):
        expected = 0.1 * random.weight.clone()
        expected[:16, 8 * m : 8 * m + 6] = value_b[:, None]
        torch.testing.assert_close(own.weight, expected)
    assert torch.equal(after.embedding.projection.weight, torch.eye(16))
    assert not after.embedding.projection.bias.any()


@torch.no_grad()
def test_narrow_embeddings_hold_components_alone():
    """With four dimensions a modality, and not five, none is left for a gene's mean and deviation."""
    torch.manual_seed(0)
    for gene_width, n_moments in ((4, 0), (5, 2)):
        module = MOJOModule(["rna"], 12, replace(SMALL_MOJO, gene_width=gene_width))
        initialize(module, [{"rna": incomplete()}], torch.linspace(0, 1, 16), seed=0)
        expected = gene_features([incomplete()], gene_width - n_moments, n_moments, np.random.default_rng(0))
        torch.testing.assert_close(module.embedding.features.weight[:12], expected)


@torch.no_grad()
def test_convolutions_start_near_the_identity(pair):
    before, after = pair
    torch.testing.assert_close(
        after.stem.layer.weight[:, :, 0, 3], 0.05 * before.stem.layer.weight[:, :, 0, 3] + torch.eye(16)
    )
    torch.testing.assert_close(after.stem.layer.weight[:, :, 0, 2], 0.05 * before.stem.layer.weight[:, :, 0, 2])
    assert not after.stem.layer.bias.any()
    for tower, taps in (("down", [2]), ("up", [2, 3])):
        for own, random in zip(getattr(after, tower).levels, getattr(before, tower).levels, strict=True):
            expected = 0.05 * random.wide.layer.weight
            for tap in taps:
                expected[:, :, 0, tap] += torch.eye(16)
            torch.testing.assert_close(own.wide.layer.weight, expected)
            assert not own.wide.layer.bias.any()
            torch.testing.assert_close(own.pointwise.weight, 0.1 * random.pointwise.weight)
    for own, random in zip(after.transformer, before.transformer, strict=True):
        torch.testing.assert_close(own.attention.out.weight, 0.1 * random.attention.out.weight)
        torch.testing.assert_close(own.feed.out.weight, 0.1 * random.feed.out.weight)


@torch.no_grad()
def test_a_wider_stem_copies_its_channels_with_alternating_signs():
    torch.manual_seed(0)
    module = MOJOModule(["rna"], 12, replace(PLAIN, token_width=6))
    random = module.stem.layer.weight.clone()
    initialize(module, [{"rna": incomplete()}], torch.linspace(0, 1, 16), seed=0)
    copied = (module.stem.layer.weight - 0.05 * random)[:, :, 0, 3]
    expected = torch.cat([torch.eye(6), -torch.eye(6), torch.eye(6)])[:16]
    torch.testing.assert_close(copied, expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_of_several_genes_in_a_position_the_mean_is_copied():
    torch.manual_seed(0)
    module = MOJOModule(["rna"], 12, replace(SMALL_MOJO, genes_per_position=3))
    random = module.stem.layer.weight.clone()
    initialize(module, [{"rna": incomplete()}], torch.linspace(0, 1, 16), seed=0)
    copied = (module.stem.layer.weight - 0.05 * random)[:, :, 0, 3]
    torch.testing.assert_close(copied, torch.cat([torch.eye(16)] * 3, 1) / 3, atol=1e-6, rtol=0)


def explained(a_nd: np.ndarray, b_nk: np.ndarray) -> float:
    """R² of a linear map from a, for the column of b that it explains least."""
    a1 = np.column_stack([a_nd, np.ones(len(a_nd))])
    left = b_nk - a1 @ np.linalg.lstsq(a1, b_nk, rcond=None)[0]
    return float((1 - left.var(0) / b_nk.var(0)).min())


def test_the_untrained_embedding_holds_principal_components():
    adata, factors_nk = factor_profiles()
    config = MOJOConfig(n_levels=3, n_blocks=1)
    found = explained(MOJO(adata, config).get_latent_representation(), factors_nk)
    assert found > 0.9
    assert found > explained(MOJO(adata, replace(config, start="random")).get_latent_representation(), factors_nk)


def test_the_untrained_state_is_the_half_whitened_components_of_all_modalities():
    x, _ = factor_profiles(60, 24)
    parts = {"rna": x[:, :14].copy(), "meth": x[:50, 10:].copy()}
    model = MOJO(MuData(parts), replace(SMALL_MOJO, row_width=5))
    grids = model.parts.tokenizer(all_samples(model))
    blocks = []
    for name in grids:
        values = model.module.row.values(name, grids[name]).numpy() * grids[name].visible.numpy()
        of = np.flatnonzero(grids[name].visible.any(0))
        x, seen = values[:, of], grids[name].visible[:, of].numpy()
        for j in range(len(of)):  # standardised over the samples that have the gene
            own = x[seen[:, j], j]
            assert abs(own.mean()) < 1e-4
            assert own.std() == pytest.approx(1, abs=1e-3)
        blocks.append(x / np.sqrt(len(of)))
    x = np.hstack(blocks)
    _, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    score = x @ vt[:5].T
    expected = score / score.std(0) * np.sqrt(s[:5] / s[0])
    expected *= np.sqrt(5 / (s[:5] / s[0]).sum())
    whole = np.arange(60) < 50  # the others have the learned vector in the place of a modality
    with torch.no_grad():
        found = model.module.row.linear(grids).numpy()
    signs = np.sign((found[whole] * expected[whole]).sum(0))
    np.testing.assert_allclose(found[whole] * signs, expected[whole], rtol=1e-3, atol=1e-3)


def test_the_untrained_state_predicts_values_as_well_as_its_components_can():
    adata, _ = factor_profiles()
    model = MOJO(adata, replace(SMALL_MOJO, row_width=5, n_levels=3))
    grid = model.parts.tokenizer(all_samples(model))
    row = model.module.row
    with torch.no_grad():
        state, x = row.linear(grid).double(), row.values("rna", grid["rna"]).double()
        found = row.predicted(row.linear(grid))["rna"].double()
    best = state @ torch.linalg.lstsq(state, x).solution
    error, least = (found - x).square().mean(), (best - x).square().mean()
    assert least <= error < least + 1e-3


def test_values_of_a_gene_that_does_not_vary_or_is_not_there_are_zero():
    module = MOJOModule(["rna"], 3, SMALL_MOJO)
    bins = torch.tensor([[1.0, 4.0, 0.0], [3.0, 4.0, 0.0]])
    visible = torch.tensor([[True, True, False], [True, True, False]])
    values = torch.arange(16.0).expand(3, 16) * 2
    set_values(module, [{"rna": Grid(bins, visible, torch.zeros(2))}], {"rna": values})
    assert module.row.value_0[0, :4].tolist() == [-2.0, -1.0, 0.0, 1.0]
    assert float(module.row.value_0[0].max()) == 10.0, "no value is above it"
    assert not module.row.value_0[1:].any()
    assert float(module.row.n_measured_0) == 2


# ---- heads -----------------------------------------------------------------------------------------------------------


def test_the_heads_start_with_what_is_usual():
    adata, _ = factor_profiles()
    model = MOJO(adata, replace(SMALL_MOJO, start="random", bin_weight=1.0, smoothing=0.0))
    batch = all_samples(model)
    masked = model.parts.masking(model.parts.tokenizer(batch), Draws(0, batch.indices))

    def loss():
        with torch.no_grad():
            return float(model.parts.objective(model.module(masked.inputs, batch), masked, batch, 1.0)["rna"])

    before = loss()
    hidden = model.module.heads[0].hidden.weight.clone()
    with torch.no_grad():
        outputs = model.module(masked.inputs, batch)
    fit_heads(model.module, outputs, masked)
    assert loss() < before - 0.1
    assert torch.equal(model.module.heads[0].hidden.weight, hidden), "the last layer alone is fitted"
    head = model.module.heads[0].out
    assert head.weight.grad is None or not head.weight.grad.any()
    value = nn.functional.cross_entropy(
        head(outputs.token_logits["rna"].hidden(masked.evaluated["rna"])),
        masked.targets["rna"].values[masked.evaluated["rna"]].long(),
    )
    of_weight, of_bias = torch.autograd.grad(value, (head.weight, head.bias))
    assert of_bias.abs().max() < 1e-3, "a minimum"
    assert (of_weight + 2 * 1e-4 * head.weight).abs().max() < 1e-3, "of the loss with the ridge"


def fitted(n_tokens: int) -> torch.Tensor:
    """The bias of a head that was fitted to as many masked tokens, the first of a grid of random bins."""
    torch.manual_seed(0)
    module = MOJOModule(["rna"], 30, SMALL_MOJO)
    grid = Grid(torch.randint(0, 16, (5, 30)).float(), torch.ones(5, 30, dtype=torch.bool), torch.zeros(5))
    at_ng = torch.zeros(5, 30, dtype=torch.bool)
    at_ng.view(-1)[:n_tokens] = True
    with torch.no_grad():
        outputs = module({"rna": grid}, NO_BATCH)
    fit_heads(module, outputs, Masked({"rna": grid}, {"rna": grid}, {"rna": at_ng}))
    return module.heads[0].out.bias.detach().clone()


def test_no_masked_token_leaves_a_head_as_it_is():
    found = fitted(0)
    torch.manual_seed(0)
    assert torch.equal(found, MOJOModule(["rna"], 30, SMALL_MOJO).heads[0].out.bias)


def test_of_many_tokens_equally_spaced_ones_are_taken(monkeypatch):
    seen = []
    real = nn.functional.cross_entropy

    def counting(logits: torch.Tensor, bins_t: torch.Tensor) -> torch.Tensor:
        seen.append(len(bins_t))
        return real(logits, bins_t)

    monkeypatch.setattr(_initialization.F, "cross_entropy", counting)
    monkeypatch.setattr(_initialization, "FIT_TOKENS", 20)
    for n_tokens, n_fitted in ((20, 20), (21, 11), (100, 20)):
        seen.clear()
        fitted(n_tokens)
        assert set(seen) == {n_fitted}


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _initialization.COMPONENT_SAMPLES == 2000
    assert _initialization.FIT_TOKENS == 30000
    assert _initialization.IDENTITY_NOISE == 0.05
    assert _initialization.BRANCH_SCALE == 0.1
    assert _initialization.N_MOMENTS == 2
    assert _initialization.RIDGE == 0.0001
    assert _initialization.LBFGS_STEPS == 60
    assert _initialization.MIN_DEVIATION == 1e-06
    assert _initialization.LEAST_DEVIATION == 1e-4
    assert _initialization.LARGEST_VALUE == 10.0
    assert _initialization.INITIAL_WHITENING == 0.5
