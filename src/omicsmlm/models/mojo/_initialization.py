"""Where MOJO starts, if not at random: the embedding shows principal components, and the heads know each gene's usual bins.

The paper starts at random and trains on 192 billion tokens. A few hundred samples have a hundred thousandth of that, in which
a random network learns next to nothing (``docs/experiments.md``). The network is the same; only its first weights are ours:

- A token is embedded as its value, a number, in the dimensions of its modality, where the gene embedding holds the gene's
  loadings on the modality's principal components. GELU has a quadratic part, so that GELU(value + loading) contains their
  product, and the mean over genes contains the scores of the components.
- Convolutions start near the identity (on the way up: near copying each position twice), and what blocks add starts small,
  so that the scores survive down to the embedding.
- The last layer of each head is solved for the bins of masked tokens. Otherwise training would first learn what is usual in
  each gene, at large steps that destroy the start.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Grid, Masked
from omicsmlm.nn import AxisEmbedding, RotaryBlock, TokenHead, TokenLogits, TowerLevel

from ._module import MOJOModule, Outputs

COMPONENT_ROWS = 2000
"""Rows of each modality from which the components are taken; a random sample where there are more."""
SOLVED_TOKENS = 30_000
"""Masked tokens of each modality that a head is solved for, at most."""
NEARLY = 0.05
"""Factor of the random weights around an identity."""
SMALL = 0.1
"""Factor of what a block adds at the start."""
N_MOMENTS = 2
"""Dimensions of each modality that hold a gene's mean and deviation, and not a component."""


