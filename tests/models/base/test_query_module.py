"""The part of a network that is adapted to new batches: copied from a smaller one, and trained in that part alone."""

import copy

import pytest
import torch

from omicsmlm._types import Batch
from tests.models.base.test_component_module import Small

KINDS = {"rna": "counts", "atac": "accessibility"}


def batch_of(covariates):
    return Batch({}, {}, {}, torch.tensor(covariates).view(len(covariates), -1), torch.arange(len(covariates)))


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            value.copy_(torch.randn(value.shape, generator=generator))
    return module


@pytest.fixture
def reference():
    return randomised(Small(KINDS, (2, 2), has_adversary=False))


@pytest.fixture
def query(reference):
    made = Small(KINDS, (4, 2), n_fixed=2)
    made.load_from(reference)
    return made


def test_what_the_reference_knows_is_copied(reference, query):
    own = query.state_dict()
    for name, value in reference.state_dict().items():
        if own[name].shape == value.shape:
            assert torch.equal(own[name], value), name
    assert torch.equal(query.reference_md, reference.reference_md)
    old, new = (module.decoder.trunk[0].weight for module in (reference, query))
    assert torch.equal(new[:, :12], old[:, :12]), "the latent and the known batches"
    torch.testing.assert_close(new[:, 12:14], old[:, 10:12].mean(1, keepdim=True).expand(-1, 2))
    assert torch.equal(new[:, 14:], old[:, 12:]), "the further covariate"
    assert torch.equal(query.decoder.head("rna").bias[:2], reference.decoder.head("rna").bias)
    assert not any(a.data_ptr() == b.data_ptr() for a in query.parameters() for b in reference.parameters())


def test_a_query_of_a_query_keeps_its_alignment(query):
    with torch.no_grad():
        query.alignment.shift_brkd.normal_()
        query.alignment.centre_brkd.normal_()
    second = Small(KINDS, (5, 2), n_fixed=2)
    second.load_from(query)
    assert torch.equal(second.alignment.shift_brkd[:2], query.alignment.shift_brkd)
    assert torch.equal(second.alignment.centre_brkd[:2], query.alignment.centre_brkd)
    assert not second.alignment.shift_brkd[2].any(), "of the batch that is new there is no shift yet"


def test_a_module_that_has_more_modalities_keeps_its_own_of_them(reference):
    made = Small({**KINDS, "prot": "protein"}, (2, 2), n_fixed=2)
    before = copy.deepcopy(made.decoder.head("prot").state_dict())
    made.load_from(reference)
    for name, value in made.decoder.head("prot").state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(made.decoder.head("atac").bias, reference.decoder.head("atac").bias)


def test_embedding_moves_new_batches_alone(query, reference):
    views = {"rna": type("View", (), {"values": torch.randn(4, 10)})}
    encoded = query.encode(views)
    assert torch.equal(reference.embed(views, batch_of([[0, 0]] * 4)).mean, encoded.mean), "no alignment"
    with torch.no_grad():
        query.alignment.shift_brkd[0] = 0.5
    found = query.embed(views, batch_of([[0, 0], [1, 0], [2, 0], [3, 0]]))
    expected_nd = encoded.mean.clone()
    expected_nd[2] += 0.5 * query.alignment.shift_brkd.shape[1]  # so much in every round
    torch.testing.assert_close(found.mean, expected_nd)
    assert torch.equal(found.mean[:2], encoded.mean[:2])
    assert torch.equal(found.log_variance, encoded.log_variance)
    assert torch.equal(query.aligned(encoded, batch_of([[]] * 4)).mean, encoded.mean), "without a batch"


def test_training_moves_the_new_batches_alone(query):
    query.adapt_only(2, [])
    before = copy.deepcopy(query.state_dict())
    loss = torch.zeros(())
    for weight in query.parameters():
        if weight.requires_grad:
            loss = loss + weight.sum()
    loss.backward()
    moved = {}
    for name, weight in query.named_parameters():
        if weight.grad is not None and weight.grad.any():
            moved[name] = weight.grad
    assert {name.split(".")[0] for name in moved} == {"decoder"}
    for name, gradient in moved.items():
        if name == "decoder.trunk.0.weight":
            expected = torch.zeros_like(gradient)
            expected[:, 12:14] = 1
        else:
            assert name.endswith(("bias", "log_dispersion"))
            expected = torch.zeros_like(gradient)
            expected[2:] = 1
        assert torch.equal(gradient, expected), name
    assert len(moved) == 1 + 2 + 1, "the column of the batch; the bias of both heads and the dispersion of counts"
    assert all(torch.equal(value, before[name]) for name, value in query.state_dict().items())


def test_added_features_train_as_a_whole(query):
    query.adapt_only(4, ["atac"])
    own = dict(query.decoder.head("atac").named_parameters())
    assert all(weight.requires_grad for weight in own.values())
    sum(weight.sum() for weight in query.parameters() if weight.requires_grad).backward()
    assert all(bool(weight.grad.all()) for weight in own.values())
    rest = [w for name, w in query.named_parameters() if not name.startswith("decoder.heads.1.")]
    assert not any(weight.grad is not None and weight.grad.any() for weight in rest)
