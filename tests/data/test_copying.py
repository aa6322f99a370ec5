"""A MuData is the same again after it was pickled in parts; an AnnData is passed on."""

import copy
import pickle

import numpy as np
from mudata import MuData

from omicsmlm.data._copying import put_together, taken_apart
from tests.objects import multiome, rna, state_of


def test_a_mudata_is_the_same_again():
    data = multiome()
    order = np.random.default_rng(0).permutation(data.n_obs)
    data = data[order].copy()  # neither its order nor its columns are what a MuData of the same parts begins with
    data.obs["n"] = np.arange(data.n_obs)
    data.obsm["X_pca"] = np.ones((data.n_obs, 2))
    data.uns["of"] = {"a": 1}
    before = state_of(data)
    for again in (pickle.loads(pickle.dumps(taken_apart(data))), copy.deepcopy(taken_apart(data))):
        made = put_together(again)
        assert isinstance(made, MuData)
        assert state_of(made) == before
        made["rna"].X.data[:] = 7
    assert state_of(data) == before


def test_what_is_no_mudata_is_passed_on():
    data = rna(5)
    assert taken_apart(data) is data
    assert put_together(data) is data
    assert taken_apart(None) is None
    assert put_together(None) is None
