"""What the user asked of the training of a head's network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omicsmlm._checks import positive_integer
from omicsmlm.training import FitOptions, check_trainer_options


@dataclass(frozen=True)
class TrainerSettings:
    """The arguments of ``train()``, before it is known how many epochs a network is trained for.

    Raises
    ------
    ValueError
        If a number is no whole one, or an option of the Trainer is unknown or of a wrong type.
    """

    max_epochs: int | None
    """Passes over the observations; None for a number that the head chooses."""
    batch_size: int
    """Observations in a step."""
    accelerator: str
    devices: int | list[int] | str
    progress_bar: bool
    trainer_options: Mapping[str, Any]
    """Passed on to :class:`lightning.Trainer`."""

    def __post_init__(self) -> None:
        """Check what the user asks for, whether or not a network is trained; numbers become integers."""
        remedy = "leave it out for a number that suits the data"
        if self.max_epochs is not None:
            object.__setattr__(self, "max_epochs", positive_integer("max_epochs", self.max_epochs, remedy))
        object.__setattr__(self, "batch_size", positive_integer("batch_size", self.batch_size, remedy))
        check_trainer_options(self.trainer_options)

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
