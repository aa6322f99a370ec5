"""Published sequence encoders behind the signature of our own: residues in, states of positions out.

Tensor axes: u sequences, t tokens of the longest one, p positions of all, d width.
"""

import inspect
import logging
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._checks import value_error
from omicsmlm._types import Sequences

from ._encoder_weights import Source, configured_width, read_network, read_tokenizer, with_lora
from ._length_batches import length_batches
from ._residues import PackedStates, on_host, residue_codes, windowed
from ._sequence_tokens import PROBES, Reading, SequenceTokens, Tokens

logger = logging.getLogger(__name__)

MOST_PADDING = 0.1
"""Fraction of what an encoder computes that is padding at most."""
MOST_TOKENS = {"cpu": 2048, "cuda": 65_536}
"""Tokens that go through a network of ``transformers`` at once, of any width."""
MOST_VALUES = 2**17
"""The same times the width of a state, on a CPU: what is more than its caches hold is slower (benchmarks/encoder_batches.py)."""
MOST_NUCLEOTIDES = {"cpu": 65_536, "cuda": 786_432}
"""The same for Enformer: four windows of 196,608 base pairs on a GPU."""
NO_NUCLEOTIDE = 4
"""Code by which Enformer reads an ambiguous nucleotide, or a masked one."""


class PretrainedEncoder(nn.Module):
    """A published encoder. Sequences of like length go through it together.

    Parameters
    ----------
    source
        Where its weights are.
    reading
        How sequences are given to it.
    n_windows
        Most states that are left of a sequence: averages over windows of equal length.
    tuning
        "frozen", "lora" (rank 8 on its linear layers, by ``peft``) or "full".

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If the weights cannot be had, are not safetensors, or are of another kind of sequences.
    """

    network: Any

    def __init__(self, source: Source, reading: Reading, n_windows: int, tuning: str = "frozen") -> None:
        super().__init__()
        network: Any = read_network(source)
        self.library, self.reading, self.n_windows = source.library, reading, n_windows
        self.tokens: SequenceTokens | EnformerTokens
        self.takes_mask = "attention_mask" in inspect.signature(network.forward).parameters
        if source.library == "enformer":
            self.tokens = EnformerTokens(reading, 2**network.config.num_downsamples)
            self.most_tokens = MOST_NUCLEOTIDES
        else:
            self.tokens = SequenceTokens(read_tokenizer(source), reading, _n_positions(network))
            self.most_tokens = MOST_TOKENS
        self.has_warned = False
        if tuning == "lora":
            network = with_lora(network)
        elif tuning == "frozen":
            network.requires_grad_(False)
        self.network = network
        self.aliases = _aliases(network)
        self.register_state_dict_post_hook(_leave_out_aliases)
        self.register_load_state_dict_pre_hook(_fill_in_aliases)
        self.width = configured_width(source) or self._measured_width()

    def train(self, mode: bool = True) -> Self:
        """Train, but for batch norms: the sequences of a batch are few, and of like length."""
        super().train(mode)
        for part in self.network.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    def forward(self, residues: Sequences, lengths: list[int] | None = None) -> PackedStates:
        """Return the states of each distinct sequence, (p, d) float32; the host must read the residues."""
        device, found = residues.offsets.device, [torch.empty(0)] * (len(residues.offsets) - 1)
        for places, states in self.in_batches(on_host(residues)):
            for u, states_pd in zip(places, states, strict=True):
                found[u] = states_pd
        lengths = [len(states) for states in found]
        states_pd = torch.cat(found) if found else torch.zeros(0, self.width, device=device)
        offsets = torch.tensor([0, *accumulate(lengths)], device=device)
        return PackedStates(states_pd, offsets, lengths)

    def in_batches(self, sequences: list[np.ndarray]) -> Iterator[tuple[list[int], list[Tensor]]]:
        """Embed sequences, (l,) uint8 residues each, in batches of like length.

        Yields
        ------
        The places of the sequences of a batch, and of each its (w, d) float32 states in windows.
        """
        tokens = [self.tokens(residue_l) for residue_l in sequences]
        self._tell_cut(tokens)
        may_pad = self.takes_mask and self.tokens.pad_id is not None
        on_gpu = self._device.type == "cuda"
        most = self.most_tokens["cuda" if on_gpu else "cpu"]
        if self.library == "transformers" and not on_gpu:
            most = min(most, MOST_VALUES // self.width)
        for places in length_batches([len(own.ids) for own in tokens], most, MOST_PADDING if may_pad else 0.0):
            own = [tokens[u] for u in places]
            states = windowed(self._packed(self._network_states(own), own), self.n_windows)
            yield places, list(states.states.split(states.lengths))

    def _packed(self, states_utd: Tensor, tokens: list[Tokens]) -> PackedStates:
        """Return those of the states of a batch that stand for residues; of Enformer, whose positions are of many, all."""
        has_state_ut = np.ones(states_utd.shape[:2], dtype=bool)
        if self.library != "enformer":
            for has_state_t, own in zip(has_state_ut, tokens, strict=True):
                has_state_t[:] = np.pad(own.has_state, (0, len(has_state_t) - len(own.ids)))
        lengths = has_state_ut.sum(1).tolist()
        offsets = torch.tensor([0, *accumulate(lengths)], device=states_utd.device)
        kept_pd = states_utd[torch.from_numpy(has_state_ut).to(states_utd.device)]
        return PackedStates(kept_pd.float(), offsets, lengths)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _network_states(self, tokens: list[Tokens]) -> Tensor:
        """Return (u, t, d) states of sequences of like length, padded to the longest."""
        longest = max(len(own.ids) for own in tokens)
        if not longest:
            return torch.zeros(len(tokens), 0, self.width, device=self._device)
        id_ut = np.full((len(tokens), longest), self.tokens.pad_id or 0, dtype=np.int64)
        is_there_ut = np.zeros((len(tokens), longest), dtype=np.int64)
        for u, own in enumerate(tokens):
            id_ut[u, : len(own.ids)], is_there_ut[u, : len(own.ids)] = own.ids, 1
        ids = torch.from_numpy(id_ut).to(self._device)
        if self.library == "enformer":
            return self._enformer_states(ids)
        more = {"attention_mask": torch.from_numpy(is_there_ut).to(self._device)} if self.takes_mask else {}
        try:
            return self.network(input_ids=ids, **more)[0]
        except IndexError as error:
            found = f"one of {longest:,} tokens, for which it has no position or no state ({error})"
            remedy = "pass an encoder of longer sequences, or max_length=…"
            raise value_error("encoder", "sequences that it can read", found, remedy) from error

    def _enformer_states(self, code_ut: Tensor) -> Tensor:
        """Return the states of all positions, but of no more than Enformer predicts: those at the ends lack context."""
        config = self.network.config
        n_positions = code_ut.shape[1] // 2**config.num_downsamples
        is_cut = n_positions > config.target_length and not self.reading.former_states
        target_length = config.target_length if is_cut else -1
        return self.network(code_ut, return_only_embeddings=True, target_length=target_length)

    def _tell_cut(self, tokens: list[Tokens]) -> None:
        """Warn, once, where sequences are longer than the encoder has positions."""
        if isinstance(self.tokens, EnformerTokens) or self.has_warned:
            return
        n_cut = sum(own.is_cut for own in tokens)
        if n_cut:
            self.has_warned = True
            logger.warning(
                "encoder: it has positions for %s tokens; of a longer sequence its %s is read alone (%d of the first %d are longer).",
                f"{self.tokens.n_most:,}",
                self.reading.keep,
                n_cut,
                len(tokens),
            )

    @torch.no_grad()
    def _measured_width(self) -> int:
        """Return the width of the states of a short sequence."""
        probe = np.frombuffer(PROBES[self.reading.kind].encode(), np.uint8)
        self.width = 0
        return self._network_states([self.tokens(probe)]).shape[-1]


class EnformerTokens:
    """Turns a sequence into the nucleotides that Enformer reads: with as many unknown ones around it as make whole positions.

    Parameters
    ----------
    reading
        How sequences are given to it.
    bin_size
        Base pairs of a position.

    Raises
    ------
    ValueError
        If the sequences are proteins, or are to be written as for a tokenizer.
    """

    pad_id: int | None = None

    def __init__(self, reading: Reading, bin_size: int) -> None:
        if reading.kind != "nucleotide" or reading.spaced or reading.uracil:
            found = "proteins" if reading.kind != "nucleotide" else "spaced=True or uracil=True"
            remedy = "pass an encoder of proteins" if reading.kind != "nucleotide" else "leave these out"
            raise value_error("encoder", "DNA for Enformer, as it is", found, remedy)
        self.codes, self.bin_size = residue_codes("nucleotide").numpy(), bin_size

    def __call__(self, residue_l: np.ndarray) -> Tokens:
        """Return the nucleotides of a sequence, (l,) uint8 residues."""
        code_l = self.codes[residue_l]
        surplus = -len(code_l) % self.bin_size
        ends = surplus // 2, surplus - surplus // 2
        code_t = np.pad(np.where(code_l < 0, NO_NUCLEOTIDE, code_l), ends, constant_values=NO_NUCLEOTIDE)
        return Tokens(code_t, np.ones(len(code_t), dtype=bool))


def state_width(source: Source, reading: Reading) -> int:
    """Check that an encoder is of such sequences, and return the width of its states; its weights are read only if they must be.

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If there is no configuration or tokenizer, or it is of another kind of sequences.
    """
    width = configured_width(source)
    if source.library == "enformer":
        EnformerTokens(reading, 1)
    else:
        SequenceTokens(read_tokenizer(source), reading)
    return width or PretrainedEncoder(source, reading, 1).width


def _aliases(network: nn.Module) -> dict[str, str]:
    """Return the first name of each tensor, by each other name of it: Enformer and T5 have some under several."""
    first: dict[int, str] = {}
    aliases = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if first.setdefault(id(tensor), name) != name:
            aliases[name] = first[id(tensor)]
    return aliases


def _leave_out_aliases(module: Any, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Keep one name of each tensor in what is saved, as safetensors demands."""
    for name in module.aliases:
        state.pop(f"{prefix}network.{name}", None)


def _fill_in_aliases(module: Any, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name, first in module.aliases.items():
        if f"{prefix}network.{first}" in state:
            state.setdefault(f"{prefix}network.{name}", state[f"{prefix}network.{first}"])


def _n_positions(network: Any) -> int | None:
    """Return how many tokens have a position of their own; None where positions are relative."""
    if getattr(network.config, "position_embedding_type", "absolute") != "absolute":
        return None
    for name, part in network.named_modules():
        if isinstance(part, nn.Embedding) and name.rpartition(".")[2] in ("position_embeddings", "wpe"):
            # RoBERTa and ESM-1b number positions from behind that of the padding on
            return part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
    return None
