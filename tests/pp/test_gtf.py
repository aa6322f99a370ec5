"""Lines of a GTF file as a table, or one sentence that says what is wrong with them."""

import gzip

import pytest

from omicsmlm.pp._gtf import read_gtf

LINES = [
    "# a comment",
    'chr1\tx\tgene\t1\t90\t.\t+\t.\tgene_id "g1"; gene_name "ABC";',
    'chr1\tx\texon\t11\t20\t.\t+\t.\tgene_id "g1"; transcript_id "t1.2"; gene_name "A B; C";',
    'chr1\tx\tCDS\t13\t20\t.\t+\t2\tgene_id "g1"; transcript_id "t1.2"; gene_name "A B; C";',
    'chr2\tx\texon\t5\t5\t.\t-\t.\tgene_id "g2"; transcript_id "t2";',
    'chr2\tx\tstop_codon\t5\t5\t.\t-\t0\tgene_id "g3"; transcript_id "t3";',
]


def written(folder, lines, name="genes.gtf"):
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def test_exons_and_coding_parts_are_zero_based_and_half_open(tmp_path):
    table = read_gtf(written(tmp_path, LINES))
    assert table.columns.tolist() == [
        *("transcript_id", "gene_id", "gene_name", "chrom", "strand", "feature", "start", "end", "frame")
    ]
    assert table.to_numpy().tolist() == [
        ["t1.2", "g1", "A B; C", "chr1", "+", "exon", 10, 20, 0],
        ["t1.2", "g1", "A B; C", "chr1", "+", "CDS", 12, 20, 2],
        ["t2", "g2", None, "chr2", "-", "exon", 4, 5, 0],
    ], "a stop codon alone has no place"
    assert table[["start", "end", "frame"]].dtypes.eq("int64").all()


def test_a_gzipped_file_is_read_alike(tmp_path):
    plain = read_gtf(written(tmp_path, LINES))
    with gzip.open(tmp_path / "genes.gtf.gz", "wt") as file:
        file.write("\n".join(LINES) + "\n")
    assert read_gtf(tmp_path / "genes.gtf.gz").equals(plain)


def test_only_the_transcripts_that_are_asked_for(tmp_path):
    assert read_gtf(written(tmp_path, LINES), ["t2", "t2"])["transcript_id"].tolist() == ["t2"]


EXON = 'chr1\tx\texon\t{}\t{}\t.\t{}\t.\tgene_id "g"; transcript_id "t1";'
SOME = r"transcripts: expected some that are in the GTF, got "


@pytest.mark.parametrize(
    ("lines", "asked", "sentence"),
    [
        (
            [LINES[1]],
            None,
            r"genes.gtf: expected lines of exons with transcript_id \"…\", got none; pass a GTF \(not a GFF3\)",
        ),
        (LINES, ["t1.1", "t2"], SOME + r"1 of 2 others: 't1.1'; write their versions \(.1, .2 …\) as the GTF does"),
        (LINES, ["t9", "t8", "t2"], SOME + r"2 of 3 others: 't9', 't8'; leave these out"),
        (LINES, [], SOME + r"0 of 0 others: none; leave these out"),
        (
            [EXON.format(0, 5, "+")],
            None,
            r"expected 1 <= start <= end and a strand, \+ or -, got 1 other\(s\), first exon chr1 0 5 \+;",
        ),
        ([EXON.format(6, 5, "+")], None, r"got 1 other\(s\), first exon chr1 6 5 \+; correct these lines"),
        ([EXON.format(1, 5, "+"), EXON.format("x", 5, "+")], None, r"got 1 other\(s\), first exon chr1 x 5 \+;"),
        ([EXON.format(1, 5, ".")], None, r"got 1 other\(s\), first exon chr1 1 5 \.;"),
        (
            [EXON.format(1, 5, "+"), EXON.format(7, 9, "-")],
            None,
            r"expected each transcript on one strand of one chromosome, got others: 't1'; rename the copies",
        ),
    ],
)
def test_lines_that_cannot_be_used(tmp_path, lines, asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_gtf(written(tmp_path, lines), asked)


def test_one_base_is_an_exon(tmp_path):
    table = read_gtf(written(tmp_path, [EXON.format(1, 1, "-")]))
    assert table[["start", "end"]].to_numpy().tolist() == [[0, 1]]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        ValueError, match=r"^gtf: expected the path of a GTF file, got '.*none.gtf', which is no file; correct"
    ):
        read_gtf(tmp_path / "none.gtf")
