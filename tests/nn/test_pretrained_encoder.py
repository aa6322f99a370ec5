"""Published encoders, of the real libraries, with small random weights that the test writes: nothing is downloaded."""

import copy
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file, save_model

from omicsmlm.nn import FrozenEncoder, PretrainedEncoder, Source, _pretrained_encoder, state_width
from tests.objects import letters_of

pytest.importorskip("transformers")
pytest.importorskip("enformer_pytorch")

PROTEINS = ["MKVLAAG", "MK", "WYXACDEF"]
DNA = ["ACGTACGTACG", "GGNTACGTAAC" * 3, "T"]
WIDTH = 64
VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    """ESM-2 in small, as its masked-language-model checkpoint."""
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    folder = tmp_path_factory.mktemp("esm")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    config = EsmConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        pad_token_id=1,
        mask_token_id=len(VOCABULARY) - 1,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    torch.manual_seed(0)
    network = EsmForMaskedLM(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    network.save_pretrained(folder, safe_serialization=True)
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder, network.esm


@pytest.fixture(scope="module")
def enformer(tmp_path_factory):
    """Enformer in small."""
    from enformer_pytorch import Enformer
    from enformer_pytorch.config_enformer import EnformerConfig

    folder = tmp_path_factory.mktemp("enformer")
    config = EnformerConfig(
        dim=24, depth=1, heads=2, output_heads={"human": 2}, target_length=2, attn_dim_key=8, num_downsamples=3
    )
    config.dim_divisible_by = 12
    torch.manual_seed(0)
    network = Enformer(config).eval()
    with torch.no_grad():
        for tensor in (*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())):
            tensor.add_(torch.rand_like(tensor) * 0.2)
    network.config.save_pretrained(folder)
    save_model(network, str(folder / "model.safetensors"), {"format": "pt"})
    return folder, network


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def frozen(folder, cache, n_windows=4, crop=(100, "start"), library="transformers", width=WIDTH):
    return FrozenEncoder(Source(library, str(folder)), n_windows, width, crop, cache)


