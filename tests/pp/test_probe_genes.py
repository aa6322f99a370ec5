"""Which probe belongs to which gene, as tables and manifests say it, seen in the means of genes."""

import gzip

import numpy as np
import pandas as pd
import pytest

from omicsmlm.pp import aggregate_methylation
from tests.pp.test_methylation import BETA, TABLE, cpg, genes

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
PLACES = {"position": [5], "gene_start": [1], "gene_end": [9], "strand": ["+"]}


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
