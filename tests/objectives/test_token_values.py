"""Cross-entropies of hidden values and modalities, worked by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from omicsmlm._types import Batch, Encoded, Grid, Masked, TokenSet
from omicsmlm.masking import MaskedValues
from omicsmlm.objectives import LatentReconstruction, TokenPrediction

NAN = float("nan")


def part_of(ids, values, offsets) -> TokenSet:
    n = len(offsets) - 1
    one, yes = torch.ones(n), torch.ones(n, dtype=torch.bool)
    return TokenSet(torch.tensor(ids), torch.tensor(values), torch.tensor(offsets), one, one, torch.ones(3).bool(), yes)


def digitize(name, values_t, obs_t, total_n, part):
    """A bin per tenth of the total; named so that the test sees what it is asked."""
    return (10 * values_t / total_n[obs_t]).long()


def case() -> tuple[SimpleNamespace, Masked, Batch]:
    """Two rows. Hidden values: RNA 2 of 20 (bin 1) and 9 of 30 (bin 3), ATAC 0 of 5 (bin 0)."""
    inputs = {
        "rna": part_of([0, 1, -1, 2], [NAN, 4.0, 6.0, NAN], [0, 2, 4]),
        "atac": part_of([1, -1], [NAN, 1.0], [0, 1, 2]),
    }
    evaluated = {
        "rna": MaskedValues(
            torch.tensor([2.0, 4, 6, 9]), torch.tensor([20.0, 30]), torch.tensor([False, False, True, False])
        ),
        "atac": MaskedValues(torch.tensor([0.0, 1]), torch.tensor([5.0, 6]), torch.tensor([False, True])),
    }
    value_logits = {
        "rna": torch.tensor([[0.0, math.log(3), 0, 0], [0, 0, 0, math.log(5)]]),  # −log 3/6, −log 5/8
        "atac": torch.tensor([[math.log(4), 0.0]]),  # −log 4/5
    }
    modality_logits = {
        "rna": torch.tensor([[9.0, -9], [9, -9], [math.log(2), 0], [-9, 9]]),  # −log 2/3 at the third
        "atac": torch.tensor([[9.0, -9], [0, math.log(7)]]),  # −log 7/8 at the second
    }
    outputs = SimpleNamespace(value_logits=value_logits, modality_logits=modality_logits)
    batch = Batch({}, {}, {}, torch.zeros(2, 0).long(), torch.arange(2))
    return outputs, Masked(inputs, inputs, evaluated), batch


def no_grids(batch):
    raise AssertionError("without a cell term nothing is laid on a grid")


VALUES = -math.log(3 / 6) - math.log(5 / 8) - math.log(4 / 5)
MODALITIES = -math.log(2 / 3) - math.log(7 / 8)


def test_the_terms_are_sums_over_a_row_and_means_over_rows():
    outputs, masked, batch = case()
    terms = TokenPrediction(digitize, 1.0, 1.0, no_grids, None)(outputs, masked, batch, 0.5)
    assert set(terms) == {"values", "modality"}
    assert float(terms["values"]) == pytest.approx(VALUES / 2)
    assert float(terms["modality"]) == pytest.approx(MODALITIES / 2)


def test_the_terms_have_weights():
    outputs, masked, batch = case()
    terms = TokenPrediction(digitize, 0.5, 3.0, no_grids, None)(outputs, masked, batch, 0.5)
    assert float(terms["values"]) == pytest.approx(0.5 * VALUES / 2)
    assert float(terms["modality"]) == pytest.approx(3 * MODALITIES / 2)


def test_only_hidden_values_and_modalities_that_are_asked_for_are_judged():
    outputs, masked, batch = case()
    for name, asked in (("rna", [2]), ("atac", [1])):
        for t in range(len(outputs.modality_logits[name])):
            if t not in asked:
                outputs.modality_logits[name][t] = torch.tensor([5.0, -7.0])
        truth = masked.evaluated[name]
        shown = ~masked.inputs[name].values.isnan()
        masked.evaluated[name] = truth._replace(values=torch.where(shown, 99.0, truth.values))
    terms = TokenPrediction(digitize, 1.0, 1.0, no_grids, None)(outputs, masked, batch, 0.5)
    assert float(terms["values"]) == pytest.approx(VALUES / 2)
    assert float(terms["modality"]) == pytest.approx(MODALITIES / 2)


def test_the_hidden_bins_are_those_of_true_values_in_true_totals():
    _, masked, _ = case()
    found = TokenPrediction(digitize, 1.0, 1.0, no_grids, None).masked_bins(masked)
    assert {name: bins.tolist() for name, bins in found.items()} == {"rna": [1, 3], "atac": [0]}


def test_bins_are_asked_for_in_the_whole_observations():
    """Of RNA the first and the last token are masked, in the first and the second row."""
    _, masked, _ = case()
    whole = {name: part._replace(values=part.values.nan_to_num(8.0)) for name, part in masked.inputs.items()}
    asked = {}

    def record(name, values_t, obs_t, total_n, part):
        asked[name] = (values_t.tolist(), obs_t.tolist(), total_n.tolist(), part)
        return obs_t

    TokenPrediction(record, 1.0, 1.0, no_grids, None).masked_bins(masked._replace(targets=whole))
    assert asked["rna"][:3] == ([2.0, 9.0], [0, 1], [20.0, 30.0])
    assert asked["rna"][3] is whole["rna"]
    assert asked["atac"][:3] == ([0.0], [0], [5.0, 6.0])


def test_with_one_modality_there_is_no_question_of_it():
    outputs, masked, batch = case()
    for held in (outputs.value_logits, outputs.modality_logits, masked.inputs, masked.evaluated):
        del held["atac"]
    terms = TokenPrediction(digitize, 1.0, 1.0, no_grids, None)(outputs, masked, batch, 0.5)
    assert list(terms) == ["values"]
    assert float(terms["values"]) == pytest.approx((-math.log(3 / 6) - math.log(5 / 8)) / 2)


def test_a_batch_in_which_nothing_is_hidden_costs_nothing():
    outputs, masked, batch = case()
    for name, part in masked.inputs.items():
        masked.inputs[name] = part._replace(values=part.values.nan_to_num(1.0))
        masked.evaluated[name] = masked.evaluated[name]._replace(identity_masked=torch.zeros(len(part.ids)).bool())
        outputs.value_logits[name] = outputs.value_logits[name][:0]
    terms = TokenPrediction(digitize, 1.0, 1.0, no_grids, None)(outputs, masked, batch, 0.5)
    assert {name: float(term) for name, term in terms.items()} == {"values": 0.0, "modality": 0.0}


def test_the_cell_is_judged_on_the_whole_row():
    outputs, masked, batch = case()
    generator = torch.Generator().manual_seed(0)
    outputs.encoded = Encoded(torch.randn(2, 3, generator=generator), torch.zeros(2, 3))
    head = SimpleNamespace(
        logits=torch.randn(2, 4, generator=generator),
        log_dispersion=torch.zeros(1, 4),
        features=None,
        category=torch.zeros(2, dtype=torch.int64),
    )
    outputs.decoded, outputs.batch_logits = {"rna": head}, None
    values = torch.tensor([[1.0, 0, 3, 2], [0, 5, 1, 0]])
    grids = {"rna": Grid(values, torch.ones(2, 4).bool(), values.sum(1))}
    cell = LatentReconstruction({"rna": "counts"}, {"rna": 2.0}, kl_weight=0.5, kl_warmup=1.0, adversary_weight=0.0)
    asked = []

    def lay(given):
        asked.append(given)
        return grids

    terms = TokenPrediction(digitize, 1.0, 1.0, lay, cell)(outputs, masked, batch, 0.4)
    assert len(asked) == 1
    assert asked[0] is batch
    expected = cell(outputs, Masked(grids, grids), batch, 0.4)
    assert set(terms) == {"values", "modality", "rna", "kl"}
    assert float(terms["rna"]) == float(expected["rna"]) > 0
    assert float(terms["kl"]) == float(expected["kl"]) > 0
    assert float(terms["values"]) == pytest.approx(VALUES / 2)
