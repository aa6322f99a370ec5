"""Intervals from names, tables and files, or one sentence."""

import gzip

import numpy as np
import pandas as pd
import pytest

from omicsmlm.pp._intervals import has_intervals, named_intervals, read_bed, region_names, tabled_intervals


def test_intervals_of_names():
    names = ["chr1:100-200", "chr2-0-7", "chr_UN_3_4_5", "HLA:A:1-2"]
    table = named_intervals("atac", names)
    assert table.index.tolist() == names
    assert table.to_numpy().tolist() == [["chr1", 100, 200], ["chr2", 0, 7], ["chr_UN_3", 4, 5], ["HLA:A", 1, 2]]
    assert table["start"].dtype == table["end"].dtype == np.int64
    assert region_names(table).tolist() == ["chr1:100-200", "chr2:0-7", "chr_UN_3:4-5", "HLA:A:1-2"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["GAPDH", "chr1:1-2", "ACTB"],
            r"got 2 of 3 others: 'GAPDH', 'ACTB'; rename them, or put chrom, start and end",
        ),
        (["chr1:5-5"], r"expected intervals with 0 <= start < end, got 1 other\(s\), first chr1 5 5; correct them"),
        (["chr1:1-2", "chr1:9-3"], r"got 1 other\(s\), first chr1 9 3;"),
        ([], r"expected at least one interval, got none; pass some"),
    ],
)
def test_names_of_no_intervals(names, sentence):
    with pytest.raises(ValueError, match="^atac: .*" + sentence):
        named_intervals("atac", names)


@pytest.mark.parametrize("column", ["chrom", "chr", "chromosome", "seqnames"])
def test_intervals_of_a_table(column):
    table = pd.DataFrame({"score": [7], "end": ["20"], column: [1], "start": [10.0]}, index=["peak"])
    assert has_intervals(table)
    found = tabled_intervals("regions", table)
    assert found.columns.tolist() == ["chrom", "start", "end", "score"]
    assert found.loc["peak"].tolist() == ["1", 10, 20, 7]
    assert found["start"].dtype == found["end"].dtype == np.int64


@pytest.mark.parametrize("missing", ["chrom", "start", "end"])
def test_a_column_is_missing(missing):
    table = pd.DataFrame({"chrom": ["1"], "start": [1], "end": [2]}).drop(columns=missing)
    assert not has_intervals(table)
    with pytest.raises(
        ValueError, match=r"^regions: expected the columns 'chrom', 'start', 'end', got '.*; name the columns so"
    ):
        tabled_intervals("regions", table)


@pytest.mark.parametrize(
    ("start", "end", "chrom"), [(-1, 5, "a"), (5, 5, "a"), (1.5, 5, "a"), (1, np.inf, "a"), ("x", 5, "a"), (1, 5, None)]
)
@pytest.mark.parametrize("index", [["p", "q"], ["p", "p"]])
def test_rows_of_no_intervals(start, end, chrom, index):
    table = pd.DataFrame({"chrom": ["b", chrom], "start": [0, start], "end": [1, end]}, index=index)
    with pytest.raises(
        ValueError,
        match=rf"^regions: expected intervals .*, got 1 other\(s\), first {chrom or '(nan|None)'} {start} {end}; ",
    ):
        tabled_intervals("regions", table)


BED = "# made by hand\nbrowser hide all\ntrack name=x\n\nchr1\t0\t10\tfirst\t5\r\nchr2\t20\t30\tsecond\n"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_bed_file(tmp_path, zipped):
    path = tmp_path / "regions.bed"
    with gzip.open(path, "wt") if zipped else path.open("w") as file:
        file.write(BED)
    table = read_bed(path)
    assert table.columns.tolist() == ["chrom", "start", "end", "name"]
    assert table.to_numpy().tolist() == [["chr1", 0, 10, "first"], ["chr2", 20, 30, "second"]]
    assert read_bed(str(path)).equals(table)


def test_names_are_taken_where_every_line_has_one(tmp_path):
    (tmp_path / "regions.bed").write_text("chr1 0 10 first\nchr2 20 30\n")
    assert read_bed(tmp_path / "regions.bed").to_numpy().tolist() == [["chr1", 0, 10], ["chr2", 20, 30]]


@pytest.mark.parametrize("line", ["chrom\tstart\tend", "chr1\t5", "chr1\t1.5\t3"])
def test_a_line_of_no_interval(tmp_path, line):
    (tmp_path / "regions.bed").write_text("chr1\t0\t10\n" + line + "\n")
    wanted = "chromosome, start and end, separated by tabs or spaces"
    with pytest.raises(
        ValueError, match=rf"^regions.bed, line 2: expected {wanted}, got 'chr.*; take the line out, or begin"
    ):
        read_bed(tmp_path / "regions.bed")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        ValueError, match=r"^regions: expected the path of a BED file, got '.*', which is no file; correct"
    ):
        read_bed(tmp_path / "none.bed")
