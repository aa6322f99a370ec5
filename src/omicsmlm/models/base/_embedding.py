"""Embedding: of the registered object or of another, in memory or block by block to a file, by one process or several."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from omicsmlm._checks import check_switch, named, positive_integer, shortened, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Module, Parts
from omicsmlm.data import OmicsManager, observation_loader
from omicsmlm.training import Ranks, current_ranks, gathered, is_first_rank, on_device

from ._embedded_file import target_file
from ._inherited import InheritedSurface

EMBEDDING_BATCH_SIZE = 1024
"""Observations embedded at once unless the user says otherwise; the embedding does not depend on it."""
GATHERED_OBSERVATIONS = 65_536
"""Observations that ranks embed together before they gather them."""


class EmbeddingModel[M: Module](InheritedSurface):
    """Abstract: a registered model with a module that embeds."""

    module: M
    parts: Parts

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def embedding_batch_size(self) -> int:
        """Observations that are embedded, or validated, at once unless the user says otherwise; 1,024 unless they are large."""
        return EMBEDDING_BATCH_SIZE

    @in_own_surroundings
    def to_device(self, device: str | int | torch.device) -> None:  # type: ignore[override]
        """Move the network, and what prepares its input, to a device: where the getters then compute.

        Parameters
        ----------
        device
            As in PyTorch: "cpu", "cuda", "cuda:1", … After a training the model is on the CPU.
        """
        try:
            self.module.to(device)
        except (RuntimeError, TypeError, AssertionError) as error:  # PyTorch's, of an unknown or absent device
            found = f"{shortened(device)} ({' '.join(str(error).split())[:200]})"
            raise value_error("device", "one that PyTorch has here", found, 'pass "cpu" or "cuda"') from error
        if isinstance(self.parts.tokenizer, nn.Module):
            self.parts.tokenizer.to(device)

    def get_latent_representation(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return the embedding of observations; deterministic, and independent of their order and of the batch size.

        Parameters
        ----------
        data
            The object to embed; None for the registered one. Features are matched by name, modalities may be absent.
        indices
            Positions of observations, or one boolean per observation; None for all.
        batch_size
            Observations to embed at once; None for ``embedding_batch_size``.

        Returns
        -------
        numpy.ndarray
            (n_obs, n_latent) float32.

        Raises
        ------
        ValueError
            If the object shares no modality, or no feature of a modality, with the model, or lacks some of the observations.
        """
        embedding, _ = self.map_observations(data, indices, batch_size, self.module.n_latent, self.embed_batch)
        return embedding

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return the embedding of a batch on the model's device, (n, n_latent), with gradients where they are on."""
        return self.module.embed(self.parts.tokenizer(batch), batch).mean

    @torch.inference_mode()
    def _blocks(
        self, manager: OmicsManager, indices: np.ndarray, batch_size: int, compute: Callable[[Batch], Tensor]
    ) -> Iterator[np.ndarray]:
        """Yield what is computed of some observations, float32, as many at a time as are embedded at once."""
        self.module.eval()
        for batch in observation_loader(manager, indices, batch_size):
            yield compute(on_device(batch, self.device)).float().cpu().numpy()

    def minibatches(
        self,
        data: AnnData | MuData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> Iterator[Batch]:
        """Yield the observations that are asked for, on the model's device, with the module set to evaluation.

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`map_observations`.

        Raises
        ------
        ValueError
            If an argument is out of range, or the object does not fit the model.
        """
        batch_size = self.checked_batch_size(batch_size)
        manager = self.manager_for(data)
        indices = checked_indices(indices, manager.adata.n_obs)
        self.module.eval()
        for batch in observation_loader(manager, indices, batch_size):
            yield on_device(batch, self.device)

    @in_own_surroundings
    def map_observations(
        self,
        data: AnnData | MuData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        width: int,
        compute: Callable[[Batch], Tensor],
    ) -> tuple[np.ndarray, pd.Index]:
        """Compute something of each observation that is asked for, some observations at a time; without gradients.

        Parameters
        ----------
        data
            The object; None for the registered one.
        indices
            Positions of observations, or one boolean per observation; None for all.
        batch_size
            Observations at a time; None for as many as are embedded at once.
        width
            Numbers that ``compute`` returns of each observation.
        compute
            From a batch on the model's device to (n, width).

        Returns
        -------
        tuple of numpy.ndarray and pandas.Index
            (n, width) float32, and the names of the observations.

        Raises
        ------
        ValueError
            If an argument is out of range, or the object does not fit the model.
        """
        batch_size = self.checked_batch_size(batch_size)
        manager = self.manager_for(data)
        indices = checked_indices(indices, manager.adata.n_obs)
        values, start = np.empty((len(indices), width), dtype=np.float32), 0
        for block in self._blocks(manager, indices, batch_size, compute):
            values[start : start + len(block)] = block
            start += len(block)
        names = manager.adata.obs_names
        return values, names[indices]

    @in_own_surroundings
    def write_latent_representation(
        self,
        path: str | Path,
        data: AnnData | MuData | None = None,
        *,
        key_added: str = "auto",
        batch_size: int | None = None,
        across_ranks: bool = False,
    ) -> None:
        """Write an object with its embedding to a new file, block by block; the embedding is never held as a whole.

        Parameters
        ----------
        path
            File to write: ``.h5ad`` for an AnnData, ``.h5mu`` for a MuData. It takes this name when it is whole; a file that
            has it already is replaced then.
        data
            The object to embed; None for the registered one. Of one that is backed by a file, that file is copied, and its
            values are read from there.
        key_added
            Key of ``.obsm``; "auto" for the family's own.
        batch_size
            Observations to embed at once; None for ``embedding_batch_size``.
        across_ranks
            Whether the processes that trained the model (torchrun) divide the work; all of them have to call this then.
            The first one alone writes in any case.

        Raises
        ------
        ValueError
            If the file cannot be written, is the one that is read, or is not named for its kind of object; or as
            :meth:`get_latent_representation` does. No file is left then.
        """
        check_switch("across_ranks", across_ranks)
        batch_size = self.checked_batch_size(batch_size)
        key = self._checked_key(key_added, data)
        assert key is not None
        target = target_file(path, self.adata if data is None else data)
        manager = self.manager_for(data)
        if across_ranks:
            blocks = self._gathered_blocks(manager, current_ranks(self.device), batch_size)
        else:
            blocks = self._blocks(manager, np.arange(manager.adata.n_obs), batch_size, self.embed_batch)
        if is_first_rank():
            target.write(key, self.module.n_latent, blocks)
        elif across_ranks:
            for _ in blocks:  # the first rank waits for this one's part
                pass

    def _gathered_blocks(
        self, manager: OmicsManager, ranks: Ranks, batch_size: int | None = None
    ) -> Iterator[np.ndarray]:
        """Embed all observations, a part on each rank, and yield them, in order, to every one."""
        n_obs, batch_size = manager.adata.n_obs, self.checked_batch_size(batch_size)
        for start in range(0, n_obs, GATHERED_OBSERVATIONS):
            indices = np.array_split(np.arange(start, min(start + GATHERED_OBSERVATIONS, n_obs)), ranks.n_ranks)[
                ranks.rank
            ]
            own = [
                np.empty((0, self.module.n_latent), np.float32),
                *self._blocks(manager, indices, batch_size, self.embed_batch),
            ]
            own_nd = torch.from_numpy(np.concatenate(own)).to(ranks.device)
            yield gathered(own_nd, ranks.n_ranks).cpu().numpy()

    def _embedded_by(self, ranks: Ranks) -> np.ndarray:
        """Return the embedding of the registered object, computed where it was trained; each rank embeds a part, and all have the whole."""
        before = self.device
        self.to_device(ranks.device)
        try:
            if ranks.n_ranks == 1:
                return self.get_latent_representation()
            return np.concatenate(list(self._gathered_blocks(self.adata_manager, ranks)))
        finally:
            self.to_device(before)

    def checked_batch_size(self, batch_size: int | None) -> int:
        """Return the number of observations at a time that the user asks for, or that of the family.

        Raises
        ------
        ValueError
            If it is no whole number, or below 1.
        """
        if batch_size is None:
            return self.embedding_batch_size
        return positive_integer("batch_size", batch_size, f"leave it out for {self.embedding_batch_size:,}")

    def _checked_key(self, key_added: str | None, data: AnnData | MuData | None = None) -> str | None:
        """Return the key of ``.obsm`` that the user asks for, or the family's own."""
        if key_added is not None and (not isinstance(key_added, str) or not key_added or "/" in key_added):
            remedy = f'pass {self.embedding_key!r}, say, or "auto"'
            raise value_error("key_added", "a key of .obsm as text, without '/'", shortened(key_added), remedy)
        key, data = self.embedding_key if key_added == "auto" else key_added, self.adata if data is None else data
        if key is not None and isinstance(data, MuData) and key in data.mod:
            raise value_error(
                "key_added",
                "a key of its own",
                f"{key!r}, which .obsm reserves for a modality",
                f"pass another, such as {self.embedding_key!r}",
            )
        return key


def checked_indices(indices: Sequence[int] | np.ndarray | None, n_obs: int) -> np.ndarray:
    """Return positions of observations, (n,) int64, from what the user asks for.

    Examples
    --------
    >>> checked_indices([True, False, True], 3), checked_indices([-1], 3)
    (array([0, 2]), array([2]))
    """
    indices = np.arange(n_obs) if indices is None else np.asarray(indices)
    if indices.dtype == bool and indices.shape == (n_obs,):
        return np.flatnonzero(indices)
    if indices.size == 0:
        return np.empty(0, dtype=np.int64)
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or indices.min() < -n_obs or indices.max() >= n_obs:
        wanted = f"positions below {n_obs}, or as many booleans"
        raise value_error("indices", wanted, named(indices.ravel(), 3), "pass obs_names.get_indexer(names) for names")
    return indices.astype(np.int64) % n_obs  # what is drawn for an observation follows from its position
