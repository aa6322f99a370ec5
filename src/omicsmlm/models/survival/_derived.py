"""What a survival model has derived from its data: the ``choice`` of its files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from ._covariates import Columns


@dataclass(frozen=True)
class SurvivalDerived:
    """What a trained survival model has derived from its data."""

    model: str
    """Class of the model that it is made of."""
    columns: Columns
    """Columns of ``obs`` that it reads, with the strata and the scales of the covariates."""
    features: dict[str, dict[str, Any]]
    """Sizes of :class:`~omicsmlm.models.heads.ObservationFeatures`."""
    grid_t: np.ndarray
    """(t,) float64 times at which survival probabilities are evaluated."""
    held_out: pd.DataFrame
    """Scores of held-out observations."""
    candidates: pd.DataFrame | None
    """See :attr:`Survival.candidates`."""

    def to_json(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        candidates = {} if self.candidates is None else {"candidates": self.candidates.to_dict(orient="split")}
        return {
            "model": self.model,
            "columns": asdict(self.columns),
            "features": self.features,
            "grid": self.grid_t.tolist(),
            "held_out": self.held_out.to_dict(orient="split"),
            **candidates,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave, or what 0.1 wrote before there were candidates."""
        candidates = content.get("candidates")
        return cls(
            model=content["model"],
            columns=Columns(**content["columns"]),
            features=content["features"],
            grid_t=np.array(content["grid"]),
            held_out=pd.DataFrame(**content["held_out"]).rename_axis("stratum"),
            candidates=None if candidates is None else pd.DataFrame(**candidates).rename_axis("candidate"),
        )
