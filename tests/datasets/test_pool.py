"""Bulk data sets put together by the names of their genes."""

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm import MOJO, MOJOConfig, OmicsMLM
from omicsmlm.datasets import pool
from omicsmlm.pp import normal_scores
from tests.objects import QUIET, SMALL, state_of
from tests.test_bad_input import refused


def bulk(rng, names, genes, methylation=None, **obs):
    """Samples with expression of genes, and methylation of others in the first half of the samples."""
    parts = {
        "rna": AnnData(rng.normal(size=(len(names), len(genes))), pd.DataFrame(index=names), pd.DataFrame(index=genes))
    }
    if methylation:
        half = names[: len(names) // 2]
        part = rng.random((len(half), len(methylation)))
        parts["methylation"] = AnnData(part, pd.DataFrame(index=half), pd.DataFrame(index=methylation))
    found = mudata.MuData(parts)
    for name, column in obs.items():
        found.obs[name] = pd.Series(column, index=names)
    return found


@pytest.fixture
def sets(rng):
    one = bulk(
        rng, [f"a{i}" for i in range(24)], [f"g{j}" for j in range(12)], ["g0", "g1", "m2"], kind=["x", "y"] * 12
    )
    other = bulk(rng, [f"b{i}" for i in range(16)], [f"g{j}" for j in range(6, 20)], age=list(range(16)))
    return {"one": one, "other": other}


def test_the_union_of_genes_by_name_and_what_was_not_measured_is_nan(sets):
    before = [state_of(data) for data in sets.values()]
    pooled = pool(sets)
    assert pooled.n_obs == 40
    assert list(pooled["rna"].var_names) == [f"g{j}" for j in range(20)]
    table = pooled["rna"].to_df()
    for name, data in sets.items():
        own = data["rna"].to_df()
        np.testing.assert_allclose(table.loc[own.index, own.columns], own, rtol=1e-6)
        assert table.loc[own.index].drop(columns=own.columns).isna().to_numpy().all()
        assert (pooled.obs.loc[data.obs_names, "dataset"] == name).all()
    assert list(pooled["methylation"].obs_names) == [f"a{i}" for i in range(12)]
    assert pooled.obs.loc["a1", "kind"] == "y"
    assert pooled.obs.loc["b3", "age"] == 3
    assert pd.isna(pooled.obs.loc["b3", "kind"])
    assert [state_of(data) for data in sets.values()] == before


def test_each_set_is_ranked_by_itself(sets):
    pooled = pool(sets, scaling="ranks")
    for name, data in sets.items():
        own = normal_scores(data["rna"]).to_df()
        np.testing.assert_allclose(pooled["rna"].to_df().loc[own.index, own.columns], own, err_msg=name)


def test_names_that_sets_share_get_that_of_the_set(sets, rng):
    again = {"one": sets["one"], "copy": sets["one"]}
    pooled = pool(again)
    assert pooled.n_obs == 48
    assert {"one:a0", "copy:a0"} <= set(pooled.obs_names)
    assert pooled.obs.loc["copy:a1", "kind"] == "y"
    assert pooled["methylation"].n_obs == 24


def test_models_take_the_pool_and_are_tuned_on_one_of_its_sets(sets):
    pooled = pool(sets, scaling="ranks")
    model = MOJO(pooled, MOJOConfig(n_levels=2, row_width=8, width=8, feed_width=8))
    model.train(1, key_added=None, **QUIET)
    own = MOJO.load_query_data(pooled[(pooled.obs["dataset"] == "one").to_numpy()].copy(), model)
    before = own.get_latent_representation()
    np.testing.assert_allclose(before, model.get_latent_representation()[:24], atol=1e-4)
    own.train(1, key_added=None, **QUIET)
    assert not np.allclose(own.get_latent_representation(), before, atol=1e-3)
    flagship = OmicsMLM(pooled, SMALL)
    assert np.isfinite(flagship.get_latent_representation()).all()


def test_what_cannot_be_pooled(sets):
    with refused("sets: expected data sets by name, got list"):
        pool([sets["one"]])
    with refused("sets\\['rna'\\]: expected a MuData, got AnnData"):
        pool({"rna": sets["one"]["rna"]})
    sets["one"]["rna"].var_names = ["twice", "twice", *sets["one"]["rna"].var_names[2:]]
    with refused("one, rna: expected distinct feature names, got duplicates 'twice'"):
        pool(sets)
