import re

import numpy as np
import pandas as pd
import pytest

from omicsmlm.evaluation import _sequence_split, homology_groups, sequence_split
from omicsmlm.evaluation.sequence_baselines import AMINO_ACIDS
from tests.test_bad_input import refused


def random_sequence(rng, residues="ACGT", length=300):
    return "".join(rng.choice(list(residues), length))


def mutated(rng, text, fraction, residues="ACGT"):
    changed = rng.random(len(text)) < fraction
    return "".join(rng.choice(list(residues)) if new else old for old, new in zip(text, changed, strict=True))


def families(rng, n_families=20, n_members=4, fraction=0.02, residues="ACGT"):
    """Near-copies, their families' numbers."""
    founders = [random_sequence(rng, residues) for _ in range(n_families)]
    family = np.repeat(np.arange(n_families), n_members)
    order = rng.permutation(len(family))
    return [mutated(rng, founders[f], fraction, residues) for f in family[order]], family[order]


def slow_groups(sequences, k, min_shared):
    """All pairs, and labels that spread until nothing changes."""
    kmers = [{text[i : i + k] for i in range(len(text) - k + 1)} for text in sequences]
    n, label = len(sequences), list(range(len(sequences)))
    linked = [
        (i, j)
        for i in range(n)
        for j in range(i)
        if kmers[i] and kmers[j] and len(kmers[i] & kmers[j]) >= min_shared * min(len(kmers[i]), len(kmers[j]))
    ]
    while any(label[i] != label[j] for i, j in linked):
        for i, j in linked:
            label[i] = label[j] = min(label[i], label[j])
    return pd.factorize(np.array(label))[0]


@pytest.mark.parametrize("min_shared", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("pairs_at_once", [7, 2**18])
def test_groups_are_those_of_all_pairs(rng, monkeypatch, min_shared, pairs_at_once):
    monkeypatch.setattr(_sequence_split, "_PAIRS", pairs_at_once)
    sequences, _ = families(rng, 8, 5, fraction=0.15)
    sequences += [text[100:180] for text in sequences[:5]] + [random_sequence(rng) for _ in range(20)]
    found = homology_groups(sequences, k=6, min_shared=min_shared)
    assert found.tolist() == slow_groups(sequences, 6, min_shared).tolist()


@pytest.mark.parametrize("residues", ["ACGT", AMINO_ACIDS])
@pytest.mark.parametrize("most_rows", [3, 50])  # with 3, families are compared along chains
def test_near_copies_stay_together_and_random_sequences_apart(rng, monkeypatch, residues, most_rows):
    monkeypatch.setattr(_sequence_split, "_MOST_ROWS", most_rows)
    sequences, family = families(rng, residues=residues, n_members=8)
    found = homology_groups([*sequences, *(random_sequence(rng, residues) for _ in range(50))])
    assert len(set(zip(family, found, strict=False))) == len(set(found[: len(family)])) == 20
    assert len(set(found)) == 70


def test_a_repeat_that_all_share_links_none(rng):
    repeat = random_sequence(rng, length=40)
    sequences = [random_sequence(rng) + repeat + random_sequence(rng) for _ in range(120)]
    assert len(set(homology_groups(sequences))) == 120
    assert len(set(homology_groups(sequences, min_shared=0.02))) == 1


def test_any_modality_links_and_absent_ones_do_not(rng):
    rna, protein = random_sequence(rng), random_sequence(rng, AMINO_ACIDS)
    modalities = {
        "rna": [rna, None, rna.replace("T", "U"), np.nan, ""],
        "protein": [None, protein, protein[:250], "", "MK"],
    }
    assert homology_groups(modalities).tolist() == [0, 0, 0, 1, 2]
    assert homology_groups(["MK", None, "MK", ""]).tolist() == [0, 1, 0, 2]  # shorter than a k-mer, but equal
    assert homology_groups([None, None]).tolist() == [0, 1]


@pytest.mark.parametrize("seed", [0, 1])
def test_no_group_is_on_both_sides_and_parts_have_their_size(rng, seed):
    sequences, family = families(rng, 60, 5)
    for found in (sequence_split(sequences, seed=seed), sequence_split(groups=family, test=0.1, val=0.1, seed=seed)):
        parts = pd.DataFrame({"family": family, "part": found}).groupby("family")["part"].nunique()
        assert (parts == 1).all()
        assert pd.Series(found).value_counts().to_dict() == {"train": 240, "val": 30, "test": 30}
    assert (sequence_split(sequences, seed=seed) == sequence_split(sequences, seed=seed)).all()
    assert (sequence_split(sequences, seed=seed) != sequence_split(sequences, seed=seed + 5)).any()


def test_names_and_near_copies_together(rng):
    copy, other = random_sequence(rng), random_sequence(rng)
    sequences = [copy, other, copy, random_sequence(rng), *(random_sequence(rng) for _ in range(16))]
    genes = ["a", "a", "b", "b", *range(14), None, None]  # a and b share a near-copy, so that the first four are one
    for seed in range(20):
        found = sequence_split(sequences, genes, test=0.2, val=0.2, seed=seed)
        assert len(set(found[:4])) == 1
        assert (found == "test").sum() == 4


def test_a_group_larger_than_a_part_is_trained_on():
    groups = ["large"] * 50 + [f"small{i}" for i in range(50)]
    for seed in range(5):
        found = sequence_split(groups=groups, seed=seed)
        assert set(found[:50]) == {"train"}
        assert (found == "test").sum() == (found == "val").sum() == 10
    assert set(sequence_split(groups=groups, val=0)) == {"train", "test"}


@pytest.mark.data
def test_real_groups(data_folder):
    """Genes and homology groups that the data come with are nearly those found."""
    from sklearn.metrics import adjusted_mutual_info_score

    from omicsmlm import datasets

    adata = datasets.isoforms()
    assert adjusted_mutual_info_score(adata.obs["gene_id"], homology_groups(adata.obs["rna"].tolist())) > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: homology_groups(["A"], min_shared=0), "min_shared: expected a share above 0 and up to 1, got 0; pass"),
        (lambda: homology_groups(["A"], k=99), "k: expected 1 or more, and fewer than a number of 62 bits can tell apart"),
        (lambda: homology_groups({"dna": ["A"], "rna": ["A", "C"]}), "sequences: expected modalities of as many observations, got [1, 2]"),
        (lambda: homology_groups({}), "sequences: expected modalities of as many observations, got []"),
        (lambda: sequence_split(), "sequence_split: expected sequences or groups, got neither; pass one of them, or both"),
        (lambda: sequence_split(["A"], ["a", "b"]), "groups: expected one per observation, 1, got 2; pass those of the same observations"),
        (lambda: sequence_split(groups=["a"], test=0.6, val=0.4), "test, val: expected fractions of the observations, together below 1, got 0.6 and 0.4"),
        (lambda: sequence_split(groups=["a"] * 9 + ["b"]), "val: expected a group that fits into it, got 2 groups, of which the largest has 9 of 10 observations; ask for"),
    ],
)  # fmt: skip
def test_wrong_input(call, message):
    with refused(re.escape(message)):
        call()
