"""What is read of published encoders, what is refused, and what is said of it."""

import json
import logging
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from omicsmlm.nn import Source
from omicsmlm.nn._encoder_weights import configured_width, read_network, read_tokenizer, with_lora
from tests.encoders import KINDS, d_model_only


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_the_file_and_it_says_nothing_of_new_ones(
    checkpoints, kind, caplog, capfd, monkeypatch
):
    made = checkpoints(kind)
    for library in ("transformers", "enformer_pytorch"):
        monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    state = torch.get_rng_state()
    network = read_network(made.source)
    assert torch.equal(torch.get_rng_state(), state), "what is drawn for a pooler moves no other draw"
    assert not network.training
    expected = made.network.state_dict()
    own = network.state_dict()
    for name, weight in expected.items():
        torch.testing.assert_close(own[name], weight, atol=0, rtol=0)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_of_t5_the_encoder_may_lie_there_alone(checkpoints, tmp_path):
    """As Rostlab/prot_t5_xl_half_uniref50-enc, whose configuration no longer says that there is a decoder."""
    expected = checkpoints("t5").network
    expected.save_pretrained(tmp_path)
    assert not json.loads((tmp_path / "config.json").read_text())["is_encoder_decoder"]
    network = read_network(Source("transformers", str(tmp_path)))
    for name, weight in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight)


def test_transformers_speaks_as_before_afterwards(checkpoints):
    from transformers.utils import logging as of_transformers

    before = of_transformers.get_verbosity()
    read_network(checkpoints("esm").source)
    assert of_transformers.get_verbosity() == before


def test_of_a_language_model_of_its_own_code_the_part_that_makes_states_is_read(tmp_path):
    expected = d_model_only(tmp_path, masked_lm=True)
    source = Source("transformers", str(tmp_path), trust_remote_code=True)
    network = read_network(source)
    assert type(network).__name__ == "LongModel"
    for name, weight in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    save_file({n: w for n, w in weights.items() if not n.startswith("lm_head")}, file, {"format": "pt"})
    read_network(source)
    save_file({n: w for n, w in weights.items() if n != "long.embeddings.weight"}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights 'long\.embeddings\.weight'; check the path"):
        read_network(source)


@pytest.mark.parametrize(
    ("kind", "width"), [("esm", 16), ("sixmers", 16), ("bert", 16), ("t5", 16), ("enformer", 48), ("d_model", None)]
)
def test_the_configuration_tells_the_width_or_that_there_are_states(checkpoints, kind, width):
    assert configured_width(checkpoints(kind).source) == width


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [configured_width, read_network])
@pytest.mark.parametrize("library", ["transformers", "enformer"])
def test_a_name_without_a_revision_is_refused(ask, library):
    sentence = (
        "encoder: expected a local directory or a name with a pinned revision, got 'facebook/esm2_t6_8M_UR50D', "
        "which is no directory here, without a revision; pass revision="
    )
    with pytest.raises(ValueError, match=sentence):
        ask(Source(library, "facebook/esm2_t6_8M_UR50D"))


@pytest.mark.parametrize("kind", ["esm", "enformer"])
def test_pickled_weights_are_refused(kind, checkpoints, tmp_path):
    made = checkpoints(kind)
    shutil.copytree(made.source.path, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(made.network.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"(?s)expected weights of a known kind.*and that it holds model\.safetensors"):
        read_network(made.source._replace(path=str(tmp_path / "pickled")))


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("esm", "layer.1.attention.self.query.weight"),
        ("sixmers", "layer.1.attention.self.query.weight"),
        ("bert", "layer.1.attention.self.query.weight"),
        ("t5", "encoder.block.1.layer.0.SelfAttention.q.weight"),
        ("d_model", "mixer.weight_hh_l0"),
        ("enformer", "_trunk.4.0.1.fn.1.weight"),
    ],
)
def test_a_file_that_lacks_weights_is_refused(kind, part, checkpoints, tmp_path):
    made = checkpoints(kind)
    shutil.copytree(made.source.path, tmp_path / "part")
    file = tmp_path / "part" / "model.safetensors"
    weights = load_file(file)
    lost = next(name for name in weights if name.endswith(part))
    del weights[lost]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights '.*(weight|weight_hh_l0)'; check the path"):
        read_network(made.source._replace(path=str(tmp_path / "part")))


def test_weights_of_another_library_or_shape_are_refused(checkpoints, tmp_path):
    esm, enformer = checkpoints("esm"), checkpoints("enformer")
    with pytest.raises(ValueError, match="expected weights of a known kind"):
        read_network(Source("transformers", enformer.source.path))
    with pytest.raises(ValueError, match="got .*: a configuration of 'esm', not of an Enformer; check the path"):
        read_network(Source("enformer", esm.source.path))
    shutil.copytree(esm.source.path, tmp_path / "wide")
    config = json.loads((tmp_path / "wide" / "config.json").read_text())
    (tmp_path / "wide" / "config.json").write_text(json.dumps(config | {"hidden_size": 32, "intermediate_size": 16}))
    with pytest.raises(ValueError, match="(?s)expected weights of a known kind, got .*"):
        read_network(Source("transformers", str(tmp_path / "wide")))


def test_without_a_tokenizer_it_is_refused(checkpoints, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(f"{checkpoints('esm').source.path}/{name}", tmp_path / name)
    with pytest.raises(ValueError, match="and, for transformers, a tokenizer"):
        read_tokenizer(Source("transformers", str(tmp_path)))


def test_own_code_is_not_run_unless_it_is_trusted(checkpoints):
    with pytest.raises(ValueError, match="expected weights of a known kind, got .*trust_remote_code=True"):
        read_network(checkpoints("d_model").source._replace(trust_remote_code=False))


@pytest.mark.parametrize("ask", [configured_width, read_network])
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
        configured_width(Source(library, str(tmp_path)))


@pytest.mark.parametrize(("library", "module"), [("transformers", "transformers"), ("enformer", "enformer_pytorch")])
def test_without_its_library_it_says_what_to_install(library, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "enformer_pytorch.config_enformer", None)
    (tmp_path / "config.json").write_text("{}")
    hint = r"pip install 'transformers>=4\.56' enformer-pytorch\."
    for ask in (read_network, configured_width):
        with pytest.raises(ImportError, match=hint):
            ask(Source(library, str(tmp_path)))


def test_without_peft_it_says_what_to_install(checkpoints, monkeypatch):
    network = read_network(checkpoints("esm").source)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"LoRA needs peft; run: pip install peft\."):
        with_lora(network)


def test_lora_needs_linear_layers():
    pytest.importorskip("peft")
    sentence = (
        'tuning: expected an encoder with linear layers for LoRA, got a GRU without one; pass tuning="full" or "frozen"'
    )
    with pytest.raises(ValueError, match=sentence):
        with_lora(torch.nn.GRU(2, 2))
