"""What is derived from the data by families whose latent is initialised at principal components."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from omicsmlm import OmicsMLM, ScMBERT
from omicsmlm.models.base import ComponentDerived, _component_model
from omicsmlm.models.base._component_model import _profile
from tests.objects import QUIET, SMALL, SMALL_SCMBERT, modality, multiome, rna

CONFIG = replace(SMALL, n_variable=12, n_common=15)


@pytest.fixture(scope="module")
def model():
    return OmicsMLM(multiome(), CONFIG, batch_key="batch")


def dense(model, name):
    return np.asarray(model.adata[name].X.todense())


def test_selected_features_and_their_statistics(model):
    derived = model.derived
    assert isinstance(derived, ComponentDerived)
    assert {name: len(own) for name, own in derived.selected.items()} == {"rna": 12, "atac": 15, "prot": 8}
    for name in ("rna", "atac", "prot"):
        x_ng = dense(model, name)
        fraction_g = x_ng.sum(0) / x_ng.sum()
        np.testing.assert_allclose(derived.profiles[name], fraction_g, rtol=1e-5)
        at_ng = x_ng[:, derived.selected[name]]
        depth_n = (at_ng > 0).sum(1) if name == "atac" else at_ng.sum(1)
        assert derived.depths[name] == np.median(depth_n), "of the observations that have the modality"
    assert set(derived.selected["atac"]) == set(np.argsort(-(dense(model, "atac") > 0).sum(0), kind="stable")[:15])


def test_few_embeddings_of_the_reference_are_kept(model, monkeypatch):
    assert model.derived.n_reference == 72
    assert model.module.reference_md.shape == (72, 8)
    monkeypatch.setattr("omicsmlm.models.base._component_model.MOST_REFERENCE_EMBEDDINGS", 20)
    few = OmicsMLM(rna(), SMALL)
    assert few.derived.n_reference == 20
    few.train(1, **QUIET)
    embedding = few.get_latent_representation()
    held = few.module.reference_md.numpy()
    distance_mn = np.abs(held[:, None] - embedding[None]).max(2)
    assert (distance_mn.min(1) < 1e-6).all(), "each is that of an observation"
    assert len(set(distance_mn.argmin(1))) == 20, "of another one each time"


def test_profiles_of_kinds_without_a_depth_are_flat():
    values = sparse.csr_matrix([[1.0, 0.0, 4.0, 0.0]])
    assert _profile("counts", values) == [0.2, 0.0, 0.8, 0.0]
    assert _profile("fraction", values) == _profile("real", values) == [0.25] * 4
    assert _profile("counts", sparse.csr_matrix((2, 2))) == [0.0, 0.0], "of nothing"
    assert _profile("counts", sparse.csr_matrix([[1.0, 2.0]])) == [0.333333, 0.666667], "six digits"


@pytest.mark.parametrize("family", [OmicsMLM, ScMBERT])
def test_a_query_is_trained_without_weight_decay(family):
    config = {OmicsMLM: SMALL, ScMBERT: SMALL_SCMBERT}[family]
    reference = family(rna(), replace(config, learning_rate=4e-3), batch_key="batch")
    reference.is_trained = True
    assert (reference.optimisation.weight_decay, reference.optimisation.learning_rate) == (1e-4, 4e-3)
    query = rna(30, first=300)
    query.obs["batch"] = "new"
    model = family.load_query_data(query, reference)
    assert (model.optimisation.weight_decay, model.optimisation.learning_rate) == (0.0, 4e-3)


def test_added_features_have_statistics_of_their_own(model):
    reference = OmicsMLM(rna(72, 20), CONFIG, batch_key="batch")
    reference.is_trained = True
    query = rna(40, 30, first=300)
    query.obs["batch"] = "new"
    extended = OmicsMLM.load_query_data(query, reference, extend_vocabulary=True).derived
    assert extended.added == ["rna+"]
    assert (extended.n_fixed_batches, extended.n_known_batches) == (2, 2)
    for part in ("selected", "profiles", "depths"):
        own = getattr(extended, part)
        assert own["rna"] == getattr(reference.derived, part)["rna"], "what is known stays"
        assert list(own) == ["rna", "rna+"]
    x_ng = np.asarray(query.X.todense())[:, 20:]
    np.testing.assert_allclose(extended.profiles["rna+"], x_ng.sum(0) / x_ng.sum(), rtol=1e-5)
    assert extended.depths["rna+"] == np.median(x_ng[:, extended.selected["rna+"]].sum(1))
    assert reference.derived.added == [], "the reference is left as it was"
    assert reference.derived.n_known_batches is None


def test_statistics_are_of_the_sample(monkeypatch):
    monkeypatch.setattr("omicsmlm.models.base._model.SAMPLE_SIZE", 24)
    adata = modality("counts", 72)
    model = OmicsMLM(adata, SMALL)
    sample = model._sample()
    indices = np.concatenate([batch.indices.numpy() for batch in sample])
    assert len(indices) == 24
    x_ng = np.asarray(adata.X.todense())[indices]
    np.testing.assert_allclose(model.derived.profiles["rna"], x_ng.sum(0) / x_ng.sum(), rtol=1e-5)


@pytest.mark.parametrize(("data", "expected"), [(rna, 2 + 4), (multiome, 2 + 12 + 6)])
def test_stages_are_counted(data, expected):
    assert OmicsMLM(data(), SMALL)._n_stages() == expected


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _component_model.ACCESSIBILITY_WEIGHT == 0.1
    assert _component_model.KL_WARMUP == 0.3
    assert _component_model.ADVERSARY_WEIGHT == 2.5
    assert _component_model.MOST_ADVERSARY == 30.0
    assert _component_model.WEIGHT_DECAY == 0.0001
