"""Minibatches come in an order that the seed and the epoch fix, and leave random states alone."""

import dask.array
import numpy as np
import pytest
import torch
from anndata import read_h5ad
from anndata.experimental import read_lazy
from mudata import MuData, read_h5mu

from omicsmlm import datasets
from omicsmlm.data import ObservationSampler, _loader, observation_loader
from omicsmlm.data._order import FileLayout
from tests.objects import manager_of, modality, multiome, rna


def order(loader):
    return [batch.indices.tolist() for batch in loader]


def test_without_a_seed_rows_come_in_the_given_order():
    assert order(observation_loader(manager_of(rna()), [5, 1, 3, 2, 4], 2)) == [[5, 1], [3, 2], [4]]


def test_with_a_seed_every_row_comes_once_per_epoch_in_a_new_order():
    loader = observation_loader(manager_of(rna()), np.arange(20), 6, seed=1)
    assert len(loader) == 4
    epochs = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        epochs.append(sum(order(loader), []))
    assert all(sorted(rows) == list(range(20)) for rows in epochs)
    assert epochs[0] != epochs[1]
    loader.sampler.set_epoch(0)
    assert sum(order(loader), []) == epochs[0], "an epoch that is gone through again is the same"
    assert sum(order(observation_loader(manager_of(rna()), np.arange(20), 6, seed=2)), []) != epochs[0]


