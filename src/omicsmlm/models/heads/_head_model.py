"""What the models that are made of another model have in common: that they own a copy of it, are saved, loaded and shown."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm.models.base import (
    FormerFields,
    HubModel,
    OmicsModel,
    Saved,
    check_config,
    from_json,
    parse_model,
    read_files,
    rebuilding,
    summary,
    to_json,
    write_model,
)

from ._encoder_copy import MODEL, copy_of, load_model

logger = logging.getLogger(__name__)


class HeadDerived(Protocol):
    """What a head has derived from its data, as a frozen dataclass; the ``choice`` of its files."""

    @property
    def model(self) -> str:
        """Class of the model that the head is made of."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        ...


class HeadModel(HubModel, ABC):
    """Abstract: a model that predicts something of observations with its own copy of another model.

    Parameters
    ----------
    model
        A model of any family, whose weights are copied; the object and its registration are shared.
    config
        Hyper-parameters, a frozen dataclass with a field ``tuning``.
    """

    noun: ClassVar[str]
    """What messages call it."""
    config_class: ClassVar[type]
    former_config: ClassVar[FormerFields] = FormerFields()
    """Hyper-parameters that older versions saved under other names."""

    def __init__(self, model: OmicsModel, config: Any) -> None:
        check_config(config, self.config_class)
        if not model.is_trained:
            logger.warning(
                "%s: the %s is not trained, so that its embedding is that of its start; call its train() first, unless that is "
                "what you want.",
                type(self).__name__,
                type(model).__name__,
            )
        self.model = copy_of(model)
        self.config = config
        self.is_trained = False
        self._series: dict[str, list[float]] = {}

    # ---- what a head says ---------------------------------------------------------------------------------------

    @abstractmethod
    def train(self) -> None:
        """Fit the head."""

    @abstractmethod
    def _derived(self) -> HeadDerived:
        """Return what was derived from the data."""

    @abstractmethod
    def _weights(self) -> dict[str, torch.Tensor]:
        """Return all weights but those of the model."""

    @classmethod
    @abstractmethod
    def _restored(
        cls, model: OmicsModel, config: Any, choice: Mapping[str, Any], weights: dict[str, torch.Tensor]
    ) -> Self:
        """Make a trained head of what :meth:`_derived` and :meth:`_weights` gave."""

    @abstractmethod
    def _targets(self) -> dict[str, str]:
        """Describe what is predicted, by name, for ``repr``."""

    # ---- saving and loading -------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write it, with the model that it reads, to a directory; nothing is pickled.

        Parameters
        ----------
        dir_path
            Directory to make.
        overwrite
            Whether one that is there may be replaced.

        Raises
        ------
        ValueError
            If it is not trained, or the directory exists and is not to be overwritten.
        """
        self.check_trained("save")
        config = {"class": type(self).__name__, "config": to_json(self.config), "choice": self._derived().to_json()}
        saved = Saved(self._weights(), config, {}, self._series)
        write_model(dir_path, saved, overwrite=overwrite, inner={MODEL: self.model.to_saved()})

    @classmethod
    @in_own_surroundings
    def load(
        cls, dir_path: str | Path, adata: AnnData | MuData | None = None, *, trust_remote_code: bool = False
    ) -> Self:
        """Read it, with its model, from a directory.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.
        adata
            Object to register with it, matched by feature name; None to load it alone.
        trust_remote_code
            Of an :class:`IsoFormer`: whether code that comes with the weights of its published encoders may run.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged one of this class and of this or an older version.
        """
        files = read_files(dir_path, MODEL)
        saved = parse_model(files, cls.__name__)
        model = load_model(files, adata, cls.noun, trust_remote_code)
        own = [part for part in model.module.state_dict().values() if isinstance(part, torch.Tensor)]
        with rebuilding([*saved.weights.values(), *own]):
            if saved.config["choice"]["model"] != type(model).__name__:
                raise TypeError(f"{type(model).__name__} in the place of {saved.config['choice']['model']}")
            config: Any = from_json(cls.config_class, saved.config["config"], cls.former_config)
            made = cls._restored(model, config, saved.config["choice"], saved.weights)
            made._series, made.is_trained = saved.history, True
        return made

    # ---- showing ------------------------------------------------------------------------------------------------

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """The held-out loss of each strength of regularisation that was tried, and the training losses by epoch."""
        return {name: pd.DataFrame({name: values}).rename_axis("step") for name, values in self._series.items()}

    def __repr__(self) -> str:
        entries = {
            **self.model.data_entries(),
            "encoder": f"{type(self.model).__name__} with {self.model.module.n_latent} dimensions",
            **self._targets(),
            "tuning": self.config.tuning,
            "trained": "yes" if self.is_trained else "no",
        }
        return summary(type(self).__name__, entries)

    # ---- training -----------------------------------------------------------------------------------------------

    @contextmanager
    def _as_it_was_unless_trained(self) -> Iterator[None]:
        """Train, in a ``with`` block; if that fails or is interrupted, everything predicts as it did before."""
        modules = [self.model.module, *(part for part in vars(self).values() if isinstance(part, torch.nn.Module))]
        before = [{name: value.clone() for name, value in module.state_dict().items()} for module in modules]
        attributes = {name: copy(value) if isinstance(value, dict) else value for name, value in vars(self).items()}
        in_place = deepcopy(self._fitted_in_place())
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update({**attributes, **in_place})
            for module, state in zip(modules, before, strict=True):
                module.load_state_dict(state)
            raise

    def _fitted_in_place(self) -> dict[str, Any]:
        """Return the attributes, by name, that a training changes in place, beside weights; by default none."""
        return {}

    # ---- checks -------------------------------------------------------------------------------------------------

    def _registered(self) -> AnnData | MuData:
        """Return the object of the model.

        Raises
        ------
        ValueError
            If it was loaded alone, or the object was changed in place since it was registered.
        """
        if self.model.adata is None:
            raise value_error("train", f"a {self.noun} with its object", "one loaded alone", "load it with adata=…")
        self.model.manager_for(None)
        return self.model.adata

    def check_trained(self, verb: str) -> None:
        if not self.is_trained:
            raise value_error(verb, f"a trained {self.noun}", "one that is not", "call train() first")
