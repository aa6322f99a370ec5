"""Labels, continuous covariates and size factors of OmicsMLM: what they change, and what they never touch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from omicsmlm import OmicsMLM
from tests.objects import QUIET, SMALL, multiome, rna
from tests.test_bad_input import refused


def labelled(n=72):
    data = rna(n)
    data.obs["label"] = data.obs["type"].astype(str).where(data.obs["batch"] == "b0", "Unknown")
    rng = np.random.default_rng(0)
    data.obs["age"], data.obs["size"] = rng.normal(50, 10, n), rng.uniform(0.5, 2, n)
    data.obs["sex"] = np.where(rng.random(n) < 0.5, "f", "m")
    return data


def trained(data, n_epochs=2, config=SMALL, **options):
    model = OmicsMLM(data, config, **options)
    model.train(n_epochs, **QUIET)
    return model


# ---- labels -------------------------------------------------------------------------------------------------------


def separation(z_nd, type_n):
    """Variance between the types' means, relative to all of it."""
    means = pd.DataFrame(z_nd).groupby(np.asarray(type_n)).transform("mean").to_numpy()
    return means.var(0).sum() / z_nd.var(0).sum()


def test_labels_of_one_batch_separate_what_the_other_has_not_named():
    data = labelled()
    is_on = np.random.default_rng(1).random(72) < 0.5
    values = data.X.toarray()
    values[is_on, :3] += 2  # weak beside the types
    data.X = sparse.csr_matrix(values)
    is_other = (data.obs["batch"] == "b1").to_numpy()
    data.obs["label"] = np.where(is_other, "Unknown", np.where(is_on, "on", "off"))
    config = replace(SMALL, learning_rate=1e-2)
    plain, taught = trained(data.copy(), 20, config), trained(data.copy(), 20, config, labels_key="label")
    found = [separation(m.get_latent_representation()[is_other], is_on[is_other]) for m in (plain, taught)]
    assert found[1] > 2 * found[0], found
    losses = taught.history["train_labels"]["train_labels"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_labels_teach_and_nothing_else_reads_them():
    data = labelled()
    model = trained(data, labels_key="label")
    embedding = model.get_latent_representation()
    for column in (["z"] * 72, None):
        other = data.copy()
        other.obs["label"] = column
        if column is None:
            del other.obs["label"]
        np.testing.assert_array_equal(model.get_latent_representation(other), embedding)


def test_without_labels_nothing_changes():
    first, second = labelled(), labelled()
    plain = trained(first, batch_key="batch")
    OmicsMLM.setup_anndata(second, batch_key="batch")
    again = trained(second)
    np.testing.assert_array_equal(plain.get_latent_representation(), again.get_latent_representation())
    assert "labels" not in plain.adata_manager.registry["setup_args"]
    assert not [name for name in plain.module.state_dict() if name.startswith("labels")]


def test_with_labels_a_model_starts_where_it_would_without():
    plain, taught = OmicsMLM(labelled(), SMALL), OmicsMLM(labelled(), SMALL, labels_key="label")
    own = taught.module.state_dict()
    for name, weight in plain.module.state_dict().items():
        torch.testing.assert_close(own[name], weight, rtol=0, atol=0)


def test_a_query_is_adapted_without_labels():
    data = labelled()
    reference = trained(data[data.obs["batch"] == "b0"].copy(), batch_key="batch", labels_key="label")
    embedded = []
    for label in ("t0", "never seen", None):
        query = data[data.obs["batch"] == "b1"].copy()
        query.obs["label"] = label
        if label is None:
            del query.obs["label"]
        model = OmicsMLM.load_query_data(query, reference)
        model.train(1, **QUIET)
        assert "train_labels" not in model.history
        embedded.append(query.obsm["X_omics"])
    for other in embedded[1:]:
        np.testing.assert_array_equal(other, embedded[0])
    torch.testing.assert_close(model.module.labels.weight, reference.module.labels.weight, rtol=0, atol=0)


def test_a_model_with_labels_is_the_same_after_save_and_load_and_trains_on(tmp_path):
    data = labelled()
    model = trained(data, labels_key="label")
    model.save(tmp_path / "model")
    loaded = OmicsMLM.load(tmp_path / "model", data.copy())
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    assert loaded.adata_manager.labels == ["t0", "t1", "t2"]
    loaded.train(1, **QUIET)
    bare = data.copy()
    del bare.obs["label"]
    without = OmicsMLM.load(tmp_path / "model", bare)
    np.testing.assert_array_equal(without.get_latent_representation(), model.get_latent_representation())
    with refused("column 'label': expected a column of .obs"):
        without.train(1, **QUIET)


def test_more_labels_may_be_given_between_two_trainings():
    data = labelled()
    model = trained(data, labels_key="label")
    data.obs["label"] = data.obs["type"].astype(str)
    model.train(1, **QUIET)
    data.obs["label"] = "other"
    with refused("column 'label': expected the labels that were registered, 't0', 't1', 't2', got 'other'"):
        model.train(1, **QUIET)


def test_labels_are_named_once():
    data = labelled()
    OmicsMLM.setup_anndata(data, labels_key="label")
    with refused("labels_key: expected labels that are named once"):
        OmicsMLM(data, SMALL, labels_key="label")
    model = OmicsMLM(data, SMALL)
    assert model.adata_manager.labels == ["t0", "t1", "t2"]
    assert "labels to train with: 't0', 't1', 't2'" in repr(model)


def test_another_word_for_unknown():
    data = labelled()
    data.obs["label"] = data.obs["label"].replace("Unknown", "?")
    assert OmicsMLM(data.copy(), SMALL, labels_key="label", unlabeled_category="?").adata_manager.labels == [
        "t0",
        "t1",
        "t2",
    ]
    assert len(OmicsMLM(data, SMALL, labels_key="label").adata_manager.labels) == 4


# ---- numbers ------------------------------------------------------------------------------------------------------


def with_numbers(data, **options):
    OmicsMLM.setup_anndata(data, batch_key="batch", **options)
    return trained(data, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"categorical_covariate_keys": ["sex"]},
        {"continuous_covariate_keys": ["age"]},
        {"size_factor_key": "size"},
        {"categorical_covariate_keys": ["sex"], "continuous_covariate_keys": ["age"], "size_factor_key": "size"},
    ],
)
def test_covariates_reach_the_decoder_and_are_saved(options, tmp_path):
    data = labelled()
    model, plain = with_numbers(data, **options), trained(labelled(), 1, batch_key="batch")
    assert not np.array_equal(model.get_latent_representation(), plain.get_latent_representation())
    model.save(tmp_path / "model")
    loaded = OmicsMLM.load(tmp_path / "model", data.copy())
    for found, expected in (
        (loaded.get_latent_representation(), model.get_latent_representation()),
        (loaded.impute(), model.impute()),
    ):
        np.testing.assert_array_equal(found, expected)
    assert "columns" not in repr(model)
    assert ("further covariates" in repr(model)) == ("size_factor_key" not in options or len(options) > 1)


