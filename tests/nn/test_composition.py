"""Frequencies of words against a loop over text; components against a singular value decomposition."""

import itertools
import math

import numpy as np
import pytest
import torch

from omicsmlm.nn import Composition, CompositionScores
from omicsmlm.nn._composition import KMERS
from omicsmlm.nn._residues import ALPHABETS
from tests.objects import letters_of

DNA = ["ACGTACGTTAGCATGCCGTAACGTTGACA" * 2, "ACGNNACGTTGA?CCATGAAA", "AC", "A", "NNNNNNNNNNN", "ATGATGCCC"]
PROTEIN = ["MKVLAAGXXWYACDEF", "M", "UX*", "MKMKMKMKM"]


def by_loop(text, kind):
    """Word by word: found where it starts within the sequence, whole, at a multiple of the step."""
    features = []
    for kmers in KMERS[kind]:
        k = kmers.length
        vocabulary = ["".join(w) for w in itertools.product(ALPHABETS[kind], repeat=k)]
        counts = [dict.fromkeys(vocabulary, 0) for _ in range(kmers.n_regions)]
        n_starts = max(len(text) - k + 1, 0)
        for i in range(0, n_starts, kmers.step):
            if text[i : i + k] in counts[0]:
                counts[i * kmers.n_regions // n_starts][text[i : i + k]] += 1
        for region in counts:
            total = sum(region.values()) or 1
            features += [count / total for count in region.values()]
    return [*features, math.log(len(text))]


@pytest.mark.parametrize(("kind", "sequences"), [("nucleotide", DNA), ("protein", PROTEIN)])
def test_it_is_the_count_of_a_loop(kind, sequences):
    composition = Composition(kind)
    found = composition(letters_of(*sequences))
    assert found.shape == (len(sequences), composition.n_features)
    for row, text in zip(found, sequences, strict=True):
        np.testing.assert_allclose(row.numpy(), by_loop(text, kind), atol=1e-6)


def test_by_hand():
    found = Composition("nucleotide")(letters_of("ATGATGCCC"))[0]
    codons = {14: 2 / 3, 21: 1 / 3}  # ATG = 0·16 + 3·4 + 2, CCC = 21, read every third letter
    assert {i: float(found[i]) for i in found[:64].nonzero().ravel().tolist()} == pytest.approx(codons)
    assert float(found[-1]) == pytest.approx(math.log(9))


def test_regions_are_counted_apart():
    found = Composition("protein")(letters_of("AACCDDEE"))[0, 420:500].view(4, 20)
    assert found.argmax(1).tolist() == [0, 1, 2, 3]
    assert found.max(1).values.tolist() == [1] * 4


def test_a_sequence_does_not_depend_on_the_others():
    composition = Composition("nucleotide")
    alone = torch.cat([composition(letters_of(text)) for text in DNA])
    assert torch.equal(composition(letters_of(*DNA)), alone)


def test_of_nothing_there_is_nothing():
    assert Composition("protein")(letters_of(of_obs=[-1])).shape == (0, 502 - 1)
    scores = CompositionScores("protein", 3)
    assert scores(letters_of(of_obs=[-1])).shape == (0, 3)


def random_proteins(n, length=60):
    rng = np.random.default_rng(0)
    fraction = rng.dirichlet(np.ones(20), n)
    return ["".join(rng.choice(list(ALPHABETS["protein"]), length + i % 7, p=fraction[i])) for i in range(n)]


@pytest.mark.parametrize("n", [12, 520])
def test_scores_are_principal_components_of_blocks_that_weigh_alike(n):
    residues = letters_of(*random_proteins(n))
    scores = CompositionScores("protein", 5)
    x_uf = scores.composition(residues)
    scores.fit(x_uf)
    x = x_uf.double().numpy()
    varies = x.std(0, ddof=1) > 1e-8
    z = np.where(varies, (x - x.mean(0)) / np.where(varies, x.std(0, ddof=1), 1), 0)
    z /= np.sqrt(np.repeat([20, 400, 80, 1], [20, 400, 80, 1]))
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    found, expected = scores(residues).numpy(), u[:, :5] * s[:5]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3 * s[0] / np.sqrt(n))


