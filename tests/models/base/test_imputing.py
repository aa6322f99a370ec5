"""Expected values: of rows that lack a modality, of measured rows, and as if from another batch."""

import numpy as np
import pytest
from mudata import MuData

from omicsmlm import OmicsMLM
from tests.objects import QUIET, SMALL, modality, multiome, rna

KINDS = ["counts", "protein", "accessibility", "fraction", "real"]


@pytest.fixture(scope="module")
def model():
    model = OmicsMLM(multiome(), SMALL, batch_key="batch")
    model.train(60, **QUIET, early_stopping=False)
    return model


def test_all_rows_and_the_features_looked_at_are_named(model):
    found = model.impute(modality="prot")
    assert list(found.index) == list(model.adata.obs_names)
    assert list(found.columns) == [f"cd{j}" for j in range(8)]
    assert (found.dtypes == np.float32).all()
    assert np.isfinite(found).all(axis=None)


@pytest.mark.parametrize(
    ("name", "kind", "most"),
    [("rna", "counts", 0.8), ("prot", "protein", 0.8), ("atac", "accessibility", 0.95)],  # 0 or 1 is mostly noise
)
def test_rows_that_lack_a_modality_get_what_their_type_has(model, name, kind, most):
    found = model.impute(modality=name)
    n_features = len(found.columns)
    truth = modality(kind, 72, n_features)[found.index, found.columns].copy()
    values = truth.X.toarray()
    values = (values > 0).astype(float) if kind == "accessibility" else values
    lacking = ~found.index.isin(model.adata[name].obs_names)
    assert 5 < lacking.sum() < 20
    guess = values[~lacking].mean(0)
    error = np.square(found[lacking] - values[lacking]).to_numpy().mean()
    assert error < most * np.square(guess - values[lacking]).mean(), "closer than the mean of the rows that have it"


def test_measured_counts_keep_their_depth(model):
    found = model.impute(modality="rna").loc[model.adata["rna"].obs_names]
    np.testing.assert_allclose(found.sum(axis=1), np.asarray(model.adata["rna"].X.sum(1)).ravel(), rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_in_the_units_of_their_kind(kind):
    data = modality(kind)
    OmicsMLM.setup_anndata(data, modalities="m", kind=kind)
    model = OmicsMLM(data, SMALL)
    model.train(2, **QUIET)
    found = model.impute().to_numpy()
    assert np.isfinite(found).all()
    if kind != "real":
        assert (found >= 0).all()
    if kind in ("accessibility", "fraction"):
        assert (found <= 1).all()


def test_a_batch_to_project_to_takes_the_place_of_the_rows_own(model):
    own = model.impute(modality="rna")
    first, second = (model.impute(modality="rna", batch=batch) for batch in ("b0", "b1"))
    is_first = (model.adata.obs["batch"] == "b0").to_numpy()
    np.testing.assert_array_equal(own[is_first], first[is_first])
    np.testing.assert_array_equal(own[~is_first], second[~is_first])
    assert not np.allclose(first, second, rtol=0.05)


def test_neither_the_size_nor_the_order_of_batches_matters(model):
    whole = model.impute(modality="atac")
    rows = np.array([7, 3, 60])
    np.testing.assert_allclose(model.impute(modality="atac", indices=rows, batch_size=2), whole.iloc[rows], rtol=1e-4)
    assert model.impute(modality="atac", indices=[]).shape == (0, 40)


def test_an_object_without_the_modality_gets_it(model):
    query = MuData({"rna": rna(20, seed=0)})
    assert model.impute(query, "prot").shape == (20, 8)


def test_a_loaded_model_expects_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = OmicsMLM.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.impute(model.adata, "rna"), model.impute(modality="rna"))


def test_wrong_names_get_a_sentence(model):
    with pytest.raises(ValueError, match=r"modality: expected one of \['rna', 'atac', 'prot'\], got None; name one"):
        model.impute()
    with pytest.raises(ValueError, match=r"batch: expected a category of 'batch' in training .*, got 'b7'; name one"):
        model.impute(modality="rna", batch="b7")
    alone = OmicsMLM(rna(), SMALL)
    with pytest.raises(ValueError, match="batch: expected a model with a batch, got one without; leave"):
        alone.impute(batch="b0")
