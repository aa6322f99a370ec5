"""Batches of rows hold the values of the right cells, paired or not."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import read_h5ad
from mudata import MuData, read_h5mu

from omicsmlm.data import _dataset
from omicsmlm.data._order import BatchPart
from tests.objects import manager_of, modality, multiome, rna, state_of, transcripts


def values_by_name(batch, name, vocabulary, row):
    tokens = batch.tokens[name]
    own = slice(int(tokens.offsets[row]), int(tokens.offsets[row + 1]))
    return {vocabulary[i]: float(v) for i, v in zip(tokens.ids[own], tokens.values[own], strict=True)}


def stored(adata, cell, *, zeros=False):
    values = adata[cell].X
    values = np.asarray(values.todense() if hasattr(values, "todense") else values).ravel()
    return {f: float(v) for f, v in zip(adata.var_names, values, strict=True) if not np.isnan(v) and (zeros or v != 0)}


def test_unpaired_rows_are_those_of_the_right_cells():
    mdata = multiome()
    manager = manager_of(mdata, ["batch"])
    rows = [70, 3, 3, 20, 65]
    batch = manager.create_torch_dataset()[rows]
    assert batch.indices.tolist() == rows
    for name, state in manager.modalities.items():
        part = mdata.mod[name]
        for i, cell in enumerate(mdata.obs_names[rows]):
            assert bool(batch.present[name][i]) == (cell in part.obs_names)
            expected = stored(part, cell) if cell in part.obs_names else {}
            assert values_by_name(batch, name, state["vocabulary"], i) == expected, (name, cell)
    assert batch.covariates[:, 0].tolist() == mdata.obs["batch"].cat.codes.iloc[rows].tolist()


def test_a_zero_is_a_token_where_it_is_measured():
    adata = modality("fraction", 6, 5)
    adata.X[2, 3] = 0
    manager = manager_of(adata)
    batch = manager.create_torch_dataset()[[2, 5]]
    for i, cell in enumerate(adata.obs_names[[2, 5]]):
        assert values_by_name(batch, "rna", manager.modalities["rna"]["vocabulary"], i) == stored(
            adata, cell, zeros=True
        )


def test_features_of_a_query_stand_at_their_place_in_the_vocabulary():
    reference = manager_of(rna())
    query = rna(8, 40)[:, ::-1][:, :25].copy()
    query.var_names = [n if i > 2 else f"new{i}" for i, n in enumerate(query.var_names)]
    manager = reference.transfer_fields(query)
    batch = manager.create_torch_dataset()[[1, 4]]
    vocabulary = reference.modalities["rna"]["vocabulary"]
    for i, cell in enumerate(query.obs_names[[1, 4]]):
        known = {name: value for name, value in stored(query, cell).items() if name in vocabulary}
        assert values_by_name(batch, "rna", vocabulary, i) == known
    assert batch.measured["rna"].tolist() == [name in query.var_names for name in vocabulary]


def test_an_absent_modality_has_no_tokens():
    reference = manager_of(multiome())
    query = MuData({"atac": modality("accessibility", 5, 40)})
    batch = reference.transfer_fields(query).create_torch_dataset()[[0, 1]]
    assert not batch.present["rna"].any()
    assert not batch.measured["rna"].any()
    assert batch.tokens["rna"].offsets.tolist() == [0, 0, 0]
    assert batch.present["atac"].all()


def test_an_anndata_stands_for_the_modality_that_it_matches():
    query = modality("accessibility", 5, 40)
    before = state_of(query, without_registry=False)
    batch = manager_of(multiome()).transfer_fields(query).create_torch_dataset()[[0, 1, 2, 3, 4]]
    assert batch.present["atac"].all()
    assert not batch.present["rna"].any()
    assert state_of(query, without_registry=False) == before


def test_an_anndata_with_repeated_cell_names_stands_for_a_modality_too():
    query = modality("accessibility", 4, 40)
    query.obs_names = ["a", "a", "b", "b"]
    manager = manager_of(multiome()).transfer_fields(query)
    batch = manager.create_torch_dataset()[[0, 1, 2, 3]]
    for i in range(4):
        expected = {f: float(v) for f, v in zip(query.var_names, query.X[i].toarray()[0], strict=True) if v}
        assert values_by_name(batch, "atac", manager.modalities["atac"]["vocabulary"], i) == expected


def test_every_record_has_its_type():
    batch = manager_of(multiome(), ["batch"]).create_torch_dataset()[[0, 1]]
    assert batch.tokens["rna"].ids.dtype == torch.int32
    assert batch.tokens["rna"].values.dtype == torch.float32
    assert batch.tokens["rna"].offsets.dtype == torch.int64
    assert batch.covariates.dtype == torch.int64
    assert batch.covariates.shape == (2, 1)
    assert manager_of(rna()).create_torch_dataset()[[0, 1]].covariates.shape == (2, 0)


def test_a_subset_gives_the_rows_it_was_asked_for():
    adata = rna()
    subset = manager_of(adata).create_torch_dataset(indices=[7, 2])
    assert len(subset) == 2
    assert subset.__getitems__([1]).indices.tolist() == [2]
    assert subset[0].indices.tolist() == [7]


@pytest.mark.parametrize("backed", [False, True])
def test_a_mudata_from_a_file(tmp_path, backed):
    mdata = multiome()
    mdata.write(tmp_path / "x.h5mu")
    read = read_h5mu(tmp_path / "x.h5mu", backed=backed or None)
    ours, theirs = (manager_of(m).create_torch_dataset()[[5, 40, 71]] for m in (mdata, read))
    for name in mdata.mod:
        for a, b in zip(ours.tokens[name], theirs.tokens[name], strict=True):
            assert torch.equal(a, b)


def test_a_mudata_that_was_changed_after_registering_is_refused():
    mdata = multiome()
    manager = manager_of(mdata)
    mdata.mod["rna"]._inplace_subset_obs(np.arange(10))
    with pytest.raises(ValueError, match="run mdata.update"):
        manager.create_torch_dataset()


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _dataset.WINDOW == 8192
    assert _dataset.WINDOW_BLOCKS == 32
    assert _dataset.WINDOW_BYTES == 2**25
    assert _dataset.MIN_WINDOW == 2048
    assert _dataset.MAX_WINDOW_BYTES == 2**27


# ---- sequences, vectors, gene panels and files ---------------------------------------------------------------------------


def test_sequences_and_vectors_stand_beside_the_modalities():
    adata = transcripts(12)
    adata.obsm["promoter"] = np.arange(24, dtype=np.float32).reshape(12, 2)
    adata.obsm["promoter"][3] = np.nan
    manager = manager_of(adata, sequences={"dna": ["dna", "nucleotide"]}, vectors={"meth": "promoter"})
    dataset = manager.observation_dataset()
    assert len(dataset) == 12
    assert dataset.layout is None, "all is in memory"
    batch = dataset[[3, 0, 5]]
    assert batch.present["dna"].tolist() == adata.obs["dna"].iloc[[3, 0, 5]].notna().tolist()
    assert batch.present["meth"].tolist() == [False, True, True]
    assert values_by_name(batch, "meth", ["a", "b"], 2) == {"a": 10, "b": 11}
    assert batch.measured["meth"].tolist() == [True, True]
    assert set(batch.measured) == {"rna", "meth"}
    assert {name: found.values.tolist() for name, found in batch.lengths.items()} == {
        name: part.offsets.diff().tolist() for name, part in batch.tokens.items()
    }
    assert list(batch.sequences) == ["dna"]
    assert batch.panels == {}


def with_panels():
    """Data set a measured all genes, b all but the second; the third is not in the vocabulary of a reference."""
    adata = rna(6, 4)
    adata.obs["dataset"] = ["a", "b"] * 3
    adata.varm["profiled"] = pd.DataFrame({"a": [True] * 4, "b": [True, False, True, True]}, index=adata.var_names)
    return adata


def test_gene_panels_are_those_of_the_data_sets_in_the_order_of_the_vocabulary():
    batch = manager_of(with_panels()).create_torch_dataset()[[0, 1, 4]]
    found = batch.panels["rna"]
    assert found.measured.tolist() == [[True] * 4, [True, False, True, True]]
    assert (found.of_obs.tolist(), found.of_obs.dtype) == ([0, 1, 0], torch.int64)
    reference = rna(6, 5)[:, [4, 3, 1, 0]].copy()  # gene 4, which the query lacks, comes first
    query = manager_of(reference).transfer_fields(with_panels()).create_torch_dataset()[[1]]
    assert query.panels["rna"].measured.tolist() == [[False, True, True, True], [False, True, False, True]]


def test_an_observation_that_lacks_the_modality_has_no_panel():
    mdata = MuData({"rna": with_panels(), "prot": modality("protein", 8, 4)})
    batch = manager_of(mdata).create_torch_dataset()[list(range(8))]
    has = batch.present["rna"].tolist()
    assert has.count(False) == 2
    assert [code == -1 for code in batch.panels["rna"].of_obs.tolist()] == [not one for one in has]


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_values_that_were_changed_to_no_numbers_are_refused(value, said):
    adata = rna()
    dataset = manager_of(adata).create_torch_dataset()
    adata.X.data[: adata.X.indptr[1]] = value
    with pytest.raises(
        ValueError, match=f"^rna: expected finite values, got {said}; the object was changed since it was"
    ):
        dataset[[0]]
    assert dataset[[1]].indices.tolist() == [1]


class InFile(NamedTuple):
    """What of a file decides how it is read."""

    block: int
    row_bytes: float


class Reader(NamedTuple):
    matrix: object


@pytest.mark.parametrize(
    ("files", "block", "window"),
    [
        ([(64, 100.0)], 64, 8192),
        ([(64, 100.0), (1024, 60.0)], 1024, 32 * 1024),  # 32 of the largest blocks
        ([(64, 8192.0)], 64, 2**25 // 8192),  # within the bytes
        ([(64, 8192.0), (64, 8192.0)], 64, 2048),
        ([(64, 2.0**15)], 64, 2048),  # large observations: still so many
        ([(64, 2.0**20)], 64, 128),  # but within the most bytes
        ([(64, 0.0)], 64, 8192),
    ],
)
def test_buffers_of_files_have_a_size_by_observations_blocks_and_bytes(files, block, window):
    dataset = manager_of(rna()).observation_dataset()
    readers = [Reader(type("M", (), {"file": InFile(*file)})) for file in files]
    dataset.modalities = {str(i): reader for i, reader in enumerate([*readers, Reader(None)])}
    assert dataset.layout == (block, window)


def test_a_batch_is_put_together_from_buffers(tmp_path):
    adata = rna()
    adata.write_h5ad(tmp_path / "x.h5ad")
    dataset = manager_of(read_h5ad(tmp_path / "x.h5ad", backed="r")).observation_dataset()
    assert dataset.layout.block == 64
    buffers = [_dataset.Buffer.of(dataset, np.array(own)) for own in ([3, 9, 4], [70, 11])]
    pieces = [
        BatchPart(np.array([2, 0]), buffers[0], np.array([1, 2])),
        BatchPart(np.array([1]), buffers[1], np.array([0])),
    ]
    found, expected = dataset.from_pieces(pieces), dataset[[4, 70, 9]]
    assert found.indices.tolist() == [4, 70, 9]
    for a, b in zip(found.tokens["rna"], expected.tokens["rna"], strict=True):
        assert torch.equal(a, b)
