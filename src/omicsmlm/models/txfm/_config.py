"""Hyper-parameters of TxFM."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from omicsmlm._checks import value_error
from omicsmlm.objectives import Activation, CountLoss
from omicsmlm.tokenizers import Library

GeneStart = Literal["components", "random"]
"""Where the embeddings of genes start."""
Shown = Literal["uniform", "frequency"]
"""Which genes are shown in training."""
Embedded = Literal["subsets", "all"]
"""How a row is embedded."""


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
        Probability that a row skips a branch of the last block in a training step; it rises linearly from 0 at the first
        (paper: 0.1, L 0.3; that it rises is ours).
    layer_scale
        Start of what a branch adds to the residual stream (paper: LayerScale, without a value; ours: 0.1).
    n_decoder_layers
        Residual layers of the decoder (paper: 4), of the width of the transformer (inferred: of two linear layers each, they
        give the published numbers of parameters); 0 for a linear decoder, which costs little.
    n_visible
        Genes that are shown of a row in a training step, K (paper: 2,048; the default is ours).
    most_visible
        Largest share of a row's profiled genes that is shown, where it has few (ours; the paper shows 6 to 25 %).
    shown
        "uniform": which genes are shown is drawn from all profiled ones, zeros included (paper). "frequency": those that are
        found in more rows are drawn more often, in proportion (an alternative of the paper's).
    embedded
        How rows are embedded, always alike. "subsets": the mean over disjoint subsets of the row's profiled genes, each as
        large as what training shows, by an order of all genes that the seed has drawn once. "all": from all profiled genes
        at once, more than any training step shows. Ours; the paper does not say.
    library
        What counts are brought to ``library_size`` by (see :class:`omicsmlm.tokenizers.LogCounts`): "profiled", the row's
        total over the profiled genes (paper); "expected", what it would be had all genes been profiled, so that panels of a
        few hundred genes and whole transcriptomes have values of one size (ours; the same where all genes are profiled);
        "none", raw counts (of the paper's ablation).
    library_size
        L, the total that counts are normalised to before log(1 + x), and the largest count that can be expected (paper: 10⁵;
        the default is ours, for rows of a few thousand counts, whose single counts would stand far from zero).
    activation
        From a logit to an expected log count: "rectified tanh" (paper), "clamped ReLU" or "softmax" (of its ablation).
    loss
        "poisson" (paper), "negative binomial", "squares" or "smooth L1" (of its ablation).
    gene_start
        "components": the row's token begins with the row's components, fitted to what is shown of it, with the embeddings of
        genes as loadings, which start at those of a factor analysis of training rows; blocks start by adding little (ours, for
        few rows). "random": the row's token is learned, and everything starts at random (paper, inferred).
    learning_rate, betas, epsilon
        Of AdamW (paper: 1e-3, 0.9 and 0.999, 1e-6), with a cosine after a tenth of the steps of warm-up.
    weight_decay
        Of AdamW; None for 1 / (learning rate × number of steps) (paper). That takes w / steps off a weight w in each step,
        more than AdamW can make good where there are few: the default, a small number, is ours.
    averaging
        Share that a step leaves in place of the moving average of the weights, which is kept (ours); 0 for none.
    patience
        Rounds (of steps: see ``train``) without a better validation loss before training stops (ours).
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
    shown: Shown = "uniform"
    embedded: Embedded = "subsets"
    library: Library = "expected"
    library_size: float = 1e4
    activation: Activation = "rectified tanh"
    loss: CountLoss = "poisson"
    gene_start: GeneStart = "components"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-6
    weight_decay: float | None = 1e-2
    averaging: float = 0.99
    patience: int = 15
    seed: int = 0

    @classmethod
    def S(cls) -> "TxFMConfig":
        """Give the paper's small size, 57 million parameters at 44,349 genes.

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
        """Give the paper's base size, 159 million parameters at 44,349 genes; see :meth:`S`."""
        return cls(**PAPER, width=768, n_layers=12, n_heads=12, stochastic_depth=0.1)

    @classmethod
    def L(cls) -> "TxFMConfig":
        """Give the paper's large size, 403 million parameters at 44,349 genes; see :meth:`S`."""
        return cls(**PAPER, width=1024, n_layers=24, n_heads=16, stochastic_depth=0.3)

    def __post_init__(self) -> None:
        """Check the ranges."""
        names = {"shown": Shown, "embedded": Embedded, "library": Library, "activation": Activation, "loss": CountLoss}
        for name, among in {**names, "gene_start": GeneStart}.items():
            if getattr(self, name) not in get_args(among):
                wanted = "one of " + ", ".join(map(repr, get_args(among)))
                raise value_error(name, wanted, repr(getattr(self, name)), "leave it out for the default")
        ranges = {
            "width": (self.width >= 2, "at least 2"),
            "n_layers": (self.n_layers >= 1, "at least 1"),
            "n_decoder_layers": (self.n_decoder_layers >= 0, "at least 0"),
            "n_visible": (self.n_visible >= 1, "at least 1"),
            "most_visible": (0 < self.most_visible <= 1, "a share above 0 and at most 1"),
            "stochastic_depth": (0 <= self.stochastic_depth < 1, "a probability below 1"),
            "library_size": (self.library_size > 0, "a number above 0"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(getattr(self, name)), "leave it out for the default")

    def n_shown(self, n_visible_n: Tensor) -> Tensor:
        """Give how many genes are shown of rows of which so many were profiled, (n,) int64.

        Examples
        --------
        >>> TxFMConfig(n_visible=128).n_shown(torch.tensor([0, 3, 200, 9000]))
        tensor([  0,   1,  50, 128])
        """
        fraction_n = (self.most_visible * n_visible_n).long().clamp(min=1)
        return torch.minimum(fraction_n, n_visible_n).clamp(max=self.n_visible)


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
