"""Packed tokens on a grid of chosen features, against a loop over rows and features."""

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

from omicsmlm._types import Tokens
from omicsmlm.tokenizers import FeatureGrids
from omicsmlm.tokenizers._feature_grids import complete_observations
from tests.objects import manager_of, modality, multiome, rna

SELECTED = {"rna": [0, 3, 4, 17, 29], "atac": [1, 2, 39], "prot": [0, 7], "meth": [2, 5, 6]}


@pytest.fixture(scope="module")
def mdata():
    """All kinds; some rows lack a modality, some fractions are NaN or 0."""
    parts = {**multiome().mod, "meth": modality("fraction", 50, 9, first=5)}
    parts["meth"].X[3, 2] = 0
    return MuData(parts)


def tokenizer_of(manager):
    kinds = {name: state["kind"] for name, state in manager.modalities.items()}
    sizes = {name: len(state["vocabulary"]) for name, state in manager.modalities.items()}
    profiles = {name: torch.arange(1.0, size + 1) / sum(range(1, size + 1)) for name, size in sizes.items()}
    return FeatureGrids(kinds, {name: torch.tensor(SELECTED[name]) for name in kinds}, profiles)


def test_the_grid_is_that_of_a_loop(mdata):
    manager = manager_of(mdata)
    rows = np.random.default_rng(0).permutation(mdata.n_obs)[:40]
    grids = tokenizer_of(manager)(manager.create_torch_dataset()[rows])
    for name, part in mdata.mod.items():
        frame, vocabulary = part.to_df(), list(part.var_names)
        for i, cell in enumerate(mdata.obs_names[rows]):
            total = 0.0
            for j, position in enumerate(SELECTED[name]):
                value = frame.loc[cell, vocabulary[position]] if cell in frame.index else np.nan
                assert bool(grids[name].visible[i, j]) == (not np.isnan(value))
                assert grids[name].values[i, j] == (0 if np.isnan(value) else value)
            if cell in frame.index:
                total = np.nansum(frame.loc[cell].to_numpy(dtype=np.float64))
            assert float(grids[name].total[i]) == pytest.approx(total, rel=1e-5)


def test_what_a_query_does_not_measure_is_not_seen(mdata):
    reference = manager_of(mdata)
    genes = [g for j, g in enumerate(mdata.mod["rna"].var_names) if j not in (3, 17)]
    query = MuData({"rna": mdata.mod["rna"][:6, genes].copy()})
    grids = tokenizer_of(reference)(reference.transfer_fields(query).create_torch_dataset()[[0, 5]])
    assert grids["rna"].visible.tolist() == [[True, False, True, False, True]] * 2
    assert not grids["atac"].visible.any()
    assert not grids["meth"].visible.any()
    assert not grids["atac"].values.any()


def test_the_grid_does_not_know_its_neighbours(mdata):
    manager = manager_of(mdata)
    tokenizer, dataset = tokenizer_of(manager), manager.create_torch_dataset()
    together = tokenizer(dataset[[4, 60, 30]])
    for i, row in enumerate([4, 60, 30]):
        alone = tokenizer(dataset[[row]])
        for name in together:
            for a, b in zip(together[name], alone[name], strict=True):
                assert torch.equal(a[i], b[0])


@pytest.mark.parametrize("lacking", [[], [3], [1, 2, 5], [3, 5]])
def test_the_total_of_a_query_is_as_if_it_lacked_selected_features_alone(lacking):
    """Rows whose shares are the profile: the total is then known whatever is left out."""
    selected = [0, 3, 4, 17, 29]
    manager = manager_of(rna())
    tokenizer = tokenizer_of(manager)
    query = rna(2)
    query.X = np.tile(np.arange(1.0, 31), (2, 1)).astype(np.float32)
    whole = query.X[0].sum()
    query = query[:, [j for j in range(30) if j not in lacking]].copy()
    total_n = tokenizer(manager.transfer_fields(query).create_torch_dataset()[[0, 1]])["rna"].total
    hidden = sum(j + 1 for j in lacking if j in selected)
    assert total_n.tolist() == pytest.approx([whole - hidden] * 2)


def test_rows_of_data_sets_put_together_are_as_in_objects_of_their_own():
    lacks = {"a": [3, 8], "b": []}
    manager, both = manager_of(rna()), rna(6, seed=4)
    both.X = both.X.toarray()
    both.X[::2, lacks["a"]] = 0
    both.obs["dataset"] = ["a", "b"] * 3
    table = {name: ~np.isin(np.arange(30), missing) for name, missing in lacks.items()}
    both.varm["profiled"] = pd.DataFrame(table, index=both.var_names)
    together = tokenizer_of(manager)(manager.transfer_fields(both).create_torch_dataset()[[0, 1, 2, 3, 4, 5]])["rna"]
    for k, name in enumerate(lacks):
        own = both[k::2, [j for j in range(30) if j not in lacks[name]]].copy()
        del own.varm["profiled"]
        alone = tokenizer_of(manager)(manager.transfer_fields(own).create_torch_dataset()[[0, 1, 2]])["rna"]
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[k::2], b)


def test_rows_that_have_every_feature_are_laid_out_as_others_are():
    part = modality("real", 40, 9)
    part.X = np.nan_to_num(part.X)
    manager = manager_of(MuData({"meth": part, "rna": rna(50)}))
    batch, tokenizer = manager.create_torch_dataset()[[0, 45, 7, 3]], tokenizer_of(manager)
    tokens = batch.tokens["meth"]
    assert complete_observations(tokens, 9) is not None
    order = torch.cat([torch.arange(9).flip(0) + start for start in (0, 9, 18)])
    turned = Tokens(tokens.ids[order], tokens.values[order], tokens.offsets)
    assert complete_observations(turned, 9) is None
    quick, slow = tokenizer(batch), tokenizer(batch._replace(tokens={**batch.tokens, "meth": turned}))
    for a, b in zip(quick["meth"], slow["meth"], strict=True):
        torch.testing.assert_close(a, b)
    part.X[2, 5] = np.nan
    assert (
        complete_observations(manager_of(MuData({"meth": part})).create_torch_dataset()[[1, 2]].tokens["meth"], 9)
        is None
    )