def test_components_beyond_those_of_the_sequences_stay_zero():
    residues = letters_of("MKVL", "AACD", "MKVLWW")
    scores = CompositionScores("protein", 6)
    scores.fit(scores.composition(residues))
    found = scores(residues)
    assert (found[:, 2:].abs() < 1e-5).all(), "three sequences span two dimensions"
    assert (found[:, :2].abs().sum(0) > 0.1).all()


def test_equal_sequences_have_no_components():
    scores = CompositionScores("protein", 2)
    scores.fit(scores.composition(letters_of("MKVL", "MKVL")))
    assert scores(letters_of("MKVL", "AAAA")).tolist() == [[0, 0], [0, 0]]


def test_scores_follow_a_new_fit_and_a_loaded_state():
    residues, more = letters_of(*random_proteins(9)), letters_of(*random_proteins(30))
    scores = CompositionScores("protein", 3)
    scores.fit(scores.composition(residues))
    first, state = scores(residues), {name: value.clone() for name, value in scores.state_dict().items()}
    scores.fit(scores.composition(more))
    second = scores(residues)
    assert not torch.allclose(first, second, atol=1e-3)
    rotated = (scores.composition(residues) - scores.mean_f) @ scores.rotation_fk
    torch.testing.assert_close(second, rotated)
    scores.load_state_dict(state)
    torch.testing.assert_close(scores(residues), first)


def test_scores_are_the_same_beside_others_and_again():
    sequences = random_proteins(9)
    scores = CompositionScores("protein", 3)
    scores.fit(scores.composition(letters_of(*sequences)))
    with torch.inference_mode():
        alone = torch.cat([scores(letters_of(text)) for text in sequences[:4]])
    together = scores(letters_of(*sequences))
    torch.testing.assert_close(together[:4], alone.clone())
    assert torch.equal(scores(letters_of(*sequences[::-1])), together.flip(0))
    layer = torch.nn.Linear(3, 1)
    layer(scores(letters_of(*sequences))).sum().backward()  # what was met without gradients serves in training
    assert (layer.weight.grad != 0).any()


def test_what_is_counted():
    """Codons, k-mers of 4 and 6, and k-mers of 4 by eighth; residues, pairs, and residues by quarter."""
    assert KMERS == {
        "nucleotide": ((3, 1, 3), (4, 1, 1), (6, 1, 1), (4, 8, 1)),
        "protein": ((1, 1, 1), (2, 1, 1), (1, 4, 1)),
    }


def test_scores_are_in_single_precision_whatever_autocast_says():
    residues = letters_of(*random_proteins(9))
    scores = CompositionScores("protein", 3)
    scores.fit(scores.composition(residues))
    with torch.autocast("cpu", torch.bfloat16):
        found = scores(residues)
    assert found.dtype == torch.float32
    again = CompositionScores("protein", 3)
    again.load_state_dict(scores.state_dict())
    assert torch.equal(again(residues), found)


def test_keys_that_are_given_are_those_of_the_cache():
    residues = letters_of(*random_proteins(4))
    scores = CompositionScores("protein", 3)
    scores.fit(scores.composition(residues))
    keys = [(i, -i) for i in range(4)]
    found = scores(residues, keys)
    assert set(scores._known) == set(keys)
    assert torch.equal(scores(letters_of(*random_proteins(4)[::-1]), keys), found), (
        "what is cached is not computed again"
    )


@pytest.mark.parametrize(("kind", "sequences", "n_short"), [("nucleotide", DNA, 321), ("protein", PROTEIN, 421)])
def test_short_kmers_are_those_of_whole_sequences_beside_the_length(kind, sequences, n_short):
    scores, alone = (CompositionScores(kind, 3, with_short=short) for short in (True, False))
    residues = letters_of(*sequences)
    whole = scores.composition(residues)
    found = scores.short(residues)
    assert found.shape == (len(sequences), n_short) == (len(sequences), scores.n_short)
    torch.testing.assert_close(found[:, :-1], whole[:, : n_short - 1])
    torch.testing.assert_close(found[:, -1], whole[:, -1])
    for one in (scores, alone):
        one.fit(whole)
    torch.testing.assert_close(scores(residues), alone(residues))
    torch.testing.assert_close(scores.short(residues), found, msg="cached beside the scores")


def test_the_architecture_is_no_short_kmer():
    scores = CompositionScores("nucleotide", 3, with_architecture=True, with_short=True)
    assert scores.n_short == 321
    assert scores.short(letters_of()).shape == (0, 321)
