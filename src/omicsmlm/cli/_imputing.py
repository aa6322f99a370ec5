"""``impute``: expected values of a modality."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._app import Report, app, reporting
from ._files import TABLES, check_target, loaded_model, opened, write_table
from ._options import AsJson, Device, ModelFolder, Overwrite, Source, check_device

if TYPE_CHECKING:
    import pandas as pd

    from omicsmlm import IsoFormer


@app.command(epilog="Example: omicsmlm impute rna_only.h5ad model proteins.h5ad --modality protein")
@reporting
def impute(
    source: Source,
    model_dir: ModelFolder,
    target: Annotated[
        Path, typer.Argument(help="File for the values: .h5ad, .csv, .tsv, .parquet.", show_default=False)
    ],
    modality: Annotated[str | None, typer.Option(help="What to impute; may be left out if the model has one.")] = None,
    batch: Annotated[str | None, typer.Option(help="Batch to project to; each observation's own if not given.")] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Write the expected values of a modality, also of observations that lack it; of an IsoFormer, the predicted expression."""
    from omicsmlm import IsoFormer
    from omicsmlm._checks import value_error
    from omicsmlm.models.base import ImputingModel

    check_target(target, "target", (*TABLES, ".h5ad"), overwrite=overwrite, source=source)
    check_device(device)
    model = loaded_model(model_dir)
    if not isinstance(model, ImputingModel | IsoFormer):
        raise value_error(
            "model", "one that imputes", f"a {type(model).__name__}", "train an OmicsMLM or an IsoFormer, say"
        )
    if device not in ("auto", "cpu"):
        model.to_device(device)
    if isinstance(model, IsoFormer):
        table = _predicted(model, source, modality, batch)
    else:
        table = model.impute(opened(source), modality, batch=batch)
    _write(table, target)
    n_obs, n_features = table.shape
    result = {"target": target, "modality": modality, "n_obs": n_obs, "n_features": n_features}
    return Report(result, f"Wrote {target}: {n_obs:,} observations × {n_features:,} features.")


def _predicted(model: "IsoFormer", source: Path, modality: str | None, batch: str | None) -> "pd.DataFrame":
    """Return the expression that is predicted from sequences.

    Raises
    ------
    ValueError
        If a modality or a batch is named, or the file holds no AnnData.
    """
    from anndata import AnnData

    from omicsmlm._checks import value_error

    if modality is not None or batch is not None:
        named = "--modality" if modality is not None else "--batch"
        raise value_error(named, "none, as an IsoFormer predicts its targets", "one", "leave it out")
    data = opened(source)
    if not isinstance(data, AnnData):
        raise value_error("source", "an .h5ad file with sequences", repr(str(source)), "pass one")
    return model.predict(data)


def _write(table: "pd.DataFrame", target: Path) -> None:
    if target.suffix != ".h5ad":
        write_table(table, target)
        return
    from anndata import AnnData

    from omicsmlm._writing import written_file

    with written_file(target, "output") as part:
        AnnData(table).write_h5ad(part)
