"""Masked reconstruction of every modality, through the likelihood of its kind, from one latent per observation."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._stored import StoredGrid, as_float, has_visible
from omicsmlm._types import Batch, Encoded, Grid, Kind, Masked

from ._likelihoods import bernoulli, gaussian, gaussian_kl, multinomial
from ._negative_binomial import UNMEASURED_LOG_MEAN, negative_binomial
from ._reduction import observation_mean, step_mean


class ModalityOutputs(Protocol):
    """Parameters of the likelihood of one modality: see :class:`omicsmlm.nn.Decoded`."""

    logits: Tensor
    log_dispersion: Tensor | None
    features: Tensor | None
    category: Tensor


class LatentOutputs(Protocol):
    """What the objective needs of a module's outputs."""

    encoded: Encoded
    decoded: Mapping[str, ModalityOutputs]
    batch_logits: Tensor | None


class AlignmentLoss(Protocol):
    """A loss of embeddings against targets that a memory bank gives: see :class:`omicsmlm.objectives.BatchAlignmentLoss`."""

    def __call__(self, mean_nd: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch of embeddings."""
        ...

    def adversary_weights(self, batch: Batch) -> Tensor | None:
        """Return what each observation counts in the adversary's loss, (n,); None where all count alike."""
        ...

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool = True) -> None:
        """Find the targets anew."""
        ...

    def clear(self) -> None:
        """Drop all targets."""
        ...


