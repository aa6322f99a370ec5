from types import SimpleNamespace

import pytest
import torch

from omicsmlm._types import Batch, Masked
from omicsmlm.objectives import LabelObjective, SemiSupervised


def test_weighted_cross_entropy_of_the_rows_of_the_batch():
    objective = LabelObjective(torch.tensor([0, 1, -1, 1]), torch.tensor([1.0, 3.0]))
    logits_nc = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    batch = Batch({}, {}, {}, torch.zeros(2, 0), torch.tensor([3, 0]))  # labels 1 and 0
    p = logits_nc.softmax(1)
    by_hand = -(3 * p[0, 1].log() + 1 * p[1, 0].log()) / 4
    assert objective(logits_nc, Masked({}, {}), batch, 0.5)["labels"] == pytest.approx(float(by_hand), abs=1e-6)


class Unsupervised:
    """An objective with one term, which notes the calls of its memory bank."""

    start = 0.25

    def __init__(self):
        self.calls = []

    def __call__(self, outputs, masked, batch, progress):
        return {"own": torch.tensor(2.0)}

    def refresh(self, embedding_md, covariates_mk, indices_m, *, is_whole):
        self.calls.append(("refresh", is_whole))

    def clear(self):
        self.calls.append("clear")


def batch_of(*positions):
    return Batch({}, {}, {}, torch.zeros(len(positions), 0), torch.tensor(positions))


def test_labels_are_one_more_term_and_only_the_labelled_count():
    objective = SemiSupervised(Unsupervised(), weight=4.0)
    objective.codes_n = torch.tensor([0, 1, -1, 1])
    logits_nc = torch.tensor([[0.0, 2.0], [1.0, 0.0], [5.0, -5.0]])
    terms = objective(SimpleNamespace(label_logits=logits_nc), Masked({}, {}), batch_of(3, 0, 2), 0.5)  # 1, 0, none
    p = logits_nc.softmax(1)
    assert float(terms["own"]) == 2
    assert float(terms["labels"]) == pytest.approx(float(-4 * (p[0, 1].log() + p[1, 0].log()) / 2), abs=1e-5)
    nobody = objective(SimpleNamespace(label_logits=logits_nc[:1]), Masked({}, {}), batch_of(2), 0.5)
    assert float(nobody["labels"]) == 0


def test_the_memory_bank_is_that_of_the_unsupervised_objective():
    unsupervised = Unsupervised()
    objective = SemiSupervised(unsupervised, weight=1.0)
    assert objective.start == 0.25
    objective.refresh(torch.zeros(1, 1), torch.zeros(1, 0), torch.zeros(1), is_whole=False)
    objective.clear()
    assert unsupervised.calls == [("refresh", False), "clear"]


def test_the_distance_is_the_divergence_of_labels():
    objective = LabelObjective(torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    full_nc, partial_nc = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[0.5, 0.0], [1.0, 3.0]])
    p, q = full_nc.softmax(1), partial_nc.softmax(1)
    kl = sum(float(p[i, c] * (p[i, c].log() - q[i, c].log())) for i in range(2) for c in range(2)) / 2
    assert float(objective.distance(full_nc, partial_nc, batch_of(1, 0))) == pytest.approx(kl, abs=1e-6)


def test_half_precision_is_computed_in_single_and_a_batch_of_no_weight_is_no_loss():
    objective = LabelObjective(torch.tensor([0, 1]), torch.tensor([1.0, 0.0]))
    batch = Batch({}, {}, {}, torch.zeros(1, 0), torch.tensor([1]))
    found = objective(torch.zeros(1, 2, dtype=torch.bfloat16), Masked({}, {}), batch, 0.5)["labels"]
    assert found.dtype == torch.float32
    assert float(found) == 0
