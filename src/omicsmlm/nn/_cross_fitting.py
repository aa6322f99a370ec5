"""Estimates for the observations that a network was initialised with: each by a map that was made without it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._sizes import is_on_host

from ._linear_initialization import Component
from ._scaling import ScaledTokens


class FoldSizes(NamedTuple):
    """Sizes of a :class:`CrossFitting`; 0 where there is none."""

    n_folds: int = 0
    """Folds that the fitted observations are divided into."""
    n_fitted: int = 0
    """Distinct observations that the maps were fitted to."""


class _Single(NamedTuple):
    """A buffer of half precision in single precision, and of which state of it."""

    half: Tensor
    version: int
    single: Tensor


class CrossFitting(nn.Module):
    r"""What is added to an observation's estimates so that they are of a map which was made without it.

    The initial maps from features to components were fitted to some observations, and fit these better than they fit others:
    so much that where the rest of the network believes them, it believes too much. Those observations are divided into folds,
    and of each fold there are maps without it, :math:`W_f`. An observation of fold f is estimated by
    :math:`W + (W_f^0 - W^0)`: the map as it is trained, plus the fixed difference that there was when it was initialised.
    All other observations are estimated by W.

    Observations are known again by a digest of their name, from which the fold follows.

    Parameters
    ----------
    n_features
        Features that the maps take, per modality.
    n_components
        c: all components.
    sizes
        How many folds, and observations, there are.
    """

    digest_m: Tensor

    def __init__(self, n_features: Mapping[str, int], n_components: int, sizes: FoldSizes) -> None:
        super().__init__()
        self.names = list(n_features)
        self.n_folds = sizes.n_folds
        self.register_buffer("digest_m", torch.zeros(sizes.n_fitted, dtype=torch.int64))
        for m, g in enumerate(n_features.values()):
            # In half precision, as ten maps of thousands of features are large, and this is a correction.
            self.register_buffer(f"weights_{m}", torch.zeros(sizes.n_folds, g, n_components, dtype=torch.float16))
            self.register_buffer(f"offset_{m}", torch.zeros(sizes.n_folds, n_components))
        self._singles: dict[str, _Single] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_singles": {}}  # a copy of the network lays them out itself, if it needs them

    @torch.no_grad()
    def initialize(
        self,
        digest_n: np.ndarray,
        components: Mapping[str, Component],
        rates: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Keep which observations were fitted, and how the estimates of each fold differ.

        Parameters
        ----------
        digest_n
            Digests of the names of the fitted observations.
        components
            The maps that were fitted to them, with their folds.
        rates
            Per modality (g,), what scaled values are those that :meth:`forward` is given times; None for 1.
        """
        self.digest_m.copy_(torch.from_numpy(np.unique(digest_n)))
        for component in components.values():
            for name, estimates in component.estimates.items():
                if estimates.folds is None:
                    continue
                m, (weights_fgk, offset_fk) = self.names.index(name), estimates.folds
                weights_fgk = weights_fgk if rates is None else weights_fgk * rates[name][:, None]
                columns = slice(component.first, component.first + offset_fk.shape[1])
                self.get_buffer(f"weights_{m}")[: len(offset_fk), :, columns] = torch.from_numpy(weights_fgk)
                self.get_buffer(f"offset_{m}")[: len(offset_fk), columns] = torch.from_numpy(offset_fk)

    def folds(self, digest_n: Tensor) -> Tensor:
        """Return the fold of each observation, (n,) int64; -1 for those that the maps were not fitted to."""
        place_n = torch.searchsorted(self.digest_m, digest_n).clamp(max=len(self.digest_m) - 1)
        return torch.where(self.digest_m[place_n] == digest_n, digest_n.remainder(self.n_folds), -1)

    def fold_of(self, digest_n: np.ndarray) -> np.ndarray:
        """Return the fold of each observation to fit the maps to, (n,) int64."""
        fold_n: np.ndarray = digest_n % self.n_folds
        return fold_n

    def forward(self, name: str, scaled: Tensor | ScaledTokens, fold_n: Tensor) -> Tensor:
        """Return what is added to the estimates of a modality, (n, c), from its scaled values, (n, g) or tokens."""
        m, known_n1 = self.names.index(name), (fold_n >= 0)[:, None]
        weights_fgc, fold_n = self._single_precision(f"weights_{m}"), fold_n.clamp(min=0)
        summed = self._of_tokens if isinstance(scaled, ScaledTokens) else self._of_values
        added_nc = summed(weights_fgc, scaled, fold_n) + self.get_buffer(f"offset_{m}")[fold_n]  # type: ignore[arg-type]
        return torch.where(known_n1, added_nc, 0.0)

    def _single_precision(self, buffer: str) -> Tensor:
        """Return a buffer in single precision, converted once: of tens of thousands of regions, that takes longer than the sums."""
        half, kept = self.get_buffer(buffer), self._singles.get(buffer)
        if kept is None or kept.half is not half or kept.version != half._version:
            with torch.inference_mode(
                False
            ):  # as a training may come after the embedding that this is the first use in
                kept = self._singles[buffer] = _Single(half, half._version, half.float())
        return kept.single

    def _of_values(self, weights_fgc: Tensor, scaled_ng: Tensor, fold_n: Tensor) -> Tensor:
        if not is_on_host(fold_n):  # which observations are of a fold, the host would have to wait for
            every_nfc = torch.einsum("ng,fgc->nfc", scaled_ng, weights_fgc)
            return every_nfc[torch.arange(len(fold_n), device=fold_n.device), fold_n]
        place_n = fold_n.argsort()
        parts = scaled_ng[place_n].split(torch.bincount(fold_n, minlength=self.n_folds).tolist())
        found = [part_kg @ weights_gc for part_kg, weights_gc in zip(parts, weights_fgc, strict=True)]
        return torch.cat(found)[place_n.argsort()]

    def _of_tokens(self, weights_fgc: Tensor, scaled: ScaledTokens, fold_n: Tensor) -> Tensor:
        n_features = weights_fgc.shape[1]
        fold_t = torch.repeat_interleave(fold_n, scaled.offsets.diff(), output_size=len(scaled.column_t))
        above_nc = F.embedding_bag(
            fold_t * n_features + scaled.column_t,
            weights_fgc.flatten(0, 1),
            scaled.offsets[:-1],
            mode="sum",
            per_sample_weights=scaled.above_t,
        )
        zero_fsc = scaled.zero_sg @ weights_fgc
        return (above_nc + zero_fsc[fold_n, scaled.panel_n]) * scaled.factor_n[:, None]
