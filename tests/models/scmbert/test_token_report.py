"""The table of masked tokens, from predictions made by hand."""

import math

import numpy as np
import pytest
import torch

from omicsmlm._types import Encoded, Masked, TokenSet
from omicsmlm.masking import MaskedValues
from omicsmlm.models.scmbert._module import ScMBERTOutputs
from omicsmlm.models.scmbert._token_report import TokenReport

NAN = math.nan
KINDS = {"rna": "counts", "atac": "accessibility"}


def tokens(ids: list[int], values: list[float], n_features: int) -> TokenSet:
    """Tokens of one cell."""
    ones = torch.ones(1)
    offsets, measured = torch.tensor([0, len(ids)]), torch.ones(n_features, dtype=torch.bool)
    return TokenSet(torch.tensor(ids).long(), torch.tensor(values).float(), offsets, ones, ones, measured, ones.bool())


def predicting(bins: list[int], n_bins: int) -> torch.Tensor:
    """Logits whose largest is that of the bins."""
    return torch.nn.functional.one_hot(torch.tensor(bins).long(), n_bins).float().view(len(bins), n_bins)


def outputs_of(value_logits: dict, modality: dict) -> ScMBERTOutputs:
    nothing = Encoded(torch.zeros(1, 1), torch.zeros(1, 1))
    return ScMBERTOutputs(nothing, {}, None, value_logits, {name: predicting(own, 2) for name, own in modality.items()})


def add_first(report: TokenReport) -> None:
    """Of RNA three masked values, of ATAC four, and three masked modalities."""
    inputs = {
        "rna": tokens([0, 1, 2, -1], [NAN, NAN, NAN, 5.0], 3),
        "atac": tokens([0, 1, 0, 1, -1, -1], [NAN, NAN, NAN, NAN, 1.0, 1.0], 2),
    }
    whole = {"rna": tokens([0, 1, 2, 2], [1, 1, 1, 1], 3), "atac": tokens([0, 0, 0, 1], [1, 1, 1, 1], 2)}
    evaluated = {
        name: MaskedValues(torch.zeros(len(part.ids)), torch.zeros(1), part.ids < 0) for name, part in inputs.items()
    }
    atac_logits = torch.log(torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.7, 0.3], [0.5, 0.5]]))
    outputs = outputs_of(
        {"rna": predicting([1, 2, 2], 3), "atac": atac_logits},
        {"rna": [1, 1, 1, 0], "atac": [0, 0, 0, 0, 1, 0]},
    )
    true_bins = {"rna": torch.tensor([1, 2, 1]), "atac": torch.tensor([1, 1, 0, 0])}
    visible_bins = {"rna": torch.tensor([0, 0, 0, 7]), "atac": torch.tensor([0, 0, 0, 0, 7, 1])}
    report.add(outputs, Masked(inputs, whole, evaluated), true_bins, visible_bins)


def add_second(report: TokenReport) -> None:
    """Of RNA one masked value and one masked modality."""
    inputs = {"rna": tokens([1, -1], [NAN, 2.0], 3), "atac": tokens([], [], 2)}
    evaluated = {
        name: MaskedValues(torch.zeros(len(part.ids)), torch.zeros(1), part.ids < 0) for name, part in inputs.items()
    }
    outputs = outputs_of({"rna": predicting([0], 3), "atac": torch.zeros(0, 2)}, {"rna": [0, 0], "atac": []})
    true_bins = {"rna": torch.tensor([1]), "atac": torch.tensor([]).long()}
    visible_bins = {"rna": torch.tensor([0, 7]), "atac": torch.tensor([]).long()}
    whole = {"rna": tokens([1, 2], [1, 2], 3), "atac": inputs["atac"]}
    report.add(outputs, Masked(inputs, whole, evaluated), true_bins, visible_bins)


@pytest.fixture
def table():
    report = TokenReport(KINDS)
    add_first(report)
    add_second(report)
    return report.table()


def test_values_are_counted_over_batches(table):
    """Of RNA bins 1, 2, 1, 1 are predicted as 1, 2, 2, 0: two of four are right, and three of four are bin 1."""
    row = table.loc["values: rna"]
    assert (row["n"], row["accuracy"], row["majority"]) == (4, 0.5, 0.75)
    assert math.isnan(row["AUROC"])
    assert table.index.name == "hidden"


