"""Prediction of observations by themselves and of whole groups."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from omicsmlm import IsoFormer
from tests.models.isoformer.test_experts import whole_transcripts
from tests.objects import QUIET, SMALL_ISOFORMER, transcripts


@pytest.fixture(scope="module")
def grouped():
    """A model of forty whole transcripts in genes, with weights of levels and of differences. Must not be changed."""
    return grouped_by("gene")


def grouped_by(group_key):
    adata = transcripts(40)
    adata.obs["rna"] = whole_transcripts()
    adata.obs["half"] = ["first"] * 15 + ["second"] * 25
    IsoFormer.setup_anndata(adata, rna_key="rna", group_key=group_key)
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(1, **QUIET)
    drawn = torch.Generator().manual_seed(0)
    for weights in (model.module.weight_se, model.module.level_se, model.module.within_se):
        weights.copy_(torch.rand(weights.shape, generator=drawn))
    return model


@torch.no_grad()
def slow_prediction(model, adata):
    """By hand: of each group the mean by one kind of weights, and differences from the mean by the other."""
    batch = model.manager_for(adata).create_torch_dataset()[list(range(adata.n_obs))]
    predicted_net, set_n = (part.numpy() for part in model.module.expert_predictions(model.parts.tokenizer(batch)))
    level, within = (
        np.einsum("net,ne->nt", predicted_net, weights.numpy()[set_n])
        for weights in (model.module.level_se, model.module.within_se)
    )
    genes, expected = adata.obs["gene"].to_numpy(), np.empty_like(level)
    for n, gene in enumerate(genes):
        mates = genes == gene if pd.notna(gene) else np.arange(len(genes)) == n
        expected[n] = level[mates].mean(0) + within[n] - within[mates].mean(0)
    return expected * np.array(model.derived.targets.scale) + np.array(model.derived.targets.mean)


def test_the_level_is_of_the_group_and_differences_from_its_mean(grouped):
    sizes = grouped.adata.obs["gene"].value_counts()
    assert sizes.max() > 1
    expected = slow_prediction(grouped, grouped.adata)
    np.testing.assert_allclose(grouped.predict(), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(grouped.predict() - slow_alone(grouped)).to_numpy().max() > 0.01


def slow_alone(model):
    """Each observation as a group of its own."""
    adata = model.adata.copy()
    adata.obs["gene"] = None
    return slow_prediction(model, adata)


def test_indices_and_batches_change_nothing(grouped):
    whole = grouped.predict()
    asked = [7, 3, 12, 3]
    some = grouped.predict(indices=asked, batch_size=5)
    assert list(some.index) == list(whole.index[asked])
    np.testing.assert_allclose(some, whole.iloc[asked], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grouped.predict(indices=np.arange(40) < 4), whole[:4], rtol=1e-5, atol=1e-5)
    order = np.random.default_rng(0).permutation(40)
    mixed = grouped.predict(grouped.adata[order].copy())
    np.testing.assert_allclose(mixed, whole.iloc[order], rtol=1e-4, atol=1e-4)
    assert grouped.predict(indices=[]).shape == (0, 3)


def test_an_observation_without_a_group_is_alone_and_without_the_column_groups_are_not_read(grouped, caplog):
    query = grouped.adata[:9].copy()
    query.obs.loc[query.obs_names[::2], "gene"] = None
    np.testing.assert_allclose(grouped.predict(query), slow_prediction(grouped, query), rtol=1e-4, atol=1e-4)
    del query.obs["gene"]
    batch = grouped.manager_for(query).create_torch_dataset()[list(range(9))]
    with torch.no_grad():
        expected = grouped._from_views(grouped.parts.tokenizer(batch)).numpy()
    with caplog.at_level(logging.INFO, "omicsmlm"):
        np.testing.assert_allclose(grouped.predict(query), expected, rtol=1e-4, atol=1e-4)
    assert "IsoFormer: no column 'gene' of groups; each observation is predicted by itself." in caplog.text
    alone = grouped.predict(query, indices=[4])
    np.testing.assert_allclose(alone, expected[[4]], rtol=1e-4, atol=1e-4)


def test_groups_may_be_the_combinations_of_two_columns():
    model = grouped_by("gene & half")
    query = model.adata.copy()
    query.obs["gene"] = query.obs["gene"].astype(str) + query.obs["half"]
    assert query.obs["gene"].value_counts().max() > 1
    np.testing.assert_allclose(model.predict(), slow_prediction(model, query), rtol=1e-4, atol=1e-4)


def test_a_model_of_groups_is_saved_with_both_kinds_of_weights(grouped, tmp_path):
    grouped.save(tmp_path / "model")
    again = IsoFormer.load(tmp_path / "model", grouped.adata)
    assert again.derived.experts.within
    np.testing.assert_array_equal(again.predict(), grouped.predict())


@pytest.mark.parametrize(("group_weight", "has_within"), [(None, False), (0.0, False), (2.0, True)])
def test_groups_are_read_together_where_their_differences_count(group_weight, has_within):
    """Not those of sequences that are no whole transcripts, unless the configuration asks for it."""
    adata = transcripts(40)
    IsoFormer.setup_anndata(adata, dna_key="dna", group_key="gene")
    model = IsoFormer(adata, replace(SMALL_ISOFORMER, group_weight=group_weight))
    assert model.derived.experts.within == has_within
    assert hasattr(model.module, "within_se") == has_within
    model.train(1, **QUIET)
    assert hasattr(model.module, "level_se") == has_within
    alone = model.predict(adata[[5]].copy())
    np.testing.assert_allclose(
        alone, slow_prediction(model, adata[[5]].copy()) if has_within else model.predict()[5:6], rtol=1e-4, atol=1e-4
    )
