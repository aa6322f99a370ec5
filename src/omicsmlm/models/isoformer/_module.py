"""The network of IsoFormer: an encoder per sequence, fusion, and a head over the targets.

Tensor axes: n rows, u distinct sequences, p positions, d width, f fused width, t targets, e experts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from omicsmlm._sizes import positions_of_true
from omicsmlm._types import Batch, Encoded, Grid, Module, Sequences
from omicsmlm.masking import has_modality
from omicsmlm.nn import (
    ALPHABETS,
    CompositionScores,
    FrozenEncoder,
    Fusion,
    KernelRegression,
    PackedStates,
    PretrainedEncoder,
    ResidueEncoder,
    sequence_of,
)

from ._config import IsoFormerConfig

KINDS = {"dna": "nucleotide", "rna": "nucleotide", "protein": "protein"}
"""What the letters of each sequence are."""
NETWORK = "network"
"""Name of the network among the experts."""


class Outputs(NamedTuple):
    """What the network makes of rows."""

    fused: Tensor
    """(n, f): the embedding."""
    predicted: Tensor
    """(n, t): standardised targets."""


class IsoFormerModule(Module):
    """Encoders → fusion → head; beside it kernel regressions, and the weights that combine the answers.

    Parameters
    ----------
    sequences
        Names of the sequences.
    vectors
        Width by name of the vectors.
    widths
        Width of the states of each published encoder.
    n_targets
        t.
    config
        Hyper-parameters.
    """

    def __init__(
        self,
        sequences: list[str],
        vectors: Mapping[str, int],
        widths: Mapping[str, int],
        n_targets: int,
        config: IsoFormerConfig,
    ) -> None:
        super().__init__()
        c = config
        self.sequences, self.vectors = list(sequences), dict(vectors)
        self.frozen: dict[str, FrozenEncoder] = {}
        self.encoders = nn.ModuleDict()
        for name in self.sequences:
            made = _encoder(name, widths.get(name, 0), c)
            if isinstance(made, FrozenEncoder):
                self.frozen[name] = made
            else:
                self.encoders[name] = made
        own = {name: widths.get(name, c.width) for name in self.sequences}
        self.state_widths, self.width = own, c.width
        self.projections = nn.ModuleDict({name: nn.Linear(own[name], c.width) for name in self.sequences})
        self.readings = nn.ModuleDict({name: nn.Linear(2 * width, c.width) for name, width in self.vectors.items()})
        scores = {name: CompositionScores(KINDS[name], c.n_components) for name in self.sequences}
        self.scores = nn.ModuleDict(scores if c.composition or c.kernel_expert else {})
        self.summaries = nn.ModuleDict(
            {name: _perceptron(c.n_components, c.width, c.dropout) for name in self.sequences} if c.composition else {}
        )
        self.fusion = Fusion([*self.sequences, *self.vectors], c.fusion, c.width, c.n_heads, c.dropout)
        self.n_latent = self.fusion.n_fused
        self.head = nn.Sequential(
            nn.LayerNorm(self.n_latent), nn.Dropout(c.dropout), nn.Linear(self.n_latent, n_targets)
        )
        self.kernels = nn.ModuleDict(
            {name: KernelRegression(c.n_components, c.n_landmarks, n_targets) for name in self.sequences}
            if c.kernel_expert
            else {}
        )
        self.experts = [*self.kernels, NETWORK]
        self.register_buffer("weight_se", torch.zeros(2 ** len(self.kernels), len(self.experts)))
        self.reset_weights()

    # ---- the network ----------------------------------------------------------------------------------------------

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed what is there of each row."""
        fused_nf = self.fusion(self._streams(views))
        return Encoded(fused_nf, torch.zeros_like(fused_nf))

    def forward(self, views: dict[str, Any], batch: Batch) -> Outputs:
        """Embed, and foretell."""
        fused_nf = self.encode(views).mean
        return Outputs(fused_nf, self.head(fused_nf))

    def initial_layer(self) -> list[nn.Parameter]:
        """Give the embeddings of the letters."""
        return [cast(nn.Parameter, e.embedding.weight) for e in self.encoders.values() if isinstance(e, ResidueEncoder)]

    def _streams(self, views: dict[str, Any]) -> dict[str, PackedStates]:
        streams, known = {}, _known([views[name] for name in [*self.sequences, *self.vectors]])
        for name in self.sequences:
            own, residues = known.pop(0), views[name]
            states = self._sequence_states(name, residues._replace(residues=residues.residues[: sum(own.lengths)]), own)
            streams[name] = states.of_observations(residues.of_obs, own.of_obs)
        for name in self.vectors:
            streams[name] = self._vector_states(name, views[name], known.pop(0))
        return streams

    def _sequence_states(self, name: str, residues: Sequences, known: "_Known") -> PackedStates:
        """Give the states of distinct sequences; to each position is added what the whole sequence is made of."""
        if len(residues.offsets) == 1:
            return PackedStates(torch.zeros(0, self.width, device=residues.offsets.device), residues.offsets, [])
        if name in self.frozen:
            states = self.frozen[name](residues, known.keys)
        else:
            states = self.encoders[name](residues, known.lengths)
        states = states._replace(states=self.projections[name](states.states))
        if name not in self.summaries:
            return states
        summary_ud = self.summaries[name](self.scores[name](residues, known.keys))
        return states._replace(states=states.states + summary_ud[sequence_of(states)])

    def _vector_states(self, name: str, grid: Grid, known: "_Known") -> PackedStates:
        has_n = grid.visible.any(1)
        place_p, _ = positions_of_true(has_n, sum(known.lengths))
        x_pg = torch.cat([grid.values * grid.visible, grid.visible.to(grid.values.dtype)], 1)[place_p]
        offsets = torch.cat([has_n.new_zeros(1, dtype=torch.int64), has_n.cumsum(0)])
        return PackedStates(self.readings[name](x_pg), offsets, known.lengths)

    # ---- experts --------------------------------------------------------------------------------------------------

    def composition(self, name: str, residues: Sequences) -> Tensor:
        """Give (u, k) scores of what sequences are made of."""
        return self.scores[name](residues)

    def answers(self, views: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Give what each expert says, (n, e, t), 0 where it has nothing to go by, and the set of kernels that do, (n,)."""
        network_nt = self.head(self.encode(views).mean)
        said, set_n = [], torch.zeros(len(network_nt), dtype=torch.int64, device=network_nt.device)
        for i, (name, kernel) in enumerate(self.kernels.items()):
            residues = views[name]
            has_n = has_modality(residues)
            said_nt = torch.zeros_like(network_nt)
            if bool(has_n.any()):
                said_nt[has_n] = kernel(self.composition(name, residues))[residues.of_obs[has_n]].to(said_nt.dtype)
            said.append(said_nt)
            set_n += has_n.long() << i
        return torch.stack([*said, network_nt], 1), set_n

    def predict(self, views: dict[str, Any]) -> Tensor:
        """Give (n, t) standardised targets: the combination of all answers."""
        answer_net, set_n = self.answers(views)
        return torch.einsum("net,ne->nt", answer_net, self.get_buffer("weight_se")[set_n])

    def reset_weights(self) -> None:
        """Let all experts that a row has count alike."""
        weight_se = self.get_buffer("weight_se")
        for s in range(len(weight_se)):
            has_e = torch.tensor([bool(s >> i & 1) for i in range(len(self.kernels))] + [True])
            weight_se[s] = has_e / has_e.sum()


class _Known(NamedTuple):
    """What the host must know of a sequence, or a vector, of some rows."""

    lengths: list[int]
    """Of each distinct sequence; of a vector, 1 for a row that has it and 0 for one that has not."""
    of_obs: list[int]
    """Sequence of each row, -1 for none; of a vector, nothing."""
    keys: list[tuple[int, int]]
    """Digest of each sequence; of a vector, nothing."""


def _known(views: Sequence[Any]) -> list[_Known]:
    """Read it all at once: on a device the host waits here, and nowhere else."""
    parts: list[Tensor] = []
    for view in views:
        is_sequence = isinstance(view, Sequences)
        parts += (
            [view.offsets.diff(), view.of_obs, view.digests.flatten()] if is_sequence else [view.visible.any(1).long()]
        )
    numbers, known = torch.cat(parts).tolist(), []
    for view in views:
        sizes = (
            [len(view.offsets) - 1, len(view.of_obs), view.digests.numel()]
            if isinstance(view, Sequences)
            else [len(view.visible)]
        )
        read = []
        for size in sizes:
            read.append(numbers[:size])
            numbers = numbers[size:]
        lengths, of_obs, digests = [*read, [], []][:3]
        known.append(_Known(lengths, of_obs, list(zip(digests[::2], digests[1::2], strict=True))))
    return known


class ResidueOutputs(NamedTuple):
    """What is said of letters."""

    residues: dict[str, Tensor]
    """Per sequence: (t, a) logits of its letters, in their order."""


class ResidueModule(Module):
    """Guesses hidden letters: what encoders of our own can learn from sequences alone.

    Parameters
    ----------
    module
        The network whose encoders learn.
    names
        The sequences that have one.
    """

    def __init__(self, module: IsoFormerModule, names: list[str]) -> None:
        super().__init__()
        self.n_latent = module.state_widths[names[0]]
        self.encoders = nn.ModuleDict({name: module.encoders[name] for name in names})
        self.heads = nn.ModuleDict({n: nn.Linear(module.state_widths[n], len(ALPHABETS[KINDS[n]])) for n in names})

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Give the mean state of the first kind of sequence of each row."""
        name = next(iter(self.encoders))
        mean_nd = self.encoders[name](views[name]).of_observations(views[name].of_obs).pooled()
        return Encoded(mean_nd, torch.zeros_like(mean_nd))

    def forward(self, views: dict[str, Any], batch: Batch) -> ResidueOutputs:
        """Guess all letters, of which some are hidden: the heads are small."""
        said, known = {}, _known([views[name] for name in self.encoders])
        for (name, encoder), own in zip(self.encoders.items(), known, strict=True):
            assert isinstance(encoder, ResidueEncoder)
            residues = views[name]._replace(residues=views[name].residues[: sum(own.lengths)])
            said[name] = self.heads[name](encoder.residue_states(residues, own.lengths))
        return ResidueOutputs(said)


def _perceptron(n_in: int, width: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(n_in, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width))


def _encoder(name: str, width: int, config: IsoFormerConfig) -> nn.Module | FrozenEncoder:
    c, chosen = config, config.encoder(name)
    if chosen.source is None:
        return ResidueEncoder(
            KINDS[name], c.width, c.kernel, c.n_levels, c.pool, c.n_windows, c.n_layers, c.n_heads, c.dropout
        )
    if chosen.tuning == "frozen":
        return FrozenEncoder(chosen.source, c.n_windows, width, chosen.crop(name), c.cache_folder)
    return PretrainedEncoder(chosen.source, c.n_windows, chosen.tuning)
