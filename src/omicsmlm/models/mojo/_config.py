"""Hyper-parameters of MOJO."""

from dataclasses import dataclass
from typing import Literal

from omicsmlm._checks import value_error
from omicsmlm.models.base import FormerFields, check_fields
from omicsmlm.nn import Form


@dataclass(frozen=True)
class MOJOConfig:
    """Hyper-parameters of :class:`MOJO`; the defaults train on a laptop, :meth:`paper` gives the published sizes.

    "Paper" is Gélard et al., bioRxiv 10.1101/2025.06.25.661237; "inferred" is what it does not say but implies, "ours" what
    it says nothing about.

    Parameters
    ----------
    axis
        Genes on the shared axis: those that any of the modalities has ("union"), or only those that all have
        ("intersection", as in the paper). Ours: "union", so that no measured gene is lost.
    n_bins
        Bins of each modality (paper: 64).
    scaling
        How values are scaled to 0 … 1 before they are binned. "genes" (ours): each gene by its own quantiles, so that no loss
        is spent on which genes are high. "maximum": divided by the largest of all, as the paper does with log10(1 + TPM).
        "range", "quantiles": see :func:`omicsmlm.tokenizers.fit_scale`; for z-scores, which have negative values and long
        tails. "auto": "quantiles" if there are negative values, and otherwise "maximum". But for "genes", fractions stay as
        they are, and counts, which become log10(1 + counts per million), are divided by the largest of all (ours).
    order
        Order of the genes, and so which ones a convolution sees together: "coexpression" of the training samples (ours), or
        that of the "data". They are matched by name in any case.
    token_width
        Width of the token embeddings (paper: 256).
    gene_width
        Width of the gene embedding before it is projected to ``token_width`` (paper: 200, from Gene2Vec).
    width
        Channels of the convolutions and width of the transformer, and of the embedding if ``row_width`` is 0 (paper: 512).
    row_width
        Width of the state of a sample, a linear map of its visible tokens to which the network adds, and so of the embedding
        (ours); 0 for none, as in the paper, where the embedding is the mean over the transformer.
    genes_per_position
        Neighbouring genes that the towers see as one position (paper: 1; ours: 4, for a third of the time).
    stem_kernel
        Kernel of the first convolution (paper: 15).
    n_levels
        Levels of each tower; each halves the number of positions (paper: 8, from 17,152 to 67).
    n_blocks, n_heads, feed_width
        Blocks of the transformer, heads, and width inside of its feed-forward layers (paper: 8, 16, 1024).
    layers
        "published", or "former", as in models of omicsmlm 0.1: see :data:`omicsmlm.nn.Form`.
    mask_rate
        Fraction of the measured tokens of a modality that the loss is taken over (paper: 0.15, of which 80 % are masked), or
        the lowest and the highest one, between which each sample draws its own (ours; all of them are then masked).
    modality_rate
        Probability that a sample loses a whole modality in a training step (paper: 0; ours: it is what makes an embedding
        from one modality useful).
    bin_weight
        Weight of the cross-entropy of bins (paper: 1, there is nothing else).
    value_weight
        Weight of the squared error of all standardised values that the state of a sample predicts (ours), if there is one.
    smoothing
        Standard deviation, in bins, of the normal distribution about the true bin that predictions are compared with (ours);
        0 for the true bin alone, as in the paper.
    whitening
        From 0, for the state as it is, to 1, for the same variance in all directions of the embedding, if there is a state
        (ours).
    consistency
        Weight of the agreement of a sample's partial view, without one modality, with its full view; see
        :class:`omicsmlm.objectives.BinCrossEntropy`. The paper has such a loss in fine-tuning, without
        a formula: this one is ours. 0 switches it off; otherwise each step costs twice as much.
    learning_rate
        Of AdamW with warm-up and cosine (ours; the paper gives neither optimiser nor schedule).
    start
        Initial weights: "components", so that the untrained embedding holds principal components of each modality and the
        heads predict the usual bins of each gene (ours, see ``_initialization.py``; in place of Gene2Vec, which embeds
        co-expression too), or "random".
    patience
        Validations (every so many steps: see ``train``) without a better loss before training stops (ours).
    seed
        Seed of everything random.
    """

    axis: Literal["union", "intersection"] = "union"
    n_bins: int = 64
    scaling: Literal["genes", "auto", "maximum", "range", "quantiles"] = "genes"
    order: Literal["coexpression", "data"] = "coexpression"
    token_width: int = 16
    gene_width: int = 16
    width: int = 16
    row_width: int = 64
    genes_per_position: int = 4
    stem_kernel: int = 7
    n_levels: int = 3
    n_blocks: int = 2
    n_heads: int = 2
    feed_width: int = 32
    layers: Form = "published"
    mask_rate: float | tuple[float, float] = (0.3, 0.9)
    modality_rate: float = 0.3
    bin_weight: float = 0.2
    value_weight: float = 1.0
    smoothing: float = 2.0
    whitening: float = 0.5
    consistency: float = 0.0
    learning_rate: float = 1e-3
    start: Literal["components", "random"] = "components"
    patience: int = 15
    seed: int = 0

    @classmethod
    def paper(cls) -> "MOJOConfig":
        """Return the sizes and the masking of the paper: 52,294,532 parameters on 17,152 positions.

        Examples
        --------
        >>> MOJOConfig.paper().width
        512
        """
        return cls(
            axis="intersection",
            scaling="maximum",
            order="data",
            token_width=256,
            gene_width=200,
            width=512,
            row_width=0,
            genes_per_position=1,
            stem_kernel=15,
            n_levels=8,
            n_blocks=8,
            n_heads=16,
            feed_width=1024,
            mask_rate=0.15,
            modality_rate=0.0,
            bin_weight=1.0,
            smoothing=0.0,
            start="random",
        )

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        lowest, highest = self.mask_rates
        ranges = {
            "n_bins": (self.n_bins >= 2, "at least 2"),
            "token_width": (self.token_width >= 1, "at least 1"),
            "gene_width": (self.gene_width >= 1, "at least 1"),
            "n_blocks": (self.n_blocks >= 0, "at least 0"),
            "feed_width": (self.feed_width >= 1, "at least 1"),
            "n_levels": (0 <= self.n_levels <= MOST_LEVELS, f"from 0 to {MOST_LEVELS}"),
            "genes_per_position": (self.genes_per_position >= 1, "at least 1"),
            "stem_kernel": (self.stem_kernel % 2 == 1 and self.stem_kernel >= 1, "an odd number"),
            "n_heads": (self.width % (2 * self.n_heads) == 0, f"heads of even width out of {self.width}"),
            "mask_rate": (
                0 < lowest <= highest <= 1,
                "a fraction above 0 and at most 1, or the lowest and the highest of a range of them",
            ),
            "row_width": (self.row_width >= 0, "at least 0"),
            "bin_weight": (self.bin_weight >= 0, "at least 0"),
            "value_weight": (self.value_weight >= 0, "at least 0"),
            "smoothing": (self.smoothing >= 0, "a number of bins of at least 0"),
            "whitening": (0 <= self.whitening <= 1, "a number from 0 to 1"),
            "consistency": (self.consistency >= 0, "at least 0"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(getattr(self, name)), "leave it out for the default")

    @property
    def mask_rates(self) -> tuple[float, float]:
        """Lowest and highest fraction of masked tokens."""
        return self.mask_rate if isinstance(self.mask_rate, tuple) else (self.mask_rate, self.mask_rate)

    def n_positions(self, n_genes: int) -> int:
        """Return the length of the axis: the genes, padded to a multiple of genes_per_position · 2^n_levels.

        Examples
        --------
        >>> MOJOConfig.paper().n_positions(17_116)
        17152
        """
        step = self.genes_per_position * 2**self.n_levels
        return -(-n_genes // step) * step


MOST_LEVELS = 16
"""Levels of a tower, which halve 65,536 positions to one; more would only lengthen the axis."""
KERNEL = 5
"""Kernel of the convolutions in the towers (paper)."""
TEMPERATURE = 0.1
"""Temperature of InfoNCE in the agreement of views (ours)."""
WEIGHT_DECAY = 1e-2
"""Of AdamW: its default in PyTorch (ours)."""
N_WARMUP_STEPS = 50
"""Steps in which the learning rate rises to its value (ours)."""
FORMER_CONFIG = FormerFields(
    constants={
        "kernel": KERNEL,
        "temperature": TEMPERATURE,
        "weight_decay": WEIGHT_DECAY,
        "n_warmup_steps": N_WARMUP_STEPS,
    },
    absent={
        "order": "data",
        "row_width": 0,
        "genes_per_position": 1,
        "layers": "former",
        "bin_weight": 1.0,
        "smoothing": 0.0,
    },
)
"""Fields that version 0.1 saved, and what it did where it saved none."""
