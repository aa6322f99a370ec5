"""Imputed values: expectations over bins, of the genes of their names."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData

from omicsmlm import MOJO
from tests.objects import QUIET, SMALL_MOJO, factor_profiles, modality


def test_masked_values_are_imputed_better_than_by_the_mean():
    rng = np.random.default_rng(0)
    adata, _ = factor_profiles(200, 32)
    x = 1 / (1 + np.exp(-adata.X))
    hidden = rng.random(x.shape) < 0.2
    shown = np.where(hidden, np.nan, x).astype(np.float32)
    data = AnnData(shown, var=adata.var)
    model = MOJO(data, replace(SMALL_MOJO, width=32, n_bins=32, modality_rate=0.0))
    model.train(12, **QUIET)
    table = model.impute()
    assert list(table.columns) == list(adata.var_names)
    assert table.to_numpy().min() >= 0
    assert table.to_numpy().max() <= 1
    by_mean = np.abs(np.nanmean(shown, 0) - x)[hidden].mean()
    assert np.abs(table.to_numpy() - x)[hidden].mean() < 0.9 * by_mean


def test_imputed_values_are_expectations_in_the_units_of_the_modality(trained):
    batch = trained.adata_manager.create_torch_dataset()[list(range(72))]
    with torch.no_grad():
        outputs = trained.module(trained.parts.tokenizer(batch), batch)
    everywhere = torch.ones(72, 30, dtype=torch.bool)
    for name, part in trained.adata.mod.items():
        table = trained.impute(modality=name)
        assert list(table.index) == list(trained.adata.obs_names)
        assert list(table.columns) == list(part.var_names)
        logits = outputs.token_logits[name].logits(everywhere)[:, :16].view(72, 30, 16)
        scale, vocabulary = trained.derived.scales[name], list(trained.adata_manager.modalities[name]["vocabulary"])
        centres = [0.0] + [(k - 0.5) / 15 for k in range(1, 16)]
        for i, j in ((0, 0), (5, 17), (71, 29)):
            gene = trained.derived.genes[j]
            if gene in table:
                fraction = logits[i, j].detach().softmax(0).numpy()
                knots = scale.knots[vocabulary.index(gene)]
                expected = np.interp(fraction @ np.array(centres), scale.levels, knots)
                assert table.iloc[i][gene] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_counts_are_imputed_at_the_depth_of_the_observation_or_at_the_median_where_it_has_none():
    counts = modality("counts", 48, 20)
    counts.X[7] = 0
    model = MOJO(counts, replace(SMALL_MOJO, start="random"))
    batch = model.adata_manager.create_torch_dataset()[list(range(48))]
    total_n = np.asarray(counts.X.sum(1)).ravel()
    depth_n = model._depth(batch, "rna").numpy()
    np.testing.assert_allclose(np.delete(depth_n, 7), np.delete(total_n, 7), rtol=1e-5)
    assert depth_n[7] == model.derived.depths["rna"]