class LatentReconstruction:
    """Reconstruction + KL + adversary, each a named term.

    All features that were measured in an observation are evaluated, masked and visible; a modality that it lacks is not. Terms
    are summed over features and averaged over observations.

    Parameters
    ----------
    kinds
        Kind of each modality.
    weights
        Weight of each modality's likelihood.
    kl_weight, kl_warmup
        Weight of the KL divergence of the latent from N(0, I), reached after this fraction of the training.
    adversary_weight
        Weight of the adversary's cross-entropy.
    alignment_losses
        Further terms that mix the batches, by name, each with its weight.
    depths
        Depth, by modality of counts, of an observation of the median size factor; used where observations have size factors.
    """

    start = 0.2
    """Fraction of the training after which the alignment losses begin: targets in an untrained embedding mislead."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        weights: Mapping[str, float],
        *,
        kl_weight: float,
        kl_warmup: float,
        adversary_weight: float,
        alignment_losses: Mapping[str, tuple[AlignmentLoss, float]] | None = None,
        depths: Mapping[str, float] | None = None,
    ) -> None:
        self.depths = dict(depths or {})
        self.kinds = dict(kinds)
        self.weights = dict(weights)
        self.kl_weight = kl_weight
        self.kl_warmup = kl_warmup
        self.adversary_weight = adversary_weight
        self.alignment_losses = dict(alignment_losses or {})

    def __call__(self, outputs: LatentOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms."""
        terms = {}
        for name, kind in self.kinds.items():
            depth_n = None
            if batch.size_factors is not None and kind == "counts":
                depth_n = self.depths[name] * batch.size_factors
            nll_n = negative_log_likelihood(kind, outputs.decoded[name], masked.targets[name], depth_n)
            has_n = has_visible(masked.targets[name])
            terms[name] = self.weights[name] * observation_mean(torch.where(has_n, nll_n, 0.0), batch)
        ramp = min(1.0, progress / self.kl_warmup) if self.kl_warmup > 0 else 1.0
        terms["kl"] = self.kl_weight * ramp * observation_mean(gaussian_kl(*outputs.encoded), batch)
        if outputs.batch_logits is not None:
            terms["adversary"] = self.adversary_weight * self._adversary_loss(outputs.batch_logits, batch)
        for name, (loss, weight) in self.alignment_losses.items():
            terms[name] = weight * loss(outputs.encoded.mean, batch)
        return terms

    def _adversary_loss(self, logits_nb: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of the batch, the weighted mean over observations whose batch is known."""
        batch_n = batch.covariates[:, 0]
        loss_n = F.cross_entropy(logits_nb, batch_n, ignore_index=-1, reduction="none")
        weight_n = (batch_n >= 0).to(loss_n)
        for loss, _ in self.alignment_losses.values():
            found_n = loss.adversary_weights(batch)
            weight_n = weight_n if found_n is None else weight_n * found_n
        return step_mean((weight_n * loss_n).sum(), weight_n.sum(), batch)

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool = True) -> None:
        """Let the alignment losses find their targets: the objective is its own memory bank."""
        for loss, _ in self.alignment_losses.values():
            loss.refresh(embedding_md, covariates_mk, indices_m, is_whole=is_whole)

    def clear(self) -> None:
        """Let the alignment losses drop their targets."""
        for loss, _ in self.alignment_losses.values():
            loss.clear()


def negative_log_likelihood(kind: Kind, head: ModalityOutputs, target: Grid, depth_n: Tensor | None = None) -> Tensor:
    """Return each observation's negative log-likelihood, (n,) float32, over its measured features.

    Accessibility is scaled up where only a sample of the regions was decoded. Counts are expected to add up, over all features, to
    ``depth_n`` where that is given and no NaN, otherwise over the measured features to what was counted there.
    """
    with torch.autocast(target.values.device.type, enabled=False):
        return _negative_log_likelihood(kind, head.logits.float(), head, target, depth_n)


def _negative_log_likelihood(
    kind: Kind, logits_ns: Tensor, head: ModalityOutputs, target: Grid, depth_n: Tensor | None
) -> Tensor:
    values_ng, visible_ng = target.values, target.visible
    if kind == "fraction":
        return bernoulli(values_ng, logits_ns, visible_ng)
    if kind == "real":
        return gaussian(values_ng, logits_ns, _log_dispersion(head, -8), visible_ng)
    if kind == "accessibility":
        if head.features is not None:
            values_ng, visible_ng = values_ng.index_select(1, head.features), visible_ng.index_select(1, head.features)
        scale = target.values.shape[1] / values_ng.shape[1]
        return scale * multinomial(as_float(values_ng > 0), _masked(logits_ns, visible_ng))
    if kind == "protein":
        log_mean_ng = _masked(logits_ns.clamp(-6, 12), visible_ng)
    else:
        depth_n1 = values_ng.sum(1, keepdim=True).clamp(min=1)
        log_mean_ng = F.log_softmax(_masked(logits_ns, visible_ng), 1) + depth_n1.log()
        if depth_n is not None:
            given_ng = F.log_softmax(logits_ns, 1) + depth_n.nan_to_num(1.0).log()[:, None]
            log_mean_ng = torch.where(depth_n.isnan()[:, None], log_mean_ng, _masked(given_ng, visible_ng))
    stored = (
        target.stored if isinstance(target, StoredGrid) and 2 * len(target.stored.at_t) < visible_ng.numel() else None
    )
    return negative_binomial(values_ng, log_mean_ng, _log_dispersion(head, -6), stored)


def _log_dispersion(head: ModalityOutputs, least: float) -> Tensor:
    """Return (n, s) log dispersions of observations; of a category, they are bounded once."""
    assert head.log_dispersion is not None
    return F.embedding(head.category, head.log_dispersion.float().clamp(least, 8))


def _masked(logits_ng: Tensor, visible_ng: Tensor) -> Tensor:
    """Return logits that are next to -∞ where nothing was measured; no gradient comes back from there."""
    return torch.add(logits_ng, as_float(~visible_ng), alpha=UNMEASURED_LOG_MEAN)


def expected_values(kind: Kind, head: ModalityOutputs, grid: Grid, usual_depth: float) -> Tensor:
    """Return the expected values of each observation, (n, g), in the modality's units.

    Parameters
    ----------
    kind
        Kind of the modality: expected counts at the observation's own depth (counts), expected counts (protein), probability of
        being open (accessibility), fraction, or value.
    head
        Decoded parameters of all features.
    grid
        What was measured: an observation's depth is estimated from the features that it has.
    usual_depth
        Depth of an observation that has none of them: the sum of its counts, or the number of its open regions.
    """
    if kind == "fraction":
        return head.logits.sigmoid()
    if kind == "real":
        return head.logits
    if kind == "protein":
        return head.logits.clamp(-6, 12).exp()
    fraction_ng = F.softmax(head.logits, 1)
    values_ng = (grid.values > 0).float() if kind == "accessibility" else grid.values
    depth_n = (values_ng * grid.visible).sum(1) / (fraction_ng * grid.visible).sum(1).clamp(min=1e-6)
    depth_n = torch.where(grid.visible.any(1), depth_n, torch.full_like(depth_n, usual_depth))
    expected_ng = depth_n[:, None] * fraction_ng
    return expected_ng.clamp(max=1) if kind == "accessibility" else expected_ng
