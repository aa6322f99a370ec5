import numpy as np

from omicsmlm.datasets import simulate_rna
from omicsmlm.evaluation import baselines, probe
from tests.objects import multiome


def test_batches_are_mixed_and_types_kept():
    adata = simulate_rna(500, 200, n_types=3, seed=0)
    before, after = baselines.pca(adata, 10), baselines.harmony(adata, "batch", 10)

    def knn(embedding, column):
        return probe(embedding, adata.obs[column], n_splits=3).loc[("k-NN", "mean"), "balanced accuracy"]

    assert after.shape == before.shape
    assert knn(after, "batch") < knn(before, "batch") - 0.1
    assert knn(after, "cell_type") > knn(before, "cell_type") - 0.05
    assert np.array_equal(after, baselines.harmony(adata, "batch", 10))


def test_rows_without_rna_are_nan():
    mdata = multiome()
    found = np.isfinite(baselines.harmony(mdata, "batch", 4)).all(axis=1)
    assert np.array_equal(found, mdata.obs_names.isin(mdata["rna"].obs_names))
