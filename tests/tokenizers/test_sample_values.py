"""What a sample of rows has of a modality: sparse where it can be, and then the same as on grids."""

import numpy as np
import pytest
import torch
from scipy import sparse

from omicsmlm._types import Panels
from omicsmlm.data import OmicsManager, observation_loader
from omicsmlm.datasets import simulate_multiome
from omicsmlm.nn import Scalings, log_means
from omicsmlm.tokenizers import FeatureGrids, sample_values

KINDS = {"rna": "counts", "atac": "accessibility"}
SIZES = {"rna": 40, "atac": 70}


@pytest.fixture(scope="module")
def sample():
    """A hundred rows in three batches; a quarter lacks RNA, a quarter lacks ATAC."""
    mdata = simulate_multiome(100, 40, 70)
    setup = {"modalities": list(KINDS), "layers": None, "kinds": None, "covariate_keys": ["batch"]}
    manager = OmicsManager.define(setup, "Toy", "setup_mudata")
    manager.register_fields(mdata)
    return list(observation_loader(manager, np.arange(100), 40))


@pytest.fixture(scope="module")
def sets():
    """Looks at every third feature."""
    selected = {name: torch.arange(0, size, 3) for name, size in SIZES.items()}
    return FeatureGrids(KINDS, selected, {name: torch.full((size,), 1 / size) for name, size in SIZES.items()})


def on_grids(sets, name, sample):
    """The grids of rows that have the modality, as they would be without the sparse path."""
    unlike = [batch._replace(measured={**batch.measured, "atac": batch.measured["atac"].clone()}) for batch in sample]
    panels = Panels(torch.ones(1, SIZES["atac"], dtype=torch.bool), torch.zeros(0))
    with_panels = [
        batch._replace(panels={"atac": panels._replace(of_obs=torch.where(batch.present["atac"], 0, -1))})
        for batch in unlike
    ]
    return sample_values(sets, name, with_panels)


def test_open_regions_are_sparse_and_the_same_as_on_grids(sets, sample):
    values, has_n = sample_values(sets, "atac", sample)
    grids, has_on_grids_n = on_grids(sets, "atac", sample)
    assert isinstance(values, sparse.csr_matrix)
    assert isinstance(grids, list)
    np.testing.assert_array_equal(has_n, has_on_grids_n)
    assert 0 < has_n.sum() < len(has_n)
    np.testing.assert_array_equal(values.toarray(), torch.cat([grid.values for grid in grids]).numpy())
    assert all(bool(grid.visible.all()) for grid in grids)


def test_counts_come_on_grids_of_the_rows_that_have_them(sets, sample):
    grids, has_n = sample_values(sets, "rna", sample)
    assert sum(len(grid.values) for grid in grids) == has_n.sum() < len(has_n)
    whole = [sets(batch)["rna"] for batch in sample]
    expected_ng = torch.cat([grid.values for grid in whole])[torch.from_numpy(has_n)]
    assert torch.equal(torch.cat([grid.values for grid in grids]), expected_ng)


def test_an_object_that_lacks_regions_is_laid_on_grids(sets, sample):
    measured = sample[0].measured["atac"].clone()
    measured[3] = False
    lacking = [batch._replace(measured={**batch.measured, "atac": measured}) for batch in sample]
    grids, _ = sample_values(sets, "atac", lacking)
    assert isinstance(grids, list)
    assert not grids[0].visible[:, 1].any()


@pytest.mark.parametrize("n_groups", [1, 3])
def test_scaling_and_log_means_are_the_same_from_both(sets, sample, n_groups):
    sizes = {name: len(sets.features(name)[0]) for name in KINDS}
    scaled, fitted, means = [], [], []
    for values, has_n in (sample_values(sets, "atac", sample), on_grids(sets, "atac", sample)):
        scalings = Scalings(KINDS, sizes)
        scaled.append(scalings.fit("atac", values).toarray())
        fitted.append(scalings.state_dict())
        groups_n = None if n_groups == 1 else (np.arange(100) % 2)[has_n]  # the third group has no rows
        means.append(log_means(values, "accessibility", groups_n, n_groups))
    np.testing.assert_allclose(*scaled, rtol=1e-6)
    assert np.ptp(scaled[0]) > 0
    torch.testing.assert_close(*fitted)
    torch.testing.assert_close(*means)
