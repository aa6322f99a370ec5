"""Registration of sequences, vectors and groups, and the division of groups."""

from dataclasses import replace

import numpy as np
import pytest

from omicsmlm import IsoFormer
from tests.objects import QUIET, SMALL_ISOFORMER, multiome, state_of, transcripts


def test_usual_columns_are_found_and_others_are_named():
    adata = transcripts()
    assert set(IsoFormer(adata, SMALL_ISOFORMER).derived.sequences) == {"dna", "protein"}
    adata = transcripts()
    adata.obs = adata.obs.rename(columns={"dna": "window"})
    IsoFormer.setup_anndata(adata, dna_key="window")
    assert IsoFormer(adata, SMALL_ISOFORMER).derived.sequences == ["dna"]


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ({}, "at least one column with sequences, got none"),
        ({"dna_key": "nowhere"}, "column 'nowhere': expected a column of .obs"),
        ({"dna_key": "protein"}, "column 'protein': expected nucleotide sequences of the letters"),
        ({"dna_key": "dna", "group_key": "nowhere"}, "column 'nowhere'"),
        ({"vector_keys": {"dna": "x"}}, "vector_keys: expected names of their own"),
        ({"vector_keys": {"methylation": "x"}}, "methylation: expected an entry 'x' of .obsm"),
    ],
)
def test_each_wrong_setup_gets_its_sentence(setup, message):
    adata = transcripts()
    before = state_of(adata)
    with pytest.raises(ValueError, match=message):
        IsoFormer.setup_anndata(adata, **setup)
    assert state_of(adata) == before


def test_other_objects_get_their_sentences():
    with pytest.raises(ValueError, match="expected an AnnData of transcripts, got MuData"):
        IsoFormer(multiome())
    with pytest.raises(ValueError, match="expected an AnnData of transcripts, got a MuData"):
        IsoFormer.setup_mudata(multiome())
    bare = transcripts()
    bare.obs = bare.obs[["batch"]]
    with pytest.raises(ValueError, match="expected a column of .obs among"):
        IsoFormer(bare)


def test_the_first_usual_column_is_taken():
    adata = transcripts()
    adata.obs = adata.obs.rename(columns={"dna": "promoter"})
    adata.obs["utr"] = adata.obs["cds"] = adata.obs["promoter"]
    sequences = IsoFormer(adata, SMALL_ISOFORMER).adata_manager.sequences
    assert {name: state["key"] for name, state in sequences.items()} == {
        "dna": "promoter",
        "rna": "cds",
        "protein": "protein",
    }


def test_an_anndata_is_asked_for():
    with pytest.raises(
        ValueError, match="^setup_anndata: expected an AnnData, got MuData; pass transcripts as observations of"
    ):
        IsoFormer.setup_anndata(multiome(), dna_key="dna")
    adata = transcripts()
    with pytest.raises(
        ValueError, match="vector_keys: expected names of their own, without a dot, got 'a.b', 'expression'"
    ):
        IsoFormer.setup_anndata(adata, dna_key="dna", vector_keys={"a.b": "x", "fine": "x", "expression": "x"})


# ---- groups -------------------------------------------------------------------------------------------------------


def grouped(sizes: list[int], seed: int = 0) -> IsoFormer:
    """A model of observations in groups of these sizes, in random order."""
    adata = transcripts(sum(sizes))
    adata.obs["gene"] = np.random.default_rng(1).permutation(np.repeat([f"g{i}" for i in range(len(sizes))], sizes))
    IsoFormer.setup_anndata(adata, dna_key="dna", group_key="gene")
    return IsoFormer(adata, replace(SMALL_ISOFORMER, seed=seed))


def test_groups_are_numbered_in_the_order_in_which_they_appear():
    model = grouped([3, 5, 2])
    genes = model.adata.obs["gene"].tolist()
    assert model._groups().tolist() == [list(dict.fromkeys(genes)).index(gene) for gene in genes]
    alone = IsoFormer(transcripts(12), SMALL_ISOFORMER)
    assert alone._groups().tolist() == list(range(12))


def test_a_group_is_never_divided():
    adata = transcripts()
    IsoFormer.setup_anndata(adata, dna_key="dna", protein_key="protein", group_key="gene")
    trained = IsoFormer(adata, SMALL_ISOFORMER)
    trained.train(1, **QUIET)
    genes = trained.adata.obs["gene"].to_numpy()
    assert len(trained.validation_indices)
    assert not set(genes[trained.train_indices]) & set(genes[trained.validation_indices])
    assert len(trained.train_indices) + len(trained.validation_indices) == 72


