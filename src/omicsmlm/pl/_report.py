"""A report of a run: one HTML file that needs nothing else."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omicsmlm._checks import check_type, named, value_error
from omicsmlm._writing import absolute, written_file
from omicsmlm.pl._arguments import check_heading, check_table, names_of
from omicsmlm.pl._history import history
from omicsmlm.pl._missing_modalities import missing_modalities
from omicsmlm.pl._table import benchmark_table
from omicsmlm.pl._umap import umap

FEW_OBSERVATIONS = 300
"""Below it, scores of one split vary by several points, and PCA is hard to beat (the page of experiments)."""
FEW_MEASURED = 0.05
"""Fraction of the observations below which a modality is called rare."""
DPI = 110
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
img { max-width: 100%; height: auto; } pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #e5e5e5; white-space: nowrap; }
.remark { background: #fff4e0; border-left: 4px solid #e69f00; padding: .5rem .8rem; margin: .5rem 0; }
"""


@runtime_checkable
class Reported(Protocol):
    """What a report is made of: a trained model of any family."""

    adata: ad.AnnData | md.MuData | None
    config: Any
    embedding_key: Any

    @property
    def adata_manager(self) -> Any:
        """How the object is registered."""

    @property
    def history(self) -> dict[str, pd.DataFrame] | None:
        """What was logged while training; None before."""

    @property
    def is_trained(self) -> bool:
        """Whether it is trained."""


def report(
    model: Reported,
    path: str | Path,
    *,
    color: str | Sequence[str] = (),
    table: pd.DataFrame | None = None,
    figures: Mapping[str, Figure] | None = None,
    title: str | None = None,
) -> Path:
    """Write a report of a run: one HTML file with its figures inside, which opens in any browser without a network.

    It says what came in and how modalities pair, what the model took and left out, how training went, what the embedding looks
    like, and, if they are given, the scores beside their baselines. Remarks at the top say what deserves a look, and what to do.

    Parameters
    ----------
    model
        A model of any family with its object; the embedding is read from ``.obsm`` and computed if it is not there.
    path
        File to write, ``.html``; one that is there is replaced.
    color
        Columns of ``.obs`` that colour the UMAP, such as the batch and a label.
    table
        Scores with the baselines and controls, as :func:`omicsmlm.evaluation.benchmark` returns.
    figures
        Further figures by their headings: calibration, survival curves.
    title
        Heading; None for the class of the model.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the model has no object, a column is not there, or the file cannot be written.
    """
    check_type("model", model, Reported, "a model", "pass a model of any family")
    check_heading(title)
    if table is not None:
        check_table(table)
    check_type("figures", figures, (Mapping, type(None)), "figures by heading", 'pass {"Calibration": figure}, say')
    for name, figure in (figures or {}).items():
        check_type(f"figures {name!r}", figure, Figure, "a figure", "pass what a function of omicsmlm.pl returns")
    if model.adata is None:
        raise value_error("report", "a model with its object", "one that was loaded alone", "pass adata=… to load()")
    if absolute(path).suffix not in (".html", ".htm"):
        raise value_error("path", "a name that ends in .html", repr(str(path)), "rename it")
    color = names_of("color", color)
    absent = [column for column in color if column not in model.adata.obs]
    if absent:
        known = named(model.adata.obs.columns, most=12)
        raise value_error("color", f"columns of .obs ({known})", named(absent), "pass names of columns")
    parts = [
        _remarks_section(model),
        _data_section(model),
        f"<h2>What the model took</h2>{_pre(repr(model))}{_settings(model.config)}",
        _training_section(model),
        _embedding_section(model, color),
        *([] if table is None else [_table_section(table)]),
        *(f"<h2>{escape(str(name))}</h2>{_image(figure, str(name))}" for name, figure in (figures or {}).items()),
    ]
    heading = escape(title or type(model).__name__)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{heading}</h1><p>omicsmlm {version('omicsmlm')}</p>{''.join(parts)}</body></html>\n"
    )
    with written_file(path, "path") as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)


