"""The memory bank of a training: when it is refreshed, what it holds, and the network that it was refreshed with."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from omicsmlm._types import Batch, Memory, Module

from ._device import seed_draws
from ._ranks import gathered

REFRESH_STEPS = 48
"""Steps between two refreshes of the memory bank, to the nearest round; as many as leave them under a tenth of the training's time
where a refresh embeds every training observation. Longer rounds refresh it once each."""


class BankContent(NamedTuple):
    """What the memory bank was filled with."""

    step: int
    """Steps done by then."""
    embedding_md: Tensor
    """Embedding of the training observations."""
    covariates_mk: Tensor
    """Their covariates."""
    indices_m: Tensor
    """Their positions in the object, ascending."""

    @classmethod
    def of(cls, step: int, parts: Sequence[tuple[Tensor, Tensor, Tensor]], n_ranks: int) -> Self:
        """Put together embeddings, covariates and positions of the batches of all ranks."""
        found = [gathered(torch.cat(part), n_ranks) for part in zip(*parts, strict=True)]
        order_m = found[2].argsort()
        return cls(step, *(part[order_m] for part in found))


class MemoryBank:
    """The memory of an objective, refreshed now and then by the network as it is.

    It is no module, as the copied network is no part of what is trained.

    Parameters
    ----------
    memory
        What the objective makes of the embeddings.
    is_whole
        Whether they are those of all training observations. Of a sample, a copy of the network as it was at the refresh
        embeds the whole observations of a batch: by the network as it is, a target would run away from the observation that
        follows it, and a batch would be moved by its shift again and again until the next refresh.
    """

    def __init__(self, memory: Memory, is_whole: bool) -> None:
        self.memory, self.is_whole = memory, is_whole
        self.content: BankContent | None = None
        self.network: Module | None = None

    def is_due(self, step: int, n_steps: int, round_size: int) -> bool:
        """Return whether a round that begins after this step, of so many of the training, refreshes the bank."""
        if self.content is None:
            return step >= self.memory.start * n_steps
        return step - self.content.step >= REFRESH_STEPS - round_size // 2

    def keep_network(self, module: Module) -> None:
        """Copy a network as it is, where whole observations need one."""
        if self.is_whole:
            return
        if self.network is None:
            self.network = copy.deepcopy(module).requires_grad_(False).eval()
        else:
            self.network.load_state_dict(module.state_dict())

    def fill(self, content: BankContent, seed: int, device: torch.device) -> None:
        """Refresh the memory; what it draws follows from the seed."""
        self.content = content
        with torch.inference_mode(False), torch.no_grad():
            seed_draws(seed, device)
            self.memory.refresh(content.embedding_md, content.covariates_mk, content.indices_m, is_whole=self.is_whole)

    @torch.no_grad()
    def unmasked(self, views: dict[str, object], batch: Batch) -> Tensor | None:
        """Return the embedding of the whole observations of a batch, (n, d); None where the memory has a target of each."""
        if self.content is None or self.network is None:
            return None
        return self.network.embed(views, batch).mean.float()

    def clear(self) -> None:
        """Leave nothing of the training observations behind."""
        self.content = self.network = None
        self.memory.clear()

    def state(self) -> dict[str, Any]:
        """Return content and network for a checkpoint."""
        assert self.content is not None
        snapshot = None if self.network is None else self.network.state_dict()
        return {**self.content._asdict(), "snapshot": snapshot}

    def load_network(self, state: dict[str, Any], module: Module, device: torch.device) -> BankContent:
        """Restore the network of a checkpoint, and return its content, with which the bank is then filled."""
        self.keep_network(module)
        if self.network is not None:
            self.network.load_state_dict(state["snapshot"])
        return BankContent(state["step"], *(state[name].to(device) for name in BankContent._fields[1:]))
