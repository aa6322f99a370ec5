"""Initialization of MOJO, if not at random: the embedding holds principal components, and the heads predict usual bins.

The paper starts at random and trains on 192 billion tokens. A few hundred samples have a hundred thousandth of that, in which
a random network learns next to nothing (``docs/experiments.md``). The network is the same; only its initial weights are ours:

- A token is embedded as its value, a number, in the dimensions of its modality, where the gene embedding holds the gene's
  loadings on the modality's principal components. GELU has a quadratic part, so that GELU(value + loading) contains their
  product, and the mean over genes contains the scores of the components.
- Convolutions start near the identity (upsampling: near copying each position twice), and residual branches start small, so
  that the scores reach the embedding.
- The state of a sample is at first its principal components over all modalities, half whitened, and predicts values as these do.
- The last layer of each head is fitted to the bins of masked tokens by logistic regression. Otherwise training would first
  learn what is usual in each gene, at large steps that destroy the initial weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Grid, Masked
from omicsmlm.nn import AxisEmbedding, RotaryBlock, TokenHead, TokenLogits, TowerLevel, principal_directions

from ._module import MOJOModule, MOJOOutputs
from ._row import RowState

COMPONENT_SAMPLES = 2000
"""Samples of each modality from which the components are taken; a random choice where there are more, for the time of an SVD."""
FIT_TOKENS = 30_000
"""Masked tokens of each modality that a head is fitted to, at most: the fit takes seconds, and only sets where training begins."""
IDENTITY_NOISE = 0.05
"""Factor of the random weights around an identity: enough to break the symmetry of channels that hold the same."""
BRANCH_SCALE = 0.1
"""Factor of what residual branches add at first: LayerScale's for up to 18 blocks (Touvron et al. 2021)."""
N_MOMENTS = 2
"""Dimensions of each modality that hold a gene's mean and deviation, and not a component."""
RIDGE = 1e-4
"""Weight of the squared weights in the fit of a head: it keeps bins that no token has from running to minus infinity."""
LBFGS_STEPS = 60
"""Most iterations of that fit; the loss is strictly convex, and its gradient then below 1e-3 (see the tests)."""
LEAST_DEVIATION = 1e-4
"""Standard deviation, in the data's units and relative to the largest value, at and below which a gene counts as constant."""
LARGEST_VALUE = 10.0
"""Largest standardised value: one sample alone should not make a component."""
INITIAL_WHITENING = 0.5
"""0: components as they are; 1: all of the same variance. Half is the compromise on both bulk sets (``docs/experiments/bulk.md``)."""
MIN_DEVIATION = 1e-6
"""Standard deviation, of bins, at and below which a gene counts as constant and has no loadings."""


