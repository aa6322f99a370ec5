"""Numbers of the observations that the decoder is told: continuous covariates and size factors."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import value_error

from ._columns import find_numbers, has_column
from ._observation_field import ColumnField

logger = logging.getLogger(__name__)

NUMBERS = "numbers"
LARGEST = 10.0
"""Largest number of standard deviations from the mean: what lies further away counts as if it lay there, as features do."""
NOT_NUMBERS = "convert it, or pass it in categorical_covariate_keys"
"""What to do with a column that holds anything else."""


LARGEST_NUMBER = float(np.finfo(np.float32).max)
"""Largest number; what is larger is as infinite."""


class NumbersField(ColumnField):
    """Continuous covariates, and a size factor, from columns of ``obs`` of either level.

    Parameters
    ----------
    keys
        Columns of continuous covariates.
    size_factor_key
        Column of the size factors; None where depth is read off the counts.
    """

    key_of_registry = NUMBERS

    def __init__(self, keys: Sequence[str], size_factor_key: str | None) -> None:
        super().__init__()
        self.keys = list(keys)
        self.size_factor_key = size_factor_key

    @property
    def columns(self) -> list[str]:
        """Names of the columns: of the covariates, then of the size factor."""
        return [*self.keys, *([] if self.size_factor_key is None else [self.size_factor_key])]

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that every column is there, complete, and of finite numbers; size factors above 0."""
        for key in self.columns:
            value_n = find_numbers(adata, key, NOT_NUMBERS)
            if not (np.abs(value_n) <= LARGEST_NUMBER).all():
                found = (
                    f"{int((~(np.abs(value_n) <= LARGEST_NUMBER)).sum())} missing, infinite or beyond single precision"
                )
                raise value_error(f"column {key!r}", "a finite number for each observation", found, "fill them")

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Store the mean and the standard deviation of each covariate, and the median of the size factors."""
        self.validate_field(adata)
        value_nk = self.read(adata)
        n_keys = len(self.keys)
        scale_k = value_nk[:, :n_keys].std(0)
        return {
            "keys": self.keys,
            "means": value_nk[:, :n_keys].mean(0).tolist(),
            "scales": np.where(scale_k > 0, scale_k, 1.0).tolist(),
            "size_factor_key": self.size_factor_key,
            "median_size_factor": None if self.size_factor_key is None else float(np.median(value_nk[:, -1])),
        }

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Keep mean and scale; what another object lacks counts as the mean, a size factor as what the counts say."""
        for key, value_n in zip(self.columns, self.read(adata_target).T, strict=True):
            n_missing = int(np.isnan(value_n).sum())
            if n_missing:
                stand_in = "the depth of the counts" if key == self.size_factor_key else "the mean of the reference"
                logger.info("column %r: %d observations lack it, and count as %s.", key, n_missing, stand_in)
        return dict(state_registry)

    def read(self, data: AnnData | MuData) -> np.ndarray:
        """Return the (n, k) float64 numbers of :attr:`columns`, NaN where there is none.

        Raises
        ------
        ValueError
            If a column holds anything but numbers, or a size factor is not above 0.
        """
        value_nk = np.full((data.n_obs, len(self.columns)), np.nan)
        for k, key in enumerate(self.columns):
            if has_column(data, key):
                value_nk[:, k] = find_numbers(data, key, NOT_NUMBERS)
        value_nk[~(np.abs(value_nk) <= LARGEST_NUMBER)] = np.nan
        if self.size_factor_key is not None and (value_nk[:, -1] <= 0).any():
            found = f"{int((value_nk[:, -1] <= 0).sum())} that are not"
            raise value_error(
                f"column {self.size_factor_key!r}", "size factors above 0", found, "leave these observations out"
            )
        return value_nk

    def scaled(self, data: AnnData | MuData, state: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return what the decoder is conditioned on; the columns are read once for both.

        Returns
        -------
        tuple of numpy.ndarray
            (n, c) float32: continuous covariates, standardised as those of the reference were, 0 where there is none; and
            (n,) float32: size factors relative to the reference's median, NaN where there is none. None for what was not named.
        """
        value_nk = self.read(data)
        covariate_nc, size_factor_n = None, None
        if self.keys:
            scaled_nc = (value_nk[:, : len(self.keys)] - np.array(state["means"])) / np.array(state["scales"])
            covariate_nc = np.nan_to_num(scaled_nc).clip(-LARGEST, LARGEST).astype(np.float32)
        if self.size_factor_key is not None:
            size_factor_n = (value_nk[:, -1] / state["median_size_factor"]).astype(np.float32)
        return covariate_nc, size_factor_n

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of continuous covariates."""
        return {"n_continuous_covariates": len(state_registry["keys"])}