@torch.no_grad()
def start(module: MOJOModule, grids: Sequence[dict[str, Grid]], centres_b: Tensor, seed: int) -> None:
    """Start embedding, convolutions and transformer.

    Parameters
    ----------
    module
        Module that was made at random.
    grids
        Rows to learn from.
    centres_b
        Middle of each bin, from 0 to 1.
    seed
        Seed of the sample, where there are many rows.
    """
    _start_embedding(module.embedding, grids, centres_b, np.random.default_rng(seed))
    stem = module.stem.layer
    n_in = stem.weight.shape[1]
    sign_o = torch.tensor([1.0 if (o // n_in) % 2 == 0 else -1.0 for o in range(len(stem.weight))])
    into_oi = sign_o[:, None] * torch.eye(n_in).repeat(-(-len(stem.weight) // n_in), 1)[: len(stem.weight)]
    _near(stem, into_oi, [stem.weight.shape[3] // 2])
    for tower in (module.down, module.up):
        for level in tower.levels:
            assert isinstance(level, TowerLevel)
            layer = level.wide.layer
            middle, expands = layer.weight.shape[3] // 2, isinstance(layer, nn.ConvTranspose2d)
            _near(layer, torch.eye(len(layer.weight)), [middle, middle + 1] if expands else [middle])
            level.pointwise.weight.mul_(SMALL)
    for block in module.transformer:
        assert isinstance(block, RotaryBlock)
        block.attention.out.weight.mul_(SMALL)
        block.feed.out.weight.mul_(SMALL)


def _start_embedding(
    embedding: AxisEmbedding, grids: Sequence[dict[str, Grid]], centres_b: Tensor, rng: np.random.Generator
) -> None:
    """Give tokens their value and genes their loadings, each modality in dimensions of its own."""
    n_genes, n_bins = embedding.n_features, embedding.n_bins
    gene_width, width = embedding.features.embedding_dim, embedding.projection.out_features
    fraction = min(gene_width, width) // len(embedding.modalities)
    embedding.projection.weight.copy_(torch.eye(width, gene_width))
    embedding.projection.bias.zero_()
    embedding.features.weight.mul_(SMALL)
    value_b = (centres_b - centres_b.mean()) / centres_b.std()
    for m, (name, table) in enumerate(zip(embedding.modalities, embedding.tokens, strict=True)):
        assert isinstance(table, nn.Embedding)
        first, n_moments = m * fraction, N_MOMENTS if fraction > 2 * N_MOMENTS else 0
        found = _genes_of([grid[name] for grid in grids], fraction - n_moments, n_moments, rng)
        embedding.features.weight[:n_genes, first : first + found.shape[1]] = found
        table.weight.mul_(SMALL)
        table.weight[:n_bins, first : first + fraction - n_moments] = value_b[:, None]


def _genes_of(grids: Sequence[Grid], n_components: int, n_moments: int, rng: np.random.Generator) -> Tensor:
    """Give each gene's loadings, of variance 1 over the genes, then its mean and its deviation, standardised: (g, k)."""
    values_ng = torch.cat([grid.values for grid in grids]).numpy()
    visible_ng = torch.cat([grid.visible for grid in grids]).numpy()
    has = np.flatnonzero(visible_ng.any(1))
    has = np.sort(rng.permutation(has)[:COMPONENT_ROWS])
    values_ng, visible_ng = values_ng[has], visible_ng[has]
    n_g = np.maximum(visible_ng.sum(0), 1)
    mean_g = (values_ng * visible_ng).sum(0) / n_g
    centred_ng = (values_ng - mean_g) * visible_ng
    deviation_g = np.sqrt(np.square(centred_ng).sum(0) / n_g)
    x_ng = np.divide(centred_ng, deviation_g, out=np.zeros_like(centred_ng), where=deviation_g > 1e-6)
    found_gk = np.zeros((len(n_g), n_components + n_moments), dtype=np.float32)
    if len(x_ng):
        loadings_kg = np.linalg.svd(x_ng, full_matrices=False)[2][:n_components]
        found_gk[:, : len(loadings_kg)] = loadings_kg.T * np.sqrt(max(1, (deviation_g > 1e-6).sum()))
    own_g = visible_ng.any(0)
    for k, moment_g in enumerate((mean_g, deviation_g)[:n_moments]):
        spread = moment_g[own_g].std() if own_g.any() else 0.0
        centred_g = np.where(own_g, moment_g - moment_g[own_g].mean() if own_g.any() else 0.0, 0.0)
        found_gk[:, n_components + k] = centred_g / max(float(spread), 1e-6)
    return torch.from_numpy(found_gk)


def _near(layer: nn.Conv2d | nn.ConvTranspose2d, into_oi: Tensor, taps: list[int]) -> None:
    """Let a convolution start near a linear map at some of its taps."""
    layer.weight.mul_(NEARLY)
    for tap in taps:
        layer.weight[:, :, 0, tap] += into_oi
    assert layer.bias is not None
    layer.bias.zero_()


def solve_heads(module: MOJOModule, outputs: Outputs, masked: Masked) -> None:
    """Solve the last layer of each head for the bins of the judged tokens.

    Parameters
    ----------
    module
        Module whose heads are solved.
    outputs
        What it makes of some masked rows.
    masked
        These.
    """
    assert masked.evaluated is not None
    for name, head in zip(module.modalities, module.heads, strict=True):
        evaluated_ng = masked.evaluated[name]
        bins_t = masked.targets[name].values[evaluated_ng].long()
        assert isinstance(head, TokenHead)
        if len(bins_t):
            _solve(head.out, outputs.token_logits[name], evaluated_ng, bins_t)


def _solve(layer: nn.Linear, reading: TokenLogits, at_ng: Tensor, bins_t: Tensor) -> None:
    """Fit multinomial logistic regression with a small ridge penalty by L-BFGS, in place."""
    with torch.no_grad():
        hidden_td = reading.hidden(at_ng)
    step = -(-len(bins_t) // SOLVED_TOKENS)
    hidden_td, bins_t = hidden_td[::step], bins_t[::step]
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer(hidden_td), bins_t) + 1e-4 * layer.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[arg-type]
    optimizer.zero_grad()
