"""Times, events, strata and covariates of observations, from columns of ``obs``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._censored_times import LARGEST_TIME
from omicsmlm._checks import shortened, value_error
from omicsmlm._cox import Times
from omicsmlm.data import as_categories, find_column, find_numbers

ALL = "all"
"""Name of the one stratum, where there is no column of strata."""
NOT_NUMBERS = "code it as numbers (as several columns of 0 and 1, if there is no order)"
"""What to do with a column that holds anything else."""


@dataclass
class Columns:
    """The columns that a survival model reads, and what it has read off them in training."""

    time_key: str
    event_key: str
    stratum_key: str | None = None
    covariate_keys: list[str] = field(default_factory=list)
    strata: list[str] = field(default_factory=list)
    """Names of the strata, in the order of their codes."""
    mean_k: list[float] = field(default_factory=list)
    deviation_k: list[float] = field(default_factory=list)
    """Mean and standard deviation of each covariate over the training observations."""

    @property
    def n_covariates(self) -> int:
        """Numbers per observation: each covariate, and whether it is missing."""
        return 2 * len(self.covariate_keys)

    def fit(self, data: AnnData | MuData) -> np.ndarray:
        """Set strata and scales by the observations that can be learned from.

        Returns
        -------
        numpy.ndarray
            (n,) int64: positions of the observations with a time, an event and a stratum.

        Raises
        ------
        ValueError
            If a column is not there or does not hold what it should, or no observation has a time, an event and a stratum.
        """
        times, known_n = self.times(data)
        names = self._stratum_names(data)
        if names is not None:
            known_n &= names.notna().to_numpy()
        indices = np.flatnonzero(known_n)
        if not times.event_n[indices].any():
            found = f"none in {len(indices)} observations with a time"
            raise value_error(
                f"column {self.event_key!r}", "observations with the event", found, "pass the column that marks it"
            )
        self.strata = [ALL] if names is None else sorted(names.iloc[indices].unique())
        self.mean_k, self.deviation_k = [], []
        for key in self.covariate_keys:
            value_n = find_numbers(data, key, NOT_NUMBERS)[indices]
            if np.abs(value_n[np.isfinite(value_n)]).max(initial=0) > LARGEST_TIME:
                raise value_error(f"column {key!r}", "numbers in single precision", "larger ones", "rescale them")
            if not np.isfinite(value_n).any():
                raise value_error(
                    f"column {key!r}", "numbers", "none in the observations with a time", "leave this covariate out"
                )
            self.mean_k.append(float(np.nanmean(value_n)))
            self.deviation_k.append(float(np.nanstd(value_n)) or 1.0)
        return indices

    def times(self, data: AnnData | MuData) -> tuple[Times, np.ndarray]:
        """Read the times of all observations, 0 and censored where missing, and which have one, (n_obs,) bool.

        Raises
        ------
        ValueError
            If a time is negative or beyond single precision, or an event is neither 0 nor 1.
        """
        time_n, event_n = (
            find_numbers(data, self.time_key, NOT_NUMBERS),
            find_numbers(data, self.event_key, NOT_NUMBERS),
        )
        if ((time_n > LARGEST_TIME) & np.isfinite(time_n)).any():
            found = f"times up to {time_n[np.isfinite(time_n)].max():g}"
            raise value_error(f"column {self.time_key!r}", "times in single precision", found, "count in a larger unit")
        if (time_n < 0).any():
            found = f"times down to {np.nanmin(time_n):g}"
            raise value_error(f"column {self.time_key!r}", "times that are not negative", found, "count from the start")
        if not np.isin(event_n[~np.isnan(event_n)], (0, 1)).all():
            found = ", ".join(f"{value:g}" for value in np.unique(event_n[~np.isnan(event_n)])[:5])
            raise value_error(f"column {self.event_key!r}", "0 (censored) and 1 (event)", found, "code it so")
        known_n = np.isfinite(time_n) & ~np.isnan(event_n)
        times = Times(np.where(known_n, time_n, 0.0), known_n & (event_n == 1), self.stratum_codes(data))
        return times, known_n

    def stratum_codes(self, data: AnnData | MuData) -> np.ndarray:
        """Read the (n_obs,) int64 codes of the strata, -1 for one that is unknown."""
        names = self._stratum_names(data)
        if names is None:
            return np.zeros(data.n_obs, dtype=np.int64)
        return pd.Index(self.strata).get_indexer(pd.Index(names)).astype(np.int64)

    def covariates(self, data: AnnData | MuData) -> np.ndarray:
        """Read the (n_obs, 2k) float32 covariates: standardised, 0 where missing; then 1 where missing, else 0."""
        values, missing = [], []
        for key, mean, deviation in zip(self.covariate_keys, self.mean_k, self.deviation_k, strict=True):
            value_n = (find_numbers(data, key, NOT_NUMBERS) - mean) / deviation
            missing.append(~np.isfinite(value_n))
            values.append(np.where(missing[-1], 0.0, value_n))
        columns = [*values, *missing]
        return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((data.n_obs, 0), dtype=np.float32)

    def _stratum_names(self, data: AnnData | MuData) -> pd.Series | None:
        return None if self.stratum_key is None else as_categories(find_column(data, self.stratum_key))


def listed(keys: str | Sequence[str]) -> list[str]:
    """Return names as a list, each once.

    Examples
    --------
    >>> listed("age"), listed(["age", "sex", "age"])
    (['age'], ['age', 'sex'])
    """
    listed = [keys] if isinstance(keys, str) else keys
    if not isinstance(listed, Iterable) or not all(isinstance(key, str) for key in listed):
        raise value_error("covariate_keys", "a name, or a list of names", shortened(keys), "pass names as text")
    return list(dict.fromkeys(listed))
