"""A registered object that was changed in place is told of; what means the same, however it is stored, is not."""

import time

import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy import sparse

from omicsmlm import IsoFormer, OmicsMLM
from omicsmlm.data import _fingerprint
from tests.objects import QUIET, SMALL, SMALL_ISOFORMER, manager_of, modality, multiome, rna, transcripts


def logged(data):
    data.X.data[:] = np.log1p(data.X.data)


def in_place(value):
    def change(data):
        data.X.data[3] = value

    return change


def renamed(data):
    data.var_names = [f"ENSG{j}" for j in range(data.n_vars)]


def reordered(data):
    data.var_names = data.var_names[::-1]


def of_one_name(data):
    data.var_names = ["x"] * data.n_vars


def doubled(data):
    data.X.data[:] *= 2


def replaced(data):
    data.X = data.X[::-1].copy()


def subset(data):
    data._inplace_subset_obs(np.arange(40))


def fewer_features(data):
    data._inplace_subset_var(np.arange(20))


def without_batch(data):
    del data.obs["batch"]


def batch_renamed(data):
    data.obs["batch"] = data.obs["batch"].astype(str).map({"b0": "lane 1", "b1": "lane 2"})


def batch_missing(data):
    data.obs["batch"] = data.obs["batch"].where(np.arange(data.n_obs) > 3)


def batch_of_tuples(data):
    data.obs["batch"] = pd.Series([("b", i % 2) for i in range(data.n_obs)], index=data.obs_names)


