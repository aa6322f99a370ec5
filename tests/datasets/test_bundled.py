import numpy as np
import pytest

from omicsmlm import OmicsMLM, datasets
from tests.objects import QUIET, SMALL


def test_the_bundled_set_is_whole_and_raw():
    data = datasets.bmmc_cite()
    assert data.n_obs == 600
    assert data.obs["cell_type"].nunique() == 41
    assert data.obs["batch"].nunique() == 2
    for adata in data.mod.values():
        assert np.array_equal(adata.X.data, np.round(adata.X.data))
        assert adata.X.data.min() > 0


def test_each_call_gives_an_object_of_its_own():
    first, second = datasets.bmmc_cite(), datasets.bmmc_cite()
    first["rna"].X.data[:] = 0
    assert second["rna"].X.data.all()


def test_a_model_takes_it_as_it_is():
    model = OmicsMLM(datasets.bmmc_cite(), SMALL, batch_key="batch")
    assert "rna (1,000 features, counts), adt (134 features, protein)" in str(model)
    model.train(1, max_steps=2, **QUIET)
    assert np.isfinite(model.adata.obsm["X_omics"]).all()


@pytest.mark.data
def test_it_is_that_of_the_folder(data_folder):
    bundled, there = datasets.bmmc_cite(), datasets.load("sc/bmmc_cite_2donor.h5mu")
    assert (bundled.obs == there.obs).all(axis=None)
    assert all((bundled[name].X != there[name].X).nnz == 0 for name in there.mod)
