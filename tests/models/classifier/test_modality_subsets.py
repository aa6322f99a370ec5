import numpy as np
import pytest
import torch
from mudata import MuData

from omicsmlm import OmicsMLM
from omicsmlm._types import Tokens
from omicsmlm.models.classifier._modality_subsets import alone, subset_embeddings, subset_features
from omicsmlm.models.heads import ObservationFeatures
from tests.models.survival.test_model import cohort
from tests.objects import SMALL


@pytest.fixture(scope="module")
def model():
    """A model of observations with two modalities, some with one only; tests must not change it."""
    return OmicsMLM(cohort(60), SMALL)


@pytest.fixture(scope="module")
def has_nm(model):
    """(n, m) bool: which observation has which modality."""
    return np.stack([model.adata.obs_names.isin(model.adata[name].obs_names) for name in model.adata.mod], 1)


def test_whole_observations_come_first_and_then_each_modality_of_those_with_several(model, has_nm):
    indices = np.array([30, 5, 55, 2, 41])
    z_nd, position_n = subset_embeddings(model, indices)
    several_n = np.flatnonzero(has_nm[indices].all(1))
    assert 0 < len(several_n) < len(indices)
    assert position_n.tolist() == [0, 1, 2, 3, 4, *several_n, *several_n]
    np.testing.assert_allclose(z_nd[:5], model.get_latent_representation(indices=indices), atol=1e-5)
    for k, name in enumerate(model.adata.mod):
        part = MuData({name: model.adata[name].copy()})
        at = part.obs_names.get_indexer(model.adata.obs_names[indices[several_n]])
        first = 5 + k * len(several_n)
        found = z_nd[first : first + len(several_n)]
        np.testing.assert_allclose(found, model.get_latent_representation(part)[at], atol=1e-4)


def test_features_of_other_modalities_are_zero(model, has_nm):
    indices = np.arange(60)
    features = ObservationFeatures.of(model, indices)
    x_ng, subset_n = subset_features(features, model, indices)
    whole_ng = features.of_observations(model, indices)
    np.testing.assert_array_equal(x_ng[:60], whole_ng)
    np.testing.assert_array_equal(subset_n[:60], has_nm @ [1, 2])
    several_n = np.flatnonzero(has_nm.all(1))
    _, position_n = subset_embeddings(model, indices)
    assert len(x_ng) == len(position_n) == 60 + 2 * len(several_n)
    for k, span in enumerate(features.spans.values()):
        first = 60 + k * len(several_n)
        part_ng = x_ng[first : first + len(several_n)]
        assert (subset_n[first : first + len(several_n)] == 2**k).all()
        np.testing.assert_array_equal(part_ng[:, span], whole_ng[several_n, span])
        assert np.abs(part_ng).sum() == pytest.approx(np.abs(part_ng[:, span]).sum())


def test_one_modality_alone_is_the_observation_without_the_others(model, has_nm):
    indices = np.flatnonzero(has_nm.all(1))[:3]
    batch = model.adata_manager.create_torch_dataset()[indices]
    shown = alone(batch, "meth")
    assert isinstance(shown.tokens["rna"], Tokens)
    assert len(shown.tokens["rna"].values) == len(shown.tokens["rna"].ids) == 0
    assert shown.tokens["rna"].offsets.tolist() == [0, 0, 0, 0]
    assert shown.tokens["meth"] is batch.tokens["meth"]
    assert not shown.present["rna"].any()
    assert torch.equal(shown.present["meth"], batch.present["meth"])
    assert batch.present["rna"].all(), "the batch itself is left as it was"
