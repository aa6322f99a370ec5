import gzip
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


BETA = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]
WHERE = {
    # gene on + from 10,000 to 20,000: upstream 5,000, at 8,500, at 11,500, at 11,501, at the end, behind it
    "tss_distance": {"tss_distance": [-5000, -1500, 1500, 1501, 10_000, 10_001], "gene_length": 10_000},
    "plus": {
        "position": [5000, 8500, 11_500, 11_501, 20_000, 20_001],
        "gene_start": 10_000,
        "gene_end": 20_000,
        "strand": "+",
    },
    "minus": {
        "position": [25_000, 21_500, 18_500, 18_499, 10_000, 9999],
        "gene_start": 10_000,
        "gene_end": 20_000,
        "strand": "-",
    },
    "group": {"UCSC_RefGene_Group": ["", "TSS1500", "5'UTR", "Body", "3'UTR", ""]},
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("region", "expected", "n_probes"), [("promoter", 0.25, 2), ("body", 0.45, 2), ("both", 0.35, 4)]
)
def test_promoter_and_body_by_hand(where, region, expected, n_probes):
    table = genes([f"cg{i}" for i in range(6)], "gene", **WHERE[where])
    mean = aggregate_methylation(cpg(BETA), table, region=region)
    assert mean.X.item() == pytest.approx(expected)
    report = mean.uns["aggregate_methylation"]
    assert (report["n_probes_used"], report["n_probes_elsewhere"]) == (n_probes, 6 - n_probes)
    assert (report["region"], report["promoter"]) == (region, 1500)


@pytest.mark.parametrize("where", ["tss_distance", "plus", "minus"])
def test_the_width_of_the_promoter(where):
    table = genes([f"cg{i}" for i in range(6)], "gene", **WHERE[where])
    assert aggregate_methylation(cpg(BETA), table, region="promoter", promoter=1501).X.item() == pytest.approx(0.3)
    assert aggregate_methylation(cpg(BETA), table, region="body", promoter=1501).X.item() == pytest.approx(0.5)
    assert aggregate_methylation(cpg(BETA), table, promoter=0).X.item() == pytest.approx(0.4)


def test_a_distance_without_a_length_ends_nowhere():
    table = genes([f"cg{i}" for i in range(6)], "gene", tss_distance=WHERE["tss_distance"]["tss_distance"])
    assert aggregate_methylation(cpg(BETA), table, region="body").X.item() == pytest.approx(0.5)


def test_a_missing_place_is_neither():
    table = genes(["cg0", "cg1"], "gene", tss_distance=[0, np.nan])
    assert aggregate_methylation(cpg(BETA), table).X.item() == pytest.approx(0.1)


def test_lists_of_genes_and_transcripts_as_in_a_manifest(tmp_path):
    manifest = pd.DataFrame(
        {
            "IlmnID": ["cg0", "cg1", "cg2", "cg9"],
            "Name": ["x", "x", "x", "x"],
            "UCSC_RefGene_Name": ["A;A;B", "A", np.nan, "C"],
            "UCSC_RefGene_Group": ["Body;TSS200;3'UTR", "Body", np.nan, "Body"],
        }
    )
    path = tmp_path / "manifest.csv.gz"
    manifest.to_csv(path, index=False)
    assert gzip.open(path).readline().startswith(b"IlmnID")
    manifest.to_csv(tmp_path / "manifest.tsv", sep="\t", index=False)
    for annotation in (manifest, path, str(path), tmp_path / "manifest.tsv"):
        both = aggregate_methylation(cpg(BETA), annotation)
        assert list(both.var_names) == ["A", "B"]
        np.testing.assert_allclose(both.X, [[0.15, 0.1]], rtol=1e-6)
        assert aggregate_methylation(cpg(BETA), annotation, region="promoter").to_df().round(3).to_dict("records") == [
            {"A": pytest.approx(0.1)}
        ]
        body = aggregate_methylation(cpg(BETA), annotation, region="body")  # cg0 is in the promoter of one A
        assert list(body.var_names) == ["A", "B"]
        np.testing.assert_allclose(body.X, [[0.2, 0.1]], rtol=1e-6)


