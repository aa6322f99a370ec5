"""The network of TxFM: the published number of parameters, the cell token, and disjoint subsets of genes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omicsmlm import TxFM, TxFMConfig
from omicsmlm._types import Grid
from omicsmlm.models.txfm import _module
from omicsmlm.models.txfm._module import TxFMModule
from tests.objects import NO_BATCH, SMALL_TXFM, rna


def views_of(model):
    batch = model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]
    return model.parts.tokenizer(batch), batch


def made(**changes) -> tuple[TxFMModule, Grid]:
    """A module with random weights and a fit that is not, and six cells of which some lack genes, and one all."""
    torch.manual_seed(0)
    module = TxFMModule("rna", 20, replace(SMALL_TXFM, **changes)).eval()
    values_ng, visible_ng = torch.rand(6, 20) * 3, torch.rand(6, 20) > 0.3
    visible_ng[2] = False
    if module.fit is not None:
        module.fit.initialize(torch.rand(20), torch.linspace(2, 0.5, 15), torch.rand(20) + 0.1)
        module.size_k.copy_(torch.linspace(1, 0.2, 15))
    return module, Grid(values_ng * visible_ng, visible_ng, values_ng.sum(1))


# ---- sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "millions"), [("S", 57), ("B", 159), ("L", 403)])
def test_the_published_numbers_of_parameters(size, millions):
    config = getattr(TxFMConfig, size)()
    with torch.device("meta"):
        module = TxFMModule("rna", 44_349, config)
    found = sum(weight.numel() for weight in module.parameters())
    assert found == pytest.approx(millions * 1e6, rel=0.01)
    assert module.tokens.features.weight.shape == (44_349, config.width - 1)
    assert module.decoder.out.weight.shape == (44_349, config.width), "the decoder is as wide as the transformer"
    d, g = config.width, 44_349
    block = 12 * d * d + 9 * d + 2 * 2 * d + 2 * d  # four projections and a feed-forward of 4 d, norms, scales
    layers = config.n_decoder_layers * (2 * d * d + 4 * d)
    assert found == g * (d - 1) + d + config.n_layers * block + layers + 4 * d + g * (d + 1)


# ---- the cell token -----------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("gene_start", ["components", "random"])
def test_the_state_is_that_of_a_transformer_over_each_cell_alone(gene_start):
    module, grid = made(gene_start=gene_start)
    found = module.state(grid.values, grid.visible)
    assert found.shape == (6, module.n_latent)
    for i in range(6):
        genes = grid.visible[i].nonzero()[:, 0]
        token_gd = torch.cat([module.tokens.features.weight[genes], grid.values[i, genes, None]], 1)
        cell_d = module.tokens.first.clone()
        if module.fit is not None:
            loading = module.tokens.features.weight[genes].double() * module.fit.strength_k
            noise = module.fit.log_noise_g[genes].double().exp()
            gram = loading.T @ (loading / noise[:, None]) + torch.eye(15)
            moment = loading.T @ ((grid.values[i, genes] - module.fit.mean_g[genes]) / noise)
            cell_d[:15] += module.size_k * torch.linalg.solve(gram, moment).float()
        x_td = torch.cat([cell_d[None], token_gd])
        expected = module.transformer(x_td, torch.tensor([0, len(x_td)]))[0]
        torch.testing.assert_close(found[i], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_without_a_fit_of_components_there_is_no_initial_state():
    module, grid = made(gene_start="random")
    assert module.initial_state(grid.values, grid.visible) is None
    given = torch.randn(6, 16)
    other = module.state(grid.values, grid.visible, given)
    assert not torch.allclose(other, module.state(grid.values, grid.visible), atol=1e-2)
    module.tokens.first += given[0]
    torch.testing.assert_close(module.state(grid.values[:1], grid.visible[:1]), other[:1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("loss", ["poisson", "negative binomial"])
def test_the_forward_pass_decodes_the_state(loss):
    module, grid = made(loss=loss)
    outputs = module({"rna": grid}, NO_BATCH)
    state_nd = module.state(grid.values, grid.visible)
    torch.testing.assert_close(outputs.encoded.mean, state_nd, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(outputs.logits, module.decoder(state_nd), atol=1e-4, rtol=1e-4)
    assert not outputs.encoded.log_variance.any()
    if loss == "poisson":
        assert outputs.log_dispersion is None
    else:
        assert outputs.log_dispersion is module.log_dispersion
        assert not outputs.log_dispersion.any()


def test_the_initial_layer_is_the_genes_and_the_fit_of_components():
    module, _ = made()
    first = module.initial_layer()
    assert [id(w) for w in first] == [id(module.tokens.features.weight), id(module.fit.log_noise_g)]
    alone, _ = made(gene_start="random")
    assert [id(w) for w in alone.initial_layer()] == [id(alone.tokens.features.weight)]


# ---- subsets ------------------------------------------------------------------------------------------------------


def test_subsets_share_out_all_genes_and_are_averaged():
    model = TxFM(rna(), replace(SMALL_TXFM, n_visible=8))
    views, batch = views_of(model)
    grid = views["rna"]
    lacking = grid.visible.clone()
    lacking[3, :5] = False  # a cell of which less is measured
    lacking[4] = False
    sets = torch.stack(list(model.module._subsets(lacking)))
    assert torch.equal(sets.sum(0), lacking.long()), "each measured gene is in one of them"
    assert sets[:, 0].sum(1).tolist() in ([8, 7, 8, 7], [8, 8, 7, 7], [7, 8, 7, 8])
    assert int(sets[:, 3].sum(1).max()) <= 8
    with torch.no_grad():
        found = model.module.encode({"rna": Grid(grid.values * lacking, lacking, grid.total)}).mean
        first = model.module.initial_state(grid.values * lacking, lacking)
        for i in (0, 3, 4):
            parts = [s for s in sets[:, i] if s.any()] or [sets[0, i]]
            own = grid.values[i, None], first[i, None]
            alone = torch.stack([model.module.state(own[0], part[None], own[1])[0] for part in parts])
            torch.testing.assert_close(found[i], alone.mean(0), atol=1e-5, rtol=1e-4)


def test_all_genes_at_once_if_asked():
    model = TxFM(rna(), replace(SMALL_TXFM, embedded="all"))
    views, batch = views_of(model)
    with torch.no_grad():
        found = model.module.encode(views).mean
        torch.testing.assert_close(found, model.module.state(views["rna"].values, views["rna"].visible))
        torch.testing.assert_close(found, model.module(views, batch).encoded.mean)
    other = TxFM(rna(), SMALL_TXFM).get_latent_representation()
    assert not np.allclose(model.get_latent_representation(), other, atol=1e-2)


@torch.no_grad()
def test_subsets_are_dealt_in_an_order_of_its_own_and_as_few_as_fit():
    module, _ = made(n_visible=4, most_visible=0.5)
    visible_ng = torch.zeros(4, 20, dtype=torch.bool)
    visible_ng[0], visible_ng[1, :9], visible_ng[2, :1] = True, True, True
    sets = list(module._subsets(visible_ng))
    # 20 genes, 4 at a time: 5 sets; of 9, half (4) at a time: 3 sets; of 1 or none: one set.
    assert [s[0].sum().item() for s in sets] == [4, 4, 4, 4, 4]
    assert [s[1].sum().item() for s in sets] == [3, 3, 3, 0, 0]
    assert [s[2].sum().item() for s in sets] == [1, 0, 0, 0, 0]
    assert not torch.stack(sets)[:, 3].any()
    for s, part in enumerate(sets):
        assert set(part[0].nonzero()[:, 0].tolist()) == set(module.order_g[4 * s : 4 * s + 4].tolist())
    assert list(module._subsets(visible_ng[:0])) == []


@torch.no_grad()
def test_no_cells_have_no_states():
    module, grid = made()
    empty = Grid(*(part[:0] for part in grid))
    assert module.encode({"rna": empty}).mean.shape == (0, 16)


def test_cells_are_embedded_some_at_a_time(monkeypatch):
    model = TxFM(rna(), SMALL_TXFM)
    whole = model.get_latent_representation()
    monkeypatch.setattr("omicsmlm.models.txfm._module.MAX_TOKENS", 40)
    np.testing.assert_allclose(model.get_latent_representation(), whole, atol=1e-5)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _module.MAX_TOKENS == 2**17
