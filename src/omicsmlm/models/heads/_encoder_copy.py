"""The encoder copy that a head owns: copied from a model, and found again when the head is loaded."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import value_error
from omicsmlm.models.base import OmicsModel, parse_model

MODEL = "model"
"""Folder of the model within that of the head."""


def copy_of(model: OmicsModel) -> OmicsModel:
    """Return a model with a copy of another's weights; the object and its registration are shared."""
    new, copies = copy.copy(model), dict[int, Any]()
    new.parts = copy.deepcopy(model.parts, copies)
    for name, value in vars(model).items():  # of what is in the parts, the module among it, the copy
        setattr(new, name, copies.get(id(value), vars(new)[name]))
    return new


def check_model(model: object) -> None:
    """Check that something is a model with its object.

    Raises
    ------
    ValueError
        If it is not, or the object was changed in place since it was registered.
    """
    if not isinstance(model, OmicsModel):
        raise value_error("model", "a model of omicsmlm", type(model).__name__, "pass an omicsmlm.OmicsMLM, say")
    if model.adata is None:
        raise value_error("model", "one with its object", "one loaded alone", "load it with adata=…")
    model.manager_for(None)


def load_model(
    files: Mapping[str, bytes], adata: AnnData | MuData | None, what: str, trust_remote_code: bool
) -> OmicsModel:
    """Return the model that lies in the folder of a head.

    Parameters
    ----------
    files
        Content of the files of the head and of the model, of one writing.
    adata
        Object to register with the model, or None.
    what
        What the head is called in the message.
    trust_remote_code
        Whether code that comes with the weights of published encoders may run.

    Raises
    ------
    ValueError
        If the family has not been imported, or the model is not whole.
    """
    saved = parse_model(
        {name.removeprefix(f"{MODEL}/"): content for name, content in files.items() if "/" in name}, None
    )
    class_name = saved.config["class"]
    family = next((f for f in _families() if f.__name__ == class_name), None)
    if family is None:
        raise value_error("load", f"a {what} of a known family", repr(class_name), "import its module first")
    return family.from_saved(saved, adata, trust_remote_code=trust_remote_code)


def _families() -> Iterator[type[OmicsModel]]:
    """Yield all families that have been imported, those of families among them."""
    found: list[type[OmicsModel]] = OmicsModel.__subclasses__()
    while found:
        family = found.pop()
        yield family
        found += family.__subclasses__()
