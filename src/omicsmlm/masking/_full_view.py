"""Each observation twice: masked, and as it is."""

from typing import Any

from omicsmlm._draws import Draws
from omicsmlm._types import Masked, Masking

PARTIAL, FULL = "partial", "full"
"""Names of the two views in the inputs."""


class WithFullView:
    """Masks the views of a batch, and keeps the unmasked ones beside them, for a module that takes both.

    Unlike :class:`WithModalitySubsets` it does not join them to one batch, so that it takes views of any kind.

    Parameters
    ----------
    masking
        Masking of the partial views.
    """

    def __init__(self, masking: Masking) -> None:
        self.masking = masking

    def __call__(self, views: dict[str, Any], draws: Draws) -> Masked:
        """Return inputs that are a dictionary of views for each of ``PARTIAL`` and ``FULL``."""
        masked = self.masking(views, draws)
        return masked._replace(inputs={PARTIAL: masked.inputs, FULL: views})