def test_the_encoder_is_told_no_covariate_and_the_decoder_all():
    data = labelled()
    model = with_numbers(data, categorical_covariate_keys=["sex"], continuous_covariate_keys=["age"])
    other = data.copy()
    other.obs["age"], other.obs["sex"] = 70.0, "f"
    np.testing.assert_array_equal(model.get_latent_representation(other), model.get_latent_representation())
    assert not np.allclose(model.impute(other), model.impute())


def test_a_query_may_lack_covariates_or_have_new_categories(caplog):
    data = labelled()
    options = {"categorical_covariate_keys": ["sex"], "continuous_covariate_keys": ["age"], "size_factor_key": "size"}
    reference = with_numbers(data, **options)
    query = labelled()
    query.obs["batch"], query.obs["sex"] = "new", "x"
    del query.obs["age"], query.obs["size"]
    with caplog.at_level("INFO", logger="omicsmlm"):
        model = OmicsMLM.load_query_data(query, reference)
    assert "column 'sex': 'x' were not in the reference, and count as the mean of its categories." in caplog.text
    assert "column 'age': 72 observations lack it, and count as the mean of the reference." in caplog.text
    before = reference.get_latent_representation()
    model.train(1, **QUIET)
    assert np.isfinite(query.obsm["X_omics"]).all()
    np.testing.assert_array_equal(reference.get_latent_representation(), before)
    np.testing.assert_array_equal(model.get_latent_representation(data), before)


def test_columns_of_a_mudata_and_of_its_modalities():
    mdata = multiome(48)
    mdata.obs["age"] = np.arange(mdata.n_obs, dtype=float)
    mdata["rna"].obs["size"] = 1.0 + np.arange(mdata["rna"].n_obs)
    mdata.obs["label"] = np.where(np.arange(mdata.n_obs) % 2 == 0, "even", "odd")
    missing = mdata.n_obs - mdata["rna"].n_obs
    if missing:
        with refused("column 'size': expected a finite number for each observation"):
            OmicsMLM.setup_mudata(mdata, size_factor_key="size")
    OmicsMLM.setup_mudata(mdata, continuous_covariate_keys="age", labels_key="label")
    model = trained(mdata, 1)
    assert model.adata_manager.numbers["keys"] == ["age"]
    assert model.adata_manager.labels == ["even", "odd"]
    assert np.isfinite(model.get_latent_representation()).all()


def test_numbers_that_were_changed_in_place_are_told():
    data = labelled()
    model = with_numbers(data, continuous_covariate_keys=["age"])
    data.obs["age"] += 1
    with refused("columns 'age': expected the numbers that were registered, got others, changed since"):
        model.get_latent_representation()
