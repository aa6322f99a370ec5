"""The network of IsoFormer: an encoder per sequence, fusion, and a head over the targets.

Tensor axes: n observations, u distinct sequences, p positions, d width, f fused width, t targets, e experts, s sets of experts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from omicsmlm._sizes import positions_of_true
from omicsmlm._types import Batch, Encoded, Grid, Module, Sequences
from omicsmlm.masking import has_modality
from omicsmlm.nn import (
    ARCHITECTURE,
    CompositionScores,
    FrozenEncoder,
    Fusion,
    GroupRegression,
    KernelRegression,
    PackedStates,
    PretrainedEncoder,
    ResidueEncoder,
    sequence_of,
)

from ._config import KINDS, IsoFormerConfig
from ._derived import NO_MORE_EXPERTS, ExpertSet
from ._host_sizes import HostSizes, host_sizes

NETWORK, OF_ARCHITECTURE = "network", "architecture"
"""Names of the network, and of the regression on the architecture of transcripts, among the experts."""
OF_SHORT = "k-mers of "
"""What stands before the name of a sequence in that of the linear regression on its short k-mers."""


class IsoFormerOutputs(NamedTuple):
    """Embedding and the network's own predictions of a batch."""

    fused: Tensor
    """(n, f): the embedding."""
    predicted: Tensor
    """(n, t): standardised targets."""


