"""Agreement of a head's predictions from partial and full views, by hand."""

from types import SimpleNamespace

import pytest
import torch

from omicsmlm._types import Batch, Masked
from omicsmlm.objectives import AgreeingViews, LabelObjective, info_nce

BATCH = Batch({}, {}, {}, torch.zeros(2, 0), torch.tensor([1, 0]))  # labels 1 and 0


@pytest.fixture
def outputs():
    tensors = {
        "full": [[0.0, 2.0], [1.0, 0.0]],
        "partial": [[0.5, 0.0], [1.0, 3.0]],
        "full_nd": [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0]],
        "partial_nd": [[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]],
    }
    return SimpleNamespace(**{name: torch.tensor(value, requires_grad=True) for name, value in tensors.items()})


@pytest.fixture
def objective():
    return LabelObjective(torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))


def gradients(term, outputs):
    found = torch.autograd.grad(term, list(vars(outputs).values()), allow_unused=True, retain_graph=True)
    return {name: value is not None and bool(value.any()) for name, value in zip(vars(outputs), found, strict=True)}


def test_both_views_learn_from_the_labels_and_the_partial_one_from_the_full_one(objective, outputs):
    terms = AgreeingViews(objective, 0.5)(outputs, Masked({}, {}), BATCH, 0.5)
    p, q = outputs.full.detach().softmax(1), outputs.partial.detach().softmax(1)
    by_hand = -(3 * p[0, 1].log() + p[1, 0].log() + 3 * q[0, 1].log() + q[1, 0].log()) / 8
    assert float(terms["labels"].detach()) == pytest.approx(float(by_hand), abs=1e-6)
    kl = sum(float(p[i, c] * (p[i, c].log() - q[i, c].log())) for i in range(2) for c in range(2)) / 2
    assert float(terms["agreement"].detach()) == pytest.approx(0.5 * kl, abs=1e-6)
    assert gradients(terms["agreement"], outputs) == {
        "full": False,
        "partial": True,
        "full_nd": False,
        "partial_nd": False,
    }
    assert gradients(terms["labels"], outputs)["full"]


def test_the_other_form_identifies_the_embedding_of_the_full_view(objective, outputs):
    terms = AgreeingViews(objective, 2.0, "infonce")(outputs, Masked({}, {}), BATCH, 0.5)
    expected = 2 * float(info_nce(outputs.full_nd, outputs.partial_nd).detach())
    assert float(terms["agreement"].detach()) == pytest.approx(expected, rel=1e-6)
    assert gradients(terms["agreement"], outputs) == {
        "full": False,
        "partial": False,
        "full_nd": False,
        "partial_nd": True,
    }
