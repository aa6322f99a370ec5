import numpy as np
import pytest
from scipy import sparse, stats

from omicsmlm.datasets import _simulated, simulate_multiome, simulate_rna
from omicsmlm.evaluation import baselines, probe


def test_counts_are_sparse_integers_of_the_asked_density():
    adata = simulate_rna(600, 400, density=0.08, seed=1)
    assert isinstance(adata.X, sparse.csr_matrix)
    assert adata.X.dtype == np.float32
    assert adata.X.nnz == np.count_nonzero(adata.X.toarray())
    assert np.array_equal(adata.X.data, np.round(adata.X.data))
    assert adata.X.data.min() >= 1
    assert adata.X.nnz / (600 * 400) == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize("shape", [0.5, 2.0])
def test_the_inversion_gives_negative_binomial_quantiles(rng, shape):
    uniform, mean = rng.random(3000), rng.gamma(0.5, 8, 3000)
    expected = stats.nbinom.ppf(uniform, shape, shape / (shape + mean))
    assert np.array_equal(_simulated._invert(uniform, mean, shape), expected)


def test_the_inversion_ends_at_the_edge_of_the_unit_interval():
    assert np.isfinite(_simulated._invert(np.array([1.0 - 2.0**-24, 1.0]), np.array([3.0, 3.0]), 2.0)).all()


def test_counts_do_not_depend_on_the_size_of_a_block(monkeypatch):
    whole = simulate_rna(300, 50, seed=3)
    monkeypatch.setattr(_simulated, "_BLOCK", 7)
    assert abs(simulate_rna(300, 50, seed=3).X - whole.X).nnz == 0


def test_never_dense_as_a_whole(monkeypatch):
    rows = []
    rates = _simulated._rates
    monkeypatch.setattr(_simulated, "_rates", lambda *a: rows.append(rates(*a)) or rows[-1])
    simulate_rna(5000, 30)
    assert max(map(len, rows)) <= 512
    assert sum(map(len, rows[1:])) == 5000


def test_the_seed_decides():
    first, same, other = (simulate_rna(200, 50, seed=seed) for seed in (4, 4, 5))
    assert abs(first.X - same.X).nnz == 0
    assert first.obs.equals(same.obs)
    assert abs(first.X - other.X).nnz > 0


def test_missing_rows_are_absent_half_and_half():
    mdata = simulate_multiome(400, 60, 90, missing=0.5, seed=2)
    visible = mdata.obs["modalities"].astype(str).value_counts().to_dict()
    assert visible == {"rna + atac": 200, "rna": 100, "atac": 100}
    for modality in ("rna", "atac"):
        named = mdata.obs_names[mdata.obs["modalities"].astype(str).str.contains(modality)]
        assert set(mdata[modality].obs_names) == set(named)
    assert not mdata.obs[["cell_type", "batch"]].isna().any().any()
    assert mdata["atac"].X.data.mean() < 1.3  # nearly all of the peaks' counts are 1


def test_labels_stay_with_their_cells_where_rows_are_missing():
    whole, part = (simulate_multiome(400, 60, 90, missing=fraction, seed=2) for fraction in (0.0, 0.6))
    shared = part["rna"].obs_names
    assert part.obs["cell_type"].astype(str).equals(whole.obs["cell_type"].astype(str).loc[part.obs_names])
    assert abs(part["rna"].X - whole["rna"][shared].X).nnz == 0


def test_neither_trivial_nor_hopeless():
    mdata = simulate_multiome(1200, missing=0.0, seed=0)
    pca = probe(baselines.pca(mdata, 30), mdata.obs["cell_type"], n_splits=3).loc[("linear", "mean"), "accuracy"]
    both = probe(baselines.pca_lsi(mdata, 30), mdata.obs["cell_type"], n_splits=3).loc[("linear", "mean"), "accuracy"]
    batch = probe(baselines.pca(mdata, 30), mdata.obs["batch"], n_splits=3).loc[("linear", "mean"), "accuracy"]
    assert 0.8 < pca < 0.94
    assert both > pca + 0.01  # the peaks tell something that the genes do not
    assert batch > 0.95
    fraction = mdata.obs["cell_type"].value_counts(normalize=True)
    assert fraction.min() < 0.06 < 0.1 < fraction.max()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_obs": 0}, "n_obs: expected at least 1, got 0"),
        ({"density": 1.5}, "density: expected a fraction between 0 and 1, got 1.5"),
        ({"density": 0.0}, "density: expected a fraction between 0 and 1, got 0.0"),
        ({"missing": -0.1}, "missing: expected a fraction from 0 to 1, got -0.1"),
    ],
)
def test_wrong_numbers_get_a_sentence(options, words):
    with pytest.raises(ValueError, match=words):
        simulate_multiome(**{"n_obs": 20, **options})


def test_one_type_and_one_batch():
    assert simulate_multiome(30, 20, 20, n_types=1, n_batches=1).obs["cell_type"].nunique() == 1
