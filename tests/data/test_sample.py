"""A sample of rows as matrices."""

import numpy as np
import pytest
from anndata import read_h5ad

from omicsmlm.data import _sample, batch_codes, observation_loader, sample_observations, stored_values
from tests.objects import manager_of, multiome, rna


def test_the_stored_values_are_those_of_the_object():
    mdata = multiome()
    manager = manager_of(mdata, ["batch"])
    rows = np.arange(mdata.n_obs)[::-1]
    sample = list(observation_loader(manager, rows, 50))
    for name, part in mdata.mod.items():
        found = stored_values(sample, name, part.n_vars).toarray()
        expected = part.to_df().reindex(mdata.obs_names[rows]).fillna(0).to_numpy()
        assert np.array_equal(found, expected)
    assert batch_codes(sample).tolist() == mdata.obs["batch"].cat.codes.iloc[rows].tolist()


def test_one_batch_is_none():
    adata = rna()
    adata.obs["batch"] = "only"
    assert batch_codes(list(observation_loader(manager_of(adata, ["batch"]), range(72), 50))) is None
    assert batch_codes(list(observation_loader(manager_of(adata), range(72), 50))) is None


def test_a_sample_of_memory_is_drawn_at_random():
    manager = manager_of(rna(500))
    expected = np.sort(np.random.default_rng(3).choice(500, 100, replace=False))
    assert sample_observations(manager, 100, 3).tolist() == expected.tolist()
    assert sample_observations(manager, 500, 3).tolist() == list(range(500))


@pytest.mark.parametrize("n", [100, 900, 130])
def test_a_sample_of_a_file_is_drawn_in_groups_of_neighbours(n, tmp_path):
    rna(1000).write_h5ad(tmp_path / "x.h5ad")
    manager = manager_of(read_h5ad(tmp_path / "x.h5ad", backed="r"))
    rows = sample_observations(manager, n, 3)
    assert len(rows) == n
    assert (np.diff(rows) > 0).all()
    assert rows[-1] < 1000
    assert rows.tolist() == sample_observations(manager, n, 3).tolist() != sample_observations(manager, n, 4).tolist()
    assert abs(rows.mean() - 500) < 120, "from all over the file"


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _sample.MIN_BLOCKS == 64
