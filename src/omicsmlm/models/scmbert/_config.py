"""Hyper-parameters of ScMBERT; the abstract (Chen et al. 2025) gives next to none, so nearly all are ours."""

from collections.abc import Mapping
from dataclasses import dataclass

from omicsmlm._checks import value_error
from omicsmlm.data import ADDED
from omicsmlm.models.base import ComponentDerived


@dataclass(frozen=True)
class ScMBERTConfig:
    """Hyper-parameters of :class:`ScMBERT`.

    "Paper" marks what the abstract says; all else it leaves open, and is ours (``docs/experiments.md``).

    Parameters
    ----------
    width, n_layers, n_heads, feed_forward
        Of the transformer: width of a token, blocks, heads, hidden width of the feed-forward.
    layer_scale
        Start of what a block adds to the residual stream.
    dropout
        Dropout of the blocks and of the readout.
    exact_tokens
        Attention is exact if no row of the training data has more tokens than this; else it goes through ``n_latents``
        latents, at a cost linear in the number of tokens.
    n_latents
        Latents of a row, where there are any.
    max_tokens
        Most tokens of a row, 20,000 (paper; there a random sample, here always the same one).
    max_training_tokens
        Tokens of a row in a training step, about; longer rows drop more.
    n_bins
        Value bins of counts; those of zero and of hidden values come to them.
    n_open_bins
        Count bins of open regions; 1: only that a region is open is told, and predicted against closed ones.
    bins
        Value bins by modality, in place of the two above; None for none.
    drop_rates
        Lowest and highest share of tokens that a row loses in a step; each row draws its own.
    modality_rate
        Probability that a row with several modalities loses one of them as a whole.
    value_rate
        Share of the tokens left whose value is hidden, and predicted (MVP of the paper).
    identity_rate
        Share of the tokens left whose feature and modality are hidden; the modality is predicted (DMP of the paper, which
        hides values only: with the feature in sight its modality is no question).
    identity_in_sight
        Whether those tokens keep their feature and modality in sight all the same, to show that leak.
    value_weight, modality_weight
        Weight of value prediction and of modality prediction (the paper's λ).
    cell_weight
        Weight of the reconstruction of the whole cell from its embedding, which the paper lacks; 0 switches it off, and
        the adversary with it.
    accessibility_weight
        Weight of the open regions in that reconstruction, beside 1 for counts.
    kl_weight, kl_warmup
        Weight of the divergence of the embedding from N(0, I), and share of the training in which it is reached.
    adversary_weight
        Weight of an adversary that guesses the batch from the embedding (as in scGPT's recipe), for each batch but one and
        at most 30; 0 switches it off. The batch is told to the decoder alone.
    alignment_weight
        Weight of a pull of the masked row's embedding to that of the whole row; 0 switches it off.
    n_nonlinear, n_linear
        Dimensions of the embedding that the network fills, and that start as principal components.
    linear_scale, linear_power, residual_scale
        A linear dimension starts with standard deviation ``linear_scale`` · (s / s₁) ** ``linear_power``, s its singular
        value; the network's part of it starts scaled by ``residual_scale``.
    n_variable, n_common
        Most features that the embedding is started from and that are rebuilt: the most variable counts, the most common
        regions. All features are tokens.
    n_sampled
        Regions that are rebuilt in a step, drawn anew each time.
    learning_rate, weight_decay
        Of AdamW.
    patience
        Rounds (of steps: see ``train``) without a better validation loss before training stops.
    seed
        Seed of everything random.
    """

    width: int = 80
    n_layers: int = 2
    n_heads: int = 4
    feed_forward: int = 160
    layer_scale: float = 0.1
    dropout: float = 0.0
    exact_tokens: int = 4096
    n_latents: int = 64
    max_tokens: int = 20_000
    max_training_tokens: int = 2048
    n_bins: int = 16
    n_open_bins: int = 1
    bins: Mapping[str, int] | None = None
    drop_rates: tuple[float, float] = (0.3, 0.8)
    modality_rate: float = 0.2
    value_rate: float = 0.2
    identity_rate: float = 0.1
    identity_in_sight: bool = False
    value_weight: float = 1.0
    modality_weight: float = 1.0
    cell_weight: float = 1.0
    accessibility_weight: float = 0.1
    kl_weight: float = 0.1
    kl_warmup: float = 0.3
    adversary_weight: float = 2.5
    alignment_weight: float = 30.0
    n_nonlinear: int = 0
    n_linear: int = 80
    linear_scale: float = 5.0
    linear_power: float = 1.0
    residual_scale: float = 0.2
    n_variable: int = 2000
    n_common: int = 15_000
    n_sampled: int = 2000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    patience: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high = self.drop_rates
        ranges = {
            "value_rate + identity_rate": (
                0 < self.value_rate and 0 <= self.identity_rate and self.value_rate + self.identity_rate < 1,
                "shares that together are below 1, the first above 0",
                (self.value_rate, self.identity_rate),
            ),
            "drop_rates": (0 <= low <= high < 1, "two shares from 0 to under 1, the lower first", self.drop_rates),
            "n_bins": (self.n_bins >= 1 and self.n_open_bins >= 1, "at least 1", (self.n_bins, self.n_open_bins)),
            "bins": (self.bins is None or min(self.bins.values(), default=1) >= 1, "at least 1 of each", self.bins),
            "max_tokens": (self.max_tokens >= 1, "at least 1", self.max_tokens),
            "cell_weight": (self.cell_weight >= 0, "at least 0", self.cell_weight),
        }
        for name, (holds, wanted, found) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(found), "leave it out for the default")

    def bins_of(self, modality: str, kind: str) -> int:
        """Give the number of value bins of a modality; features that a query adds to it have as many."""
        usual = self.n_open_bins if kind == "accessibility" else self.n_bins
        bins = self.bins or {}
        return bins.get(modality, bins.get(modality.rstrip(ADDED), usual))


@dataclass(frozen=True, kw_only=True)
class ScMBERTDerived(ComponentDerived):
    """What :class:`ScMBERT` derives from the data."""

    is_exact: bool
    """Whether attention is exact, or goes through latents."""
