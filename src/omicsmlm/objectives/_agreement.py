"""Agreement of what a head predicts from partial and from full views, for fine-tuning a head with its encoder.

The MOJO paper (bioRxiv 10.1101/2025.06.25.661237) fine-tunes with an auxiliary "mutual information" loss and prints no
formula for it: the two forms here are ours.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from torch import Tensor

from omicsmlm._types import Batch, Masked, Objective

from ._consistency import info_nce

AgreementForm = Literal["divergence", "infonce"]
"""How views agree: in what is predicted from them, or in which observation they are of."""


class ViewOutputs(Protocol):
    """What a head predicts from both views of the n observations of a batch, and the embeddings that it reads."""

    @property
    def full(self) -> Tensor:
        """(n, o), from the full views."""
        ...

    @property
    def partial(self) -> Tensor:
        """(n, o), from the partial ones."""
        ...

    @property
    def full_nd(self) -> Tensor:
        """(n, d) embeddings of the full views."""
        ...

    @property
    def partial_nd(self) -> Tensor:
        """(n, d) embeddings of the partial ones."""
        ...


class ComparingObjective(Objective, Protocol):
    """An objective of what a head predicts, which knows how far two predictions are from one another."""

    def distance(self, full: Tensor, partial: Tensor, batch: Batch) -> Tensor:
        """Return a mean over observations, 0 where the two are alike; no gradient flows into the full views'."""
        ...


class AgreeingViews:
    """An objective of both views, half of its terms by each, and the agreement of the two.

    Parameters
    ----------
    objective
        Compares what is predicted from one view with the truth.
    weight
        Of the agreement.
    form
        "divergence": the objective's distance of the partial view's predictions from the full view's. "infonce":
        :func:`info_nce` of the embeddings that the predictions are read from, so of the same observation's views among all
        of the batch.
    """

    def __init__(self, objective: ComparingObjective, weight: float, form: AgreementForm = "divergence") -> None:
        self.objective, self.weight, self.form = objective, weight, form

    def __call__(self, outputs: ViewOutputs, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the terms of the objective, means over the two views, and ``agreement``."""
        of_full, of_partial = (
            self.objective(part, masked, batch, progress) for part in (outputs.full, outputs.partial)
        )
        terms = {name: (value + of_partial[name]) / 2 for name, value in of_full.items()}
        if self.form == "infonce":
            distance = info_nce(outputs.full_nd, outputs.partial_nd)
        else:
            distance = self.objective.distance(outputs.full, outputs.partial, batch)
        return {**terms, "agreement": self.weight * distance}
