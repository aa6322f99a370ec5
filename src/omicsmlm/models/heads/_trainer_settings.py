"""What the user asked of the training of a head's network."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from omicsmlm.training import FitOptions


class TrainerSettings(NamedTuple):
    """The arguments of ``train()``, before it is known how many epochs a network is trained for."""

    max_epochs: int | None
    """Passes over the observations; None for a number that the head chooses."""
    batch_size: int
    """Observations in a step."""
    accelerator: str
    devices: int | list[int] | str
    progress_bar: bool
    trainer_options: Mapping[str, Any]
    """Passed on to :class:`lightning.Trainer`."""

    def fit_options(self, n_epochs: int, seed: int, patience: int = 10) -> FitOptions:
        """Return how a network is trained for so many epochs, unless the user has named a number.

        Parameters
        ----------
        n_epochs
            Epochs where the user named none.
        seed
            Seed of all random numbers.
        patience
            Epochs without a better validation loss before the training stops.
        """
        return FitOptions(
            max_epochs=self.max_epochs or n_epochs,
            accelerator=self.accelerator,
            devices=self.devices,
            patience=patience,
            progress_bar=self.progress_bar,
            seed=seed,
        )
