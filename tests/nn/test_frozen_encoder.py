"""The store of frozen encoders: each sequence is embedded once, and what is stored is what the encoder says."""

import copy
import os
import shutil

import numpy as np
import pytest
import torch

from omicsmlm.nn import FrozenEncoder, PretrainedEncoder, Source, _frozen_encoder
from tests.encoders import KINDS, PROTEINS, published
from tests.objects import letters_of


@pytest.fixture(scope="module")
def esm(checkpoints):
    return checkpoints("esm")


def frozen(checkpoint, cache, n_windows=4, truncation=(100, "start"), **reading):
    reading = checkpoint.reading._replace(**reading)
    return FrozenEncoder(checkpoint.source, reading, n_windows, checkpoint.width, truncation, cache)


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_is_what_the_encoder_says(checkpoints, kind, tmp_path):
    checkpoint = checkpoints(kind)
    sequences = letters_of(*checkpoint.sequences)
    direct = PretrainedEncoder(checkpoint.source, checkpoint.reading, 4).eval()
    stored = frozen(checkpoint, tmp_path)
    for found in (stored(sequences), stored(sequences), frozen(checkpoint, tmp_path)(sequences)):
        expected = direct(sequences)
        assert torch.equal(found.offsets, expected.offsets)
        torch.testing.assert_close(found.states, expected.states, atol=1e-2, rtol=2e-3)  # half precision on disk
        assert found.states.dtype == torch.float32
        assert not found.states.requires_grad
    nothing = letters_of(of_obs=[-1, -1])
    assert stored(nothing).states.shape == (0, checkpoint.width)


def test_each_sequence_is_embedded_once_and_read_from_disk_by_the_next(esm, tmp_path, monkeypatch):
    made, asked = [], []
    start, embed = PretrainedEncoder.__init__, PretrainedEncoder.in_batches
    monkeypatch.setattr(PretrainedEncoder, "__init__", lambda self, *a: (made.append(a), start(self, *a))[1])
    monkeypatch.setattr(
        PretrainedEncoder, "in_batches", lambda self, texts: (asked.extend(map(bytes, texts)), embed(self, texts))[1]
    )
    first = frozen(esm, tmp_path)
    assert not made, "weights are read when a sequence is new"
    one = first(letters_of(*PROTEINS[:2]))
    two = first(letters_of(*PROTEINS[::-1]))
    assert sorted(asked) == sorted(text.encode() for text in PROTEINS)
    assert len(made) == 1
    again = frozen(esm, tmp_path)(letters_of(*PROTEINS[::-1]))
    assert len(asked) == len(PROTEINS)
    assert len(made) == 1, "the next one read no weights"
    assert torch.equal(again.states, two.states)
    assert torch.equal(again.offsets, two.offsets)
    for found, other in zip(parts_of(one), parts_of(two)[:-3:-1], strict=True):
        assert torch.equal(found, other)


def test_masked_sequences_of_nothing_else_are_stored_without_states(checkpoints, tmp_path):
    stored = frozen(checkpoints("t5"), tmp_path)
    for _ in range(2):
        assert stored(letters_of("???", "MK?")).lengths == [0, 2]


def test_a_damaged_store_is_filled_again(esm, tmp_path, caplog):
    whole = frozen(esm, tmp_path / "whole")(letters_of(*PROTEINS))
    frozen(esm, tmp_path / "cut")(letters_of(*PROTEINS))
    (file,) = (tmp_path / "cut").glob("*/states-0.sqlite")
    file.write_bytes(file.read_bytes()[:5000])
    encoder = frozen(esm, tmp_path / "cut")
    assert torch.equal(encoder(letters_of(*PROTEINS)).states, whole.states)
    assert "is damaged" in caplog.text
    assert len(frozen(esm, tmp_path / "cut").store) == len(PROTEINS)


def test_long_embedding_is_stored_meanwhile(esm, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.nn._frozen_encoder.WRITE_EVERY", 0.0)
    asked, run = [], PretrainedEncoder._network_states

    def killed(self, tokens):
        asked.append(tokens)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return run(self, tokens)

    monkeypatch.setattr(PretrainedEncoder, "_network_states", killed)
    with pytest.raises(KeyboardInterrupt):
        frozen(esm, tmp_path)(letters_of(*PROTEINS))
    assert len(frozen(esm, tmp_path).store) == 1, "the batch of the shortest one"


def test_another_truncation_window_reading_or_content_has_a_store_of_its_own_and_a_copy_has_not(esm, tmp_path):
    copied = esm._replace(source=Source("transformers", str(tmp_path / "copy")))
    shutil.copytree(esm.source.path, copied.source.path)
    cache = tmp_path / "cache"
    folders = [
        frozen(copied, cache).store.directory,
        frozen(copied, cache, n_windows=5).store.directory,
        frozen(copied, cache, truncation=(100, "end")).store.directory,
        frozen(copied, cache, truncation=(99, "start")).store.directory,
        frozen(copied, cache, spaced=True).store.directory,
        frozen(copied, cache, former_states=True).store.directory,
    ]
    assert frozen(esm, cache).store.directory == folders[0], "it is known by its content, not by its path"
    file = tmp_path / "copy" / "model.safetensors"
    os.utime(file, ns=(1, 1))
    assert frozen(copied, cache).store.directory == folders[0], "nor by its time"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    folders.append(frozen(copied, cache).store.directory)
    assert len(set(folders)) == 7
    names = [Source("transformers", "org/name", revision).key() for revision in ("a", "b", "a")]
    assert names[0] == names[2] != names[1]


def test_copies_of_a_model_share_the_store(esm, tmp_path):
    encoder = frozen(esm, tmp_path)
    assert copy.deepcopy({"encoder": encoder})["encoder"] is encoder


def test_a_cache_that_cannot_be_written_is_refused(esm, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache_dir: expected a directory that can be written"):
        frozen(esm, tmp_path / "file")


def test_what_is_on_disk_is_half_precision(esm, tmp_path):
    encoder = frozen(esm, tmp_path)
    states = encoder(letters_of(PROTEINS[0]))
    digests = [tuple(digest) for digest in letters_of(PROTEINS[0]).digests.tolist()]
    (raw,) = encoder.store.get(digests).values()
    assert raw.dtype == np.float16
    np.testing.assert_array_equal(states.states.numpy(), raw.astype(np.float32))


def test_an_encoder_of_few_positions_is_stored_too(tmp_path):
    checkpoint = published("bert", tmp_path, max_position_embeddings=12)
    assert frozen(checkpoint, tmp_path / "cache", n_windows=100)(letters_of("MKVLAAGWYACDEFGHIKLM")).lengths == [10]


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _frozen_encoder.WRITE_EVERY == 5.0
