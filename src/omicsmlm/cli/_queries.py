"""``query``: new observations mapped onto a reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._app import Report, app, reporting
from ._files import HEADS, check_model_target, check_target, opened, saved_class
from ._options import AsJson, Device, MaxEpochs, ModelFolder, Overwrite, SaveModel, Source, check_device, trainer_device

if TYPE_CHECKING:
    from omicsmlm.models.base import QueryModel


@app.command(epilog="Example: omicsmlm query new.h5mu reference mapped.h5mu")
@reporting
def query(
    source: Source,
    reference: ModelFolder,
    target: Annotated[Path, typer.Argument(help="File for the object with its embedding.", show_default=False)],
    extend_vocabulary: Annotated[
        bool, typer.Option("--extend-vocabulary", help="Also take in features that the reference does not know.")
    ] = False,
    max_epochs: MaxEpochs = None,
    save_model: SaveModel = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Map new observations onto a saved reference; new batches are aligned with it, the reference stays as it is."""
    import omicsmlm
    from omicsmlm._checks import value_error
    from omicsmlm.models.base import QueryModel

    check_target(target, "target", [source.suffix], overwrite=overwrite, source=source)
    if save_model is not None:
        check_model_target(save_model, "save_model", overwrite=overwrite)
    check_device(device)
    name = saved_class(reference, "reference")
    family: Any = getattr(omicsmlm, name)
    if name in HEADS or not issubclass(family, QueryModel):
        raise value_error("reference", "a model that maps queries", f"a {name}", "use omicsmlm embed, or annotate")
    data = opened(source, backed=True)
    model = family.load_query_data(data, reference, extend_vocabulary=extend_vocabulary)
    new = _new_batches(model)
    if new:
        model.train(max_epochs, key_added=None, **trainer_device(device))
    if save_model is not None:
        model.save(save_model, overwrite=overwrite)
    model.write_latent_representation(target, data)
    result = {"target": target, "model": save_model, "family": name, "n_obs": data.n_obs, "new_batches": new}
    said = f"{len(new)} new batches aligned" if new else "no batch is new, so that nothing was trained"
    return Report(result, f"Wrote {target} with .obsm[{model.embedding_key!r}]; {said}.")


def _new_batches(model: "QueryModel") -> list[str]:
    """Return the batches that the reference does not know."""
    categories: list[str] = next(iter(model.adata_manager.covariates.values()), [])
    return categories[model.derived.n_known_batches or 0 :] if model.is_query else []
