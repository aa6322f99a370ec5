"""The features that exact linear models of observations take, against NumPy."""

import numpy as np
import pytest
import torch

from omicsmlm import OmicsMLM
from omicsmlm.models.heads import ObservationFeatures, _features
from omicsmlm.tokenizers import variable_features
from tests.objects import SMALL, bulk, modality, multiome


@pytest.fixture(scope="module")
def model():
    return OmicsMLM(multiome(), SMALL, batch_key="batch")


@pytest.fixture(scope="module")
def features(model):
    return ObservationFeatures.of(model, np.arange(72))


def has_of(model, name):
    return model.adata.obs_names.isin(model.adata[name].obs_names)


def test_columns_of_the_modalities_lie_beside_one_another(features):
    assert features.spans == {"rna": slice(0, 30), "atac": slice(30, 70), "prot": slice(70, 78)}
    assert features.n_features == 78
    assert features.sizes == {
        "kinds": {"rna": "counts", "atac": "accessibility", "prot": "protein"},
        "n_vocabulary": {"rna": 30, "atac": 40, "prot": 8},
        "n_selected": {"rna": 30, "atac": 40, "prot": 8},
    }
    assert not features.training


def test_values_are_scaled_by_the_observations_that_have_them(model, features):
    indices = np.array([71, 20, 5])
    x_ng = features.of_observations(model, indices)
    assert x_ng.shape == (3, 78)
    assert x_ng.dtype == np.float32
    own = model.adata["rna"]
    counts_ng = np.asarray(own.X.todense(), dtype=np.float64)
    log_ng = np.log1p(1e4 * counts_ng / counts_ng.sum(1, keepdims=True))
    z_ng = ((log_ng - log_ng.mean(0)) / (log_ng.std(0) + 1e-4)).clip(-10, 10)
    for row, index in zip(x_ng, indices, strict=True):
        name = model.adata.obs_names[index]
        if name in own.obs_names:
            np.testing.assert_allclose(row[:30], z_ng[own.obs_names.get_loc(name)], rtol=1e-3, atol=1e-3)
        else:
            assert not row[:30].any(), "the mean, where it is not visible"


def test_they_are_fitted_to_some_observations_alone(model):
    some = np.flatnonzero(has_of(model, "prot"))[:20]
    features = ObservationFeatures.of(model, some)
    inside_ng = features.of_observations(model, some)[:, features.spans["prot"]]
    np.testing.assert_allclose(inside_ng.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(inside_ng.std(0), 1, rtol=0.05)
    outside_ng = features.of_observations(model, np.flatnonzero(has_of(model, "prot"))[20:])[:, features.spans["prot"]]
    assert np.abs(outside_ng.mean(0)).max() > 0.05


def test_the_most_variable_counts_and_the_most_common_regions_are_selected(model, monkeypatch):
    monkeypatch.setattr(_features, "MOST_FEATURES", {"counts": 7, "accessibility": 9})
    features = ObservationFeatures.of(model, np.arange(72))
    assert features.sizes["n_selected"] == {"rna": 7, "atac": 9, "prot": 8}
    assert features.n_features == 24
    expected = variable_features(model.adata["rna"].X, 7, None)
    assert features.tokenizer.state_dict()["selected_0"].tolist() == expected.tolist()
    n_open_g = (np.asarray(model.adata["atac"].X.todense()) > 0).sum(0)
    least = np.sort(n_open_g)[-9]
    assert (n_open_g[features.tokenizer.state_dict()["selected_1"].numpy()] >= least).all()


def test_fractions_of_all_counts_are_those_of_the_observations(model, features):
    state = features.tokenizer.state_dict()
    for position, name in enumerate(("rna", "atac", "prot")):
        sum_g = np.asarray(model.adata[name].X.sum(0)).ravel()
        np.testing.assert_allclose(state[f"profile_{position}"], sum_g / sum_g.sum(), rtol=1e-5)
    other = OmicsMLM(bulk(), SMALL)
    profiles = ObservationFeatures.of(other, np.arange(72)).tokenizer.state_dict()
    n_g = len(other.adata_manager.modalities["methylation"]["vocabulary"])
    np.testing.assert_allclose(profiles["profile_1"], np.full(n_g, 1 / n_g), rtol=1e-6)


def test_the_modality_subset_of_an_observation_is_a_code(model, features):
    batch = model.adata_manager.create_torch_dataset()[np.arange(72)]
    expected = sum(has_of(model, name) * 2**m for m, name in enumerate(("rna", "atac", "prot")))
    code_n = features.subset_codes(batch)
    assert code_n.tolist() == expected.tolist()
    assert code_n.dtype == torch.int64
    assert len(set(code_n.tolist())) > 3
    assert features.subset_name(0b101) == "rna + prot"
    assert features.subset_name(0b010) == "atac"


def test_features_are_restored_by_their_sizes_and_their_state(model, features):
    restored = ObservationFeatures(**features.sizes).eval()
    restored.load_state_dict(features.state_dict())
    indices = np.arange(10)
    np.testing.assert_array_equal(restored.of_observations(model, indices), features.of_observations(model, indices))


def test_another_object_lacks_what_it_does_not_have(model, features):
    manager = model.manager_for(modality("counts", 6, 20))
    x_ng = features(manager.create_torch_dataset()[np.arange(6)]).numpy()
    assert x_ng[:, :20].any()
    assert not x_ng[:, 20:].any()


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _features.MOST_FEATURES == {"counts": 2000, "accessibility": 15000}
