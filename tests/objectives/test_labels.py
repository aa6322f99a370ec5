import pytest
import torch

from omicsmlm._types import Batch, Masked
from omicsmlm.objectives import LabelObjective


def test_weighted_cross_entropy_of_the_rows_of_the_batch():
    objective = LabelObjective(torch.tensor([0, 1, -1, 1]), torch.tensor([1.0, 3.0]))
    logits_nc = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    batch = Batch({}, {}, {}, torch.zeros(2, 0), torch.tensor([3, 0]))  # labels 1 and 0
    p = logits_nc.softmax(1)
    by_hand = -(3 * p[0, 1].log() + 1 * p[1, 0].log()) / 4
    assert objective(logits_nc, Masked({}, {}), batch, 0.5)["labels"] == pytest.approx(float(by_hand), abs=1e-6)


def test_half_precision_is_computed_in_single_and_a_batch_of_no_weight_is_no_loss():
    objective = LabelObjective(torch.tensor([0, 1]), torch.tensor([1.0, 0.0]))
    batch = Batch({}, {}, {}, torch.zeros(1, 0), torch.tensor([1]))
    found = objective(torch.zeros(1, 2, dtype=torch.bfloat16), Masked({}, {}), batch, 0.5)["labels"]
    assert found.dtype == torch.float32
    assert float(found) == 0