def test_the_callers_random_state_is_left_alone():
    before = torch.get_rng_state()
    order(observation_loader(manager_of(rna()), np.arange(20), 6, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def backed(adata, folder):
    adata.write_h5ad(folder / "x.h5ad")
    return read_h5ad(folder / "x.h5ad", backed="r")


def equal(ours, theirs):
    assert torch.equal(ours.indices, theirs.indices)
    assert torch.equal(ours.covariates, theirs.covariates)
    for name, tokens in theirs.tokens.items():
        assert all(torch.equal(a, b) for a, b in zip(ours.tokens[name], tokens, strict=True)), name
        assert torch.equal(ours.present[name], theirs.present[name])


def test_no_batch_is_much_smaller_than_the_others():
    assert [len(rows) for rows in order(observation_loader(manager_of(rna()), np.arange(25), 8, seed=0))] == [
        7,
        6,
        6,
        6,
    ]
    assert [len(rows) for rows in order(observation_loader(manager_of(rna()), np.arange(25), 8))] == [8, 8, 8, 1]


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
def test_an_iteration_can_begin_in_the_middle_and_the_next_one_begins_anew(in_file, seed, tmp_path):
    adata = rna(200)
    loader = observation_loader(
        manager_of(backed(adata, tmp_path) if in_file else adata), np.arange(200), 30, seed=seed
    )
    whole = order(loader)
    loader.sampler.start_at(3)
    assert len(loader) == len(loader.sampler) == 7
    assert order(loader) == whole[3:]
    assert order(loader) == whole
    loader.sampler.start_at(2)
    assert list(loader.sampler) == whole[2:]
    with pytest.raises(ValueError, match="^start_at: expected a batch from 0 to 7, got 8; count batches"):
        loader.sampler.start_at(8)


@pytest.mark.parametrize("in_file", [False, True])
def test_the_epoch_is_that_of_the_first_request(in_file, tmp_path):
    """Lightning makes the iterator of a resumed training before it sets the epoch."""
    adata = rna(200)
    loader = observation_loader(manager_of(backed(adata, tmp_path) if in_file else adata), np.arange(200), 30, seed=1)
    loader.sampler.set_epoch(3)
    expected = order(loader)
    loader.sampler.set_epoch(0)
    batches = iter(loader)
    loader.sampler.set_epoch(3)
    assert [batch.indices.tolist() for batch in batches] == expected


@pytest.mark.parametrize("in_file", [False, True])
def test_processes_divide_each_batch(in_file, tmp_path):
    adata = rna(200)
    data = backed(adata, tmp_path) if in_file else adata
    whole = observation_loader(manager_of(data), np.arange(200), 30, seed=1)
    parts = [observation_loader(manager_of(data), np.arange(200), 30, seed=1) for _ in range(2)]
    for rank, loader in enumerate(parts):
        loader.sampler.divide(rank, 2)
        assert len(loader) == 7
    for batch, *divided in zip(order(whole), *map(order, parts), strict=True):
        assert divided == [batch[0::2], batch[1::2]]


def test_more_processes_than_a_batch_has_observations_are_refused():
    loader = observation_loader(manager_of(rna()), np.arange(20), 3, seed=1)
    with pytest.raises(
        ValueError, match="^batch_size: expected batches of at least 4 observations.* got 2 .*; use larger"
    ):
        loader.sampler.divide(0, 4)
    with pytest.raises(ValueError, match="^divide: expected a rank below the number of processes, got 2 of 2; count"):
        loader.sampler.divide(2, 2)


def open_dask(path):
    adata = read_h5ad(path)
    adata.X = dask.array.from_array(adata.X, chunks=(50, adata.n_vars))
    return adata


def open_zarr(path):
    adata = read_h5ad(path)
    adata.write_zarr(path.with_suffix(".zarr"))
    return datasets.open_files(path.with_suffix(".zarr"))


OPENED = {
    "backed": lambda path: read_h5ad(path, backed="r"),
    "dask": open_dask,
    "lazy": read_lazy,
    "files": datasets.open_files,
    "zarr": open_zarr,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_sparse", [True, False])
@pytest.mark.parametrize("form", OPENED)
@pytest.mark.parametrize("window", [64, 8192])
def test_batches_of_a_file_are_those_of_memory(form, is_sparse, window, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.data._dataset.WINDOW", window)
    monkeypatch.setattr("omicsmlm.data._dataset.WINDOW_BLOCKS", 1)
    adata = rna(300, 20)
    adata.X = adata.X if is_sparse else adata.X.toarray()
    adata.write_h5ad(tmp_path / "x.h5ad")
    memory, data = manager_of(adata, ["batch"]), OPENED[form](tmp_path / "x.h5ad")
    loader = observation_loader(manager_of(data, ["batch"]), np.arange(10, 290), 32, seed=1)
    assert loader.sampler.in_blocks
    found = list(loader)
    assert sorted(torch.cat([batch.indices for batch in found]).tolist()) == list(range(10, 290))
    if window == 8192:
        assert order(loader) == order(observation_loader(memory, np.arange(10, 290), 32, seed=1)), (
            "small files: as in memory"
        )
    wanted = memory.observation_dataset()
    for batch in found:
        equal(batch, wanted[batch.indices.numpy()])
    for batch in observation_loader(manager_of(data, ["batch"]), [299, 5, 5, 17, 130], 4):
        equal(batch, wanted[batch.indices.numpy()])


def test_unpaired_modalities_of_a_file(tmp_path):
    mdata = multiome(200)
    mdata.write(tmp_path / "x.h5mu")
    manager = manager_of(read_h5mu(tmp_path / "x.h5mu", backed="r"), ["batch"])
    memory = manager_of(mdata, ["batch"]).observation_dataset()
    found = list(observation_loader(manager, np.arange(200), 32, seed=1))
    assert sorted(torch.cat([batch.indices for batch in found]).tolist()) == list(range(200))
    for batch in found:
        equal(batch, memory[batch.indices.numpy()])


def test_one_modality_in_a_file_and_one_in_memory(tmp_path):
    parts = {"rna": rna(100), "prot": modality("protein", 90, 8)}
    memory = manager_of(MuData(parts)).observation_dataset()
    mixed = MuData({"rna": backed(parts["rna"], tmp_path), "prot": parts["prot"]})
    for batch in observation_loader(manager_of(mixed), np.arange(100), 16, seed=0):
        equal(batch, memory[batch.indices.numpy()])


def test_in_order_nothing_is_read_ahead_unless_there_is_a_file(tmp_path):
    adata = rna()
    assert observation_loader(manager_of(adata), range(5), 2).n_ahead == 0
    assert observation_loader(manager_of(backed(adata, tmp_path)), range(5), 2).n_ahead > 0
    assert order(observation_loader(manager_of(adata), range(5), 2, n_ahead=2)) == [[0, 1], [2, 3], [4]]


def test_pinned_batches(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    adata = rna()
    loaders = [observation_loader(manager_of(adata), range(9), 4, pin_memory=pin) for pin in (True, False)]
    for ours, theirs in zip(*loaders, strict=True):
        equal(ours, theirs)
        assert ours.measured["rna"].data_ptr() != theirs.measured["rna"].data_ptr()


def test_an_error_of_reading_ends_the_iteration(tmp_path, monkeypatch):
    loader = observation_loader(manager_of(backed(rna(200), tmp_path)), np.arange(200), 30, seed=1)
    monkeypatch.setattr(loader.dataset, "read", lambda rows: (_ for _ in ()).throw(OSError("the disk is gone")))
    with pytest.raises(OSError, match="the disk is gone"):
        order(loader)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _loader.N_AHEAD == 4


def test_the_smallest_batch():
    for n, seed, expected in ((10, None, 2), (10, 0, 3), (8, None, 4), (0, 0, 0), (3, None, 3)):
        assert ObservationSampler(np.arange(n), 4, seed).smallest_batch == expected


def test_observations_of_a_shuffled_file_are_read_in_the_order_of_the_file():
    given = np.array([5, 2, 9])
    layout = FileLayout(64, 8192)
    assert ObservationSampler(given, 2, 0, layout).indices.tolist() == [2, 5, 9]
    assert ObservationSampler(given, 2, None, layout).indices.tolist() == [5, 2, 9], "not shuffled"
    assert ObservationSampler(given, 2, 0).indices.tolist() == [5, 2, 9], "in memory any order costs the same"
    assert given.tolist() == [5, 2, 9]
