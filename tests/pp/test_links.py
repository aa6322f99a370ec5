"""Links of genes and peaks against distances worked out by hand, one pair at a time."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm.pp import link_peaks


def empty(var):
    return AnnData(np.ones((1, len(var)), dtype=np.float32), var=var)


def genes(**columns):
    table = pd.DataFrame(
        {"chrom": ["chr1", "chr1", "chr2"], "start": [5000, 20000, 100], "end": [9000, 21000, 900]},
        index=["up", "down", "other"],
    )
    return empty(table.assign(**columns))


PEAKS = ["chr1:2999-3000", "chr1:3000-3100", "chr1:9000-9100", "chr1:22000-22500", "chr2:5000-5001", "chr3:1-9"]


def test_distances_are_those_of_each_pair_and_weights_decay():
    rna, atac = genes(strand=["+", "-", "+"]), empty(pd.DataFrame(index=PEAKS))
    found = link_peaks(rna, atac, max_distance=5000)
    spans = {"up": ("chr1", 3000, 9000), "down": ("chr1", 20000, 23000), "other": ("chr2", 0, 900)}
    expected = []
    for gene, (chrom, start, end) in spans.items():
        for peak in PEAKS:
            where, bounds = peak.split(":")
            first, last = map(int, bounds.split("-"))
            distance = max(0, start - last, first - end)
            if where == chrom and distance <= 5000:
                expected.append((gene, peak, (distance / 1000 + 1) ** -0.75, distance))
    assert len(expected) == 5
    assert found["gene"].tolist() == [row[0] for row in expected]
    assert found["peak"].tolist() == [row[1] for row in expected]
    np.testing.assert_allclose(found["weight"], [row[2] for row in expected])
    assert found["distance"].tolist() == [row[3] for row in expected]


def test_without_a_strand_both_sides_are_upstream():
    atac = empty(pd.DataFrame(index=["chr1:3000-3100", "chr1:10900-10950"]))
    assert link_peaks(genes(), atac, max_distance=0)["peak"].tolist() == ["chr1:3000-3100", "chr1:10900-10950"]
    assert link_peaks(genes(strand="+"), atac, max_distance=0)["peak"].tolist() == ["chr1:3000-3100"]


@pytest.mark.parametrize("named_by", ["gene_id", "gene_name"])
def test_places_come_from_the_exons_of_a_gtf(tmp_path, named_by):
    line = 'chr1\tx\texon\t{}\t{}\t.\t-\t.\tgene_id "{}"; transcript_id "{}"; gene_name "{}";'
    lines = [line.format(101, 200, "g1", "t1", "ABC"), line.format(301, 400, "g1", "t2", "ABC")]
    (tmp_path / "genes.gtf").write_text("\n".join([*lines, line.format(9001, 9100, "g2", "t3", "DEF")]) + "\n")
    name = {"gene_id": "g1", "gene_name": "ABC"}[named_by]
    rna, atac = empty(pd.DataFrame(index=["none", name])), empty(pd.DataFrame(index=["chr1:240-260", "chr1:2500-2600"]))
    found = link_peaks(rna, atac, tmp_path / "genes.gtf")
    assert found["gene"].tolist() == [name, name]
    assert found["distance"].tolist() == [0, 100], (
        "between two exons, and upstream of the end, 400, on the minus strand"
    )


@pytest.mark.parametrize(
    ("rna", "options", "message"),
    [
        (empty(pd.DataFrame(index=["a"])), {}, r"rna: expected the columns .* or a GTF file, got .*; pass gtf=\."),
        (genes(chrom="1"), {}, r"atac: expected peaks within 150,000 base pairs of genes, on '1', got none, on 'chr1'"),
        (genes(), {"upstream": -1}, r"upstream: expected at least 0 base pairs, got -1"),
    ],
)
def test_what_cannot_be_linked_is_said(rna, options, message):
    with pytest.raises(ValueError, match=message):
        link_peaks(rna, empty(pd.DataFrame(index=PEAKS)), **options)


def test_a_gtf_of_other_genes_is_said(tmp_path):
    (tmp_path / "g.gtf").write_text('chr1\tx\texon\t1\t9\t.\t+\t.\tgene_id "g1"; transcript_id "t1";\n')
    with pytest.raises(ValueError, match=r"g\.gtf: expected names or identifiers of the genes, got 'up', 'down'"):
        link_peaks(genes(), empty(pd.DataFrame(index=PEAKS)), tmp_path / "g.gtf")
