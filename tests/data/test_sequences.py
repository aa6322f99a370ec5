"""What is read of columns of sequences and of vectors, and what a batch of rows gets of it."""

import json
import logging
import math

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm.data import SequenceField, VectorField
from tests.objects import manager_of

DNA = ["ACGT", None, "ACGT", "", "GGN", float("nan"), "acgt", "ACGU"]
ABSENT = np.array([False, True, False, True, False, True, False, False])


def transcripts(dna=DNA, **columns):
    n = len(dna)
    obs = pd.DataFrame({"dna": pd.Series(dna, dtype=object).to_numpy(), **columns}, index=[f"t{i}" for i in range(n)])
    return AnnData(np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32), obs=obs)


def field(kind="nucleotide", key="dna"):
    return SequenceField("dna", key, kind)


def batch_of(adata, rows, **setup):
    setup = {"kinds": {"rna": "real"}, "sequences": {"dna": ["dna", "nucleotide"]}, **setup}
    return manager_of(adata, [None], **setup).create_torch_dataset()[rows]


def texts_of(residues):
    ends = residues.offsets.tolist()
    whole = bytes(residues.residues.tolist()).decode()
    return [whole[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


# ---- sequences ------------------------------------------------------------------------------------------------------


def test_spellings_of_a_sequence_are_one_and_what_is_empty_is_absent():
    distinct, code_n = field().read(transcripts())
    assert distinct == [b"ACGT", b"GGN"]
    assert code_n.tolist() == [0, -1, 0, -1, 1, -1, 0, 0]


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_a_column_of_any_type_is_read(dtype):
    adata = transcripts(["AC", None, "AC", "GT"])
    adata.obs["dna"] = adata.obs["dna"].astype(dtype)
    distinct, code_n = field().read(adata)
    assert distinct == [b"AC", b"GT"]
    assert code_n.tolist() == [0, -1, 0, 1]


def test_in_a_protein_u_stays():
    adata = transcripts(["MKuX*"])
    assert field("protein").read(adata)[0] == [b"MKUX*"]
    field("protein").validate_field(adata)


def test_what_is_kept_is_json():
    state = field().register_field(transcripts())
    assert state == {"key": "dna", "kind": "nucleotide", "n_present": 5}
    assert json.loads(json.dumps(state)) == state
    assert field().get_summary_stats(state) == {"n_dna": 5}


@pytest.mark.parametrize(
    ("sequence", "kind", "sentence"),
    [
        ("MKVL*", "nucleotide", "column 'dna': expected nucleotide sequences of the letters ACGTUN.*, got '.*L' in"),
        ("MK-V", "protein", r"got '-' in 'MK-V'…; check which column is which, or take gaps and other signs out\."),
        ("ACG T", "nucleotide", r"got ' ' in 'ACG T'"),
        ("AC?", "nucleotide", r"got '\?' in 'AC\?'"),
    ],
)
def test_letters_of_another_alphabet_are_named(sequence, kind, sentence):
    with pytest.raises(ValueError, match=sentence):
        field(kind).register_field(transcripts(["ACGT", sequence]))


def test_a_column_must_be_there_and_hold_text():
    with pytest.raises(ValueError, match="column 'rna': expected a column of .obs, got columns 'dna'"):
        field(key="rna").register_field(transcripts())
    with pytest.raises(ValueError, match="column 'dna': expected sequences as text, got 7; name the column that holds"):
        field().register_field(transcripts([7, 8]))
    with pytest.raises(
        ValueError, match=r"column 'dna': expected sequences as text, got \['A', 'C'\]; name the column"
    ):
        field().register_field(transcripts([["A", "C"], "ACGT"]))


def test_a_kind_must_be_one_of_two():
    with pytest.raises(
        ValueError, match="dna: expected 'nucleotide' or 'protein', got 'rna'; say what its residues are"
    ):
        field("rna")


def test_another_object_may_lack_the_column_but_not_mistake_it(caplog):
    state = field().register_field(transcripts())
    assert field().transfer_field(state, transcripts(["AC", None]))["n_present"] == 1
    other = transcripts(["AC", "GT"])
    del other.obs["dna"]
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        assert field().transfer_field(state, other)["n_present"] == 0
    assert "dna: no column 'dna' in this object, so that no observation has it." in caplog.text
    with pytest.raises(ValueError, match="expected nucleotide sequences"):
        field().transfer_field(state, transcripts(["MKVLQ"]))
    assert state["n_present"] == 5, "the state of the reference must not change"


def test_rows_of_a_batch_have_their_sequences_and_each_distinct_one_once():
    rng = np.random.default_rng(1)
    pool = ["".join(rng.choice(list("ACGTN"), n)) for n in (3, 1, 8, 5)]
    dna = [pool[i] if i < 4 else None for i in rng.integers(0, 5, 30)]
    adata = transcripts(dna)
    rows = rng.permutation(30)[:13]
    batch = batch_of(adata, rows)
    residues = batch.sequences["dna"]
    found = texts_of(residues)
    assert len(set(found)) == len(found) == len({dna[i] for i in rows} - {None})
    for i, row in enumerate(rows):
        code = int(residues.of_obs[i])
        assert (found[code] if code >= 0 else None) == dna[row]
        assert bool(batch.present["dna"][i]) == (dna[row] is not None)
    assert "dna" not in batch.tokens


def test_a_batch_without_any_sequence_has_none():
    residues = batch_of(transcripts(), [1, 3]).sequences["dna"]
    assert residues.of_obs.tolist() == [-1, -1]
    assert residues.offsets.tolist() == [0]
    assert len(residues.residues) == 0
    assert residues.digests.shape == (0, 2)
    query = transcripts()
    query.obs["utr"] = query.obs["dna"]
    sequences = {name: [name, "nucleotide"] for name in ("dna", "utr")}
    reference = manager_of(query.copy(), [None], kinds={"rna": "real"}, sequences=sequences, optional=["rna"])
    del query.obs["dna"]
    batch = reference.transfer_fields(query).create_torch_dataset()[[0, 4]]
    assert batch.sequences["dna"].of_obs.tolist() == [-1, -1], "nor has one of an object without the column"


def test_a_sequence_has_the_same_digest_in_every_object():
    one = batch_of(transcripts(["ACGT", "GG", "TTT"]), [0, 1, 2]).sequences["dna"]
    other = batch_of(transcripts(["A", "ggg", "TTT", "acgu"]), [3, 2, 0]).sequences["dna"]
    by_text = [dict(zip(texts_of(x), map(tuple, x.digests.tolist()), strict=True)) for x in (one, other)]
    assert by_text[0]["ACGT"] == by_text[1]["ACGT"]
    assert by_text[0]["TTT"] == by_text[1]["TTT"]
    assert len({*by_text[0].values(), *by_text[1].values()}) == 4


def test_the_manager_says_what_it_has():
    adata = transcripts()
    adata.obsm["beta"] = np.array([[0.1, np.nan]] * 5 + [[np.nan, np.nan]] * 3)
    manager = manager_of(
        adata,
        [None],
        kinds={"rna": "real"},
        sequences={"dna": ["dna", "nucleotide"]},
        vectors={"methylation": "beta"},
    )
    assert manager.sequences == {"dna": {"key": "dna", "kind": "nucleotide", "n_present": 5}}
    assert manager.vectors == {"methylation": {"key": "beta", "width": 2, "n_present": 5}}


# ---- vectors --------------------------------------------------------------------------------------------------------


def measured(n=6, width=4):
    adata = transcripts(["AC"] * n)
    values = np.random.default_rng(2).random((n, width))
    values[1, 2] = values[3, :2] = values[4] = np.nan
    values[0, 0] = 0
    adata.obsm["beta"] = values
    return adata


def test_vectors_are_packed_and_what_is_nan_is_left_out():
    adata = measured()
    rows = [4, 3, 0, 1]
    batch = batch_of(adata, rows, vectors={"methylation": "beta"})
    tokens = batch.tokens["methylation"]
    for i, row in enumerate(rows):
        own = slice(int(tokens.offsets[i]), int(tokens.offsets[i + 1]))
        found = dict(zip(tokens.ids[own].tolist(), tokens.values[own].tolist(), strict=True))
        values = adata.obsm["beta"][row]
        assert found == pytest.approx({j: v for j, v in enumerate(values) if not math.isnan(v)})
    assert batch.present["methylation"].tolist() == [False, True, True, True]
    assert batch.measured["methylation"].tolist() == [True] * 4


def test_an_object_without_the_entry_has_no_vector():
    field = VectorField("methylation", "beta")
    state = field.register_field(measured())
    assert state == {"key": "beta", "width": 4, "n_present": 5}
    assert field.transfer_field(state, transcripts())["n_present"] == 0
    setup = {"kinds": {"rna": "real"}, "vectors": {"methylation": "beta"}, "optional": ["rna"]}
    with pytest.raises(
        ValueError, match="an entry with one of 'methylation', got an object without 'beta'; name it as"
    ):
        manager_of(measured(), [None], **setup).transfer_fields(transcripts())
    setup["sequences"] = {"dna": ["dna", "nucleotide"]}
    manager = manager_of(measured(), [None], **setup).transfer_fields(transcripts())
    batch = manager.create_torch_dataset()[[0, 2]]
    assert batch.tokens["methylation"].offsets.tolist() == [0, 0, 0]
    assert not batch.present["methylation"].any()


def test_vectors_of_another_width_are_refused():
    field = VectorField("methylation", "beta")
    state = field.register_field(measured())
    with pytest.raises(ValueError, match=r"expected vectors of width 4, as in training, got 3; check .obsm\['beta'\]"):
        field.transfer_field(state, measured(width=3))


def test_a_vector_must_be_there_and_finite():
    field = VectorField("methylation", "beta")
    adata = transcripts()
    adata.obsm["other"] = np.zeros((8, 1))
    with pytest.raises(ValueError, match="methylation: expected an entry 'beta' of .obsm, got 'other'; pass the name"):
        field.register_field(adata)
    for wrong in (np.full((8, 2), np.inf), np.full((8, 2), "a"), np.zeros((8, 2, 2))):
        adata.obsm["beta"] = wrong
        with pytest.raises(ValueError, match=r"expected \(n_obs, width\) finite numbers or NaN, got an array of shape"):
            field.register_field(adata)


def test_missing_sequences_that_became_text_are_missing(caplog):
    texts = ["nan", "NA", "None", "", "<NA>", "NaN", "NAD"]
    field = SequenceField("protein", "dna", "protein")
    distinct, code_n = field.read(transcripts(texts))
    assert distinct == [b"NAD"]
    assert code_n.tolist() == [-1] * 6 + [0]
    assert field.register_field(transcripts(texts))["n_present"] == 1
    assert any(said.startswith("column 'dna': the texts 'nan' (1), 'NA' (1)") for said in caplog.messages)
