"""Hyper-parameters of TxFM."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from omicsmlm._checks import value_error
from omicsmlm.models.base import FormerFields, check_fields
from omicsmlm.objectives import Activation, CountLoss
from omicsmlm.tokenizers import Library

GeneStart = Literal["components", "random"]
"""Initial values of the gene embeddings."""
VisibleGenes = Literal["uniform", "frequency"]
"""How the visible genes of a training step are drawn."""
EmbeddedGenes = Literal["subsets", "all"]
"""Which genes of a cell are embedded together."""


@dataclass(frozen=True)
class TxFMConfig:
    """Hyper-parameters of :class:`TxFM`; the defaults train on a laptop, :meth:`S`, :meth:`B` and :meth:`L` are the paper's.

    "Paper" is Kenyon-Dean et al., arXiv 2605.31562; "inferred" is what it does not say but implies, "ours" what it says nothing
    about.

    Parameters
    ----------
    width, n_layers, n_heads
        Of the transformer, and of the embedding (paper: 384, 12, 6 to 1024, 24, 16; the default is ours).
    feed_forward
        Hidden width of its feed-forward, as a multiple of ``width`` (inferred: 4, from the numbers of parameters; the default
        is ours).
    stochastic_depth
        Probability that a cell skips a branch of the last block in a training step; it rises linearly from 0 at the first
        (paper: 0.1, L 0.3; that it rises is ours).
    layer_scale
        Initial scale of residual branches (paper: LayerScale, without a value; ours: 0.1).
    n_decoder_layers
        Residual layers of the decoder (paper: 4), of the width of the transformer (inferred: of two linear layers each, they
        give the published numbers of parameters); 0 for a linear decoder, which costs little.
    n_visible
        Visible genes of a cell in a training step, K (paper: 2,048; the default is ours).
    most_visible
        Largest fraction of a cell's measured genes that is visible, where it has few (ours; in the paper 6 to 25 %).
    visible_genes
        "uniform": the visible genes are drawn from all measured ones, zeros included (paper). "frequency": those that are
        detected in more cells are drawn more often, in proportion (an alternative of the paper's).
    embedded
        How cells are embedded, deterministically. "subsets": the mean over disjoint subsets of the cell's measured genes, each
        as large as in training, by an order of all genes that the seed has drawn once. "all": from all measured genes at
        once, more than in any training step. Ours; the paper does not say.
    library
        How counts are normalised to ``library_size`` (see :class:`omicsmlm.tokenizers.LogCounts`): by "profiled", the cell's
        total over the measured genes (paper); by "expected", its total had all genes been measured, so that panels of a
        few hundred genes and whole transcriptomes have values of one size (ours; the same where all genes are measured);
        "none", raw counts (of the paper's ablation).
    library_size
        L, the total that counts are normalised to before log(1 + x), and the largest count that can be expected (paper: 10⁵;
        the default is ours, for cells of a few thousand counts, whose single counts would stand far from zero).
    activation
        From a logit to an expected log count: "rectified tanh" (paper), "clamped ReLU" or "softmax" (of its ablation).
    loss
        "poisson" (paper), "negative binomial", "squares" or "smooth L1" (of its ablation).
    gene_start
        "components": the cell token begins with the cell's components, fitted to its visible genes, with the gene embeddings
        as loadings, which start at those of a factor analysis of training cells; residual branches start small (ours, for
        few cells). "random": the cell token is learned, and everything starts at random (paper, inferred).
    learning_rate
        Of AdamW (paper: 1e-3), with a cosine after a tenth of the steps of warm-up.
    weight_decay
        Of AdamW; None for 1 / (learning rate × number of steps) (paper). That takes w / steps off a weight w in each step,
        more than AdamW can make good where there are few: the default, a small number, is ours.
    averaging
        Decay of the exponential moving average of the weights, which is what the model keeps (ours); 0 for none.
    patience
        Validations (every so many steps: see ``train``) without a better loss before training stops (ours).
    seed
        Seed of everything random.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    width: int = 64
    n_layers: int = 2
    n_heads: int = 4
    feed_forward: int = 2
    stochastic_depth: float = 0.0
    layer_scale: float = 0.1
    n_decoder_layers: int = 1
    n_visible: int = 128
    most_visible: float = 0.25
    visible_genes: VisibleGenes = "uniform"
    embedded: EmbeddedGenes = "subsets"
    library: Library = "expected"
    library_size: float = 1e4
    activation: Activation = "rectified tanh"
    loss: CountLoss = "poisson"
    gene_start: GeneStart = "components"
    learning_rate: float = 1e-3
    weight_decay: float | None = 1e-2
    averaging: float = 0.99
    patience: int = 15
    seed: int = 0

    @classmethod
    def S(cls) -> "TxFMConfig":
        """Return the paper's small size, 57 million parameters at 44,349 genes.

        Its table says 6 blocks, which gives 46 million; 12 give what it says in all.

        Examples
        --------
        >>> from dataclasses import replace
        >>> replace(TxFMConfig.S(), n_visible=1024).n_layers
        12
        """
        return cls(**PAPER, width=384, n_layers=12, n_heads=6, stochastic_depth=0.1)

    @classmethod
    def B(cls) -> "TxFMConfig":
        """Return the paper's base size, 159 million parameters at 44,349 genes; see :meth:`S`."""
        return cls(**PAPER, width=768, n_layers=12, n_heads=12, stochastic_depth=0.1)

    @classmethod
    def L(cls) -> "TxFMConfig":
        """Return the paper's large size, 403 million parameters at 44,349 genes; see :meth:`S`."""
        return cls(**PAPER, width=1024, n_layers=24, n_heads=16, stochastic_depth=0.3)

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        ranges = {
            "width": (
                self.width >= 2 and self.width % self.n_heads == 0,
                f"at least 2, and a multiple of n_heads={self.n_heads}",
            ),
            "feed_forward": (self.feed_forward >= 1, "at least 1"),
            "averaging": (0 <= self.averaging < 1, "a fraction below 1"),
            "n_layers": (self.n_layers >= 1, "at least 1"),
            "n_decoder_layers": (self.n_decoder_layers >= 0, "at least 0"),
            "n_visible": (self.n_visible >= 1, "at least 1"),
            "most_visible": (0 < self.most_visible <= 1, "a fraction above 0 and at most 1"),
            "stochastic_depth": (0 <= self.stochastic_depth < 1, "a probability below 1"),
            "library_size": (self.library_size > 0, "a number above 0"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(getattr(self, name)), "leave it out for the default")

    def n_visible_of(self, n_measured_n: Tensor) -> Tensor:
        """Return how many genes of a cell are visible in training, (n,) int64, by how many were measured.

        Examples
        --------
        >>> TxFMConfig(n_visible=128).n_visible_of(torch.tensor([0, 3, 200, 9000]))
        tensor([  0,   1,  50, 128])
        """
        fraction_n = (self.most_visible * n_measured_n).long().clamp(min=1)
        return torch.minimum(fraction_n, n_measured_n).clamp(max=self.n_visible)


PAPER: dict[str, Any] = {
    "feed_forward": 4,
    "n_decoder_layers": 4,
    "library": "profiled",
    "library_size": 1e5,
    "n_visible": 2048,
    "gene_start": "random",
    "weight_decay": None,
    "averaging": 0.0,
}
"""What the paper's three sizes share, beside the defaults."""


@dataclass(frozen=True, kw_only=True)
class TxFMDerived:
    """Hyper-parameters that :class:`TxFM` derives from the data."""

    fractions: list[float]
    """Each gene's expected fraction of all counts."""
    frequencies: list[float] | None = None
    """Fraction of the cells that measured a gene in which it is detected, if that is how visible genes are drawn."""


BETAS, EPSILON = (0.9, 0.999), 1e-6
"""Of AdamW (paper)."""
FORMER_CONFIG = FormerFields(renamed={"shown": "visible_genes"}, constants={"betas": BETAS, "epsilon": EPSILON})
"""Fields that version 0.1 saved."""
