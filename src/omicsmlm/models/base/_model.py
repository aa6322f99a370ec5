"""What every family shares: training, embedding, saving and loading."""

import json
import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.model.base import BaseModelClass

from omicsmlm import _announcing
from omicsmlm._checks import check_switch, named, positive_integer, shortened, value_error
from omicsmlm._random_state import own_random_state
from omicsmlm._stages import Stages
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Loader, Masking, Module, Parts
from omicsmlm.data import OmicsManager, observation_loader, sample_observations
from omicsmlm.masking import MaskFeatures
from omicsmlm.training import (
    FitOptions,
    Optimisation,
    check_trainer_options,
    fit,
    on_cuda,
    sensible_epochs,
)

from ._embedding import EMBEDDING_BATCH_SIZE, EmbeddingModel
from ._files import Saved, read_model, write_model
from ._hub import HubModel
from ._rebuilding import rebuilding
from ._records import Config, FormerFields, check_config, from_json, to_json

logger = logging.getLogger(__name__)

SAMPLE_SIZE = 20_000
"""Observations from which a model takes its statistics and its initial weights; a random sample where there are more."""
MEMORY_SIZE = 20_000
"""Training observations whose embeddings a memory bank holds; a random sample where there are more."""
VALIDATION_SIZE = 5000
"""Observations that are validated after each round; a random sample where more are held out."""
AHEAD = 4
"""Batches that a thread has ready, in page-locked memory, for a CUDA device."""
STEPS = "steps of "
"""Stands, in a saved history, before the name of the losses whose steps are listed."""


