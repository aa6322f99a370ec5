"""Modalities that rows lose, and letters that are masked."""

import pytest
import torch

from omicsmlm import _types
from omicsmlm._types import MASK_BIT, Grid
from omicsmlm.masking import DropModalities, MaskResidues, has_modality, without_modality
from tests.objects import draws_for, letters_of


def views(n=600):
    """DNA of all rows, RNA of the first two thirds, a vector of the first third; and targets."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(n, 3, generator=generator) + 1
    visible = (torch.arange(n) < n // 3)[:, None].expand(n, 3)
    whole = torch.ones(n, 2, dtype=torch.bool)
    return {
        "dna": letters_of("ACGT", "GG", of_obs=[i % 2 for i in range(n)]),
        "rna": letters_of("ACG", of_obs=[0 if i < 2 * n // 3 else -1 for i in range(n)]),
        "vector": Grid(values * visible, visible, (values * visible).sum(1)),
        "y": Grid(torch.rand(n, 2, generator=generator), whole, torch.ones(n)),
    }


def drop(rate, whole, seed=0):
    return DropModalities(rate, "y")(whole, draws_for(whole, seed))


def test_targets_are_never_shown():
    whole = views()
    masked = drop(0.5, whole)
    assert set(masked.inputs) == {"dna", "rna", "vector"}
    assert set(masked.targets) == {"y"}
    assert masked.targets["y"] is whole["y"]


def test_a_row_loses_one_of_several_and_never_its_last():
    n = 600
    whole = views(n)
    has_before = torch.stack([has_modality(whole[name]) for name in ("dna", "rna", "vector")], 1)
    assert has_before.sum(0).tolist() == [n, 400, 200]
    inputs = drop(1.0, whole).inputs
    has = torch.stack([has_modality(inputs[name]) for name in inputs], 1)
    assert not (has & ~has_before).any()
    assert (has_before.sum(1) - has.sum(1)).tolist() == [1] * 400 + [0] * 200
    lost_n3 = (has_before & ~has)[:200]
    assert all(40 < int(count) < 95 for count in lost_n3.sum(0)), "each as often"
    fraction = (has_before & ~torch.stack([has_modality(v) for v in drop(0.3, whole).inputs.values()], 1)).any(1)[:400]
    assert float(fraction.float().mean()) == pytest.approx(0.3, abs=0.06)


def test_what_is_left_is_as_it_was():
    whole = views()
    inputs = drop(1.0, whole).inputs
    for name in ("dna", "rna"):
        kept = inputs[name].of_obs >= 0
        assert torch.equal(inputs[name].of_obs[kept], whole[name].of_obs[kept])
        assert inputs[name].residues is whole[name].residues
    visible = inputs["vector"].visible
    assert torch.equal(inputs["vector"].values[visible], whole["vector"].values[visible])
    assert (inputs["vector"].values[~visible] == 0).all(), "what is hidden leaves no trace"
    assert torch.allclose(inputs["vector"].total, inputs["vector"].values.sum(1), atol=1e-6)
    assert int((whole["dna"].of_obs < 0).sum()) == 0, "the views given are not changed"


def test_nothing_is_lost_at_rate_zero():
    whole = views()
    inputs = drop(0.0, whole).inputs
    assert all(torch.equal(inputs[name].of_obs, whole[name].of_obs) for name in ("dna", "rna"))
    assert torch.equal(inputs["vector"].visible, whole["vector"].visible)


def test_a_modality_is_taken_away():
    lost = torch.tensor([True, False, True])
    assert without_modality(letters_of("A", "C", of_obs=[1, 0, -1]), lost).of_obs.tolist() == [-1, 0, -1]
    grid = Grid(torch.tensor([[1.0], [2.0], [3.0]]), torch.ones(3, 1, dtype=torch.bool), torch.tensor([1.0, 2.0, 3.0]))
    left = without_modality(grid, lost)
    assert left.values.ravel().tolist() == [0, 2, 0]
    assert left.visible.ravel().tolist() == [False, True, False]
    assert left.total.tolist() == [0, 2, 0]


def mask(rate, whole, names=("dna",), seed=0):
    return MaskResidues(rate, names)(whole, draws_for(whole, seed))


def test_masked_letters_are_those_that_are_guessed():
    whole = {"dna": letters_of("ACGT" * 1000, "GG" * 500), "rna": letters_of("AC"), "y": views(2)["y"]}
    masked = mask(0.15, whole)
    assert set(masked.inputs) == set(masked.targets) == set(masked.evaluated) == {"dna"}
    evaluated, residues = masked.evaluated["dna"], masked.inputs["dna"].residues
    assert torch.equal(residues[evaluated], whole["dna"].residues[evaluated] | MASK_BIT)
    assert torch.equal(residues[~evaluated], whole["dna"].residues[~evaluated])
    assert float(evaluated.float().mean()) == pytest.approx(0.15, abs=0.02)
    assert masked.targets["dna"] is whole["dna"]
    assert not (whole["dna"].residues & MASK_BIT).any(), "the views given are not changed"


def test_a_batch_without_sequences_has_nothing_to_guess():
    masked = mask(0.5, {"dna": letters_of(of_obs=[-1, -1])})
    assert masked.evaluated["dna"].shape == (0,)


@pytest.mark.parametrize("mask", [lambda seed: drop(0.5, views(), seed), lambda seed: mask(0.5, views(), seed=seed)])
def test_the_generator_alone_decides(mask):
    state = torch.get_rng_state()
    first, again, other = (mask(seed).inputs["dna"] for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state()), "the global random state was used"
    same = [torch.equal(a, b) for a, b in zip(first, again, strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_residues_of_no_sequence_are_not_masked(monkeypatch):
    """On a device some may stand behind those of the last sequence."""
    monkeypatch.setattr(_types, "is_on_host", lambda tensor: False)
    whole = letters_of("ACGT" * 5, "GG")
    more = whole._replace(residues=torch.cat([whole.residues, whole.residues[:4]]))
    masked = mask(1.0, {"dna": more})
    assert masked.evaluated["dna"].tolist() == [True] * 22 + [False] * 4
    assert torch.equal(masked.inputs["dna"].residues[:22], more.residues[:22] | MASK_BIT)
    assert torch.equal(masked.inputs["dna"].residues[22:], whole.residues[:4])


def test_a_mask_is_no_letter():
    assert MASK_BIT == 128
    assert not any(letter & MASK_BIT for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*")


def test_each_sequence_is_masked_by_its_own_letters_alone():
    """Whatever stands beside it."""
    alone = mask(0.5, {"dna": letters_of("ACGTACGTAC")}).evaluated["dna"]
    among = mask(0.5, {"dna": letters_of("GG", "ACGTACGTAC", "TTT")}).evaluated["dna"]
    assert torch.equal(among[2:12], alone)
    assert 0 < int(alone.sum()) < 10


def test_only_the_sequences_that_are_named_are_masked():
    whole = {"dna": letters_of("ACGT" * 20), "rna": letters_of("ACGU" * 20)}
    masked = mask(0.5, whole, names=("rna", "dna"))
    assert list(masked.inputs) == ["rna", "dna"]
    assert not torch.equal(masked.evaluated["dna"], masked.evaluated["rna"])


def test_what_has_a_modality():
    assert has_modality(letters_of("A", "C", of_obs=[1, 0, -1])).tolist() == [True, True, False]
    visible = torch.tensor([[False, True], [False, False]])
    assert has_modality(Grid(torch.zeros(2, 2), visible, torch.zeros(2))).tolist() == [True, False]
