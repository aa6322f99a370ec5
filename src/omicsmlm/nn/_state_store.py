"""States of sequences on disk: each distinct sequence is embedded once, in this session or an earlier one."""

from pathlib import Path

import numpy as np
import torch

from omicsmlm._checks import value_error

STATES, INDEX = "states.f16", "index.bin"
_ENTRY = np.dtype([("digest", np.int64, 2), ("start", np.int64), ("length", np.int64)])


class StateStore:
    """A growing file of half-precision states, and an index of where those of a sequence are.

    States are written before their entry in the index, and entries whole: a killed run loses what it was just writing, and
    the next one goes on from there. One process writes at a time.

    Parameters
    ----------
    directory
        Folder of one encoder, revision and crop; made if it is not there.
    width
        d of a state.

    Raises
    ------
    ValueError
        If the folder cannot be written.
    """

    def __init__(self, directory: str | Path, width: int) -> None:
        self.directory, self.width = Path(directory), width
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for name in (STATES, INDEX):
                (self.directory / name).touch()
        except OSError as error:
            raise value_error(
                "cache_dir", "a directory that can be written", str(error), "pass another path"
            ) from error
        written = np.fromfile(self.directory / INDEX, np.uint8)
        entries: np.ndarray = written[: len(written) // _ENTRY.itemsize * _ENTRY.itemsize].view(_ENTRY)
        fields = (entries[name].tolist() for name in ("digest", "start", "length"))
        self._at = {(first, second): (start, n) for (first, second), start, n in zip(*fields, strict=True)}
        self._n_states = max((start + length for start, length in self._at.values()), default=0)
        self._map: np.memmap | None = None

    def __len__(self) -> int:
        """Count the sequences."""
        return len(self._at)

    def has(self, digest: tuple[int, int]) -> bool:
        """Tell whether the states of a sequence are there."""
        return digest in self._at

    def get(self, digest: tuple[int, int]) -> np.ndarray:
        """Give (l, d) float16 of a sequence that is there."""
        start, length = self._at[digest]
        if self._map is None or len(self._map) < start + length:
            shape = self._n_states, self.width
            self._map = np.memmap(self.directory / STATES, np.float16, "r", shape=shape)
        return self._map[start : start + length]

    def add(self, digest: tuple[int, int], states_ld: torch.Tensor) -> None:
        """Write the states of a sequence; where it is there already, nothing."""
        if self.has(digest):
            return
        values_ld = states_ld.detach().to(torch.float16).cpu().numpy()
        with (self.directory / STATES).open("r+b") as file:
            file.seek(self._n_states * self.width * 2)
            file.write(values_ld.tobytes())
        entry = np.array([(digest, self._n_states, len(values_ld))], _ENTRY)
        index = self.directory / INDEX
        with index.open("r+b") as file:
            file.seek(len(self._at) * _ENTRY.itemsize)
            file.write(entry.tobytes())
        self._at[digest] = self._n_states, len(values_ld)
        self._n_states += len(values_ld)