class OmicsModel[M: Module, C: Config, D](EmbeddingModel[M], HubModel):
    """Abstract base of the families; a family names what it derives from the data, and the four parts that it is made of.

    Generic in the module, the config and the record of what is derived from the data.

    Parameters
    ----------
    data
        AnnData or MuData; registered with defaults if no ``setup_*`` method was called on it. A copy of an object that
        was set up is registered like it.
    config
        Hyper-parameters; None for the defaults.
    batch_key
        Column of ``obs`` that holds the batch, if the object was not set up already; of several, each combination is one.
    labels
        Column of labels and its value that is none, of a family that trains with labels; None for no labels.

    Notes
    -----
    Where this takes more than two seconds, a bar names the stage; ``logging.getLogger("omicsmlm").setLevel("WARNING")`` silences
    it, like the line that a finished model logs.
    """

    config_class: ClassVar[type]
    derived_class: ClassVar[type]
    """Data class or NamedTuple of what :meth:`_derive` returns; its fields are numbers, texts, lists, dictionaries and records of these."""
    former_config: ClassVar[FormerFields] = FormerFields()
    """Fields of the config that older versions saved."""
    former_derived: ClassVar[FormerFields] = FormerFields()
    """The same of ``derived``."""
    config: C
    """Hyper-parameters."""
    derived: D
    """Hyper-parameters that were derived from the data when the model was made; saved with it (as ``choice``)."""
    history_: dict[str, pd.DataFrame] | None
    _stages: Stages | None = None

    @in_own_surroundings
    def __init__(
        self,
        data: AnnData | MuData,
        config: C | None = None,
        *,
        batch_key: str | Sequence[str] | None = None,
        labels: tuple[str, str] | None = None,
    ) -> None:
        check_config(config, self.config_class)
        with self.leaving_as_it_was(data):
            super().__init__(data, batch_key=batch_key, labels=labels)
            self._make(config, data)
        announce(f"{type(self).__name__}: {self._describe()}.")
        self._warn_of_one_batch()
        self._warn_of_unpaired()

    def _make(self, config: C | None, data: AnnData | MuData) -> None:
        """Derive from the registered object what the model needs, and build it."""
        self.config = self._configured(config, data.n_obs)
        self.n_trainings = 0
        with Stages(type(self).__name__, self._n_stages()) as self._stages:
            self._stage("reading values")
            sample = self._sample()
            self.derived = self._derive(sample)
            self._stage("building")
            self._build()
            with own_random_state(self.config.seed, devices=[]):
                self._initialize(sample)
        self._stages = None

    # ---- what a family defines -------------------------------------------------------------------------------------

    @abstractmethod
    def _derive(self, sample: Sequence[Batch]) -> D:
        """Return the hyper-parameters that follow from the data and fix the shape of the module."""

    @abstractmethod
    def _assemble(self, derived: D) -> Parts:
        """Return the four parts."""

    @abstractmethod
    def _initialize(self, sample: Sequence[Batch]) -> None:
        """Fit scalings and initial weights to the data."""

    def _n_stages(self) -> int:
        """Return how many stages construction names: reading and building, and what the family names by :meth:`_stage`."""
        return 2

    def _stage(self, name: str) -> None:
        """Name the stage that construction begins, for the bar."""
        if self._stages is not None:
            self._stages(name)

    def _configured(self, config: C | None, n_obs: int) -> C:
        """Return the hyper-parameters of a model of this many observations, from what the user gave, if anything."""
        return self.config_class() if config is None else config

    @property
    @abstractmethod
    def optimisation(self) -> Optimisation:
        """How the family is optimised."""

    def fine_tuning_masking(self, rates: tuple[float, float], modality_rate: float) -> Masking:
        """Return what masks features and whole modalities while a head is fine-tuned: by default that of grids.

        Parameters
        ----------
        rates
            Lowest and highest fraction of an observation's features that are masked.
        modality_rate
            Probability that an observation with several modalities loses one.
        """
        return MaskFeatures(rates, modality_rate)

    # ---- training -----------------------------------------------------------------------------------------------

    @in_own_surroundings
    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int = 128,
        train_size: float = 0.9,
        early_stopping: bool = True,
        key_added: str | None = "auto",
        checkpoint_dir: str | Path | None = None,
        resume_from: str | Path | None = None,
        progress_bar: bool = True,
        max_steps: int | None = None,
        precision: str | None = None,
        **trainer_options: Any,
    ) -> None:
        """Train, and write the embedding of the registered object to ``.obsm[key_added]``.

        A second call goes on training. A training goes in rounds: an epoch, or so many steps of a very long one, or several
        epochs of a very short one. After each it is validated, and with ``checkpoint_dir`` written down, so that it can be
        interrupted at will. A model that was trained before is then as it was before the call.

        Parameters
        ----------
        max_epochs
            Passes over the observations; None for a sensible number, from the number of observations.
        accelerator, devices
            As in Lightning. Several devices train as one with the same batches: each has a part of every batch
            (``strategy="ddp"``, also with ``num_nodes``, under torchrun and SLURM).
        batch_size
            Observations in a step.
        train_size
            Fraction of the observations to train on, above 0 and at most 1; the others are for the validation loss.
        early_stopping
            Stop when the validation loss has not improved for ``config.patience`` rounds. In any case the weights of
            the best round are kept.
        key_added
            Key of ``.obsm``; "auto" for the family's own, None to write nothing.
        checkpoint_dir
            Directory for a checkpoint after every round.
        resume_from
            Directory or file of such a checkpoint: the training goes on from there as if never interrupted.
        progress_bar
            Whether to show a bar with the loss and the remaining time.
        max_steps
            Most steps, where that ends the training sooner than ``max_epochs``.
        precision
            "32-true", "bf16-mixed" or, on a CUDA device, "16-mixed"; None for bfloat16 on CUDA and float32 elsewhere. Weights,
            losses and the embedding are float32.
        **trainer_options
            Passed on to :class:`lightning.Trainer`: ``logger``, ``callbacks``, ``strategy``, ``num_nodes``, …

        Raises
        ------
        ValueError
            If an argument is out of range or there is nothing to train on; the object is then left as it was.
        """
        manager = self.manager_for(None)
        key = self._checked_key(key_added)
        if max_epochs is not None:
            max_epochs = positive_integer("max_epochs", max_epochs, "leave it out for a sensible number")
        if max_steps is not None:
            max_steps = positive_integer("max_steps", max_steps, "leave it out to train for max_epochs")
        batch_size = positive_integer("batch_size", batch_size, "pass 128, say")
        check_trainer_options(trainer_options)
        train_indices, validation_indices = self._split(train_size)
        seed = hash((self.config.seed, self.n_trainings)) & 0x7FFF_FFFF
        options = FitOptions(
            max_epochs=max_epochs or self._sensible_epochs(len(train_indices), batch_size),
            accelerator=accelerator,
            devices=devices,
            early_stopping=early_stopping,
            patience=self.config.patience,
            checkpoint_dir=checkpoint_dir,
            resume_from=resume_from,
            progress_bar=progress_bar,
            seed=seed,
            max_steps=max_steps,
            precision=precision,
            features=self._features_digest(),
        )
        validated = sample_observations(manager, VALIDATION_SIZE, seed, validation_indices)
        validation = observation_loader(manager, validated, self.embedding_batch_size) if len(validated) else None
        with self._as_it_was_unless_finished():
            self._prepare_training(train_indices)
            is_cuda = on_cuda(accelerator)
            with self._with_trained_weights():
                fitted = fit(
                    self.parts,
                    self.optimisation,
                    observation_loader(
                        manager, train_indices, batch_size, seed, pin_memory=is_cuda, n_ahead=AHEAD if is_cuda else None
                    ),
                    validation,
                    options,
                    trainer_options,
                    None if self.parts.memory is None else self._memory(manager, train_indices, seed),
                )
            self.train_indices, self.validation_indices = train_indices, validation_indices
            self.is_trained_ = True
            self.n_trainings += 1
            self._extend_history(fitted.steps, fitted.losses)
            self.finish_training(train_indices)
        if key is not None:
            self.adata.obsm[key] = self._embedded_by(fitted.ranks)

    def _memory(self, manager: OmicsManager, train_indices: np.ndarray, seed: int) -> tuple[Loader, bool]:
        """Return what a memory bank of training observations is refreshed from, and whether these are all."""
        indices = sample_observations(manager, MEMORY_SIZE, seed, train_indices)
        return observation_loader(manager, indices, self.embedding_batch_size), len(indices) == len(train_indices)

    def _features_digest(self) -> str:
        """Return what tells the features, in their order, from others."""
        names = {name: list(state["vocabulary"]) for name, state in self.adata_manager.modalities.items()}
        return sha256(json.dumps([names, list(self.adata_manager.sequences)]).encode()).hexdigest()

    def _sensible_epochs(self, n_obs: int, batch_size: int) -> int:
        """Return the number of epochs where the user names none."""
        return sensible_epochs(n_obs, batch_size)

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        """Fit what is not trained by gradient descent, before a training; by default nothing."""
        return None

    @contextmanager
    def _as_it_was_unless_finished(self) -> Iterator[None]:
        """Train, in a ``with`` block; if that fails or is interrupted, a model that was trained before is as it was.

        What is computed at the end of a training, such as the embedding of a reference, would otherwise be of other weights.
        The weights of a model that was not trained stay where they are; it counts as not trained.
        """
        before = {name: value.clone() for name, value in self.module.state_dict().items()} if self.is_trained_ else {}
        attributes = {**vars(self), "history_": None if self.history_ is None else dict(self.history_)}
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(attributes)
            if before:
                self.module.load_state_dict(before)
            raise

    @contextmanager
    def _with_trained_weights(self) -> Iterator[None]:
        """Set which weights a training moves, while it runs; by default those that have gradients as it is."""
        yield

    def finish_training(self, train_indices: np.ndarray) -> None:
        """Compute from the trained network, and the observations it was trained on, what later uses need; by default nothing."""
        return None

    def _split(self, train_size: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the observations to train on and those to validate on, divided at random but always alike.

        Of a large file, groups of neighbours are held out: single ones would have to be read with all that is around them.
        """
        is_number = isinstance(train_size, int | float | np.number) and not isinstance(train_size, bool)
        if not is_number or not 0 < train_size <= 1:
            found = str(train_size) if is_number else shortened(train_size)
            raise value_error("train_size", "a fraction above 0 and at most 1", found, "pass 0.9, say")
        n_obs = self.adata.n_obs
        n_train = min(n_obs, max(1, round(train_size * n_obs)))
        layout = self.adata_manager.observation_dataset().layout
        if layout is not None and n_obs > layout.window and n_train < n_obs:
            held_out = sample_observations(self.adata_manager, n_obs - n_train, self.config.seed)
            return np.setdiff1d(np.arange(n_obs), held_out, assume_unique=True), held_out
        order = np.random.default_rng(self.config.seed).permutation(n_obs)
        return np.sort(order[:n_train]), np.sort(order[n_train:])

    def _extend_history(self, steps: Sequence[int], losses: Mapping[str, Sequence[float]]) -> None:
        """Add the rounds of a training to the history, whose index counts the steps of all trainings."""
        history: dict[str, pd.DataFrame] = self.history_ or {}
        for name, column in losses.items():
            before = history.get(name, pd.DataFrame({name: np.empty(0)}, pd.Index([], dtype=np.int64)))
            done = np.array(steps, dtype=np.int64) + (before.index[-1] if len(before) else 0)
            frame = pd.DataFrame({name: np.array(column, dtype=np.float64)}, done)
            history[name] = pd.concat([before, frame] if len(before) else [frame]).rename_axis("step")
        self.history_ = history

    # ---- saving and loading -------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, overwrite: bool = False, *, save_anndata: bool = False) -> None:  # type: ignore[override]
        """Write the model to a directory: tensors as safetensors, all else as JSON; nothing is pickled.

        Parameters
        ----------
        dir_path
            Directory to make.
        overwrite
            Whether a model that is there may be replaced.
        save_anndata
            Must be False: the object is written by itself, and passed to :meth:`load`.

        Raises
        ------
        ValueError
            If the directory exists and is not to be overwritten, or cannot be written.

        Notes
        -----
        ``scvi.hub`` reads pickled files alone, and so none of these; to share a model, use :meth:`save_to_hub`.
        """
        check_switch("save_anndata", save_anndata)
        if save_anndata:
            remedy = "write the object by itself, with write_h5ad or write_h5mu, and pass it to load(adata=…)"
            raise value_error("save_anndata", "False", "True", remedy)
        write_model(dir_path, self.to_saved(), overwrite=overwrite)

    def to_saved(self) -> Saved:
        """Return what :meth:`save` writes."""
        config = {
            "class": type(self).__name__,
            "config": to_json(self.config),
            "choice": to_json(self.derived),
            "is_trained": self.is_trained_,
            "n_trainings": self.n_trainings,
        }
        registry = {k: v for k, v in self.adata_manager.registry.items() if k != "scvi_uuid"}
        history = {name: frame[name].tolist() for name, frame in (self.history_ or {}).items()}
        history |= {f"{STEPS}{name}": frame.index.tolist() for name, frame in (self.history_ or {}).items()}
        return Saved(self.module.state_dict(), config, registry, history)

    @classmethod
    @in_own_surroundings
    def load(cls, dir_path: str | Path, adata: AnnData | MuData | None = None) -> Self:  # type: ignore[override]
        """Return a model that is read from a directory.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.
        adata
            Object to register with it, matched by feature name; None to load the model alone.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged model of this class and of this or an older version.
        """
        return cls.from_saved(read_model(dir_path, cls.__name__), adata)

    @classmethod
    @in_own_surroundings
    def from_saved(
        cls, saved: Saved, adata: AnnData | MuData | None = None, *, trust_remote_code: bool = False
    ) -> Self:
        """Return the model that some files hold.

        Parameters
        ----------
        saved
            What they hold.
        adata
            Object to register with it; None for none.
        trust_remote_code
            Whether code that comes with the weights of published encoders may run.

        Raises
        ------
        ValueError
            If the files do not fit together, or the object does not fit the model.
        """
        with rebuilding(saved.weights.values()):
            manager = OmicsManager.restore(saved.registry)
            config: C = from_json(cls.config_class, saved.config["config"], cls.former_config)
            derived: D = from_json(cls.derived_class, saved.config["choice"], cls.former_derived)
            model = cls._bare(manager, cls._trusting(config, trust_remote_code), derived)
            model.n_trainings = saved.config["n_trainings"]
            model.is_trained_ = saved.config["is_trained"]
            model.module.load_state_dict(saved.weights)
            for name, column in saved.history.items():
                steps = saved.history.get(f"{STEPS}{name}", range(1, len(column) + 1))
                if not name.startswith(STEPS):
                    model._extend_history([int(step) for step in steps], {name: column})
        if adata is not None:
            model._adopt(manager.transfer_fields(adata), adata)
        return model

    @classmethod
    def _trusting(cls, config: C, trust_remote_code: bool) -> C:
        """Return hyper-parameters that were read from a file, with the caller's decision about code in the place of the file's."""
        return config

    @classmethod
    def _bare(cls, manager: OmicsManager, config: C, derived: D) -> Self:
        """Return a model without an object, for a registry and for what an earlier model derived from its data."""
        model = cls.__new__(cls)
        BaseModelClass.__init__(model, registry=manager.registry)
        model._adata_manager = manager
        model.config = config
        model.derived = derived
        model.n_trainings = 0
        model.history_ = None
        model._build()
        return model

    def _adopt(self, manager: OmicsManager, data: AnnData | MuData) -> None:
        """Make an object that was matched to the model's features its registered one."""
        self._adata_manager = manager
        self._adata = data
        self.registry_ = manager.registry
        self._register_manager_for_instance(manager)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _warn_of_one_batch(self) -> None:
        """Say that the batches which the user named are one only."""
        for key, categories in list(self.adata_manager.covariates.items())[:1]:
            if len(categories) == 1:
                logger.warning(
                    "%s: all observations are of one batch, %r of %r; there is nothing to tell apart from it.",
                    type(self).__name__,
                    categories[0],
                    key,
                )

    def _warn_of_unpaired(self) -> None:
        """Say that no observation has two modalities, if that is so and may be a matter of names."""
        first, otherwise = self.adata_manager.unpaired, self._without_pairs()
        if first and otherwise is not None:
            listed = ", ".join(f"{name}: {observation!r}" for name, observation in first.items())
            logger.warning(
                "%s: no observation has two of %s: if some are the same cells or samples, give them the same names (%s)%s.",
                type(self).__name__,
                named(first),
                listed,
                otherwise,
            )

    def _without_pairs(self) -> str | None:
        """Return what else to do where no observation has two modalities, for a warning; None if that needs none."""
        return ""

    def _build(self) -> None:
        with own_random_state(self.config.seed, devices=[]):
            self.parts = self._assemble(self.derived)
        self.module = cast(M, self.parts.module)  # a family's parts have its own module
        self.module.eval()

    def _sampled(self, manager: OmicsManager, seed: int) -> np.ndarray:
        """Return the indices of the observations of an object from which statistics are taken."""
        return sample_observations(manager, SAMPLE_SIZE, seed)

    def _sample(self, manager: OmicsManager | None = None) -> list[Batch]:
        """Return observations of an object, the model's own by default, from which statistics are taken."""
        manager = manager or self.adata_manager
        indices, sample = self._sampled(manager, self.config.seed), []
        for batch in observation_loader(manager, indices, EMBEDDING_BATCH_SIZE):
            sample.append(batch)
            if self._stages is not None:
                self._stages.go_on()
        return sample

    def _describe(self) -> str:
        """Return the line that is logged of a model that was made."""
        modalities = [f"{m} as {s['kind']}" for m, s in self.adata_manager.modalities.items()]
        sizes = {key: len(c) for key, c in self.adata_manager.covariates.items() if key is not None}
        covariates = [f"{key!r} with {size} categories" for key, size in sizes.items()]
        numbers, n_labels = self.adata_manager.numbers, len(self.adata_manager.labels)
        covariates += [f"{key!r}" for key in numbers["keys"]]
        covariates += [f"size factors {numbers['size_factor_key']!r}"] if numbers["size_factor_key"] else []
        covariates += [f"{n_labels} labels to train with"] if n_labels else []
        return f"{self.adata.n_obs} observations; {', '.join(modalities)}; covariates {', '.join(covariates) or 'none'}"


def announce(line: str) -> None:
    """Log a line that the user should see, also where nobody has set up logging."""
    _announcing.announce(logger, line)
