"""Published encoders that are never trained: each distinct sequence goes through one once."""

import hashlib
import json
import time
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from omicsmlm._types import Sequences

from ._encoder_weights import Source
from ._pretrained_encoder import PretrainedEncoder
from ._residues import PackedStates, on_host
from ._sequence_tokens import Reading
from ._state_store import StateStore

WRITE_EVERY = 5.0
"""Seconds of embedding that a killed run loses at most, and one batch."""


class FrozenEncoder:
    """An encoder that is never trained: each distinct sequence goes through it once, and lies on disk from then on.

    Not a module: its weights are read only when a sequence is new, and are not saved with the model. States are kept in half
    precision; with which others a sequence went through the encoder may change their last bit.

    Parameters
    ----------
    source
        Where its weights are.
    reading
        How sequences are given to it.
    n_windows
        As in :class:`PretrainedEncoder`.
    width
        d of its states.
    truncation
        How sequences were truncated, for the key.
    cache_dir
        Folder for the stores of all encoders.
    """

    def __init__(
        self,
        source: Source,
        reading: Reading,
        n_windows: int,
        width: int,
        truncation: tuple[int, str],
        cache_dir: str | Path,
    ) -> None:
        self.source, self.reading, self.n_windows, self.width = source, reading, n_windows, width
        known = [source.key(), n_windows, *truncation]
        if not reading.former_states:
            known.append(reading._asdict())
        key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:20]
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
        if not at:
            return {}
        whole, digests = on_host(residues), list(at)
        found: dict[tuple[int, int], np.ndarray] = {}
        fresh: dict[tuple[int, int], Tensor] = {}
        written = time.monotonic()
        batches = self._loaded(residues.offsets.device).in_batches([whole[i] for i in at.values()])
        for places, states in batches:
            own = {digests[u]: states_pd.to(torch.float16).cpu() for u, states_pd in zip(places, states, strict=True)}
            found |= {digest: states_pd.numpy() for digest, states_pd in own.items()}
            fresh |= own
            if time.monotonic() - written > WRITE_EVERY:
                self.store.add(fresh)
                fresh, written = {}, time.monotonic()
        if fresh:
            self.store.add(fresh)
        return found

    def _loaded(self, device: torch.device) -> PretrainedEncoder:
        if self._encoder is None:
            self._encoder = PretrainedEncoder(self.source, self.reading, self.n_windows).eval()
        return self._encoder.to(device)
