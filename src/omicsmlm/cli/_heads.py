"""What ``annotate`` and ``survival`` have in common: a head that is learned or loaded, its files, and what it predicts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ._files import TABLES, check_model_target, check_target, loaded_model, opened, saved_class

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from omicsmlm.models import Classifier, OmicsModel, Survival


class HeadFiles(NamedTuple):
    """The files of a command that predicts with a head."""

    source: Path
    """Object to learn from."""
    model_dir: Path
    """Saved model, or saved head."""
    target: Path
    """Table of predictions."""
    query: Path | None
    """Object to predict; None for the source."""
    save_model: Path | None
    """Folder for the head; None to save none."""
    overwrite: bool


def ready_head[H: (Classifier, Survival)](
    files: HeadFiles, head_class: type[H], keys: Mapping[str, str | None], learn: "Callable[[OmicsModel], H]"
) -> "tuple[H, AnnData | MuData]":
    """Return a head, loaded or trained, and saved if that is asked for, with the object to predict.

    Parameters
    ----------
    files
        Checked before anything is computed.
    head_class
        Class of the head, if it is a saved one.
    keys
        The columns that it learns from by option; needed with a model, and not taken with a saved head.
    learn
        Makes the head of a model.

    Raises
    ------
    ValueError
        If a file cannot be read or written, or columns are named for a saved head, or not named for a model.
    """
    from omicsmlm._checks import value_error

    check_target(files.target, "target", TABLES, overwrite=files.overwrite, source=files.source)
    if files.save_model is not None:
        check_model_target(files.save_model, "save_model", overwrite=files.overwrite)
    name = head_class.__name__
    is_saved, has_keys = saved_class(files.model_dir) == name, None not in keys.values()
    if is_saved == has_keys:
        given = ", ".join(f"{option} {key}" for option, key in keys.items())
        found = f"{f'a saved {name}' if is_saved else 'a model'} and {given}"
        wanted = f"{' and '.join(keys)} with a model, and none with a saved {name}"
        raise value_error(next(iter(keys)), wanted, found, "leave them out" if is_saved else "name what is None")
    data = opened(files.source)
    predicted = data if files.query is None else opened(files.query, "query")
    if is_saved:
        head = head_class.load(files.model_dir)
    else:
        head = learn(loaded_model(files.model_dir, data))
        head.train()
    if files.save_model is not None:
        head.save(files.save_model, overwrite=files.overwrite)
    return head, predicted
