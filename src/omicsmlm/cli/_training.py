"""``train`` and ``embed``."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ._app import Report, app, reporting
from ._files import check_model_target, check_target, loaded_model, opened
from ._options import (
    AsJson,
    BatchKey,
    Device,
    Family,
    FamilyOption,
    GroupKey,
    Layer,
    MaxEpochs,
    Modality,
    Overwrite,
    SaveModel,
    Seed,
    SequenceColumn,
    Source,
    Training,
    assigned,
    check_device,
    trainer_device,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from omicsmlm.models import OmicsModel


@app.command(
    epilog="Example: omicsmlm train cells.h5mu model --batch-key donor --embedded embedded.h5mu; "
    "with sequences: omicsmlm train genes.h5ad model --family IsoFormer --sequence dna=promoter --group-key gene_id"
)
@reporting
def train(
    source: Source,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder for the model.", show_default=False)],
    family: FamilyOption = Family.omicsmlm,
    batch_key: BatchKey = None,
    layer: Layer = None,
    modality: Modality = None,
    sequence: SequenceColumn = None,
    group_key: GroupKey = None,
    max_epochs: MaxEpochs = None,
    embedded: Annotated[Path | None, typer.Option(help="File for the object with its embedding.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="HTML file for a report of the run; the source is then held in memory.")
    ] = None,
    color: Annotated[list[str] | None, typer.Option(help="Column of .obs that colours the report; repeatable.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Train a model on a file and save it."""
    from omicsmlm import pl

    start = time.monotonic()
    check_model_target(model_dir, "model", overwrite=overwrite)
    if embedded is not None:
        check_target(embedded, "embedded", [source.suffix], overwrite=overwrite, source=source)
    if report is not None:
        check_target(report, "report", [".html"], overwrite=overwrite, source=source)
    check_device(device)
    data = opened(source, backed=report is None)  # a report draws from the values
    _check_columns(data, color or ())
    model = new_model(data, Training(family, batch_key, layer or (), modality or (), seed, sequence or (), group_key))
    model.train(max_epochs, key_added=None, **trainer_device(device))
    model.save(model_dir, overwrite=overwrite)
    if embedded is not None:
        _write_embedding(model, embedded, data, device)
    if report is not None:
        pl.report(model, report, color=color or (), title=f"{family} of {source.name}")
    losses = {"losses": _last_losses(model)}
    result = {"model": model_dir, **_described(model, data), "embedded": embedded, "report": report, **losses}
    text = f"Wrote {model_dir}: {family} of {data.n_obs:,} observations, {model.module.n_latent} dimensions."
    return Report({**result, "seconds": round(time.monotonic() - start, 1)}, text)


