"""Pre-training of encoders from scratch on sequences alone."""

from omicsmlm._checks import value_error
from omicsmlm._random_state import own_random_state
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Parts
from omicsmlm.data import observation_loader
from omicsmlm.masking import MaskResidues
from omicsmlm.nn import ResidueEncoder, residue_codes
from omicsmlm.objectives import ResidueCrossEntropy
from omicsmlm.training import FitOptions, fit

from ._attribution import AttributedModel
from ._config import KINDS, MASK_RATE
from ._residue_module import ResidueModule


class PretrainedModel(AttributedModel):
    """Abstract: a model whose encoders from scratch can be pre-trained as masked language models."""

    @in_own_surroundings
    def pretrain(
        self,
        max_epochs: int = 5,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int = 32,
        progress_bar: bool = True,
    ) -> None:
        """Pre-train encoders from scratch as masked language models of the registered sequences, before they see any target.

        Parameters
        ----------
        max_epochs
            Passes over the training observations.
        accelerator, devices, batch_size, progress_bar
            As in :meth:`train`.

        Raises
        ------
        ValueError
            If there is no encoder from scratch.
        """
        names = [n for n, e in self.module.encoders.items() if isinstance(e, ResidueEncoder)]
        if not names:
            raise value_error("pretrain", "an encoder from scratch", "published ones alone", "call train()")
        train_indices, validation_indices = self._split(0.9)
        codes = {name: residue_codes(KINDS[name]) for name in names}
        with own_random_state(self.config.seed, devices=[]):
            language_model = ResidueModule(self.module, names)
        masking = MaskResidues(MASK_RATE, names)
        parts = Parts(self.parts.tokenizer, masking, language_model, ResidueCrossEntropy(codes))
        options = FitOptions(
            max_epochs,
            accelerator,
            devices,
            patience=self.config.patience,
            progress_bar=progress_bar,
            seed=self.config.seed,
        )
        manager = self.adata_manager
        validation = observation_loader(manager, validation_indices, 64) if len(validation_indices) else None
        training = observation_loader(manager, train_indices, batch_size, seed=self.config.seed)
        fitted = fit(parts, self.optimisation, training, validation, options, {})
        losses = {f"pretrain_{name}": column for name, column in fitted.losses.items()}
        self._extend_history(fitted.steps, losses)