def test_a_layer_and_writing(tmp_path):
    import anndata as ad

    adata = cpg(BETA)
    adata.X *= 100
    adata.layers["beta"] = np.array(BETA)
    mean = aggregate_methylation(adata, genes(["cg0"], ["a"]), layer="beta")
    mean.write_h5ad(tmp_path / "mean.h5ad")
    assert ad.read_h5ad(tmp_path / "mean.h5ad").X.item() == pytest.approx(0.1)


TABLE = genes(["cg0"], ["a"])
PLACES = {"position": [5], "gene_start": [1], "gene_end": [9], "strand": ["+"]}


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (TABLE, {"region": "tss"}, "region: expected one of 'both', 'promoter', 'body', got 'tss'"),
        (TABLE, {"promoter": -1}, "promoter: expected base pairs, 0 or more, got -1"),
        (
            TABLE,
            {"region": "body"},
            "annotation: expected tss_distance, or 'position', 'gene_start', 'gene_end', 'strand', or group, to tell "
            "promoter from body, got the columns 'probe', 'gene'; add them, or pass region=\"both\"",
        ),
        (
            TABLE.rename(columns={"gene": "symbol"}),
            {},
            "annotation: expected a column 'gene', got the columns 'probe', 'symbol'",
        ),
        (TABLE.drop(columns="probe"), {}, "annotation: expected a column 'probe', got the columns 'gene'; name it so"),
        ("nowhere.csv", {}, "annotation: expected a table or the path of a .csv or .tsv file, got 'nowhere.csv'"),
        (genes(["cg0"], [None]), {}, "annotation: expected at least one probe with a gene, got none"),
        (
            genes(["SKI"], ["a"]),
            {},
            r"annotation: expected probes named as in the data \('cg0', 'cg1', 'cg2' and 3 more\), got 'SKI'; pass",
        ),
        (TABLE.assign(tss_distance="near"), {}, "annotation, column 'tss_distance': expected numbers, got text .*near"),
        (
            TABLE.assign(tss_distance=9999),
            {"region": "promoter"},
            "annotation: expected a probe with the region 'promoter'",
        ),
        (
            TABLE.assign(gene_start=1, gene_end=9),
            {},
            "annotation: expected the columns 'position', .* got no 'position', 'strand'; add what is missing",
        ),
        (
            TABLE.assign(**PLACES | {"strand": ["."]}),
            {},
            r"annotation, column 'strand': expected \+ or -, got '.'; correct",
        ),
        (
            TABLE.assign(**PLACES | {"gene_start": [10]}),
            {},
            r"annotation: expected gene_start below gene_end, on either strand, got 1 gene\(s\) that start behind",
        ),
        (
            TABLE.assign(group="TSS200"),
            {"promoter": 2000},
            "promoter: expected 1500, which groups stand for, got 2000; leave",
        ),
        (
            TABLE.assign(group="intron"),
            {},
            "annotation, column 'group': expected one of 'promoter', .* got 'intron'; rename",
        ),
        (
            TABLE.assign(gene="a;b", group="Body"),
            {},
            "annotation: expected as many groups as genes in each row, got others for 'cg0'",
        ),
    ],
)
def test_wrong_annotations_get_a_sentence(table, options, words):
    with pytest.raises(ValueError, match=words):
        aggregate_methylation(cpg(BETA), table, **options)


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


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.csv.gz"])
def test_a_manifest_as_it_is_shipped(name, tmp_path):
    lines = (
        "Illumina, Inc.\n[Heading]\nDescriptor File Name,array.csv\nLoci Count ,2\n[Assay]\n"
        "IlmnID,Name,UCSC_RefGene_Name,UCSC_RefGene_Group\ncg0,cg0,A,TSS200\ncg1,cg1,B,Body\n"
        "[Controls],,,\n10609447,STAINING,Purple,Biotin,more,columns,than,before\n"
    )
    opened = gzip.open if name.endswith(".gz") else open
    with opened(tmp_path / name, "wt") as file:
        file.write(lines)
    found = aggregate_methylation(cpg([[0.1, 0.9], [0.2, 0.8]]), tmp_path / name)
    assert found.var["n_probes"].to_dict() == {"A": 1, "B": 1}


@pytest.mark.parametrize("content", ["a,b\n1,2\n1,2,3,4\n", ""])
def test_a_file_that_is_no_table_is_refused(content, tmp_path):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(
        ValueError, match="^annotation: expected a table with its columns named in the first line, got .*x.csv"
    ):
        aggregate_methylation(cpg([[0.1, 0.9]]), tmp_path / "x.csv")