def remarks(model: Reported) -> list[str]:
    """Return what deserves a look, each with what to do: a sentence each, most serious first.

    Parameters
    ----------
    model
        As for :func:`report`.
    """
    check_type("model", model, Reported, "a model", "pass a model of any family")
    manager, found = model.adata_manager, []
    n_obs = manager.adata.n_obs
    if not model.is_trained:
        found.append("The model is not trained: the embedding is that of its start. Call train().")
    losses = (model.history or {}).get("validation_loss")
    if losses is not None and len(losses) > 1 and float(losses.iloc[:, 0].min()) >= float(losses.iloc[0, 0]):
        found.append(
            "The validation loss never fell below its first value: training brought nothing. Compare with PCA."
        )
    if n_obs < FEW_OBSERVATIONS:
        found.append(
            f"Only {n_obs} observations: with fewer than {FEW_OBSERVATIONS}, PCA and regressions are hard to beat. "
            "Compare with them before you use the embedding (omicsmlm.evaluation.benchmark)."
        )
    if not manager.covariates:
        found.append("No batch was named, so that no batch effect is removed. If there are batches, pass batch_key=….")
    for name, n_measured in _n_measured(manager).items():
        if n_measured < FEW_MEASURED * n_obs:
            found.append(
                f"Only {n_measured} of {n_obs} observations have {name}: check that the names of the observations agree."
            )
    return found


def _remarks_section(model: Reported) -> str:
    found = "".join(f'<p class="remark">{escape(text)}</p>' for text in remarks(model))
    return f"<h2>Remarks</h2>{found or '<p>None.</p>'}"


def _n_measured(manager: Any) -> dict[str, int]:
    """Return how many observations have each modality."""
    data = manager.adata
    if not isinstance(data, md.MuData):
        return dict.fromkeys(manager.modalities, data.n_obs)
    return {name: data[name].n_obs for name in manager.modalities if name in data.mod}


def _data_section(model: Reported) -> str:
    manager, data = model.adata_manager, model.adata
    rows = []
    for name, n_measured in _n_measured(manager).items():
        state = manager.modalities[name]
        part = data[name] if isinstance(data, md.MuData) else data
        assert part is not None
        used = len(state["vocabulary"])
        rows.append(
            (name, state["kind"], f"{n_measured:,}", f"{part.n_vars:,}", f"{used:,}", f"{part.n_vars - used:,}")
        )
    columns = ["modality", "values", "observations", "features", "used", "left out"]
    figure = _image(missing_modalities(data), "modalities") if isinstance(data, md.MuData) and len(data.mod) > 1 else ""
    return f"<h2>What came in</h2>{_html_table(pd.DataFrame(rows, columns=columns), index=False)}{figure}"


def _training_section(model: Reported) -> str:
    if not model.history:
        return "<h2>Training</h2><p>None.</p>"
    return f"<h2>Training</h2>{_image(history(model.history), 'losses of the training')}"


def _embedding_section(model: Reported, color: list[str]) -> str:
    data = model.adata
    assert data is not None
    key = model.embedding_key
    if key not in data.obsm:
        data = data.copy()
        data.obsm[key] = model.get_latent_representation()  # type: ignore[attr-defined]
    color = color or list(model.adata_manager.covariates)[:1]
    shape = np.asarray(data.obsm[key]).shape
    said = f"<p><code>.obsm[{escape(repr(key))}]</code>: {shape[0]:,} observations in {shape[1]} dimensions.</p>"
    if not color or data.n_obs < 3:
        return f"<h2>Embedding</h2>{said}"
    return f"<h2>Embedding</h2>{said}{_image(umap(data, key, color), 'UMAP of the embedding')}"


def _table_section(table: pd.DataFrame) -> str:
    note = "<p>A result that does not exceed the untrained start, PCA or the shuffled control is a loss.</p>"
    return f"<h2>Scores</h2>{note}{_image(benchmark_table(table), 'scores')}{_html_table(table.round(3))}"


def _settings(config: Any) -> str:
    rows = pd.DataFrame(asdict(config).items(), columns=["setting", "value"]).astype(str)
    return f"<details><summary>All settings</summary>{_html_table(rows, index=False)}</details>"


def _html_table(table: pd.DataFrame, index: bool = True) -> str:
    return f'<div class="wide">{table.to_html(index=index, border=0, escape=True)}</div>'


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _image(figure: Figure, name: str) -> str:
    written = BytesIO()
    figure.savefig(written, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    return f'<p><img alt="{escape(name)}" src="data:image/png;base64,{b64encode(written.getvalue()).decode()}"></p>'
