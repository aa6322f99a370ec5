"""``survival``: risks of an event."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._app import Report, app, reporting
from ._files import write_table
from ._heads import HeadFiles, ready_head
from ._options import AsJson, ModelFolder, Overwrite, Query, SaveModel, Seed, Source

if TYPE_CHECKING:
    from omicsmlm.models import OmicsModel, Survival


@app.command(
    epilog="Example: omicsmlm survival tumours.h5mu model risks.csv --time-key time_days --event-key event --at 365"
)
@reporting
def survival(
    source: Source,
    model_dir: ModelFolder,
    target: Annotated[Path, typer.Argument(help="Table for the risks: .csv, .tsv, .parquet.", show_default=False)],
    time_key: Annotated[str | None, typer.Option(help="Column of .obs with the time of event or last visit.")] = None,
    event_key: Annotated[
        str | None, typer.Option(help="Column that says 1 for the event, 0 for the last visit.")
    ] = None,
    stratum_key: Annotated[str | None, typer.Option(help="Column with strata, such as cohorts.")] = None,
    covariate_key: Annotated[
        list[str] | None, typer.Option(help="Column with numbers, such as age; repeatable.")
    ] = None,
    at: Annotated[list[float] | None, typer.Option(help="Time to predict survival at; repeatable.")] = None,
    query: Query = None,
    save_model: SaveModel = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Predict risks: learn them from a file with a saved model, or use a saved survival model."""
    import omicsmlm

    def learn(model: "OmicsModel") -> "Survival":
        config, covariates = omicsmlm.SurvivalConfig(seed=seed), covariate_key or ()
        return omicsmlm.Survival.from_model(model, str(time_key), str(event_key), stratum_key, covariates, config)

    files = HeadFiles(source, model_dir, target, query, save_model, overwrite)
    keys = {"--time-key": time_key, "--event-key": event_key}
    made, predicted = ready_head(files, omicsmlm.Survival, keys, learn)
    table = made.predict(predicted).rename("log_risk").to_frame()
    if at:
        table = table.join(made.predict_survival(at, predicted).rename(columns=lambda time: f"survival_{time:g}"))
    write_table(table, target)
    held_out = {str(name): dict(row) for name, row in made.held_out.iterrows()}
    text = f"Wrote {target}: risks of {len(table):,} observations; held out in training:\n{made.held_out.round(3).to_string()}"
    return Report({"target": target, "n_obs": len(table), "held_out": held_out, "model": save_model}, text)