def test_open_regions_are_ranked_by_their_odds_and_by_their_popularity(table):
    """Open have scores log(4), log(2/3), closed log(3/7), log(1): of four pairs three are in order."""
    row = table.loc["values: atac"]
    assert row["AUROC"] == pytest.approx(0.75)
    # Region 0 was found three times, region 1 once; open are regions 0 and 1, closed are 0 and 1.
    assert row["AUROC of popularity"] == pytest.approx(0.5)
    assert (row["n"], row["majority"]) == (4, 0.5)
    assert row["accuracy"] == pytest.approx(3 / 4), "a tie of two bins is decided for the first"


def test_modalities_are_predicted_beside_the_best_that_bins_alone_allow(table):
    """True 0, 1, 1, 0 at bins 7, 7, 1, 7 are predicted as 0, 1, 0, 0; by bin two of the three of 7 are right, and the one of 1."""
    row = table.loc["modality"]
    assert (row["n"], row["accuracy"], row["majority"], row["by bin"]) == (4, 0.75, 0.5, 0.75)


def test_modalities_are_predicted_beside_the_one_of_which_a_cell_has_most():
    """Visible are two tokens of RNA and one of ATAC in the first cell, one of ATAC in the second; masked values do not count."""
    ones, yes = torch.ones(2), torch.ones(2, dtype=torch.bool)
    inputs = {
        "rna": TokenSet(
            torch.tensor([0, 1, -1, 0, 1, -1, -1]),
            torch.tensor([1, 1, NAN, NAN, NAN, NAN, NAN]),
            torch.tensor([0, 3, 7]),
            *(ones, ones, yes, yes),
        ),
        "atac": TokenSet(
            torch.tensor([0, -1, 1]), torch.tensor([1.0, NAN, 1]), torch.tensor([0, 2, 3]), *(ones, ones, yes, yes)
        ),
    }
    evaluated = {
        name: MaskedValues(torch.zeros(len(part.ids)), torch.zeros(2), part.ids < 0) for name, part in inputs.items()
    }
    values = {"rna": torch.zeros(2, 3), "atac": torch.zeros(0, 2)}
    bins = {"rna": torch.tensor([1, 1]), "atac": torch.tensor([]).long()}
    shown = {name: torch.full((len(part.ids),), 4) for name, part in inputs.items()}
    report = TokenReport(KINDS)
    whole = {name: part._replace(ids=part.ids.clamp(min=0)) for name, part in inputs.items()}
    report.add(outputs_of(values, {"rna": [0] * 7, "atac": [0] * 3}), Masked(inputs, whole, evaluated), bins, shown)
    row = report.table().loc["modality"]
    # Of RNA one masked modality in the first cell, two in the second; of ATAC one in the first: right is the first of RNA.
    assert (row["n"], row["by cell"], row["by bin"], row["majority"]) == (4, 0.25, 0.75, 0.75)
    assert report.table().loc["values: rna", "n"] == 2, "a value whose feature is masked too is not predicted"


def test_popularity_counts_the_features_before_masking():
    report = TokenReport({"atac": "accessibility"})
    inputs = tokens([0, 1], [NAN, NAN], 2)
    whole = tokens([0, 0, 1], [1, 1, 1], 2)
    evaluated = MaskedValues(torch.zeros(2), torch.zeros(1), inputs.ids < 0)
    for true in ([1, 0], [1, 0]):
        outputs = outputs_of({"atac": torch.zeros(2, 3)}, {"atac": [0, 0]})
        bins = torch.tensor(true)
        report.add(
            outputs, Masked({"atac": inputs}, {"atac": whole}, {"atac": evaluated}), {"atac": bins}, {"atac": bins}
        )
    row = report.table().loc["values: atac"]
    assert row["AUROC of popularity"] == 1.0
    assert row["AUROC"] == 0.5, "all predictions are the same"
    assert list(report.table().index) == ["values: atac"], "with one modality there is none to predict"


def test_a_ranking_needs_both_open_and_closed_regions():
    report = TokenReport({"atac": "accessibility"})
    inputs = tokens([0, 1], [NAN, NAN], 2)
    evaluated = MaskedValues(torch.zeros(2), torch.zeros(1), inputs.ids < 0)
    bins = {"atac": torch.tensor([1, 2])}
    masked = Masked({"atac": inputs}, {"atac": inputs}, {"atac": evaluated})
    report.add(outputs_of({"atac": torch.zeros(2, 3)}, {"atac": [0, 0]}), masked, bins, bins)
    assert np.isnan(report.table().loc["values: atac", "AUROC"])


def test_a_modality_without_masked_values_has_no_row():
    report = TokenReport(KINDS)
    add_second(report)
    assert list(report.table().index) == ["values: rna", "modality"]
