"""Weights of published sequence encoders, as the libraries that know them read them.

``transformers`` gives ESM-2, the Nucleotide Transformer and the like, ``enformer-pytorch`` gives Enformer. Both are imported only
here, and only when one is asked for.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import nn

from omicsmlm._checks import named, value_error
from omicsmlm._random_state import own_random_state

Library = Literal["transformers", "enformer"]
HINT = "pip install 'transformers>=4.56' enformer-pytorch"
WIDTH_FIELDS = ("hidden_size", "d_model", "n_embd")
"""Fields of a configuration one of which says that its model has states; the first is their width, for certain."""
UNUSED = ("pooler", "contact_head", "lm_head")
"""Parts on which no state depends, so that their weights may be missing."""


class Source(NamedTuple):
    """Where the weights of an encoder are."""

    library: Library
    path: str
    """A local directory that ``save_pretrained`` made, or a name on the Hugging Face hub.

    ``save_pretrained`` cannot write an Enformer, which has each tensor under two names. Its directory is made by
    ``network.config.save_pretrained(path)`` and ``safetensors.torch.save_model(network, path + "/model.safetensors",
    {"format": "pt"})``.
    """
    revision: str | None = None
    """Commit on the hub; a must for a name."""
    trust_remote_code: bool = False
    """Whether code that comes with the weights may be run."""

    def check(self) -> None:
        """Check that what the source leads to can never change unnoticed.

        Raises
        ------
        ValueError
            If it is neither a directory with a configuration nor a name with a commit.
        """
        folder = Path(self.path)
        # Without a config, libraries would guess one from the name of the folder.
        if os.path.isdir(folder) and not os.path.isfile(folder / "config.json"):
            remedy = "pass the directory that save_pretrained made"
            raise value_error("encoder", "a directory with config.json", f"{self.path!r} without it", remedy)
        if not os.path.isdir(folder) and self.revision is None:
            found = f"{self.path!r}, which is no directory here, without a revision"
            remedy = "pass revision=… (the hash of a commit on the hub), or the path of a local copy"
            raise value_error("encoder", "a local directory or a name with a pinned revision", found, remedy)

    def key(self) -> str:
        """Name what the weights are: of a directory the content of its files, wherever it lies; of a name its commit."""
        folder = Path(self.path)
        if not os.path.isdir(folder):
            return json.dumps([self.library, self.path, self.revision])
        files = [file for file in sorted(folder.iterdir()) if os.path.isfile(file) and not file.name.startswith(".")]
        return json.dumps([self.library, {file.name: _digest(file) for file in files}])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``from_pretrained`` of ``transformers``."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_network(source: Source) -> nn.Module:
    """Return an encoder with its published weights, in evaluation mode.

    What no state depends on is drawn at random where the file lacks it; the caller's random state stays as it was.

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If the weights cannot be had, are not safetensors, or not all that states depend on.
    """
    source.check()
    read = _enformer if source.library == "enformer" else _transformer
    remedy = "check the path, and that it holds model.safetensors and, for transformers, a tokenizer"
    with _one_sentence(source, "weights of a known kind", remedy), _quiet(), own_random_state(0, devices=[]):
        return read(source).eval()


def read_tokenizer(source: Source) -> Any:
    """Return the tokenizer that lies beside the weights of an encoder of ``transformers``; errors as of :func:`read_network`."""
    source.check()
    auto = _auto_classes()
    remedy = "check the path, and that it holds model.safetensors and, for transformers, a tokenizer"
    with _one_sentence(source, "weights of a known kind", remedy), _quiet():
        return auto.AutoTokenizer.from_pretrained(source.path, **source.options)


def configured_width(source: Source) -> int | None:
    """Return the width of an encoder's states, off its configuration; None if only a run of the network tells it.

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If there is no configuration, or it is of no encoder.
    """
    source.check()
    remedy = "check the path, or the name and its revision"
    with _one_sentence(source, "a configuration of a known kind", remedy):
        if source.library == "enformer":
            return 2 * int(_enformer_config(source).dim)
        config = _auto_classes().AutoConfig.from_pretrained(source.path, **source.options)
        found = [getattr(config, field, None) for field in WIDTH_FIELDS]
        if not any(found):
            raise ValueError(f"a configuration without {named(WIDTH_FIELDS)}")
        return None if found[0] is None else int(found[0])


def with_lora(network: nn.Module) -> nn.Module:
    """Return an encoder of which nothing is trained but matrices of rank 8 beside its linear layers.

    Raises
    ------
    ImportError
        Without peft.
    ValueError
        If it has no linear layer.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("LoRA needs peft; run: pip install peft.") from error
    if not any(isinstance(part, nn.Linear) for part in network.modules()):
        found = f"a {type(network).__name__} without one"
        raise value_error("tuning", "an encoder with linear layers for LoRA", found, 'pass tuning="full" or "frozen"')
    return get_peft_model(network, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))  # type: ignore[arg-type]