@pytest.mark.parametrize("train_size", [0.5, 0.8])
def test_random_groups_are_taken_until_the_training_set_is_full(train_size):
    model = grouped([3, 5, 2, 7, 1, 4, 2])
    training, validation = model._split(train_size)
    group_n = model._groups()
    n_training, chosen = 0, []
    for group in np.random.default_rng(0).permutation(7):
        n_training += (group_n == group).sum()
        if n_training > round(24 * train_size):
            break
        chosen.append(group)
    assert set(group_n[training]) == set(chosen)
    assert sorted([*training, *validation]) == list(range(24))
    assert 0 < len(chosen) < 7
    other = grouped([3, 5, 2, 7, 1, 4, 2], seed=1)._split(train_size)[0]
    assert other.tolist() != training.tolist(), "the seed draws the groups"


def test_one_group_at_least_is_trained_on():
    model = grouped([20, 21])
    training, validation = model._split(0.1)
    assert len(training) in (20, 21)
    assert len(training) + len(validation) == 41


def test_without_a_validation_set_nothing_is_divided():
    training, validation = grouped([3, 5, 4])._split(1.0)
    assert training.tolist() == list(range(12))
    assert not len(validation)


# ---- proteins from coding sequences -------------------------------------------------------------------------------


def coding_transcripts():
    """Transcripts with a coding sequence each, of which some lack the protein."""
    adata = transcripts()
    codons = "GCC TGC GAC GAA TTC GGA CAC ATC AAA CTG ATG AAC CCT CAG CGT AGC ACC GTG TGG TAC".split()
    codon_of = dict(zip("ACDEFGHIKLMNPQRSTVWY", codons, strict=True))
    whole = ["M" + (p if isinstance(p, str) else "KV") for p in adata.obs["protein"]]
    adata.obs["protein"] = [p if i % 5 != 1 else None for i, p in enumerate(whole)]
    adata.obs["cds"] = ["".join(codon_of[r] for r in p) + "TAA" for p in whole]
    return adata, whole


def test_a_protein_is_translated_where_it_is_absent():
    adata, whole = coding_transcripts()
    IsoFormer.setup_anndata(adata, rna_key="cds", protein_key="protein")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    assert model.adata_manager.sequences["protein"]["n_present"] == 72
    assert "72 with protein ('protein', 15 of them translated)" in model._describe()
    given = adata.copy()
    given.obs["protein"] = whole
    IsoFormer.setup_anndata(given, protein_key="protein")
    batch, expected = (m.adata_manager.create_torch_dataset()[list(range(72))] for m in (model, IsoFormer(given)))
    digest_n2, expected_n2 = (b.sequences["protein"].digests[b.sequences["protein"].of_obs] for b in (batch, expected))
    assert digest_n2.tolist() == expected_n2.tolist()


def test_a_query_of_coding_sequences_alone_is_predicted_as_one_with_the_proteins():
    adata, whole = coding_transcripts()
    IsoFormer.setup_anndata(adata, rna_key="cds", protein_key="protein", dna_key="dna")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(1, **QUIET)
    query = adata[:20].copy()
    del query.obs["protein"]
    with_proteins = query.copy()
    with_proteins.obs["protein"] = whole[:20]
    np.testing.assert_array_equal(model.predict(query), model.predict(with_proteins))
    del query.obs["cds"]
    assert not np.array_equal(model.predict(query), model.predict(with_proteins))


def test_coding_sequences_alone_have_a_protein_too_unless_it_is_not_wanted(tmp_path):
    adata, _ = coding_transcripts()
    IsoFormer.setup_anndata(adata, rna_key="cds")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    assert model.derived.sequences == ["rna", "protein"]
    model.train(1, **QUIET)
    model.save(tmp_path / "model")
    again = IsoFormer.load(tmp_path / "model", adata)
    np.testing.assert_array_equal(again.predict(), model.predict())
    other = coding_transcripts()[0]
    IsoFormer.setup_anndata(other, rna_key="cds", translate=False)
    assert IsoFormer(other, SMALL_ISOFORMER).derived.sequences == ["rna"]


def test_other_rna_than_coding_sequences_is_not_translated():
    adata, _ = coding_transcripts()
    adata.obs["rna"] = "GG" + adata.obs["cds"]
    IsoFormer.setup_anndata(adata, rna_key="rna", protein_key="protein")
    sequences = IsoFormer(adata, SMALL_ISOFORMER).adata_manager.sequences
    assert sequences["protein"] == {"key": "protein", "kind": "protein", "n_present": 57}