CHANGES = [
    (logged, r"^rna: expected raw counts \(non-negative integers\), got floats up to"),
    (in_place(np.nan), "^rna: expected raw counts .*, got NaN;"),
    (in_place(np.inf), "^rna: expected finite values, got infinity;"),
    (in_place(-1), "^rna: expected raw counts .*, got values down to -1;"),
    (
        renamed,
        r"^rna: expected the features that were registered, in their order, got 30 features, 'ENSG0' in the place of",
    ),
    (reordered, "^rna: expected the features that were registered, in their order, got 30 features, 'gene29' in"),
    (of_one_name, "^rna: expected the features that were registered, in their order, got 30 features, 'x' in"),
    (fewer_features, "^rna: expected the features .* got 20 features, not 30;"),
    (
        doubled,
        "^rna: expected the values that were registered, got values that were changed in place since; keep other",
    ),
    (replaced, "^rna: expected the values that were registered, got"),
    (subset, "^data: expected the 72 observations that were registered, got 40; set the object up anew"),
    (without_batch, "^column 'batch': expected a column of .obs, got columns 'type'"),
    (
        batch_renamed,
        "^column 'batch': expected the categories that were registered, 'b0', 'b1', got 'lane 1', 'lane 2'",
    ),
    (batch_missing, "^column 'batch': expected the categories that were registered, 'b0', 'b1', got 'missing values'"),
    (batch_of_tuples, "^column 'batch': expected the categories that were registered, 'b0', 'b1', got "),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_a_change_in_place_is_told(change, message):
    data = rna()
    manager = manager_of(data, ["batch"])
    manager.check_unchanged()
    change(data)
    with pytest.raises(ValueError, match=message):
        manager.check_unchanged()


@pytest.mark.parametrize("values", [np.asarray, sparse.csc_matrix, sparse.csr_array], ids=["dense", "CSC", "an array"])
def test_any_container_of_values_is_compared(values):
    data = rna()
    data.X = values(data.X.toarray())
    manager = manager_of(data)
    manager.check_unchanged()
    (data.X if isinstance(data.X, np.ndarray) else data.X.data)[:] += 1
    with pytest.raises(ValueError, match="^rna: expected the values that were registered"):
        manager.check_unchanged()


def test_values_in_another_container_or_order_are_the_same():
    data = rna()
    data.X = sparse.csr_matrix(data.X)
    manager = manager_of(data)
    data.X.indices, data.X.data = data.X.indices.copy(), data.X.data.copy()
    for start, stop in zip(data.X.indptr, data.X.indptr[1:], strict=False):
        data.X.indices[start:stop], data.X.data[start:stop] = (
            data.X.indices[start:stop][::-1],
            data.X.data[start:stop][::-1],
        )
    manager.check_unchanged()
    data.X = data.X.toarray()
    manager.check_unchanged()
    data.X = sparse.csc_matrix(data.X)
    manager.check_unchanged()


def test_columns_that_no_field_reads_may_change():
    data = multiome()
    manager = manager_of(data, ["batch"])
    data.obs["new"], data.obsm["new"], data.uns["new"] = 1, np.zeros((72, 2)), 3
    data["rna"].var["new"], data["rna"].layers["new"] = 1, data["rna"].X * 2
    manager.check_unchanged()
    batch = data.obs["batch"].astype(object).to_numpy()
    data.obs["batch"] = batch[::-1]  # other observations, of the categories that were registered
    manager.check_unchanged()


def test_categories_of_which_no_observation_is_left_are_told():
    data = multiome()
    manager = manager_of(data, ["batch"])
    data.obs["batch"] = "b0"
    with pytest.raises(
        ValueError, match="^column 'batch': expected observations of each category .*, got none of 'b1'"
    ):
        manager.check_unchanged()


def test_a_modality_that_is_gone_is_told():
    data = multiome()
    manager = manager_of(data)
    del data.mod["prot"]
    with pytest.raises(ValueError, match="^prot: expected the modality that was registered, got an object without it"):
        manager.check_unchanged()


def test_sequences_and_vectors_are_compared():
    data = transcripts()
    model = IsoFormer(data, SMALL_ISOFORMER)
    model.manager_for(None)
    column = next(iter(model.adata_manager.sequences.values()))["key"]
    before = data.obs[column].copy()
    data.obs[column] = before.astype(object).iloc[::-1].to_numpy()
    with pytest.raises(ValueError, match=f"expected what '{column}' held when it was registered, got others"):
        model.get_latent_representation()
    data.obs[column] = before
    model.manager_for(None)
    del data.obs[column]
    with pytest.raises(ValueError, match=f"expected what '{column}' held when it was registered, got others"):
        model.manager_for(None)


def test_set_up_and_changed_before_the_model_is_made():
    data = rna()
    data.layers["counts"] = data.X  # no copy: the usual slip
    OmicsMLM.setup_anndata(data, layer="counts", batch_key="batch")
    data.X.data[:] = np.log1p(data.X.data)
    with pytest.raises(ValueError, match=r"^rna: expected raw counts \(non-negative integers\), got floats"):
        OmicsMLM(data, SMALL)


def test_train_and_every_getter_look_again():
    data = rna()
    model = OmicsMLM(data, SMALL, batch_key="batch")
    model.train(1, **QUIET)
    embedding = model.get_latent_representation()
    renamed(data)
    for ask in (
        model.get_latent_representation,
        model.impute,
        lambda: model.train(1, **QUIET),
        lambda: model.write_latent_representation("never.h5ad"),
        lambda: model.get_latent_representation(data),
    ):
        with pytest.raises(ValueError, match="^rna: expected the features that were registered"):
            ask()
    data.var_names = rna().var_names
    np.testing.assert_array_equal(model.get_latent_representation(), embedding)


def test_a_single_value_outside_of_the_sample_is_told_when_it_is_read():
    parts = {"rna": rna(n=400, g=60), "meth": modality("fraction", n=400)}
    data = MuData(parts)
    model = OmicsMLM(data, SMALL)
    data["rna"].X.data[data["rna"].X.indptr[201]] = np.nan
    model.manager_for(None)  # not in the sample
    with pytest.raises(ValueError, match="^rna: expected finite values, got NaN; the object was changed since"):
        model.get_latent_representation()
    data["rna"].X.data[data["rna"].X.indptr[201]] = 1
    data["meth"].X[7, 3] = np.inf
    with pytest.raises(ValueError, match="^meth: expected (finite values|the values that were registered), got"):
        model.get_latent_representation()


@pytest.mark.slow  # timed: for a quiet machine
def test_looking_again_costs_next_to_nothing():
    data = rna(n=20_000, g=300)
    model = OmicsMLM(data, SMALL, batch_key="batch")
    start = time.perf_counter()
    model.get_latent_representation()
    whole = time.perf_counter() - start
    spent = min(_seconds(model.adata_manager.check_unchanged) for _ in range(5))
    assert spent < 0.02 * whole  # measured: under a hundredth; twice that, as machines are shared


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _fingerprint.FEWEST == 8
    assert _fingerprint.MOST == 64
    assert _fingerprint.SAMPLED_VALUES == 8192
