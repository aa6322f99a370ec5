"""The network of ScMBERT, cell by cell and token by token."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mudata import MuData

from omicsmlm import ScMBERT
from omicsmlm._draws import Draws
from omicsmlm._types import TokenSet, obs_of
from omicsmlm.models.base import ComponentModule
from tests.objects import QUIET, SMALL_SCMBERT, linked_halves, modality, multiome, rna


@pytest.fixture(scope="module", params=[4096, 1], ids=["exact", "latents"])
def model(request):
    """A model whose attention is exact, and one whose attention goes through latents; tests must not change them."""
    config = replace(SMALL_SCMBERT, exact_tokens=request.param, n_latents=3, layer_scale=0.5, n_layers=2)
    model = ScMBERT(multiome(48), config, batch_key="batch")
    model.train(2, **QUIET)
    return model


def masked_batch(model):
    batch = model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]
    return batch, model.parts.masking(model.parts.tokenizer(batch), Draws(1, batch.indices))


def one_cell(part: TokenSet, i: int) -> TokenSet:
    own = obs_of(part) == i
    ends = torch.tensor([0, int(own.sum())])
    rest = {key: getattr(part, key)[i : i + 1] for key in ("fraction", "covered", "present")}
    return part._replace(ids=part.ids[own], values=part.values[own], offsets=ends, **rest)


@torch.no_grad()
def test_outputs_are_those_of_a_loop_over_cells_and_tokens(model):
    module, (batch, masked) = model.module.eval(), masked_batch(model)
    outputs = module(masked.inputs, batch)
    read_md = torch.stack(list(module.modality_read))
    value_logits, modality_logits = ({name: [] for name in module.kinds} for _ in range(2))
    for i in range(model.adata.n_obs):
        parts = {name: one_cell(part, i) for name, part in masked.inputs.items()}
        obs_t = {name: torch.zeros(len(part.ids)).long() for name, part in parts.items()}
        bins = {name: module.bins(name, part, obs_t[name]) for name, part in parts.items()}
        levels = {name: module.bins.level(name)[bins[name]] for name in parts}
        summed_1d = module.summary(parts, levels, obs_t)
        tokens, owners = [summed_1d[0]], [None]
        for m, (name, part) in enumerate(parts.items()):
            for t, feature in enumerate(part.ids.tolist()):
                known = module.summary.table(name)[feature] + module.modality[m]
                token_d = (known if feature >= 0 else module.mask_feature) + module.value_of_bin.weight[bins[name][t]]
                tokens.append(token_d)
                owners.append((m, name, bool(part.values[t].isnan())))
        x_td = module.transformer(torch.stack(tokens), torch.tensor([0, len(tokens)]))
        expected = module.readout(summed_1d, x_td[:1])
        torch.testing.assert_close(outputs.encoded.mean[i], expected.mean[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(outputs.encoded.log_variance[i], expected.log_variance[0], atol=1e-4, rtol=1e-4)
        cell_d = module.row_norm(x_td[0])
        for state_d, owner in zip(x_td[1:], owners[1:], strict=True):
            m, name, is_hidden = owner
            normed_d = module.norm(state_d)
            modality_logits[name].append(torch.stack([normed_d @ read_d for read_d in read_md]))
            if is_hidden:
                value_logits[name].append(module.values[m](torch.cat([normed_d, normed_d * cell_d])))
    for name in module.kinds:
        torch.testing.assert_close(
            outputs.modality_logits[name], torch.stack(modality_logits[name]), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(outputs.value_logits[name], torch.stack(value_logits[name]), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_embedding_alone_gives_what_the_whole_does(model):
    batch, masked = masked_batch(model)
    for views in (masked.inputs, masked.targets):
        whole, alone = model.module.eval()(views, batch).encoded, model.module.encode(views)
        torch.testing.assert_close(alone.mean, whole.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.log_variance, whole.log_variance, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_moments_are_matched_by_the_modalities_that_are_visible():
    model = ScMBERT(multiome(48), SMALL_SCMBERT)
    (module, (batch, masked)), scale = (model.module.eval(), masked_batch(model)), torch.tensor([2.0, 1.0])
    before_nd = module.encode(masked.inputs).mean
    module.set_up_moments(("rna", "atac"))
    module.moments.scale_md.copy_(scale[:, None].expand(2, module.n_latent))
    has_n2 = torch.stack([masked.inputs[name].present for name in ("rna", "atac")], 1).float()
    assert len(has_n2.unique(dim=0)) == 4, "cells with either, both and none"
    factor_n1 = torch.where(has_n2.sum(1) > 0, (has_n2 * scale).sum(1) / has_n2.sum(1).clamp(min=1), 1.0)[:, None]
    for found in (module.encode(masked.inputs), module(masked.inputs, batch).encoded):
        torch.testing.assert_close(found.mean, factor_n1 * before_nd, atol=1e-5, rtol=1e-5)


def test_the_linear_path_is_from_tokens_to_the_latent(model):
    path = {id(weight) for weight in model.module.linear_path()}
    names = {name for name, weight in model.module.named_parameters() if id(weight) in path}
    assert names == {"readout.skip.weight", *(name for name in names if name.startswith("summary."))}
    assert {id(weight) for weight in model.module.summary.parameters()} < path


def test_every_weight_learns(model):
    module, (batch, masked) = model.module, masked_batch(model)
    module.train()
    try:
        terms = model.parts.objective(module(masked.inputs, batch), masked, batch, 1.0)
        torch.stack(list(terms.values())).sum().backward()
        idle = {name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()}
    finally:
        module.eval()
        module.zero_grad()
    assert not {name for name in idle if "key.bias" not in name}, "a bias of all keys cancels in the softmax"


def test_it_starts_as_principal_components(monkeypatch):
    """Without what the network adds, the linear dimensions are components of counts, scaled by their strength."""
    monkeypatch.setattr("omicsmlm.models.scmbert._module.RESIDUAL_SCALE", 0.0)
    config = replace(SMALL_SCMBERT, layer_scale=0.0, n_linear=4)
    model = ScMBERT(rna(100), config)
    x_ng = model.adata.X.toarray()
    log_ng = np.log1p(1e4 * x_ng / x_ng.sum(1, keepdims=True))
    cuts = np.unique(np.quantile(log_ng[x_ng > 0], [0.25, 0.5, 0.75]))
    bin_ng = np.where(x_ng > 0, 1 + np.searchsorted(cuts, log_ng), 0)
    level_ng = np.array([0, *(log_ng[bin_ng == b].mean() for b in (1, 2, 3, 4))])[bin_ng]
    scaled_ng = (level_ng - level_ng.mean(0)) / level_ng.std(0)
    _, s, vt = np.linalg.svd(scaled_ng, full_matrices=False)
    score_nk = scaled_ng @ vt[:4].T
    found = model.get_latent_representation()[:, 3:]
    for k in range(4):
        assert abs(np.corrcoef(found[:, k], score_nk[:, k])[0, 1]) > 0.999
        assert found[:, k].std() == pytest.approx(5.0 * s[k] / s[0], rel=1e-2)


@pytest.mark.parametrize(("is_linked", "power"), [(False, 1.0), (True, 2.0)])
def test_weak_components_are_small_where_links_alone_tie_modalities(is_linked, power, monkeypatch):
    mdata, links = linked_halves(40)
    found, initialize = {}, ComponentModule._initialize_latent

    def noted(self, name, component, *args):
        found[name] = component.strength_k
        initialize(self, name, component, *args)

    monkeypatch.setattr(ComponentModule, "_initialize_latent", noted)
    scale_d = ScMBERT(mdata, SMALL_SCMBERT, links=links if is_linked else None).module.readout.scale_d[3:]
    strengths = [
        found["rna"][:3],
        0.4 * found["atac"][:1],
    ]  # int(5 / 1.48) dimensions of RNA, int(5 * .48 / 1.48) of ATAC
    np.testing.assert_allclose(scale_d[:4], np.concatenate(strengths) ** power, rtol=1e-5)


def test_the_initial_layer_is_what_makes_tokens(model):
    first = {id(weight) for weight in model.module.initial_layer()}
    names = {name for name, weight in model.module.named_parameters() if id(weight) in first}
    assert len(first) == len(names)
    assert {name.split(".")[0] for name in names} == {"summary", "value_of_bin", "modality", "mask_feature"}
    assert {f"summary.tables.{m}" for m in range(3)} <= names


@torch.no_grad()
def test_cells_that_it_was_initialised_with_are_estimated_by_other_folds_and_new_ones_are_not():
    model = ScMBERT(MuData({"rna": rna(120), "atac": modality("accessibility", 120)}), SMALL_SCMBERT)
    module, batch = model.module.eval(), model.adata_manager.create_torch_dataset()[list(range(120))]
    views, fold_n = model.parts.tokenizer(batch), module.folds(batch)
    assert set(fold_n.tolist()) == set(range(module.cross_fitting.n_folds))
    as_new_nd = module.encode(views).mean
    known_nd = module.unaligned(views, batch).mean
    torch.testing.assert_close(known_nd, module.encode(views, fold_n).mean)
    assert float((known_nd - as_new_nd).norm() / as_new_nd.norm()) > 0.01
    strangers = batch._replace(digests=batch.digests + 1)  # cells of other names
    torch.testing.assert_close(module.unaligned(views, strangers).mean, as_new_nd)
