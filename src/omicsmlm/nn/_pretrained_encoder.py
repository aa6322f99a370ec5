"""Published sequence encoders behind the signature of our own: residues in, states of positions out.

``transformers`` gives ESM-2 and the Nucleotide Transformer, ``enformer-pytorch`` gives Enformer. Both are imported only here,
and only when one is asked for.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._checks import named, value_error
from omicsmlm._types import Sequences

from ._residues import PackedStates, residue_codes, texts, windowed
from ._state_store import StateStore

Library = Literal["transformers", "enformer"]
WRITE_EVERY = 5.0
"""Seconds of embedding that a killed run loses at most, and one sequence."""
HINT = "pip install 'transformers>=4.56' enformer-pytorch"


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
        if folder.is_dir() and not (folder / "config.json").is_file():  # libraries would guess one from its name
            remedy = "pass the directory that save_pretrained made"
            raise value_error("encoder", "a directory with config.json", f"{self.path!r} without it", remedy)
        if not folder.is_dir() and self.revision is None:
            found = f"{self.path!r}, which is no directory here, without a revision"
            remedy = "pass revision=… (the hash of a commit on the hub), or the path of a local copy"
            raise value_error("encoder", "a local directory or a name with a pinned revision", found, remedy)

    def key(self) -> str:
        """Name what the weights are: of a directory the content of its files, wherever it lies; of a name its commit."""
        folder = Path(self.path)
        if not folder.is_dir():
            return json.dumps([self.library, self.path, self.revision])
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
        return json.dumps([self.library, {file.name: _digest(file) for file in files}])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class PretrainedEncoder(nn.Module):
    """A published encoder. Sequences go through it one by one on a CPU, so that states do not depend on neighbours.

    Parameters
    ----------
    source
        Where its weights are.
    n_windows
        Most states that are left of a sequence: averages over windows of equal length.
    tuning
        "frozen", "lora" (rank 8 on its linear layers, by ``peft``) or "full".

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If the weights cannot be had, or are not safetensors.
    """

    network: Any

    def __init__(self, source: Source, n_windows: int, tuning: str = "frozen") -> None:
        super().__init__()
        source.check()
        self.library, self.n_windows = source.library, n_windows
        self.tokenizer: Any = None
        self.register_buffer("codes", residue_codes("nucleotide"), persistent=False)
        try:
            if source.library == "enformer":
                network, self.width = _enformer(source)
            else:
                network, self.tokenizer, self.width = _transformer(source)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            remedy = "check the path, and that it holds model.safetensors and, for transformers, a tokenizer"
            raise value_error(
                "encoder", "weights of a known kind", f"{source.path!r}: {' '.join(str(error).split())}", remedy
            ) from error
        if tuning == "lora":
            network = _with_lora(network)
        elif tuning == "frozen":
            network.requires_grad_(False)
        self.network = network

    def train(self, mode: bool = True) -> Self:
        """Train, but for batch norms: sequences go through one by one, and say nothing of a batch."""
        super().train(mode)
        for part in self.network.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    def forward(self, residues: Sequences, lengths: list[int] | None = None) -> PackedStates:
        """Return the states of each distinct sequence, (p, d) float32; the host must read the residues."""
        embed = self._enformer_states if self.library == "enformer" else self._transformer_states
        found = [embed(text) for text in texts(residues)]
        lengths = [len(states) for states in found]
        offsets = torch.tensor([0, *accumulate(lengths)], device=residues.offsets.device)
        states_pd = torch.cat(found) if found else torch.zeros(0, self.width, device=residues.offsets.device)
        return windowed(PackedStates(states_pd.float(), offsets, lengths), self.n_windows)

    def _transformer_states(self, text: str) -> Tensor:
        tokens = self.tokenizer(text, return_tensors="pt").to(self.get_buffer("codes").device)
        return self.network(**tokens).last_hidden_state[0]

    def _enformer_states(self, text: str) -> Tensor:
        code_l = self.get_buffer("codes")[torch.tensor(list(text.encode()), device=self.get_buffer("codes").device)]
        code_l = torch.where(code_l < 0, 4, code_l)  # N: no residue at all
        surplus = -len(code_l) % 2**self.network.config.num_downsamples
        code_l = F.pad(code_l, (surplus // 2, surplus - surplus // 2), value=4)
        return self.network(code_l[None], return_only_embeddings=True, target_length=-1)[0]


class FrozenEncoder:
    """An encoder that is never trained: each distinct sequence goes through it once, and lies on disk from then on.

    Not a module: its weights are read only when a sequence is new, and are not saved with the model.

    Parameters
    ----------
    source
        Where its weights are.
    n_windows
        As in :class:`PretrainedEncoder`.
    width
        d of its states.
    crop
        What was cropped of the sequences, for the key.
    cache_dir
        Folder for the stores of all encoders.
    """

    def __init__(
        self, source: Source, n_windows: int, width: int, crop: tuple[int, str], cache_dir: str | Path
    ) -> None:
        self.source, self.n_windows, self.width = source, n_windows, width
        key = hashlib.sha256(json.dumps([source.key(), n_windows, *crop]).encode()).hexdigest()[:20]
        self.store = StateStore(Path(cache_dir) / key, width)
        self._encoder: PretrainedEncoder | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Share one store among copies of a model."""
        return self

    @torch.no_grad()
    def __call__(self, residues: Sequences, keys: list[tuple[int, int]] | None = None) -> PackedStates:
        """Return the states of each distinct sequence, (p, d) float32, by its digest, the key of each."""
        device, digests = residues.offsets.device, keys
        if digests is None:
            digests = [(int(a), int(b)) for a, b in residues.digests.tolist()]
        stored = self.store.get(digests)
        stored |= self._embedded(residues, {digest: i for i, digest in enumerate(digests) if digest not in stored})
        found = [torch.from_numpy(stored[digest].astype("float32")) for digest in digests]
        lengths = [len(states) for states in found]
        offsets = torch.tensor([0, *accumulate(lengths)], device=device)
        return PackedStates(torch.cat([torch.zeros(0, self.width), *found]).to(device), offsets, lengths)

    def _embedded(self, residues: Sequences, at: dict[tuple[int, int], int]) -> dict[tuple[int, int], np.ndarray]:
        """Embed the sequences at some places and store them every few seconds; give (l, d) float16 of each, by its digest."""
        found: dict[tuple[int, int], np.ndarray] = {}
        fresh: dict[tuple[int, int], Tensor] = {}
        written = time.monotonic()
        for digest, i in at.items():
            fresh[digest] = self._loaded(residues.offsets.device)(_single(residues, i)).states.to(torch.float16).cpu()
            found[digest] = fresh[digest].numpy()
            if time.monotonic() - written > WRITE_EVERY:
                self.store.add(fresh)
                fresh, written = {}, time.monotonic()
        if fresh:
            self.store.add(fresh)
        return found

    def _loaded(self, device: torch.device) -> PretrainedEncoder:
        if self._encoder is None:
            self._encoder = PretrainedEncoder(self.source, self.n_windows).eval()
        return self._encoder.to(device)


