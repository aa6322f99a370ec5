"""Open reading frames and the parts around them against a loop over text."""

import math
import re

import numpy as np
import pytest
import torch

from omicsmlm.nn import ARCHITECTURE, Composition, architecture, longest_frames
from omicsmlm.nn._residues import residue_codes
from tests.objects import letters_of

CODES = residue_codes("nucleotide")
STOPS = ("TAA", "TAG", "TGA")


def frame_by_loop(text):
    best = (0, 0)
    for start in range(len(text) - 2):
        if text[start : start + 3] != "ATG":
            continue
        end = start
        while end + 3 <= len(text):
            end += 3
            if text[end - 3 : end] in STOPS:
                break
        if end - start > best[1] - best[0]:
            best = (start, end)
    return best


def by_loop(text):
    start, end = frame_by_loop(text)
    parts = text[:start], text[start:end], text[end:]

    def gc(part):
        known = [r for r in part if r in "ACGT"] or [r for r in text if r in "ACGT"]
        return sum(r in "CG" for r in known) / max(len(known), 1)

    def starting(motif, low, high):
        return sum(low <= at.start() < high for at in re.finditer(f"(?={motif})", text))

    return [
        *(math.log1p(len(part)) for part in parts),
        len(parts[1]) / len(text),
        *map(gc, parts),
        math.log1p(starting("ATG", 0, start)),
        math.log1p(starting("ATTTA", end, len(text))),
        math.log1p(starting("TTATTTA", end, len(text))),
        float(starting("AATAAA", len(text) - 50, len(text)) > 0),
    ]


def random_sequences(n=40):
    rng = np.random.default_rng(0)
    return [
        "".join(rng.choice(list("ACGTN"), int(rng.integers(1, 300)), p=[0.3, 0.17, 0.2, 0.32, 0.01])) for _ in range(n)
    ]


SEQUENCES = [
    *random_sequences(),
    "GGATGAAATAGCC",
    "CATGCCATGAATAAATTTATTTAC",
    "ATG",
    "AT",
    "A",
    "NNNN",
    "TAATAATAA",
    "ATGAAAATGAAA",
    "CCATGTAAATGTAG",
]


def test_frames_are_those_of_a_loop():
    residues = letters_of(*SEQUENCES)
    frames = longest_frames(residues, CODES[residues.residues.long()])
    assert list(zip(*(part.tolist() for part in frames), strict=True)) == [frame_by_loop(text) for text in SEQUENCES]
    assert (frames.end_u > 0).sum() > 20


def test_by_hand():
    residues = letters_of("GGATGAAATAGCC", "CCATGTAAATGTAG", "ATGAAAA", "CCC")
    frames = longest_frames(residues, CODES[residues.residues.long()])
    assert frames.start_u.tolist() == [2, 2, 0, 0], "of equal ones the first"
    assert frames.end_u.tolist() == [11, 8, 6, 0]
    found = architecture(residues, CODES[residues.residues.long()])
    expected = [math.log(3), math.log(10), math.log(3), 9 / 13, 1, 2 / 9, 1, 0, 0, 0, 0]
    assert found[0].tolist() == pytest.approx(expected)
    assert found[3].tolist() == pytest.approx([0, 0, math.log(4), 0, 1, 1, 1, 0, 0, 0, 0])


def test_features_are_those_of_a_loop():
    residues = letters_of(*SEQUENCES)
    found = architecture(residues, CODES[residues.residues.long()])
    assert found.shape == (len(SEQUENCES), len(ARCHITECTURE))
    np.testing.assert_allclose(found.numpy(), [by_loop(text) for text in SEQUENCES], atol=1e-5)


def test_a_sequence_does_not_depend_on_the_others():
    composition = Composition("nucleotide", with_architecture=True)
    together = composition.architecture(letters_of(*SEQUENCES))
    assert torch.equal(together, torch.cat([composition.architecture(letters_of(text)) for text in SEQUENCES]))


def test_of_nothing_there_is_nothing():
    assert Composition("nucleotide").architecture(letters_of(of_obs=[-1])).shape == (0, 11)


def test_it_stands_behind_the_composition():
    plain, whole = Composition("nucleotide"), Composition("nucleotide", with_architecture=True)
    residues = letters_of(*SEQUENCES)
    found = whole(residues)
    assert found.shape[1] == whole.n_features == plain.n_features + 11 == sum(whole.block_sizes)
    assert torch.equal(found[:, :-11], plain(residues))
    assert torch.equal(found[:, -11:], whole.architecture(residues))