def windows(x_pd, n):
    w = min(len(x_pd), n)
    return torch.stack([x_pd[[i for i in range(len(x_pd)) if i * w // len(x_pd) == j]].mean(0) for j in range(w)])


# ---- what the states are --------------------------------------------------------------------------------------------


@torch.no_grad()
def test_esm_gives_the_states_of_its_tokens(esm):
    folder, network = esm
    encoder = PretrainedEncoder(Source("transformers", str(folder)), 100).eval()
    assert encoder.width == state_width(Source("transformers", str(folder))) == WIDTH
    for found, text in zip(parts_of(encoder(letters_of(*PROTEINS))), PROTEINS, strict=True):
        ids = torch.tensor([[0, *(VOCABULARY.index(residue) for residue in text), 2]])
        expected = network(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_enformer_gives_the_states_of_its_bins(enformer):
    folder, network = enformer
    encoder = PretrainedEncoder(Source("enformer", str(folder)), 100).eval()
    assert encoder.width == state_width(Source("enformer", str(folder))) == 48
    for found, text in zip(parts_of(encoder(letters_of(*DNA))), DNA, strict=True):
        surplus = -len(text) % 8
        padded = "N" * (surplus // 2) + text + "N" * (surplus - surplus // 2)
        x_l4 = torch.tensor([[float(residue == known) for known in "ACGT"] for residue in padded])
        network.set_target_length(-1)
        expected = network(x_l4[None], return_only_embeddings=True)[0]
        assert len(found) == len(padded) // 8
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_states_are_averaged_over_windows_and_do_not_depend_on_neighbours(esm):
    encoder = PretrainedEncoder(Source("transformers", str(esm[0])), 3).eval()
    whole = PretrainedEncoder(Source("transformers", str(esm[0])), 100).eval()
    together = parts_of(encoder(letters_of(*PROTEINS)))
    for found, text, x in zip(together, PROTEINS, parts_of(whole(letters_of(*PROTEINS))), strict=True):
        torch.testing.assert_close(found, windows(x, 3))
        torch.testing.assert_close(found, encoder(letters_of(text)).states, atol=1e-5, rtol=0)


@pytest.mark.parametrize("library", ["transformers", "enformer"])
def test_of_no_sequence_there_are_no_states(library, esm, enformer, tmp_path):
    folder = {"transformers": esm, "enformer": enformer}[library][0]
    encoder = PretrainedEncoder(Source(library, str(folder)), 3)
    nothing = letters_of(of_obs=[-1, -1])
    for ask in (encoder, frozen(folder, tmp_path, library=library, width=encoder.width)):
        assert ask(nothing).states.shape == (0, encoder.width)
        assert ask(nothing).offsets.tolist() == [0]


# ---- tuning ---------------------------------------------------------------------------------------------------------


def n_trained(encoder):
    return sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)


@pytest.mark.parametrize("library", ["transformers", "enformer"])
def test_frozen_nothing_learns_with_lora_little_and_in_full_everything(library, esm, enformer):
    folder, network = {"transformers": esm, "enformer": enformer}[library]
    source, sequences = Source(library, str(folder)), PROTEINS if library == "transformers" else DNA
    still, lora, full = (PretrainedEncoder(source, 4, tuning).eval() for tuning in ("frozen", "lora", "full"))
    assert n_trained(still) == 0
    assert 0 < n_trained(lora) < 0.5 * n_trained(full)
    assert all("lora_" in name for name, weight in lora.named_parameters() if weight.requires_grad)
    expected = still(letters_of(*sequences)).states
    torch.testing.assert_close(lora(letters_of(*sequences)).states, expected, atol=1e-5, rtol=1e-4)  # it starts at 0
    for encoder in (lora, full):
        before = {name: w.clone() for name, w in encoder.named_parameters()}
        optimiser = torch.optim.SGD([w for w in encoder.parameters() if w.requires_grad], 0.1)
        encoder(letters_of(*sequences)).states.square().mean().backward()
        optimiser.step()
        moved = [name for name, w in encoder.named_parameters() if not torch.equal(w, before[name])]
        assert moved
        assert encoder is full or all("lora_B" in name for name in moved), "of a product with 0 one factor moves"


def test_without_peft_it_says_what_to_install(esm, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"LoRA needs peft; run: pip install peft\."):
        PretrainedEncoder(Source("transformers", str(esm[0])), 4, "lora")


# ---- the store of frozen ones ---------------------------------------------------------------------------------------


def test_each_sequence_is_embedded_once_and_read_from_disk_by_the_next(esm, tmp_path, monkeypatch):
    folder = esm[0]
    made, asked = [], []
    start, embed = PretrainedEncoder.__init__, PretrainedEncoder._transformer_states
    monkeypatch.setattr(PretrainedEncoder, "__init__", lambda self, *a: (made.append(a), start(self, *a))[1])
    monkeypatch.setattr(
        PretrainedEncoder, "_transformer_states", lambda self, text: (asked.append(text), embed(self, text))[1]
    )
    first = frozen(folder, tmp_path)
    assert not made, "weights are read when a sequence is new"
    one = first(letters_of(*PROTEINS[:2]))
    two = first(letters_of(*PROTEINS[::-1]))
    assert sorted(asked) == sorted(PROTEINS)
    assert len(made) == 1
    second = frozen(folder, tmp_path)
    again = second(letters_of(*PROTEINS[::-1]))
    assert len(asked) == 3
    assert len(made) == 1, "the next one read no weights"
    assert torch.equal(again.states, two.states)
    assert torch.equal(again.offsets, two.offsets)
    for found, other in zip(parts_of(one), parts_of(two)[:0:-1], strict=True):
        assert torch.equal(found, other)
    monkeypatch.undo()
    direct = PretrainedEncoder(Source("transformers", str(folder)), 4).eval()(letters_of(*PROTEINS[::-1]))
    assert torch.equal(direct.offsets, two.offsets)
    torch.testing.assert_close(two.states, direct.states, atol=1e-2, rtol=2e-3)  # half precision on disk
    assert two.states.dtype == torch.float32


def test_a_damaged_store_is_filled_again(esm, tmp_path, caplog):
    whole = frozen(esm[0], tmp_path / "whole")(letters_of(*PROTEINS))
    frozen(esm[0], tmp_path / "cut")(letters_of(*PROTEINS))
    (file,) = (tmp_path / "cut").glob("*/states-0.sqlite")
    file.write_bytes(file.read_bytes()[:5000])
    encoder = frozen(esm[0], tmp_path / "cut")
    assert torch.equal(encoder(letters_of(*PROTEINS)).states, whole.states)
    assert "is damaged" in caplog.text
    assert len(frozen(esm[0], tmp_path / "cut").store) == 3


def test_long_embedding_is_stored_meanwhile(esm, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.nn._pretrained_encoder.WRITE_EVERY", 0.0)
    asked, embed = [], PretrainedEncoder._transformer_states

    def killed(self, text):
        asked.append(text)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return embed(self, text)

    monkeypatch.setattr(PretrainedEncoder, "_transformer_states", killed)
    with pytest.raises(KeyboardInterrupt):
        frozen(esm[0], tmp_path)(letters_of(*PROTEINS))
    assert len(frozen(esm[0], tmp_path).store) == 2


def test_another_crop_window_or_content_has_a_store_of_its_own_and_a_copy_has_not(esm, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(esm[0], copied)
    cache = tmp_path / "cache"
    folders = [
        frozen(copied, cache).store.directory,
        frozen(copied, cache, n_windows=5).store.directory,
        frozen(copied, cache, crop=(100, "end")).store.directory,
        frozen(copied, cache, crop=(99, "start")).store.directory,
    ]
    assert frozen(esm[0], cache).store.directory == folders[0], "it is known by its content, not by its path"
    file = copied / "model.safetensors"
    os.utime(file, ns=(1, 1))
    assert frozen(copied, cache).store.directory == folders[0], "nor by its time"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    folders.append(frozen(copied, cache).store.directory)
    assert len(set(folders)) == 5
    names = [Source("transformers", "org/name", revision).key() for revision in ("a", "b", "a")]
    assert names[0] == names[2] != names[1]


def test_copies_of_a_model_share_the_store(esm, tmp_path):
    encoder = frozen(esm[0], tmp_path)
    assert copy.deepcopy({"encoder": encoder})["encoder"] is encoder


def test_no_gradient_flows_into_a_frozen_one(esm, tmp_path):
    assert not frozen(esm[0], tmp_path)(letters_of(*PROTEINS)).states.requires_grad


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [state_width, lambda source: PretrainedEncoder(source, 4)])
@pytest.mark.parametrize("library", ["transformers", "enformer"])
def test_a_name_without_a_revision_is_refused(ask, library):
    sentence = (
        "encoder: expected a local directory or a name with a pinned revision, got 'facebook/esm2_t6_8M_UR50D', "
        "which is no directory here, without a revision; pass revision="
    )
    with pytest.raises(ValueError, match=sentence):
        ask(Source(library, "facebook/esm2_t6_8M_UR50D"))


@pytest.mark.parametrize("library", ["transformers", "enformer"])
def test_pickled_weights_are_refused(library, esm, enformer, tmp_path):
    folder, network = {"transformers": esm, "enformer": enformer}[library]
    shutil.copytree(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"(?s)expected weights of a known kind.*and that it holds model\.safetensors"):
        PretrainedEncoder(Source(library, str(tmp_path / "pickled")), 4)


@pytest.mark.parametrize("library", ["transformers", "enformer"])
def test_a_file_that_lacks_weights_is_refused(library, esm, enformer, tmp_path):
    folder = {"transformers": esm, "enformer": enformer}[library][0]
    shutil.copytree(folder, tmp_path / "part")
    file = tmp_path / "part" / "model.safetensors"
    weights = load_file(file)
    lost = next(n for n in weights if n.endswith(("layer.1.attention.self.query.weight", "_trunk.4.0.1.fn.1.weight")))
    del weights[lost]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights '.*(query|fn\.1)\.weight'; check the path"):
        PretrainedEncoder(Source(library, str(tmp_path / "part")), 4)


def test_weights_of_another_library_or_shape_are_refused(esm, enformer, tmp_path):
    with pytest.raises(ValueError, match="expected weights of a known kind"):
        PretrainedEncoder(Source("transformers", str(enformer[0])), 4)
    with pytest.raises(ValueError, match="got .*: a configuration of 'esm', not of an Enformer; check the path"):
        PretrainedEncoder(Source("enformer", str(esm[0])), 4)
    shutil.copytree(esm[0], tmp_path / "wide")
    config = json.loads((tmp_path / "wide" / "config.json").read_text())
    (tmp_path / "wide" / "config.json").write_text(json.dumps(config | {"hidden_size": 32, "intermediate_size": 16}))
    with pytest.raises(ValueError, match="(?s)expected weights of a known kind, got .*"):
        PretrainedEncoder(Source("transformers", str(tmp_path / "wide")), 4)


def test_without_a_tokenizer_it_is_refused(esm, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(esm[0] / name, tmp_path / name)
    with pytest.raises(ValueError, match="and, for transformers, a tokenizer"):
        PretrainedEncoder(Source("transformers", str(tmp_path)), 4)


@pytest.mark.parametrize("ask", [state_width, lambda source: PretrainedEncoder(source, 4)])
def test_a_directory_without_a_configuration_is_refused(ask, tmp_path):
    with pytest.raises(
        ValueError, match=r"expected a directory with config\.json, got '.*' without it; pass the directory"
    ):
        ask(Source("transformers", str(tmp_path)))


@pytest.mark.parametrize(
    ("library", "config", "found"),
    [
        ("transformers", {"model_type": "unheard of"}, "unheard of"),
        ("transformers", {"model_type": "clip"}, "hidden_size"),
        ("enformer", {"model_type": "esm"}, "a configuration of 'esm', not of an Enformer"),
    ],
)
def test_a_configuration_of_another_kind_has_no_width(library, config, found, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=f"(?s)expected a configuration of a known kind, got .*{found}.*; check the path"
    ):
        state_width(Source(library, str(tmp_path)))


@pytest.mark.parametrize(("library", "module"), [("transformers", "transformers"), ("enformer", "enformer_pytorch")])
def test_without_its_library_it_says_what_to_install(library, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "enformer_pytorch.config_enformer", None)
    (tmp_path / "config.json").write_text("{}")
    source = Source(library, str(tmp_path))
    hint = r"pip install 'transformers>=4\.56' enformer-pytorch\."
    with pytest.raises(ImportError, match=hint):
        PretrainedEncoder(source, 4)
    with pytest.raises(ImportError, match=hint):
        state_width(source)


def test_a_cache_that_cannot_be_written_is_refused(esm, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache_dir: expected a directory that can be written"):
        frozen(esm[0], tmp_path / "file")


def test_what_is_on_disk_is_half_precision(esm, tmp_path):
    encoder = frozen(esm[0], tmp_path)
    states = encoder(letters_of(PROTEINS[0]))
    digests = [tuple(digest) for digest in letters_of(PROTEINS[0]).digests.tolist()]
    (raw,) = encoder.store.get(digests).values()
    assert raw.dtype == np.float16
    np.testing.assert_array_equal(states.states.numpy(), raw.astype(np.float32))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _pretrained_encoder.WRITE_EVERY == 5.0