class IsoFormerModule(Module):
    """Encoders → fusion → head; beside it regressions in closed form, and the weights that combine all predictions.

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
    former_states
        Whether published encoders are read as in version 0.1.
    experts
        Further experts.
    """

    def __init__(
        self,
        sequences: list[str],
        vectors: Mapping[str, int],
        widths: Mapping[str, int],
        n_targets: int,
        config: IsoFormerConfig,
        former_states: bool = False,
        experts: ExpertSet = NO_MORE_EXPERTS,
    ) -> None:
        super().__init__()
        c = config
        self.sequences, self.vectors = list(sequences), dict(vectors)
        self.frozen: dict[str, FrozenEncoder] = {}
        self.encoders = nn.ModuleDict()
        for name in self.sequences:
            made = _encoder(name, widths.get(name, 0), c, former_states)
            if isinstance(made, FrozenEncoder):
                self.frozen[name] = made
            else:
                self.encoders[name] = made
        own = {name: widths.get(name, c.width) for name in self.sequences}
        self.state_widths, self.width = own, c.width
        self.projections = nn.ModuleDict({name: nn.Linear(own[name], c.width) for name in self.sequences})
        self.readings = nn.ModuleDict({name: nn.Linear(2 * width, c.width) for name, width in self.vectors.items()})
        whole = ["rna"] if experts.architecture else []
        scores = {
            name: CompositionScores(KINDS[name], c.n_components, name in whole, experts.short_kmers and c.kernel_expert)
            for name in self.sequences
        }
        self.scores = nn.ModuleDict(scores if c.composition or c.kernel_expert else {})
        self.summaries = nn.ModuleDict(
            {name: _perceptron(c.n_components, c.width, c.dropout) for name in self.sequences} if c.composition else {}
        )
        self.fusion = Fusion([*self.sequences, *self.vectors], c.fusion, c.width, c.n_heads, c.dropout)
        self.n_latent = self.fusion.n_fused
        self.head = nn.Sequential(
            nn.LayerNorm(self.n_latent), nn.Dropout(c.dropout), nn.Linear(self.n_latent, n_targets)
        )
        n_features = dict.fromkeys(self.sequences, c.n_components) | (self.vectors if experts.vectors else {})
        self.kernels = nn.ModuleDict(
            {name: KernelRegression(n, c.n_landmarks, n_targets) for name, n in n_features.items()}
            if c.kernel_expert
            else {}
        )
        n_linear = {OF_ARCHITECTURE: len(ARCHITECTURE)} if whole else {}
        if experts.short_kmers:
            n_linear |= {OF_SHORT + name: scores[name].n_short for name in self.sequences}
        self.linear = nn.ModuleDict(
            {name: GroupRegression(n, n_targets, name != OF_ARCHITECTURE) for name, n in n_linear.items()}
            if c.kernel_expert
            else {}
        )
        self.experts = [*self.kernels, *self.linear, NETWORK]
        self.has_within = experts.within
        self.register_buffer("weight_se", torch.zeros(2 ** len(self.kernels), len(self.experts)))
        for name in ("level_se", "within_se") if self.has_within else ():
            self.register_buffer(name, torch.zeros_like(self.get_buffer("weight_se")))
        self.reset_weights()

    # ---- the network ----------------------------------------------------------------------------------------------

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Return the embedding of a batch from the modalities that each observation has."""
        fused_nf = self.fusion(self._streams(views))
        return Encoded(fused_nf, torch.zeros_like(fused_nf))

    def forward(self, views: dict[str, Any], batch: Batch) -> IsoFormerOutputs:
        """Embed, and predict the targets by the network alone."""
        fused_nf = self.encode(views).mean
        return IsoFormerOutputs(fused_nf, self.head(fused_nf))

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the embeddings of the residues, which fine-tuning may freeze."""
        return [cast(nn.Parameter, e.embedding.weight) for e in self.encoders.values() if isinstance(e, ResidueEncoder)]

    def _streams(self, views: dict[str, Any]) -> dict[str, PackedStates]:
        streams, known = {}, host_sizes([views[name] for name in [*self.sequences, *self.vectors]])
        for name in self.sequences:
            own, residues = known.pop(0), views[name]
            states = self._sequence_states(name, residues._replace(residues=residues.residues[: sum(own.lengths)]), own)
            streams[name] = states.of_observations(residues.of_obs, own.of_obs)
        for name in self.vectors:
            streams[name] = self._vector_states(name, views[name], known.pop(0))
        return streams

    def _sequence_states(self, name: str, residues: Sequences, known: "HostSizes") -> PackedStates:
        """Return the states of distinct sequences, to each position of which the whole sequence's composition is added."""
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

    def _vector_states(self, name: str, grid: Grid, known: "HostSizes") -> PackedStates:
        """Return one state for each vector that is there: of its measured values, and of which these are."""
        has_n = grid.visible.any(1)
        place_p, _ = positions_of_true(has_n, sum(known.lengths))
        x_pg = torch.cat([grid.values * grid.visible, grid.visible.to(grid.values.dtype)], 1)[place_p]
        offsets = torch.cat([has_n.new_zeros(1, dtype=torch.int64), has_n.cumsum(0)])
        return PackedStates(self.readings[name](x_pg), offsets, known.lengths)

    # ---- experts --------------------------------------------------------------------------------------------------

    def features(self, name: str, views: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return what an expert reads of each of the m observations that have it.

        Parameters
        ----------
        name
            The expert.
        views
            Observations, as tokens.

        Returns
        -------
        tuple of torch.Tensor
            (m, k): component scores of the composition, values of a vector (0, the mean, where not measured), architecture,
            or short k-mers; (n,) bool: the observations that have it.
        """
        modality = modality_of(name)
        view = views[modality]
        has_n = has_modality(view)
        if isinstance(view, Grid):
            return (view.values * view.visible)[has_n], has_n
        scores = cast(CompositionScores, self.scores[modality])
        if name == OF_ARCHITECTURE:
            features_uk = scores.composition.architecture(view)
        else:
            features_uk = scores(view) if name == modality else scores.short(view)
        return features_uk[view.of_obs[has_n]], has_n

    def expert_predictions(self, views: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return each expert's prediction, and which experts have one.

        Returns
        -------
        tuple of torch.Tensor
            (n, e, t) standardised predictions in the order of ``experts``, 0 where the observation lacks what the expert reads;
            (n,) int64 sets of kernels, whose bit i says that the i-th has what it reads.
        """
        network_nt = self.head(self.encode(views).mean)
        predictions, set_n = [], torch.zeros(len(network_nt), dtype=torch.int64, device=network_nt.device)
        for i, (name, expert) in enumerate([*self.kernels.items(), *self.linear.items()]):
            features_mk, has_n = self.features(name, views)
            predicted_nt = torch.zeros_like(network_nt)
            if len(features_mk):
                predicted_nt[has_n] = expert(features_mk).to(predicted_nt.dtype)
            predictions.append(predicted_nt)
            if name in self.kernels:
                set_n += has_n.long() << i
        return torch.stack([*predictions, network_nt], 1), set_n

    def predict(self, views: dict[str, Any]) -> Tensor:
        """Return (n, t) standardised targets: the experts' predictions, weighted by the observation's set of experts.

        Each observation is predicted by itself, whatever its group.
        """
        return self._weighted(views, "weight_se")[0]

    def predict_parts(self, views: dict[str, Any]) -> Tensor:
        """Return (n, 2 t) standardised targets by the weights of levels of groups, and by those of differences within them."""
        return torch.cat(self._weighted(views, "level_se", "within_se"), 1)

    def _weighted(self, views: dict[str, Any], *weights: str) -> list[Tensor]:
        predicted_net, set_n = self.expert_predictions(views)
        return [torch.einsum("net,ne->nt", predicted_net, self.get_buffer(name)[set_n]) for name in weights]

    def reset_weights(self) -> None:
        """Weight all experts that an observation has equally."""
        weight_se, names = self.get_buffer("weight_se"), list(self.kernels)
        for s in range(len(weight_se)):
            has = {name: bool(s >> i & 1) for i, name in enumerate(names)}
            has |= {name: has[modality_of(name)] for name in self.linear} | {NETWORK: True}
            has_e = torch.tensor([has[name] for name in self.experts])
            weight_se[s] = has_e / has_e.sum()
        for name in ("level_se", "within_se") if self.has_within else ():
            self.get_buffer(name).copy_(weight_se)


def modality_of(expert: str) -> str:
    """Return the modality that a regression reads.

    Examples
    --------
    >>> [modality_of(name) for name in ("dna", "k-mers of dna", "architecture")]
    ['dna', 'dna', 'rna']
    """
    return "rna" if expert == OF_ARCHITECTURE else expert.removeprefix(OF_SHORT)


def _perceptron(n_in: int, width: int, dropout: float) -> nn.Module:
    """Return a perceptron with one hidden layer of twice the width."""
    return nn.Sequential(nn.Linear(n_in, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width))


def _encoder(name: str, width: int, config: IsoFormerConfig, former: bool) -> nn.Module | FrozenEncoder:
    """Return the encoder of a sequence that the configuration asks for; ``width`` is that of a frozen one's states."""
    c, chosen = config, config.encoder(name)
    if chosen.source is None:
        return ResidueEncoder(
            KINDS[name], c.width, c.kernel, c.n_levels, c.pool, c.n_windows, c.n_layers, c.n_heads, c.dropout
        )
    reading = chosen.reading(name, KINDS[name], former=former)
    if chosen.tuning == "frozen":
        truncation = chosen.truncation(name, former=former)
        return FrozenEncoder(chosen.source, reading, c.n_windows, width, truncation, c.cache_folder)
    return PretrainedEncoder(chosen.source, reading, c.n_windows, chosen.tuning)
