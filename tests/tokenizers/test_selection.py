"""Which features a model looks at."""

import numpy as np
import pytest
import scanpy as sc
import torch
from anndata import AnnData
from scipy import sparse

from omicsmlm.tokenizers import common_features, variable_features


@pytest.fixture
def counts(rng):
    """Two hundred genes, of which numbers 7 and 121 follow a type and number 30 a batch."""
    n = 200
    rate_ng = np.tile(np.geomspace(2, 8, 200), (n, 1))
    group, batch = np.arange(n) % 2, (np.arange(n) // 2) % 2
    for gene, level in ((7, group), (121, group), (30, batch)):
        rate_ng[:, gene] *= np.where(level == 0, 0.05, 1.95)
    return sparse.csr_matrix(rng.poisson(rate_ng).astype(np.float32)), batch


def test_the_genes_that_vary_are_chosen(counts):
    assert variable_features(counts[0], 3, None).tolist() == [7, 30, 121]


def test_a_batch_effect_is_not_variation(counts):
    assert variable_features(counts[0], 2, counts[1]).tolist() == [7, 121]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_genes_are_those_of_scanpy(counts, grouped):
    adata = AnnData(counts[0].copy())
    adata.obs["group"] = counts[1].astype(str)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=11, batch_key="group" if grouped else None)
    chosen = variable_features(counts[0], 11, counts[1] if grouped else None)
    assert chosen.tolist() == np.flatnonzero(adata.var["highly_variable"]).tolist()


def test_the_counts_are_left_as_they_are(counts):
    before = counts[0].copy()
    variable_features(counts[0], 3, counts[1])
    assert (counts[0] != before).nnz == 0


def test_all_are_taken_where_there_are_no_more(counts):
    assert variable_features(counts[0], 200, None).tolist() == list(range(200))
    assert common_features(counts[0], 999).tolist() == list(range(200))


def test_the_regions_open_in_most_rows_whatever_their_counts():
    open_ng = np.array([[9, 1, 0, 1], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1]])
    assert common_features(sparse.csr_matrix(open_ng), 2).tolist() == [1, 3]
    assert common_features(sparse.csr_matrix(open_ng), 3).tolist() == [1, 2, 3]


GROUPS = {
    "none": None,
    "one row alone": np.array([0] + [1] * 199),
    "every row alone": np.arange(200),
    "empty rows alone": np.array([0, 0] + [1] * 198),
    "empty rows and others": np.array([0] * 4 + [1] * 196),
}


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("values", ["counts", "constant", "alike"])
def test_there_may_be_little_to_rank_by(counts, groups, values):
    x = counts[0].toarray()
    x = {"counts": x, "constant": np.ones_like(x), "alike": np.tile(x[:1], (200, 1))}[values]
    x[:2] = 0
    chosen = variable_features(sparse.csr_matrix(x), 3, GROUPS[groups])
    assert len(np.unique(chosen)) == 3
    assert np.array_equal(chosen, np.sort(chosen))
    if values == "counts":
        assert 121 in chosen


def test_no_more_are_taken_where_genes_tie():
    alike = np.tile(np.eye(2, dtype=np.float32) * 9 + 1, (20, 50))
    assert len(variable_features(sparse.csr_matrix(alike), 7, None)) == 7
    assert len(variable_features(sparse.csr_matrix(alike), 7, np.arange(40) // 20)) == 7


def test_the_threads_of_torch_are_left_alone(counts):
    torch.set_num_threads(3)
    variable_features(counts[0], 3, counts[1])
    assert torch.get_num_threads() == 3
