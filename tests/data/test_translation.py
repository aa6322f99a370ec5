"""Translation against Biopython's; what observations without a protein get, and what the log says of it."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm.data import SequenceField, are_coding, holds_coding_sequences, translated

CODING = ["ATGAAATAG", "ATGAAA", "ATGGTTTAA", None, "ATGTAGAAA", "atgauguga", "ATGA"]
PROTEIN = ["MW", None, "", "MK", None, None, None]


def transcripts(coding=CODING, protein=PROTEIN, **columns):
    n = len(coding)
    columns = {"cds": coding} | ({} if protein is None else {"protein": protein}) | columns
    obs = pd.DataFrame({name: pd.Series(c, dtype=object).to_numpy() for name, c in columns.items()})
    obs.index = [f"t{i}" for i in range(n)]
    return AnnData(np.zeros((n, 1), dtype=np.float32), obs=obs)


def field(key="protein"):
    return SequenceField("protein", key, "protein", "cds")


def proteins(adata, of):
    distinct, code_n = of.read(adata)
    return [distinct[code].decode() if code >= 0 else None for code in code_n]


def test_it_is_the_standard_code():
    biopython = pytest.importorskip("Bio.Seq")
    rng = np.random.default_rng(0)
    n_whole = 0
    for n in [*range(1, 40), 300, 999]:
        coding = "".join(rng.choice(list("ACGT"), n))
        expected = biopython.translate(coding) if n % 3 == 0 else "*"
        expected = expected[:-1] if expected.endswith("*") and n % 3 == 0 else expected
        found = translated(coding.encode())
        assert (found and found.decode()) == (None if "*" in expected or not expected else expected)
        n_whole += found is not None
    assert n_whole > 5
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = "".join(codon for codon in codons if codon not in ("TAA", "TAG", "TGA"))
    assert translated(sense.encode()).decode() == biopython.translate(sense)


@pytest.mark.parametrize(
    ("coding", "protein"),
    [
        (b"", None),
        (b"TAA", None),  # nothing before the stop
        (b"AAA", b"K"),  # a start codon is not asked for
        (b"ATGRAA", b"MX"),
        (b"ATGTAATAA", None),
        (b"ATGAAATG", None),
    ],
)
def test_what_does_not_translate_is_none(coding, protein):
    assert translated(coding) == protein


def test_only_observations_without_a_protein_get_one():
    assert proteins(transcripts(), field()) == ["MW", "MK", "MV", "MK", None, "MM", None]
    distinct, code_n = field().read(transcripts())
    assert sorted(distinct) == [b"MK", b"MM", b"MV", b"MW"], "each once, whether it is given or translated"
    assert code_n.dtype == np.int64


def test_a_column_of_proteins_is_not_needed():
    expected = ["MK", "MK", "MV", None, None, "MM", None]
    assert proteins(transcripts(protein=None), field("cds")) == expected
    assert proteins(transcripts(), field("cds")) == expected, "nor read where it was not registered"


def test_what_is_kept_is_json_and_what_fails_is_counted(caplog):
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        state = field().register_field(transcripts())
    assert state == {"key": "protein", "kind": "protein", "n_present": 5, "n_translated": 3}
    assert json.loads(json.dumps(state)) == state
    said = "protein: translated from 'cds' for 3 observations that have none; 2 do not translate: no whole number of codons"
    assert said in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        whole = transcripts(["ATGAAA"] * 2, ["MK", "MV"])
        assert field().register_field(whole)["n_translated"] == 0
    assert not caplog.messages, "nothing was translated, and nothing failed"


def test_a_query_may_lack_either_column():
    state = field().register_field(transcripts())
    without_proteins = transcripts(protein=None)
    assert field().transfer_field(state, without_proteins)["n_translated"] == 4
    assert proteins(without_proteins, field()) == ["MK", "MK", "MV", None, None, "MM", None]
    without_coding = transcripts()
    del without_coding.obs["cds"]
    assert field().transfer_field(state, without_coding) == {**state, "n_present": 2, "n_translated": 0}
    assert state["n_present"] == 5, "the state of the reference must not change"


def test_the_columns_are_checked():
    with pytest.raises(ValueError, match="column 'protein': expected a column of .obs"):
        field().register_field(transcripts(protein=None))
    with pytest.raises(ValueError, match="column 'protein': expected protein sequences"):
        field().register_field(transcripts(protein=["M1", *PROTEIN[1:]]))
    state = field().register_field(transcripts())
    with pytest.raises(ValueError, match="column 'protein': expected protein sequences"):
        field().transfer_field(state, transcripts(protein=["M1", *PROTEIN[1:]]))


@pytest.mark.parametrize(
    ("coding", "is_coding"),
    [
        (["ATGAAATAG", "ATGAAA", None], True),
        (["ATGAAATAG", "AAAAAA"], True),  # one of two begins with ATG
        (["ATGAAATAG", "ATGA", "AAAAAA"], False),
        (["ATGTAGAAA"] * 3, False),
        (["ATGAAATAG", "ATGAAATAG", "GG", "CC"], False),  # of distinct ones
        ([None, ""], False),
    ],
)
def test_a_column_of_coding_sequences_is_known_by_its_frames(coding, is_coding):
    assert holds_coding_sequences(transcripts(coding, None), "cds") == is_coding
    assert are_coding(sorted({c.encode() for c in coding if c})) == is_coding


def test_proteins_alone_are_read_as_before():
    adata = transcripts()
    distinct, code_n = SequenceField("protein", "protein", "protein").read(adata)
    assert distinct == [b"MW", b"MK"]
    assert code_n.tolist() == [0, -1, -1, 1, -1, -1, -1]
