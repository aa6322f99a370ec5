"""A sample of rows as matrices."""

import numpy as np

from omicsmlm.data import batch_codes, row_loader, stored_values
from tests.objects import manager_of, multiome, rna


def test_the_stored_values_are_those_of_the_object():
    mdata = multiome()
    manager = manager_of(mdata, ["batch"])
    rows = np.arange(mdata.n_obs)[::-1]
    sample = list(row_loader(manager, rows, 50))
    for name, part in mdata.mod.items():
        found = stored_values(sample, name, part.n_vars).toarray()
        expected = part.to_df().reindex(mdata.obs_names[rows]).fillna(0).to_numpy()
        assert np.array_equal(found, expected)
    assert batch_codes(sample).tolist() == mdata.obs["batch"].cat.codes.iloc[rows].tolist()


def test_one_batch_is_none():
    adata = rna()
    adata.obs["batch"] = "only"
    assert batch_codes(list(row_loader(manager_of(adata, ["batch"]), range(72), 50))) is None
    assert batch_codes(list(row_loader(manager_of(adata), range(72), 50))) is None