@app.command(epilog="Example: omicsmlm embed cells.h5ad embedded.h5ad --model model")
@reporting
def embed(
    source: Source,
    target: Annotated[
        Path, typer.Argument(help="File to write: the same, with the embedding in .obsm.", show_default=False)
    ],
    model_dir: Annotated[
        Path | None, typer.Option("--model", help="A saved model to embed with; without it one is trained.")
    ] = None,
    family: FamilyOption = Family.omicsmlm,
    batch_key: BatchKey = None,
    layer: Layer = None,
    modality: Modality = None,
    sequence: SequenceColumn = None,
    group_key: GroupKey = None,
    max_epochs: MaxEpochs = None,
    save_model: SaveModel = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Embed a file: with a saved model, or with one trained on it. The values stay in the file, however large it is."""
    from omicsmlm._checks import value_error

    if save_model is not None and model_dir is not None:
        raise value_error("save_model", "a model that is trained here", "--model as well", "leave out one of the two")
    check_target(target, "target", [source.suffix], overwrite=overwrite, source=source)
    if save_model is not None:
        check_model_target(save_model, "save_model", overwrite=overwrite)
    check_device(device)
    data = opened(source, backed=True)
    if model_dir is not None:
        model = loaded_model(model_dir)
    else:
        model = new_model(
            data, Training(family, batch_key, layer or (), modality or (), seed, sequence or (), group_key)
        )
        model.train(max_epochs, key_added=None, **trainer_device(device))
        if save_model is not None:
            model.save(save_model, overwrite=overwrite)
    _write_embedding(model, target, data, device)
    shape = data.n_obs, model.module.n_latent
    text = f"Wrote {target} with .obsm[{model.embedding_key!r}] of shape {shape}."
    return Report({"target": target, "model": model_dir or save_model, **_described(model, data)}, text)


def new_model(data: "AnnData | MuData", training: Training) -> "OmicsModel":
    """Return an untrained model of an object.

    Raises
    ------
    ValueError
        If the object does not fit, or a name is not there.
    """
    from mudata import MuData

    import omicsmlm
    from omicsmlm._checks import value_error

    family: Any = getattr(omicsmlm, training.family.value)
    config = family.config_class(seed=training.seed)
    if training.family is Family.isoformer:
        return _new_isoformer(data, training)
    if training.sequences or training.group_key is not None:
        given = "--sequence" if training.sequences else "--group-key"
        raise value_error(given, "--family IsoFormer", training.family.value, "leave it out, or name that family")
    if not training.layers and not training.modalities:
        return family(data, config, batch_key=training.batch_key)
    if isinstance(data, MuData):
        names = list(training.modalities or data.mod)
        layers = assigned("--layer", training.layers, names)
        family.setup_mudata(data, modalities=names, layers=layers or None, batch_key=training.batch_key)
    else:
        names = list(training.modalities or ["rna"])
        layers = assigned("--layer", training.layers, names[:1])
        family.setup_anndata(data, modalities=names[0], layer=layers.get(names[0]), batch_key=training.batch_key)
    return family(data, config)


def _new_isoformer(data: "AnnData | MuData", training: Training) -> "OmicsModel":
    """Return an untrained model of sequences in columns of ``.obs``: those named, or those with the names that it knows."""
    import omicsmlm
    from omicsmlm._checks import value_error

    config = omicsmlm.IsoFormerConfig(seed=training.seed)
    if training.modalities:
        raise value_error("--modality", "--sequence for an IsoFormer", training.modalities[0], "name columns of .obs")
    if not training.sequences and not training.layers and training.group_key is None:
        return omicsmlm.IsoFormer(cast("AnnData", data), config, batch_key=training.batch_key)
    columns = assigned("--sequence", training.sequences, ("dna", "rna", "protein"))
    keys: dict[str, Any] = {f"{name}_key": column for name, column in columns.items()}
    omicsmlm.IsoFormer.setup_anndata(
        cast("AnnData", data),
        **keys,
        layer=assigned("--layer", training.layers, ["expression"]).get("expression"),
        group_key=training.group_key,
        batch_key=training.batch_key,
    )
    return omicsmlm.IsoFormer(cast("AnnData", data), config)


def _check_columns(data: "AnnData | MuData", names: Sequence[str]) -> None:
    from omicsmlm._checks import named, value_error

    absent = [name for name in names if name not in data.obs]
    if absent:
        found = f"{named(absent)}, not among {named(data.obs.columns)}"
        raise value_error("--color", "columns of .obs", found, "name some of these")


def _write_embedding(model: "OmicsModel", target: Path, data: "AnnData | MuData", device: str) -> None:
    if device not in ("auto", "cpu"):
        model.to_device(device)
    model.write_latent_representation(target, data)


def _described(model: "OmicsModel", data: "AnnData | MuData") -> dict[str, Any]:
    """Return what the result says of a model and its embedding."""
    return {
        "family": type(model).__name__,
        "n_obs": data.n_obs,
        "n_latent": model.module.n_latent,
        "embedding_key": model.embedding_key,
        "modalities": {name: state["kind"] for name, state in model.adata_manager.modalities.items()},
    }


def _last_losses(model: "OmicsModel") -> dict[str, float]:
    return {name: float(frame[name].iloc[-1]) for name, frame in (model.history or {}).items() if len(frame)}
