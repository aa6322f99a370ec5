"""``survival``: risks of an event."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import Report, app, reporting
from ._files import TABLES, check_model_target, check_target, loaded_model, opened, saved_class, write_table
from ._options import AsJson, ModelFolder, Overwrite, Query, SaveModel, Seed, Source


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
    from omicsmlm._checks import value_error

    check_target(target, "target", TABLES, overwrite=overwrite, source=source)
    if save_model is not None:
        check_model_target(save_model, "save_model", overwrite=overwrite)
    is_survival, has_keys = saved_class(model_dir) == "Survival", time_key is not None and event_key is not None
    if is_survival == has_keys:
        found = "a saved Survival with them" if is_survival else "not both of them"
        wanted = "--time-key and --event-key with a model, and none with a saved Survival"
        raise value_error("--time-key", wanted, found, "leave them out" if is_survival else "name both columns")
    data = opened(source)
    predicted = data if query is None else opened(query, "query")
    if is_survival:
        made = omicsmlm.Survival.load(model_dir)
    else:
        assert time_key is not None
        assert event_key is not None
        model, config = loaded_model(model_dir, data), omicsmlm.SurvivalConfig(seed=seed)
        made = omicsmlm.Survival.from_model(model, time_key, event_key, stratum_key, covariate_key or (), config)
        made.train()
    if save_model is not None:
        made.save(save_model, overwrite=overwrite)
    table = made.predict(predicted).rename("log_risk").to_frame()
    if at:
        table = table.join(made.predict_survival(at, predicted).rename(columns=lambda time: f"survival_{time:g}"))
    write_table(table, target)
    held_out = {str(name): dict(row) for name, row in made.held_out.iterrows()}
    text = f"Wrote {target}: risks of {len(table):,} observations; held out in training:\n{made.held_out.round(3).to_string()}"
    return Report({"target": target, "n_obs": len(table), "held_out": held_out, "model": save_model}, text)
