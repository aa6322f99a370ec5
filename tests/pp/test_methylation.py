import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from omicsmlm.pp import _methylation, aggregate_methylation
from tests.objects import multiome, state_of


def cpg(values, container=np.asarray):
    values = np.asarray(values, dtype=np.float32)
    obs = pd.DataFrame({"cohort": "x"}, index=[f"s{i}" for i in range(len(values))])
    var = pd.DataFrame(index=[f"cg{j}" for j in range(values.shape[1])])
    return AnnData(container(values), obs=obs, var=var)


def genes(probes, names, **columns):
    return pd.DataFrame({"probe": probes, "gene": names, **columns})


BETA = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]
TABLE = genes(["cg0"], ["a"])


def slow_means(beta_np, probes, table):
    """Gene by gene and row by row."""
    names = sorted(set(table["gene"].dropna()))
    mean_ng = np.full((len(beta_np), len(names)), np.nan)
    for g, name in enumerate(names):
        own = sorted({probes.index(p) for p in table.loc[table["gene"] == name, "probe"] if p in probes})
        for n, row in enumerate(beta_np):
            found = [row[p] for p in own if not np.isnan(row[p])]
            mean_ng[n, g] = np.mean(found) if found else np.nan
    return mean_ng, names


@pytest.mark.parametrize("block", [2**23, 50])
def test_means_are_those_of_loops(rng, monkeypatch, block, caplog):
    caplog.set_level(logging.INFO, "omicsmlm")
    monkeypatch.setattr(_methylation, "BLOCK", block)
    beta_np = rng.random((9, 40)).astype(np.float32)
    beta_np[rng.random((9, 40)) < 0.4] = np.nan
    adata = cpg(beta_np)
    before = state_of(adata)
    # probes of several genes, pairs listed twice, probes that the object lacks, rows without a gene
    table = genes([f"cg{i}" for i in rng.integers(0, 45, 60)], [f"gene{i}" for i in rng.integers(0, 15, 60)])
    table.loc[[3, 4], "gene"] = [np.nan, ""]
    mean = aggregate_methylation(adata, table)
    expected, names = slow_means(beta_np, list(adata.var_names), table.replace("", np.nan).dropna())
    kept = [name in mean.var_names for name in names]  # a gene whose probes the object lacks is not made
    assert list(mean.var_names) == [name for name, there in zip(names, kept, strict=True) if there]
    np.testing.assert_allclose(mean.X, expected[:, kept], rtol=1e-6)
    assert np.isnan(expected[:, np.logical_not(kept)]).all()
    assert 0 < np.isnan(mean.X).mean() == mean.uns["aggregate_methylation"]["share_missing"]
    assert mean.X.dtype == np.float32
    assert mean.obs.equals(adata.obs)
    assert state_of(adata) == before
    report = mean.uns["aggregate_methylation"]
    used = set(table.replace("", np.nan).dropna()["probe"]) & set(adata.var_names)
    assert report["n_probes_used"] == len(used)
    assert report["n_probes_without_gene"] == 40 - len(used)
    assert caplog.messages == [
        f"aggregate_methylation: {len(used)} of 40 probes make {mean.n_vars} genes (region both); "
        f"{40 - len(used)} have no gene, 0 lie elsewhere."
    ]


def test_what_a_sparse_matrix_does_not_store_is_a_measured_zero():
    values = [[0, 0.5, 1, 0], [0.2, 0, np.nan, 0]]
    table = genes(["cg0", "cg1", "cg2", "cg3"], ["a", "a", "b", "b"])
    dense, stored = (aggregate_methylation(cpg(values, kind), table) for kind in (np.asarray, sparse.csr_matrix))
    np.testing.assert_allclose(dense.X, [[0.25, 0.5], [0.1, 0]])
    np.testing.assert_array_equal(dense.X, stored.X)
    assert dense.var["n_probes"].tolist() == [2, 2]


def test_a_layer_and_writing(tmp_path):
    import anndata as ad

    adata = cpg(BETA)
    adata.X *= 100
    adata.layers["beta"] = np.array(BETA)
    mean = aggregate_methylation(adata, genes(["cg0"], ["a"]), layer="beta")
    mean.write_h5ad(tmp_path / "mean.h5ad")
    assert ad.read_h5ad(tmp_path / "mean.h5ad").X.item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("value", "found"),
    [(55, "values from 0 to 55"), (-3.5, "values from -3.5 to 0.6"), (np.inf, "values from 0 to inf")],
)
def test_values_that_are_no_fractions_get_a_sentence(value, found):
    table = genes([f"cg{i}" for i in range(6)], "gene")
    with pytest.raises(
        ValueError, match=f"cpg: expected beta values between 0 and 1, got {found}; divide percentages by"
    ):
        aggregate_methylation(cpg([[*BETA[0][:3], value, *BETA[0][4:]]]), table)


def test_other_objects_get_a_sentence():
    with pytest.raises(
        ValueError, match="cpg: expected the AnnData of one modality, got a MuData of 'rna', 'atac', 'prot'"
    ):
        aggregate_methylation(multiome(), TABLE)
    twice = cpg(BETA)
    twice.var_names = ["cg0", "cg0", "cg2", "cg3", "cg4", "cg5"]
    with pytest.raises(
        ValueError, match="cpg: expected one name per probe, got 'cg0' more than once; make var_names unique"
    ):
        aggregate_methylation(twice, TABLE)


@pytest.mark.data
def test_real_promoters(data_folder):
    import mudata as md

    adata = md.read_h5mu(data_folder / "bulk/ccle_pancancer.h5mu")["methylation"]
    mean = aggregate_methylation(adata, data_folder / "bulk/methylation_to_gene.csv.gz")
    assert mean.shape == (561, 581)
    own = adata.to_df().T.groupby(adata.var["gene_symbol"].astype(str)).mean().T
    np.testing.assert_allclose(mean.X, own[mean.var_names], atol=1e-6)
