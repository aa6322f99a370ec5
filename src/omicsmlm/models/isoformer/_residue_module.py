"""The masked language model of residues, with which encoders from scratch are pre-trained."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Module
from omicsmlm.nn import ALPHABETS, ResidueEncoder

from ._config import KINDS
from ._host_sizes import host_sizes
from ._module import IsoFormerModule


class ResidueOutputs(NamedTuple):
    """Predictions of residues."""

    residues: dict[str, Tensor]
    """Per sequence: (t, a) logits of the residues of its alphabet, in their order."""


class ResidueModule(Module):
    """Masked language model of residues: what encoders from scratch can learn from sequences alone.

    Parameters
    ----------
    module
        The network whose encoders are pre-trained.
    names
        The sequences that have an encoder from scratch.
    """

    def __init__(self, module: IsoFormerModule, names: list[str]) -> None:
        super().__init__()
        self.n_latent = module.state_widths[names[0]]
        self.encoders = nn.ModuleDict({name: module.encoders[name] for name in names})
        self.heads = nn.ModuleDict({n: nn.Linear(module.state_widths[n], len(ALPHABETS[KINDS[n]])) for n in names})

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Return the mean state of the first kind of sequence of each observation."""
        name = next(iter(self.encoders))
        mean_nd = self.encoders[name](views[name]).of_observations(views[name].of_obs).pooled()
        return Encoded(mean_nd, torch.zeros_like(mean_nd))

    def forward(self, views: dict[str, Any], batch: Batch) -> ResidueOutputs:
        """Predict all residues, of which some are masked: the heads are small."""
        logits, known = {}, host_sizes([views[name] for name in self.encoders])
        for (name, encoder), own in zip(self.encoders.items(), known, strict=True):
            assert isinstance(encoder, ResidueEncoder)
            residues = views[name]._replace(residues=views[name].residues[: sum(own.lengths)])
            logits[name] = self.heads[name](encoder.residue_states(residues, own.lengths))
        return ResidueOutputs(logits)
