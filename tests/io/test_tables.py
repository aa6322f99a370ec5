"""Tables of several writings come out the same."""

import gzip

import numpy as np
import pandas as pd
import pytest

from omicsmlm.io._tables import numbers, read_table

FRAME = pd.DataFrame({"gene": ["A", "B"], "s1": [1.5, np.nan], "s2": [0.25, 4.0]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "gene\ts1\ts2\nA\t1.5\t0.25\nB\tNA\t4\n"),
        ("a.txt", "gene,s1,s2\nA,1.5,0.25\nB,,4\n"),
        ("a.csv", "gene;s1;s2\nA;1,5;0,25\nB;;4\n"),
        ("a.csv", "gene;s1;s2\nA;1.5;0.25\nB;;4\n"),
        ("a.csv", "\ufeff#a note\n#one more\ngene,s1,s2\nA,1.5,0.25\nB,--,4\n"),
        ("a.gct", "#1.2\n2\t2\ngene\ts1\ts2\nA\t1.5\t0.25\nB\tNA\t4\n"),
        ("a.tab", "gene\ts1\ts2\t\nA\t1.5\t0.25\t\nB\tNA\t4\t\n"),
    ],
)
def test_writings_of_one_table(tmp_path, name, text):
    (tmp_path / name).write_text(text.removeprefix("\ufeff"), encoding="utf-8-sig" if text[0] == "\ufeff" else "utf-8")
    pd.testing.assert_frame_equal(read_table("rna", tmp_path / name), FRAME)
    with gzip.open(tmp_path / f"{name}.gz", "wt") as file:
        file.write(text.removeprefix("\ufeff"))
    pd.testing.assert_frame_equal(read_table("rna", tmp_path / f"{name}.gz"), FRAME)


def test_a_header_of_r_without_the_first_column(tmp_path):
    (tmp_path / "r.tsv").write_text("s1\ts2\nA\t1.5\t0.25\nB\tNA\t4\n")
    pd.testing.assert_frame_equal(read_table("rna", tmp_path / "r.tsv"), FRAME.rename(columns={"gene": ""}))


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    FRAME.set_index("gene").to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read_table("rna", tmp_path / "a.parquet"), FRAME)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", b"", "a table that can be read"),
        ("a.tsv", b"no separator\nat all\n", "a table with tabs, commas or semicolons"),
        ("a.tsv.gz", b"no gzip", "a table that can be read"),
        ("a.parquet", b"no parquet", "a table that can be read"),
        ("a.csv", b"a,b\n1,2\n1,2,3,4\n", "a table that can be read"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^rna: expected {said}"):
        read_table("rna", tmp_path / name)


def test_a_value_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="expected numbers, got 'low' in column 's1'"):
        numbers("rna", pd.DataFrame({"s1": ["1", "low"]}))
    np.testing.assert_array_equal(numbers("rna", pd.DataFrame({"s1": ["1", None]})), [[1], [np.nan]])


def test_a_file_whose_index_is_called_like_a_column(tmp_path):
    pytest.importorskip("pyarrow")
    FRAME.set_index("gene", drop=False).rename_axis("s1").to_parquet(tmp_path / "x.parquet")
    found = read_table("rna", tmp_path / "x.parquet")
    assert list(found.columns) == ["s1_", "gene", "s1", "s2"]
    assert found["s1_"].tolist() == ["A", "B"]
