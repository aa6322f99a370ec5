"""Cross-entropy of hidden letters, against a loop."""

import math
from typing import NamedTuple

import pytest
import torch

from omicsmlm._types import MASK_BIT, Masked
from omicsmlm.objectives import ResidueCrossEntropy
from tests.objects import NO_BATCH, letters_of

ALPHABETS = {"dna": "ACGT", "protein": "ACD"}


class Outputs(NamedTuple):
    residues: dict


def codes(alphabet):
    table = torch.full((256,), -1)
    for code, residue in enumerate(alphabet):
        table[ord(residue)] = code
    table[MASK_BIT:] = -2
    return table


CODES = {name: codes(alphabet) for name, alphabet in ALPHABETS.items()}


def case(**sequences):
    generator = torch.Generator().manual_seed(0)
    whole, logits, evaluated = {}, {}, {}
    for name, texts in sequences.items():
        whole[name] = letters_of(*texts)
        evaluated[name] = torch.rand(len(whole[name].residues), generator=generator) < 0.5
        logits[name] = torch.randn(len(evaluated[name]), len(ALPHABETS[name]), generator=generator).requires_grad_()
    return Outputs(logits), Masked({}, whole, evaluated)


def evaluated(outputs, masked):
    return ResidueCrossEntropy(CODES)(outputs, masked, NO_BATCH, 0.5)


def test_it_is_the_mean_surprise_of_each_kind():
    texts = {"dna": ["ACGTNACGTAACGN", "NN", "TTAC"], "protein": ["ACDX", "DDCAAXXX"]}
    outputs, masked = case(**texts)
    terms = evaluated(outputs, masked)
    assert set(terms) == {"dna", "protein"}
    for name in terms:
        hidden = masked.evaluated[name].tolist()
        surprises = []
        for residue, is_hidden, logit_a in zip(
            "".join(texts[name]), hidden, outputs.residues[name].tolist(), strict=True
        ):
            if is_hidden and residue in ALPHABETS[name]:
                norm = math.log(sum(math.exp(x) for x in logit_a))
                surprises.append(norm - logit_a[ALPHABETS[name].index(residue)])
        assert len(surprises) < sum(hidden), "some are ambiguous"
        assert float(terms[name].detach()) == pytest.approx(sum(surprises) / len(surprises), rel=1e-5)


def test_of_ambiguous_letters_nothing_is_asked():
    outputs, masked = case(dna=["NNNNNNNN"])
    loss = evaluated(outputs, masked)["dna"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert (outputs.residues["dna"].grad == 0).all()


def test_where_nothing_is_hidden_nothing_is_lost_and_training_goes_on():
    outputs, masked = case(dna=[])
    loss = evaluated(outputs, masked)["dna"]
    assert float(loss.detach()) == 0
    loss.backward()


def test_residues_behind_the_last_sequence_are_left_out():
    outputs, masked = case(dna=["ACGTACGT"])
    expected = evaluated(outputs, masked)["dna"]
    whole = masked.targets["dna"]
    more = whole._replace(residues=torch.cat([whole.residues, whole.residues[:3]]))
    masked = Masked({}, {"dna": more}, {"dna": torch.cat([masked.evaluated["dna"], torch.ones(3, dtype=torch.bool)])})
    assert torch.equal(evaluated(outputs, masked)["dna"], expected)


def test_half_precision_is_computed_in_single():
    outputs, masked = case(dna=["ACGTACGT"])
    half = Outputs({"dna": outputs.residues["dna"].detach().bfloat16()})
    found = evaluated(half, masked)["dna"]
    assert found.dtype == torch.float32
    assert torch.equal(found, evaluated(Outputs({"dna": half.residues["dna"].float()}), masked)["dna"])
