"""Trained models in a repository of the Hugging Face hub, or in a folder that is shared, with a card that says what they are."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Self

import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import check_switch, check_type, shortened, value_error
from omicsmlm._writing import written_file

CARD = "README.md"
"""Name under which the hub shows a model card."""
FILES = ("*.json", "*.safetensors", CARD)
"""Patterns of what a model consists of; nothing else is fetched."""
_LICENSE = re.compile(r"[\w][\w.+-]*")
"""An identifier: it stands in the head of the card, where a line more could say anything."""
_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


class HubModel:
    """Abstract: what can be saved and loaded, and so can be shared."""

    @abstractmethod
    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write it to a directory."""

    @classmethod
    @abstractmethod
    def load(cls, dir_path: str | Path, adata: AnnData | MuData | None = None) -> Self:
        """Read it from a directory."""

    def save_to_hub(
        self,
        repository: str | Path,
        *,
        description: str = "",
        license: str | None = None,
        metrics: pd.DataFrame | None = None,
        private: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Save the model with a model card to a repository of the Hugging Face hub, or to a folder.

        Parameters
        ----------
        repository
            Name of a repository, "owner/name", which is made if there is none; or a :class:`~pathlib.Path`, the folder to make.
            For a repository you must be logged in (``hf auth login``).
        description
            What the model was trained on and what for, in Markdown; it opens the card.
        license
            Identifier of the licence of the weights, such as "cc-by-4.0"; that of the data often decides it.
        metrics
            Table for the card, with the plain baselines beside the model.
        private
            Whether a repository that is made is private.
        overwrite
            Whether a folder that is there may be replaced. A repository gets a new commit.

        Raises
        ------
        ValueError
            If the name is not one of a repository, the hub refuses, or the folder exists and is not to be overwritten.

        Notes
        -----
        Weights and feature names are uploaded, no observations. They are as :meth:`save` writes them: nothing is pickled.
        """
        check_switch("private", private)
        check_switch("overwrite", overwrite)
        card = self.model_card(description, license, metrics)
        if isinstance(repository, Path):
            self.save(repository, overwrite=overwrite)
            _write_card(repository, card)
            return
        name = _checked(repository)
        library = _library()
        with TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            _write_card(Path(folder) / "model", card)
            with _in_one_sentence(name):
                hub = library.HfApi(library_name="omicsmlm")
                hub.create_repo(name, private=private, exist_ok=True)
                hub.upload_folder(repo_id=name, folder_path=Path(folder) / "model", commit_message=type(self).__name__)

    @classmethod
    def from_hub(
        cls, repository: str | Path, adata: AnnData | MuData | None = None, *, revision: str | None = None
    ) -> Self:
        """Return a model that :meth:`save_to_hub` wrote.

        Parameters
        ----------
        repository
            Name of a repository, "owner/name", or a :class:`~pathlib.Path`, a folder. What was fetched before is not fetched
            again.
        adata
            Object to register with it, matched by feature name; None to load the model alone.
        revision
            Commit, branch or tag; give a commit to get the same model always.

        Raises
        ------
        ValueError
            If the repository cannot be read, or is not a whole, unchanged model of this class.
        """
        if isinstance(repository, Path):
            return cls.load(repository, adata)
        name = _checked(repository)
        library = _library()
        with _in_one_sentence(name):
            folder = library.snapshot_download(
                name, revision=revision, allow_patterns=list(FILES), library_name="omicsmlm"
            )
        return cls.load(folder, adata)

    def model_card(self, description: str = "", license: str | None = None, metrics: pd.DataFrame | None = None) -> str:
        """Return the model card: Markdown with the data, the training, the metrics and the limits.

        Parameters
        ----------
        description, license, metrics
            As for :meth:`save_to_hub`.

        Raises
        ------
        ValueError
            If one of them is of another type, or the licence is no identifier.
        """
        check_type("description", description, str, "a text", "leave it out for none")
        check_type("metrics", metrics, (pd.DataFrame, type(None)), "a DataFrame", "leave it out for none")
        if license is not None and not (isinstance(license, str) and _LICENSE.fullmatch(license)):
            remedy = 'pass "cc-by-4.0", say, or leave it out'
            raise value_error("license", "the identifier of a licence", shortened(license), remedy)
        kind = type(self).__name__
        history: dict[str, pd.DataFrame] | None = self.history  # type: ignore[attr-defined]  # a property of either base
        tags = ["single-cell", "omics", "anndata", "omicsmlm", kind.lower()]
        head = [
            "---",
            "library_name: omicsmlm",
            f"license: {license or 'unknown'}",
            "tags:",
            *(f"- {tag}" for tag in tags),
        ]
        parts = [
            "\n".join([*head, "---"]),
            f"# {kind}",
            description.strip() or "No description was given.",
            f"## Data and model\n\n```\n{self!r}\n```",
            f"## Training\n\n{_losses(history)}",
            f"## Metrics\n\n{_table(metrics)}",
            "## Use\n\n```python\nimport omicsmlm\n\n"
            f'model = omicsmlm.{kind}.from_hub("OWNER/NAME")  # the name of this repository\n```',
            "## Limits\n\n"
            "Features of other data are matched by name; what is missing is treated as not measured, and the fewer are shared, the "
            "less an embedding or a prediction means. Metrics were made by whoever uploaded the model, on the data that they name; "
            "expect lower ones on other tissues, technologies and species. Not for clinical use.",
        ]
        return "\n\n".join(parts) + "\n"


def _losses(history: dict[str, pd.DataFrame] | None) -> str:
    """Return the last value of each series of losses as a Markdown table."""
    rows = [(name, len(table), float(table.iloc[-1, 0])) for name, table in (history or {}).items() if len(table)]
    if not rows:
        return "Not trained, or trained without logged losses."
    lines = [f"| {name} | {n} | {value:.4g} |" for name, n, value in rows]
    return "\n".join(["| series | values | last |", "|---|---|---|", *lines])


def _table(metrics: pd.DataFrame | None) -> str:
    if metrics is None:
        return "None were given."
    columns = [metrics.index.name or "", *map(str, metrics.columns)]
    rows = [
        [str(name), *(_number(value) for value in row)]
        for name, row in zip(metrics.index, metrics.to_numpy(), strict=True)
    ]
    lines = [f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows]]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _checked(repository: str) -> str:
    if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
        remedy = 'pass "owner/name", or pathlib.Path(folder) for a folder'
        raise value_error("repository", "the name of a repository", shortened(repository), remedy)
    return repository


def _write_card(folder: Path, card: str) -> None:
    with written_file(folder / CARD, "save_to_hub") as part:
        part.write_text(card, encoding="utf-8")


@contextmanager
def _in_one_sentence(name: str) -> Iterator[None]:
    """Turn what the hub says when it refuses, or cannot be reached, into one sentence."""
    try:
        yield
    except Exception as error:
        # What the library raises is an OSError; of what carries its requests, some is not.
        if not isinstance(error, OSError) and not type(error).__module__.startswith(("httpx", "requests")):
            raise
        found = " ".join(str(error).split())[:300]
        remedy = "check the name, your network, and that you are logged in (hf auth login)"
        raise value_error("repository", f"a repository {name!r} that can be used", repr(found), remedy) from error


def _library() -> ModuleType:
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise ImportError("The hub needs huggingface-hub; run: pip install huggingface-hub.") from error