@contextmanager
def _one_sentence(source: Source, expected: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library says of an encoder that it cannot read into one sentence."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        found = f"{source.path!r}: {' '.join(str(error).split())}"
        raise value_error("encoder", expected, found, remedy) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting weights that are missing: :func:`_check_complete` does, where states depend on them."""
    try:
        from transformers.utils import logging
    except ImportError:
        yield
        return
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _auto_classes() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"encoders of transformers need it; {HINT}.") from error
    return transformers


def _transformer(source: Source) -> nn.Module:
    auto = _auto_classes()
    config = auto.AutoConfig.from_pretrained(source.path, **source.options)
    own_code = (getattr(config, "auto_map", None) or {}) if source.trust_remote_code else {}
    has_no_decoder = any(name.endswith("EncoderModel") for name in config.architectures or ())
    if config.is_encoder_decoder or has_no_decoder:  # T5 and its like: the encoder alone
        reader = auto.AutoModelForTextEncoding
    elif "AutoModelForMaskedLM" in own_code and "AutoModel" not in own_code:  # the Nucleotide Transformer, version 2
        reader = auto.AutoModelForMaskedLM
    else:
        reader = auto.AutoModel
    whole, info = reader.from_pretrained(source.path, use_safetensors=True, output_loading_info=True, **source.options)
    network = whole if reader is auto.AutoModel else whole.base_model
    _check_complete(whole, network, info["missing_keys"])
    return network


def _enformer(source: Source) -> nn.Module:
    try:
        from enformer_pytorch import Enformer
    except ImportError as error:
        raise ImportError(f"Enformer needs enformer-pytorch; {HINT}.") from error
    config = _enformer_config(source)
    options = {"use_safetensors": True, "output_loading_info": True, "revision": source.revision or "main"}
    network, info = Enformer.from_pretrained(source.path, config=config, **options)
    _check_complete(network, network, info["missing_keys"])
    return network


def _enformer_config(source: Source) -> Any:
    try:
        from enformer_pytorch.config_enformer import EnformerConfig
    except ImportError as error:
        raise ImportError(f"Enformer needs enformer-pytorch; {HINT}.") from error
    found, _ = EnformerConfig.get_config_dict(source.path, revision=source.revision or "main")
    if found.get("model_type") != EnformerConfig.model_type:
        raise ValueError(f"a configuration of {found.get('model_type')!r}, not of an Enformer")
    return EnformerConfig.from_dict(found)


def _check_complete(whole: nn.Module, network: nn.Module, missing: Sequence[str]) -> None:
    """Check that the file had all weights that states depend on; both libraries would fill in random ones and go on."""
    of_network = {id(tensor) for tensor in network.state_dict(keep_vars=True).values()}
    names_of: dict[int, set[str]] = {}
    for name, tensor in whole.state_dict(keep_vars=True).items():
        if id(tensor) in of_network:
            names_of.setdefault(id(tensor), set()).add(name)  # Enformer has each of its tensors under two names
    lost = [min(names) for names in names_of.values() if names <= set(missing)]
    lost = [name for name in lost if not set(UNUSED) & set(name.split("."))]
    if lost:
        raise ValueError(f"no weights {named(lost)}")
