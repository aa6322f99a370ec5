"""Hyper-parameters of ScMBERT; the abstract (Chen et al. 2025) gives next to none, so nearly all are ours."""

from dataclasses import dataclass

from omicsmlm._checks import value_error
from omicsmlm.models.base import (
    ACCESSIBILITY_WEIGHT,
    ADVERSARY_WEIGHT,
    KL_WARMUP,
    N_SAMPLED,
    WEIGHT_DECAY,
    ComponentDerived,
    FormerFields,
    check_fields,
)


@dataclass(frozen=True)
class ScMBERTConfig:
    """Hyper-parameters of :class:`ScMBERT`.

    "Paper" marks what the abstract says; all else it leaves open, and is ours (``docs/experiments.md``).

    Parameters
    ----------
    width, n_layers, n_heads, feed_forward
        Of the transformer: width of a token, blocks, heads, hidden width of the feed-forward.
    layer_scale
        Initial scale of residual branches (LayerScale).
    dropout
        Dropout of the blocks and of the readout.
    exact_tokens
        Attention is exact if no cell of the training data has more tokens than this; else it goes through ``n_latents``
        latents, at a cost linear in the number of tokens.
    n_latents
        Latents of a cell, where there are any.
    max_tokens
        Most tokens of a cell, 20,000 (paper; there a random sample, here always the same one).
    max_training_tokens
        Tokens of a cell in a training step, about; longer cells drop more.
    n_bins
        Value bins of counts; those of zero and of masked values are added to them.
    bins_per_cell
        Whether the bins of counts are those of the quantiles of the non-zero values of each cell, as in scGPT, to which the
        paper refers, and not of all training cells at equal depth. Equal values share a bin in both.
    n_open_bins
        Count bins of open regions; with 1 a token says only that its region is open, predicted against closed ones.
    drop_rates
        Lowest and highest fraction of tokens that a cell loses in a step; each cell draws its own.
    modality_rate
        Probability that a cell with several modalities loses one of them as a whole.
    value_rate
        Fraction of the remaining tokens whose value is masked, and predicted (MVP of the paper).
    identity_rate
        Fraction of the remaining tokens whose feature and modality are masked; the modality is predicted (DMP of the paper,
        which masks values only: where the feature is visible, so is its modality).
    identity_visible
        Whether those tokens keep their feature and modality visible all the same, to show that leak.
    identity_value_visible
        Whether those tokens keep their value visible, of which most of the answer follows: an open region has one bin. Without
        it nothing tells one such token of a cell from another.
    modality_weight
        Weight of modality prediction (the paper's λ), beside 1 for value prediction.
    cell_weight
        Weight of the reconstruction of the whole cell from its embedding, which the paper lacks; 0 switches it off, and
        the adversary on the batch, as in scGPT's recipe, with it. Only the decoder is conditioned on the batch.
    kl_weight
        Weight of the divergence of the embedding from N(0, I).
    alignment_weight
        Weight of the distance of the masked cell's embedding to that of the whole cell; 0 switches it off.
    n_nonlinear, n_linear
        Dimensions of the embedding that the network learns, and that start as principal components.
    shrunken_estimates
        Whether what one modality says of the components of another is, before training, only as far from the mean as its
        precision supports. Cells of which all lack the same modality are then told apart better, and cells that lack one lie
        farther from those that have both (``docs/experiments/scmbert.md``).
    n_variable, n_common
        Most features that the embedding is initialized from and that are reconstructed: the most variable counts, the most
        common regions. All features are tokens.
    learning_rate
        Of AdamW.
    patience
        Validations (every so many steps: see ``train``) without a better loss before training stops.
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
    bins_per_cell: bool = False
    n_open_bins: int = 1
    drop_rates: tuple[float, float] = (0.3, 0.8)
    modality_rate: float = 0.2
    value_rate: float = 0.2
    identity_rate: float = 0.1
    identity_visible: bool = False
    identity_value_visible: bool = True
    modality_weight: float = 1.0
    cell_weight: float = 1.0
    kl_weight: float = 0.1
    alignment_weight: float = 30.0
    n_nonlinear: int = 0
    n_linear: int = 80
    shrunken_estimates: bool = False
    n_variable: int = 2000
    n_common: int = 15_000
    learning_rate: float = 1e-3
    patience: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        low, high = self.drop_rates
        ranges = {
            "value_rate + identity_rate": (
                0 < self.value_rate and 0 <= self.identity_rate and self.value_rate + self.identity_rate < 1,
                "fractions that together are below 1, the first above 0",
                (self.value_rate, self.identity_rate),
            ),
            "identity_value_visible": (
                self.identity_value_visible or not self.identity_visible,
                "True where identity_visible is: a token of which the value alone is masked has it predicted",
                self.identity_value_visible,
            ),
            "drop_rates": (0 <= low <= high < 1, "two fractions from 0 to under 1, the lower first", self.drop_rates),
            "n_bins": (self.n_bins >= 1 and self.n_open_bins >= 1, "at least 1", (self.n_bins, self.n_open_bins)),
            "width": (self.width % self.n_heads == 0, f"a multiple of n_heads={self.n_heads}", self.width),
            "n_layers": (self.n_layers >= 0, "at least 0", self.n_layers),
            "feed_forward": (self.feed_forward >= 1, "at least 1", self.feed_forward),
            "n_latents": (self.n_latents >= 1, "at least 1", self.n_latents),
            "exact_tokens": (self.exact_tokens >= 0, "at least 0", self.exact_tokens),
            "max_training_tokens": (self.max_training_tokens >= 1, "at least 1", self.max_training_tokens),
            "modality_weight": (self.modality_weight >= 0, "at least 0", self.modality_weight),
            "kl_weight": (self.kl_weight >= 0, "at least 0", self.kl_weight),
            "alignment_weight": (self.alignment_weight >= 0, "at least 0", self.alignment_weight),
            "n_nonlinear + n_linear": (
                min(self.n_nonlinear, self.n_linear) >= 0 < self.n_nonlinear + self.n_linear,
                "numbers of dimensions, not both 0",
                (self.n_nonlinear, self.n_linear),
            ),
            "n_variable": (self.n_variable >= 1, "at least 1", self.n_variable),
            "n_common": (self.n_common >= 1, "at least 1", self.n_common),
            "max_tokens": (self.max_tokens >= 1, "at least 1", self.max_tokens),
            "cell_weight": (self.cell_weight >= 0, "at least 0", self.cell_weight),
        }
        for name, (holds, wanted, found) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(found), "leave it out for the default")

    def n_bins_of(self, kind: str) -> int:
        """Return the number of value bins of a modality of this kind."""
        return self.n_open_bins if kind == "accessibility" else self.n_bins


@dataclass(frozen=True, kw_only=True)
class ScMBERTDerived(ComponentDerived):
    """Hyper-parameters that :class:`ScMBERT` derives from the data."""

    is_exact: bool
    """Whether attention is exact, or goes through latents."""


VALUE_WEIGHT = 1.0
"""Weight of value prediction, against which the others are set."""
LINEAR_SCALE, LINEAR_POWER = 5.0, 1.0
"""A linear dimension starts with standard deviation ``LINEAR_SCALE`` · (s / s₁) ** ``LINEAR_POWER``, s its singular value."""
LINKED_POWER = 2.0
"""The same power where links alone tie modalities, as in OmicsMLM: weak components are noise there, which neighbours of the other
modality should not be found by (``docs/experiments/scmbert.md``)."""
RESIDUAL_SCALE = 0.2
"""Initial factor of what the network adds to a linear dimension (ours)."""
TRAINING_FRACTION = 0.5
"""Steps of a training where the user names no number of epochs, as a fraction of what other families take: those of the figures
(``docs/experiments/scmbert.md``)."""
MOST_CELLS_TRAINED_ON, FEWEST_EPOCHS = 28_000, 6
"""Cells that pass by in such a training of a small set, about, and its fewest epochs: two CPU-minutes of cells with
180 tokens. Training moves the embedding little from its start."""
FORMER_CONFIG = FormerFields(
    renamed={"identity_in_sight": "identity_visible"},
    constants={
        "bins": None,
        "value_weight": VALUE_WEIGHT,
        "accessibility_weight": ACCESSIBILITY_WEIGHT,
        "kl_warmup": KL_WARMUP,
        "adversary_weight": ADVERSARY_WEIGHT,
        "linear_scale": LINEAR_SCALE,
        "linear_power": LINEAR_POWER,
        "residual_scale": RESIDUAL_SCALE,
        "n_sampled": N_SAMPLED,
        "weight_decay": WEIGHT_DECAY,
    },
)
"""Fields that version 0.1 saved."""