@torch.no_grad()
def initialize(module: MOJOModule, grids: Sequence[dict[str, Grid]], centres_b: Tensor, seed: int) -> None:
    """Initialize embedding, convolutions and transformer, in place.

    Parameters
    ----------
    module
        Module with random weights.
    grids
        Samples that the components are taken from.
    centres_b
        Middle of each bin, from 0 to 1.
    seed
        Seed of the random choice, where there are many samples.
    """
    _initialize_embedding(module.embedding, grids, centres_b, np.random.default_rng(seed))
    stem = module.stem.layer
    n_in = module.embedding.projection.out_features
    sign_o = torch.tensor([1.0 if (o // n_in) % 2 == 0 else -1.0 for o in range(len(stem.weight))])
    # A token has fewer channels than the convolution: they are copied with alternating signs, since GELU passes one sign only.
    copy_oi = sign_o[:, None] * torch.eye(n_in).repeat(-(-len(stem.weight) // n_in), 1)[: len(stem.weight)]
    n_genes = stem.weight.shape[1] // n_in  # of a position: their mean is copied
    _set_near(stem, copy_oi.repeat(1, n_genes) / n_genes, [stem.weight.shape[3] // 2])
    for tower in (module.down, module.up):
        for level in tower.levels:
            assert isinstance(level, TowerLevel)
            layer = level.wide.layer
            middle, expands = layer.weight.shape[3] // 2, isinstance(layer, nn.ConvTranspose2d)
            _set_near(layer, torch.eye(len(layer.weight)), [middle, middle + 1] if expands else [middle])
            level.pointwise.weight.mul_(BRANCH_SCALE)
    for block in module.transformer:
        assert isinstance(block, RotaryBlock)
        block.attention.out.weight.mul_(BRANCH_SCALE)
        block.feed.out.weight.mul_(BRANCH_SCALE)


def _initialize_embedding(
    embedding: AxisEmbedding, grids: Sequence[dict[str, Grid]], centres_b: Tensor, rng: np.random.Generator
) -> None:
    """Set token embeddings to bin values and gene embeddings to loadings, each modality in dimensions of its own."""
    n_genes, n_bins = embedding.n_features, embedding.n_bins
    gene_width, width = embedding.features.embedding_dim, embedding.projection.out_features
    fraction = min(gene_width, width) // len(embedding.modalities)
    embedding.projection.weight.copy_(torch.eye(width, gene_width))
    embedding.projection.bias.zero_()
    embedding.features.weight.mul_(BRANCH_SCALE)
    value_b = (centres_b - centres_b.mean()) / centres_b.std()
    for m, (name, table) in enumerate(zip(embedding.modalities, embedding.tokens, strict=True)):
        assert isinstance(table, nn.Embedding)
        first, n_moments = m * fraction, N_MOMENTS if fraction > 2 * N_MOMENTS else 0
        feature_gk = gene_features([grid[name] for grid in grids], fraction - n_moments, n_moments, rng)
        embedding.features.weight[:n_genes, first : first + feature_gk.shape[1]] = feature_gk
        table.weight.mul_(BRANCH_SCALE)
        table.weight[:n_bins, first : first + fraction - n_moments] = value_b[:, None]


def gene_features(grids: Sequence[Grid], n_components: int, n_moments: int, rng: np.random.Generator) -> Tensor:
    """Return each gene's loadings, of mean square 1 over the genes, then its mean and its deviation, standardised: (g, k)."""
    values_ng = torch.cat([grid.values for grid in grids]).numpy()
    visible_ng = torch.cat([grid.visible for grid in grids]).numpy()
    has = np.flatnonzero(visible_ng.any(1))
    has = np.sort(rng.permutation(has)[:COMPONENT_SAMPLES])
    values_ng, visible_ng = values_ng[has], visible_ng[has]
    n_g = np.maximum(visible_ng.sum(0), 1)
    mean_g = (values_ng * visible_ng).sum(0) / n_g
    centred_ng = (values_ng - mean_g) * visible_ng
    deviation_g = np.sqrt(np.square(centred_ng).sum(0) / n_g)
    x_ng = np.divide(centred_ng, deviation_g, out=np.zeros_like(centred_ng), where=deviation_g > MIN_DEVIATION)
    feature_gk = np.zeros((len(n_g), n_components + n_moments), dtype=np.float32)
    if len(x_ng):
        loadings_kg = np.linalg.svd(x_ng, full_matrices=False)[2][:n_components]
        feature_gk[:, : len(loadings_kg)] = loadings_kg.T * np.sqrt(max(1, (deviation_g > MIN_DEVIATION).sum()))
        measured_g = visible_ng.any(0)
        for k, moment_g in enumerate((mean_g, deviation_g)[:n_moments]):
            own_g = moment_g[measured_g]
            feature_gk[measured_g, n_components + k] = (own_g - own_g.mean()) / max(float(own_g.std()), MIN_DEVIATION)
    return torch.from_numpy(feature_gk)


@torch.no_grad()
def set_values(module: MOJOModule, grids: Sequence[dict[str, Grid]], bin_values: Mapping[str, Tensor]) -> None:
    """Set the standardised value of each bin of each gene, in place; it needs a state of the sample.

    Parameters
    ----------
    module
        The module.
    grids
        Samples whose values get a mean of 0 and a variance of 1.
    bin_values
        Per modality, (g, b): the value of each bin on the scale of the data.
    """
    assert module.row is not None
    for m, name in enumerate(module.modalities):
        value_gb = bin_values[name].clone()
        n_genes, n_bins = value_gb.shape
        count_gb = torch.zeros(n_genes * n_bins)
        for grid in (part[name] for part in grids):
            at_ng = grid.values.long() + torch.arange(n_genes) * n_bins
            count_gb += torch.bincount(at_ng[grid.visible], minlength=n_genes * n_bins)
        fraction_gb = count_gb.view(n_genes, n_bins)
        n_g1 = fraction_gb.sum(1, keepdim=True)
        fraction_gb = fraction_gb / n_g1.clamp(min=1)
        value_gb -= (value_gb * fraction_gb).sum(1, keepdim=True)
        deviation_g1 = (value_gb.square() * fraction_gb).sum(1, keepdim=True).sqrt()
        size_g1 = value_gb.abs().amax(1, keepdim=True)
        varies_g1 = deviation_g1 > torch.maximum(torch.tensor(LEAST_DEVIATION), LEAST_DEVIATION * size_g1)
        value_gb = torch.where(varies_g1, value_gb / deviation_g1.clamp(min=1e-12), torch.zeros_like(value_gb))
        module.row.get_buffer(f"value_{m}").copy_(value_gb.clamp(-LARGEST_VALUE, LARGEST_VALUE))
        module.row.get_buffer(f"n_measured_{m}").fill_(max(1.0, float((n_g1 > 0).sum())))


@torch.no_grad()
def initialize_row(row: RowState, grids: Sequence[dict[str, Grid]], seed: int) -> None:
    """Initialize the state of a sample at its half-whitened principal components, and what it predicts at theirs, in place.

    Parameters
    ----------
    row
        Whose values are set.
    grids
        Samples; a random choice of them is taken where there are many.
    seed
        Of this choice, and of the randomised algorithm.
    """
    n_samples = sum(len(part[row.modalities[0]].values) for part in grids)
    chosen = np.sort(np.random.default_rng(seed).permutation(n_samples)[:COMPONENT_SAMPLES])
    root_m = [float(row.get_buffer(f"n_measured_{m}").sqrt()) for m in range(len(row.modalities))]
    visible = [torch.cat([part[name].visible for part in grids])[chosen] for name in row.modalities]
    values = [torch.cat([row.values(name, part[name]) for part in grids])[chosen] for name in row.modalities]
    scaled_ng = torch.cat([v * has / root for v, has, root in zip(values, visible, root_m, strict=True)], 1)
    weights_gk = _half_whitened(scaled_ng.numpy(), row.n_latent, seed)
    state_nk, n_genes = scaled_ng @ weights_gk, values[0].shape[1]
    for m, weight_gk in enumerate(row.weights):
        weight_gk.mul_(BRANCH_SCALE)
        weight_gk[:, : weights_gk.shape[1]] = weights_gk[m * n_genes : (m + 1) * n_genes] / root_m[m]
        _fit_decoder(row.decoders[m], state_nk, values[m] * visible[m], visible[m])
    for layer in (row.out, row.to_short):
        layer.weight.mul_(BRANCH_SCALE)
    row.out.bias.zero_()
    for decoder in row.decoders_out:
        decoder.get_parameter("weight").zero_()


def _half_whitened(x_ng: np.ndarray, n_components: int, seed: int) -> Tensor:
    """Return weights of the principal components, (g, k), half way from their own variances to equal ones, of 1 on average."""
    found = principal_directions(x_ng - x_ng.mean(0), n_components, None, seed)
    scale_k = found.strength_k ** (1 - INITIAL_WHITENING)
    scale_k *= np.sqrt(len(scale_k) / max(1e-12, np.square(scale_k).sum()))
    return torch.from_numpy(found.weights_gk * scale_k)


def _fit_decoder(layer: nn.Module, state_nk: Tensor, x_ng: Tensor, visible_ng: Tensor) -> None:
    """Set a linear layer to the regression of values on states, over the samples that have the modality, in place."""
    assert isinstance(layer, nn.Linear)
    has_n = visible_ng.any(1)
    own_nk = state_nk[has_n].double()
    gram_kk = own_nk.T @ own_nk
    ridge = RIDGE * float(gram_kk.trace()) / len(gram_kk) + 1e-9
    solved_kg = torch.linalg.solve(gram_kk + ridge * torch.eye(len(gram_kk)), own_nk.T @ x_ng[has_n].double())
    layer.weight.zero_()
    layer.weight[:, : len(solved_kg)] = solved_kg.T.float()
    layer.bias.zero_()


def _set_near(layer: nn.Conv2d | nn.ConvTranspose2d, map_oi: Tensor, taps: list[int]) -> None:
    """Set a convolution near a linear map at some of its taps, in place."""
    layer.weight.mul_(IDENTITY_NOISE)
    for tap in taps:
        layer.weight[:, :, 0, tap] += map_oi
    assert layer.bias is not None
    layer.bias.zero_()


def fit_heads(module: MOJOModule, outputs: MOJOOutputs, masked: Masked) -> None:
    """Fit the last layer of each head to the bins of the masked tokens, in place.

    Parameters
    ----------
    module
        Module whose heads are fitted.
    outputs
        Its outputs for some masked samples.
    masked
        These samples.
    """
    assert masked.evaluated is not None
    for name, head in zip(module.modalities, module.heads, strict=True):
        evaluated_ng = masked.evaluated[name]
        bins_t = masked.targets[name].values[evaluated_ng].long()
        assert isinstance(head, TokenHead)
        if len(bins_t):
            _fit_logistic_regression(head.out, outputs.token_logits[name], evaluated_ng, bins_t)


def _fit_logistic_regression(layer: nn.Linear, reading: TokenLogits, at_ng: Tensor, bins_t: Tensor) -> None:
    """Fit a multinomial logistic regression with a small ridge penalty by L-BFGS, in place."""
    with torch.no_grad():
        hidden_td = reading.hidden(at_ng)
    step = -(-len(bins_t) // FIT_TOKENS)
    hidden_td, bins_t = hidden_td[::step], bins_t[::step]
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=LBFGS_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer(hidden_td), bins_t) + RIDGE * layer.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[arg-type]
    optimizer.zero_grad()
