import random

import numpy as np
import pytest
import scvi
import torch

from omicsmlm.evaluation import baselines
from omicsmlm.evaluation.baselines._measured import measured
from omicsmlm.evaluation.baselines._variational import _light, _obs_at
from tests.objects import multiome, rna, state_of


def test_absent_rows_are_rows_of_zeros_and_the_others_their_own():
    mdata = multiome()
    part = measured(mdata, role="atac")
    light = _light(part, np.arange(72), _obs_at(mdata, np.arange(72), "batch"))
    own = dict(zip(mdata["atac"].obs_names, mdata["atac"].X.toarray(), strict=True))
    for name, row in zip(mdata.obs_names, light.X.toarray(), strict=True):
        np.testing.assert_array_equal(row, own.get(name, np.zeros(40)))
    assert light.obs["batch"].astype(str).tolist() == mdata.obs["batch"].astype(str).tolist()


def test_scvi_is_decided_by_its_seed_and_leaves_no_trace():
    adata = rna()
    before, states = state_of(adata, without_registry=False), (random.getstate(), torch.get_rng_state().tolist())
    first, same, other = (baselines.scvi(adata, "batch", max_epochs=1, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (72, 10)
    assert first.dtype == np.float32
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)
    assert state_of(adata, without_registry=False) == before
    assert (random.getstate(), torch.get_rng_state().tolist()) == states
    assert scvi.settings.seed is None


@pytest.mark.parametrize(("method", "second"), [("multivi", "atac"), ("totalvi", "prot")])
def test_models_of_two_modalities(method, second):
    mdata = multiome()
    before = state_of(mdata, without_registry=False)
    options = {"max_epochs": 1, "seed": 0}
    found = np.isfinite(getattr(baselines, method)(mdata, "batch", **options)).all(axis=1)
    has = {name: mdata.obs_names.isin(mdata[name].obs_names) for name in ("rna", second)}
    expected = has["rna"] | has[second] if method == "multivi" else has["rna"] & has[second]
    assert np.array_equal(found, expected)
    assert state_of(mdata, without_registry=False) == before


def test_scanvi_reads_the_labels_of_each_column_and_starts_from_one_scvi():
    adata = rna()
    adata.obs["half"] = adata.obs["type"].astype(str).where(adata.obs["batch"] == "b0", "Unknown")
    adata.obs["shuffled"] = np.random.default_rng(0).permutation(adata.obs["half"])
    before = state_of(adata, without_registry=False)
    found = baselines.scanvi(adata, ["half", "shuffled"], "batch", max_epochs=1, seed=0)
    assert found["half"].shape == (72, 30)
    assert not np.allclose(found["half"], found["shuffled"])
    assert state_of(adata, without_registry=False) == before
