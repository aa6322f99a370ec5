"""Differences between groups, with samples as replicates: by hand, by scipy, and where there are none."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from omicsmlm.evaluation import differential_features
from omicsmlm.evaluation._differential import COLUMNS, log2_cpm, pseudobulks
from tests.objects import state_of
from tests.test_bad_input import refused


def cells(n_samples=6, n_per_sample=90, n_features=300, interaction=0.0, effect=0.0, seed=0):
    """Counts of cells of three types in samples of their own levels; the first ten features are of type T if effect.

    With an interaction the types of each sample differ from each other in their own way, by 0 in the mean of samples.
    """
    rng = np.random.default_rng(seed)
    sample_n = np.repeat(np.arange(n_samples), n_per_sample)
    type_n = rng.choice(3, len(sample_n), p=[0.6, 0.3, 0.1])
    log_sgf = rng.normal(0, 0.5, (n_samples, 1, n_features)) + rng.normal(0, interaction, (n_samples, 3, n_features))
    log_sgf[:, 1, :10] += effect
    level_f = rng.lognormal(0.5, 0.7, n_features)
    depth_n = rng.lognormal(0, 0.4, len(sample_n))
    mean_nf = level_f * depth_n[:, None] * np.exp(log_sgf[sample_n, type_n])
    counts = rng.poisson(mean_nf * rng.gamma(2, 0.5, mean_nf.shape)).astype(np.float32)
    obs = pd.DataFrame({"type": np.array(["B", "T", "NK"])[type_n], "donor": sample_n})
    return ad.AnnData(
        sparse.csr_matrix(counts),
        obs=obs.set_axis([f"cell{i}" for i in range(len(obs))]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(n_features)]),
    )


def permuted(adata, key, sample_key, seed=0):
    """The same cells, with their labels exchanged within samples."""
    rng, made = np.random.default_rng(seed), adata.copy()
    labels = made.obs[key].astype(str)
    made.obs[key] = labels.groupby(made.obs[sample_key].to_numpy()).transform(rng.permutation)
    return made


def by_cells(adata, key):
    """The p-values of t-tests that take cells for replicates."""
    x_nf = np.asarray(adata.X.todense())
    logged_nf = np.log1p(1e4 * x_nf / x_nf.sum(1, keepdims=True))
    groups = adata.obs[key].to_numpy()
    return np.concatenate([stats.ttest_ind(logged_nf[groups == g], logged_nf[groups != g])[1] for g in set(groups)])


def test_sums_are_those_of_cells_one_after_the_other():
    adata = cells(3, 30, 7)
    adata = adata[~((adata.obs["donor"] == 1) & (adata.obs["type"] == "NK"))]
    samples, groups = adata.obs["donor"].astype(str).to_numpy(), adata.obs["type"].to_numpy()
    bulks = pseudobulks(adata.X, samples, groups)
    x_nf, expected = adata.X.toarray(), np.zeros((3, 3, 7))
    for x_f, sample, group in zip(x_nf, samples, groups, strict=True):
        expected[int(sample), ["B", "NK", "T"].index(group)] += x_f
    np.testing.assert_array_equal(bulks.counts_sgf, expected)
    assert bulks.n_observations_sg.sum() == adata.n_obs
    assert bulks.n_observations_sg[1, 1] == 0
    np.testing.assert_array_equal(pseudobulks(x_nf, samples, groups).counts_sgf, expected)


def test_the_test_is_scipys_paired_one_of_log_cpm_and_its_rate_that_of_benjamini_and_hochberg():
    adata = cells(5, 90, 40, effect=1.0)
    held = state_of(adata)
    table = differential_features(adata, "type", "donor", min_cells=3, min_count=1)
    assert state_of(adata) == held
    assert table.columns.tolist() == COLUMNS
    assert table.groupby("group").size().to_dict() == {"B": 40, "NK": 40, "T": 40}
    for group, part in table.groupby("group"):
        sides = []
        for inside in (True, False):
            rows = [
                adata.X[((adata.obs["type"] == group) == inside).to_numpy() & (adata.obs["donor"] == s).to_numpy()]
                for s in range(5)
            ]
            counts = np.array([np.asarray(row.sum(0)).ravel() for row in rows], dtype=float)
            sides.append(np.log2((counts + 0.5) / (counts.sum(1)[:, None] + 1) * 1e6))
        t, p = stats.ttest_rel(*sides)
        part = part.set_index("feature").loc[adata.var_names]
        np.testing.assert_allclose(part["t"], t)
        np.testing.assert_allclose(part["p_value"], p)
        np.testing.assert_allclose(part["log2_fold_change"], (sides[0] - sides[1]).mean(0))
        np.testing.assert_allclose(part["mean_log2_cpm"], np.mean(sides, axis=(0, 1)))
        order = np.argsort(p)
        stepped = np.minimum.accumulate((p[order] * 40 / np.arange(1, 41))[::-1])[::-1]
        np.testing.assert_allclose(part["q_value"].to_numpy()[order], stepped)
        assert (part["n_samples"] == 5).all()
    assert table.groupby("group")["p_value"].apply(lambda p: p.is_monotonic_increasing).all()


def test_planted_features_are_found():
    table = differential_features(cells(10, effect=1.5, interaction=0.2), "type", "donor", min_cells=3)
    planted = table["feature"].isin([f"g{i}" for i in range(10)])
    of_type = table["group"] == "T"
    assert (table["q_value"][planted & of_type] < 0.05).mean() >= 0.8
    assert (table["log2_fold_change"][planted & of_type] > 0.5).all()
    assert (table["q_value"][~planted & of_type] < 0.05).mean() < 0.02


@pytest.mark.parametrize("n_samples", [3, 8])
def test_with_labels_permuted_within_samples_five_per_cent_are_below_5_per_cent(n_samples):
    p = []
    for seed in range(4):
        made = permuted(cells(n_samples, effect=1.0, interaction=0.3, seed=seed), "type", "donor", seed)
        p.append(differential_features(made, "type", "donor", min_cells=3)["p_value"])
    assert len(pd.concat(p)) > 3000
    assert 0.04 <= (pd.concat(p) < 0.05).mean() <= 0.06


def test_where_only_single_samples_differ_cells_as_replicates_find_what_is_not_there():
    p, of_cells = [], []
    for seed in range(4):
        made = cells(6, interaction=0.6, seed=seed)
        p.append(differential_features(made, "type", "donor", min_cells=3)["p_value"])
        of_cells.append(by_cells(made, "type"))
    assert 0.035 <= (pd.concat(p) < 0.05).mean() <= 0.06
    assert (np.concatenate(of_cells) < 0.05).mean() > 0.3


def test_few_counts_move_the_logarithm_little():
    rng = np.random.default_rng(0)
    for mean in (10, 20):
        x = rng.poisson(mean, 400_000)
        logged = np.log2(x + 0.5).mean() - np.log2(mean)
        assert abs(logged) < 0.01 < abs(np.log2(x + 1.0).mean() - np.log2(mean))
    np.testing.assert_allclose(log2_cpm(np.array([[3.0, 96.0]])), [[np.log2(3.5e6 / 100), np.log2(96.5e6 / 100)]])


def test_features_with_few_counts_are_not_tested():
    adata = cells(4, 60, 20)
    adata.X = adata.X.toarray()
    adata.X[:, 3] = 0
    adata.X[:, 4] = np.arange(adata.n_obs) % 20 == 0
    found = differential_features(adata, "type", "donor", min_cells=1)
    assert {"g3", "g4"} & set(found["feature"]) == set()
    assert "g3" in set(differential_features(adata, "type", "donor", min_cells=1, min_count=0)["feature"])
    never = differential_features(adata, "type", "donor", min_cells=1, min_count=0)
    assert (never.loc[never["feature"] == "g3", "p_value"] > 0).all()
    assert differential_features(adata, "type", "donor", min_cells=1, min_count=1e9).empty


def test_one_group_may_be_the_reference():
    adata = cells(4, effect=1.0)
    table = differential_features(adata, "type", "donor", reference="B", min_cells=3)
    assert set(table["group"]) == {"NK", "T"}
    two = differential_features(adata[adata.obs["type"] != "NK"].copy(), "type", "donor", min_cells=3)
    one = two[two["group"] == "T"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table[table["group"] == "T"].reset_index(drop=True), one)
    other = two[two["group"] == "B"].set_index("feature")["t"]
    np.testing.assert_allclose(other, -one.set_index("feature")["t"].loc[other.index])


def test_rare_groups_are_left_out_and_unlabelled_cells_too(caplog):
    adata = cells(4, 80, 30)
    table = differential_features(adata, "type", "donor", min_cells=15)
    assert set(table["group"]) == {"B", "T"}
    assert table.attrs["left_out"] == ["NK"]
    assert "'NK', which are not tested" in caplog.text
    without = adata.copy()
    without.obs["type"] = adata.obs["type"].where(adata.obs["type"] != "NK")
    table = differential_features(without, "type", "donor", min_cells=15)
    kept = differential_features(adata[adata.obs["type"] != "NK"].copy(), "type", "donor", min_cells=15)
    pd.testing.assert_frame_equal(table, kept)


def test_a_modality_of_an_object_with_unpaired_cells_is_that_modality_alone():
    rna = cells(4, 80, 30)
    adt = cells(4, 80, 9, seed=1)
    mdata = md.MuData({"rna": rna[40:].copy(), "adt": adt[:280].copy()})
    for key in ("type", "donor"):
        mdata.obs[key] = rna.obs[key].reindex(mdata.obs_names)
    found = differential_features(mdata, "type", "donor", min_cells=3, modality="adt")
    alone = adt[:280].copy()
    alone.obs = rna.obs.iloc[:280]
    expected = differential_features(alone, "type", "donor", min_cells=3)
    pd.testing.assert_frame_equal(found, expected)
    assert differential_features(mdata, "type", "donor", min_cells=3)["feature"].nunique() == 30


def test_counts_of_a_layer_are_taken_where_x_has_none():
    adata = cells(4, 60, 20)
    expected = differential_features(adata, "type", "donor", min_cells=1)
    adata.layers["counts"], adata.X = adata.X, adata.X.log1p()
    pd.testing.assert_frame_equal(differential_features(adata, "type", "donor", min_cells=1), expected)


def test_what_cannot_be_tested_is_refused():
    adata = cells(2, 60, 20)
    with refused(
        "sample_key 'donor': expected at least 3 samples with 10 observations both of a group .*, got 2;", adata
    ):
        differential_features(adata, "type", "donor")
    adata.obs["cell"] = adata.obs_names
    with refused("sample_key 'cell': .*cells are no replicates", adata):
        differential_features(adata, "type", "cell", min_cells=1)
    with refused("groupby 'types': expected a column", adata):
        differential_features(adata, "types", "donor")
    with refused("reference: expected one of 'B', 'NK', 'T', got 'A'; pass one", adata):
        differential_features(adata, "type", "donor", reference="A")
    adata.X = adata.X.multiply(0.3).tocsr()
    with refused(
        "X: expected raw counts .*, got values such as 0.6; put the measured counts into X .* no replicates", adata
    ):
        differential_features(adata, "type", "donor")
    adata.X = -adata.X
    with refused("X: expected raw counts", adata):
        differential_features(adata, "type", "donor")


@pytest.mark.data
def test_on_real_cells_permuted_labels_keep_the_rate_and_interferon_is_found(data_folder):
    adata = ad.read_h5ad(data_folder / "sc" / "kang_ifnb_pbmc.h5ad")
    shuffled = [
        differential_features(permuted(adata, "cell_type", "batch", seed), "cell_type", "batch") for seed in range(5)
    ]
    p = pd.concat(shuffled)["p_value"]
    assert len(p) > 1000
    assert (p < 0.05).mean() <= 0.065
    markers = differential_features(adata, "cell_type", "batch")
    assert (markers["q_value"] < 0.05).sum() > 100
