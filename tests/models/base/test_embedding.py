"""Embedding: in which order, how many at a time, where, and under which key."""

import numpy as np
import pytest
import torch
from torch import nn

from omicsmlm import OmicsMLM
from omicsmlm.models.base import EMBEDDING_BATCH_SIZE, _embedding
from omicsmlm.models.base._embedding import checked_indices
from omicsmlm.training import Ranks
from tests.objects import SMALL, multiome, rna


@pytest.fixture(scope="module")
def model():
    """A model; tests must not change it."""
    return OmicsMLM(multiome(), SMALL, batch_key="batch")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ([2, 0], [2, 0]),
        ([-1, -4], [3, 0]),
        (np.array([3], dtype=np.uint8), [3]),
        ([True, False, False, True], [0, 3]),
        ([], []),
        (np.zeros(4, dtype=bool), []),
    ],
)
def test_positions_are_what_was_asked_for(asked, expected):
    found = checked_indices(asked, 4)
    assert found.tolist() == expected
    assert found.dtype == np.int64


@pytest.mark.parametrize("asked", [[4], [-5], ["a"], [0.0], [[0, 1]], [True, False], [True] * 5])
def test_other_positions_get_one_sentence(asked):
    with pytest.raises(
        ValueError, match="^indices: expected positions below 4, or as many booleans, got .*; pass obs_na"
    ):
        checked_indices(asked, 4)


@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_observations_come_in_the_order_asked_for(model, batch_size):
    indices, sizes = np.array([5, 70, 3, 3, -1]), []

    def position(batch):
        assert not torch.is_grad_enabled()
        assert not model.module.training
        sizes.append(len(batch.indices))
        return torch.stack([batch.indices, 2 * batch.indices], 1)

    model.module.train()
    values, names = model.map_observations(None, indices, batch_size, 2, position)
    assert values.tolist() == [[5, 10], [70, 140], [3, 6], [3, 6], [71, 142]]
    assert values.dtype == np.float32
    assert list(names) == list(model.adata.obs_names[indices])
    assert max(sizes) <= (batch_size or EMBEDDING_BATCH_SIZE)


def test_nothing_is_computed_of_no_observation(model):
    values, names = model.map_observations(None, [], None, 3, lambda batch: 1 / 0)
    assert values.shape == (0, 3)
    assert len(names) == 0


def test_the_batch_size_is_checked(model):
    with pytest.raises(ValueError, match="^batch_size: expected at least 1, got 0; leave it out for 1,024"):
        model.get_latent_representation(batch_size=0)


def test_another_object_is_embedded_with_its_own_names(model):
    other = rna(10, first=100)
    values, names = model.map_observations(other, [1, 0], None, 8, model.embed_batch)
    assert list(names) == ["cell101", "cell100"]
    np.testing.assert_allclose(values, model.get_latent_representation(other)[[1, 0]], atol=1e-5)


def test_a_batch_is_embedded_with_gradients(model):
    batch = model.adata_manager.create_torch_dataset()[np.arange(4)]
    embedding = model.embed_batch(batch)
    assert embedding.requires_grad
    np.testing.assert_allclose(embedding.detach(), model.get_latent_representation(indices=range(4)), atol=1e-6)


@pytest.mark.parametrize("at_once", [10, 72, 1000])
@pytest.mark.parametrize("n_ranks", [1, 3])
def test_each_rank_embeds_its_part_and_all_have_the_whole(model, monkeypatch, at_once, n_ranks):
    """Without processes: what ranks would gather is what each of them has made, one after the other."""
    monkeypatch.setattr(_embedding, "GATHERED_OBSERVATIONS", at_once)
    expected = model.get_latent_representation()
    parts = [[] for _ in range(n_ranks)]
    for rank in range(n_ranks):
        monkeypatch.setattr(_embedding, "gathered", lambda own_nd, n, rank=rank: parts[rank].append(own_nd) or own_nd)
        list(model._gathered_blocks(model.adata_manager, Ranks(rank, n_ranks, torch.device("cpu"))))
    n_blocks = -(-72 // at_once)
    assert {len(own) for own in parts} == {n_blocks}, "ranks that gather less often would wait for ever"
    whole = np.concatenate([torch.cat([own[block] for own in parts]).numpy() for block in range(n_blocks)])
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    sizes = [[len(own[block]) for own in parts] for block in range(n_blocks)]
    assert all(max(of_block) - min(of_block) <= 1 for of_block in sizes)


def test_a_key_is_the_familys_own_unless_named(model):
    assert model._checked_key("auto") == "X_omics"
    assert model._checked_key("X_mine") == "X_mine"
    assert model._checked_key(None) is None
    assert model._checked_key("rna", rna()) == "rna", "an AnnData has no modalities"
    found = "got 'rna', which .obsm reserves for a modality; pass another, such as 'X_omics'"
    with pytest.raises(ValueError, match=f"^key_added: expected a key of its own, {found}"):
        model._checked_key("rna")


def test_the_network_and_the_tokenizer_move_together(model):
    assert isinstance(model.parts.tokenizer, nn.Module)
    model.to_device("meta")
    try:
        assert model.device == torch.device("meta")
        assert {value.device.type for value in model.parts.tokenizer.buffers()} == {"meta"}
    finally:
        model.__dict__.update(OmicsMLM(multiome(), SMALL, batch_key="batch").__dict__)


def test_a_model_is_back_where_it_was_after_embedding(model):
    before = model.device
    found = model._embedded_by(Ranks(0, 1, torch.device("cpu")))
    np.testing.assert_array_equal(found, model.get_latent_representation())
    assert model.device == before


def test_minibatches_are_the_observations_asked_for(model):
    model.module.train()
    batches = list(model.minibatches(None, [5, -1, 3, 40, 7], 2))
    assert [batch.indices.tolist() for batch in batches] == [[5, 71], [3, 40], [7]]
    assert not model.module.training
    (whole,) = model.minibatches(multiome(), None, None)
    assert whole.indices.tolist() == list(range(72))
    with pytest.raises(ValueError, match="^batch_size: expected at least 1, got 0; leave it out for 1,024"):
        next(model.minibatches(None, None, 0))


@pytest.mark.parametrize("device", ["tpu9", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    own = OmicsMLM(rna(), SMALL)
    with pytest.raises(ValueError, match='^device: expected one that PyTorch has here, got .*; pass "cpu" or "cuda"'):
        own.to_device(device)


@pytest.mark.parametrize("key", [1, "", "a/b", ("a", "b")])
def test_a_key_is_text_that_a_file_can_hold(model, key):
    with pytest.raises(
        ValueError, match="^key_added: expected a key of .obsm as text, without '/', got .*; pass 'X_omics'"
    ):
        model.write_latent_representation("never.h5ad", key_added=key)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _embedding.EMBEDDING_BATCH_SIZE == 1024
    assert _embedding.GATHERED_OBSERVATIONS == 65536