def _single(residues: Sequences, i: int) -> Sequences:
    start, end = residues.offsets[i : i + 2].tolist()
    offsets = torch.tensor([0, end - start], device=residues.offsets.device)
    return Sequences(residues.residues[start:end], offsets, offsets[:1], residues.digests[i : i + 1])


def _transformer(source: Source) -> tuple[nn.Module, Any, int]:
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ImportError(f"encoders of transformers need it; {HINT}.") from error
    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    network, info = AutoModel.from_pretrained(source.path, use_safetensors=True, output_loading_info=True, **options)
    _check_complete(network, info["missing_keys"])
    tokenizer = AutoTokenizer.from_pretrained(source.path, **options)
    return network.eval(), tokenizer, int(network.config.hidden_size)


def _enformer(source: Source) -> tuple[nn.Module, int]:
    try:
        from enformer_pytorch import Enformer
    except ImportError as error:
        raise ImportError(f"Enformer needs enformer-pytorch; {HINT}.") from error
    config = _enformer_config(source)
    options = {"use_safetensors": True, "output_loading_info": True, "revision": source.revision or "main"}
    network, info = Enformer.from_pretrained(source.path, config=config, **options)
    _check_complete(network, info["missing_keys"])
    return network.eval(), 2 * int(network.config.dim)


def _enformer_config(source: Source) -> Any:
    from enformer_pytorch.config_enformer import EnformerConfig

    found, _ = EnformerConfig.get_config_dict(source.path, revision=source.revision or "main")
    if found.get("model_type") != EnformerConfig.model_type:
        raise ValueError(f"a configuration of {found.get('model_type')!r}, not of an Enformer")
    return EnformerConfig.from_dict(found)


def _check_complete(network: nn.Module, missing: Sequence[str]) -> None:
    """Check that the file had all weights that states depend on; both libraries would fill in random ones and go on."""
    names_of: dict[int, set[str]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        names_of.setdefault(id(tensor), set()).add(name)  # Enformer has each of its tensors under two names
    lost = [min(names) for names in names_of.values() if names <= set(missing)]
    lost = [name for name in lost if not name.startswith(("pooler.", "contact_head."))]
    if lost:
        raise ValueError(f"no weights {named(lost)}")


def _with_lora(network: nn.Module) -> nn.Module:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("LoRA needs peft; run: pip install peft.") from error
    return get_peft_model(network, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))


def state_width(source: Source) -> int:
    """Read the width of an encoder's states off its configuration, without its weights."""
    source.check()
    try:
        if source.library == "enformer":
            return 2 * int(_enformer_config(source).dim)
        from transformers import AutoConfig

        options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
        return int(AutoConfig.from_pretrained(source.path, **options).hidden_size)
    except ImportError as error:
        raise ImportError(f"published encoders need their libraries; {HINT}.") from error
    except (AttributeError, OSError, ValueError) as error:
        remedy = "check the path, or the name and its revision"
        raise value_error(
            "encoder", "a configuration of a known kind", f"{source.path!r}: {' '.join(str(error).split())}", remedy
        ) from error
