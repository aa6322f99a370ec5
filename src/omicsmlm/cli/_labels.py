"""``annotate``: labels for observations."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import Report, app, reporting
from ._files import TABLES, check_model_target, check_target, loaded_model, opened, saved_class, write_table
from ._options import AsJson, ModelFolder, Overwrite, Query, SaveModel, Seed, Source


@app.command(epilog="Example: omicsmlm annotate cells.h5mu model labels.csv --labels-key cell_type --query new.h5mu")
@reporting
def annotate(
    source: Source,
    model_dir: ModelFolder,
    target: Annotated[Path, typer.Argument(help="Table for the labels: .csv, .tsv, .parquet.", show_default=False)],
    labels_key: Annotated[
        str | None, typer.Option(help="Column of .obs with the labels to learn; not for a saved classifier.")
    ] = None,
    unlabeled: Annotated[str, typer.Option(help="Value of that column that is no label.")] = "Unknown",
    query: Query = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write that of each label.")] = False,
    save_model: SaveModel = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Predict labels: learn them from a file with a saved model, or use a saved classifier."""
    import omicsmlm
    from omicsmlm._checks import value_error

    check_target(target, "target", TABLES, overwrite=overwrite, source=source)
    if save_model is not None:
        check_model_target(save_model, "save_model", overwrite=overwrite)
    is_classifier = saved_class(model_dir) == "Classifier"
    if is_classifier == (labels_key is not None):
        found = f"{'a saved Classifier' if is_classifier else 'a model'} and --labels-key {labels_key}"
        wanted = "--labels-key with a model, and none with a saved Classifier"
        raise value_error("--labels-key", wanted, found, "leave it out" if is_classifier else "name the column")
    data = opened(source)
    predicted = data if query is None else opened(query, "query")
    if is_classifier:
        classifier = omicsmlm.Classifier.load(model_dir)
    else:
        assert labels_key is not None
        model, config = loaded_model(model_dir, data), omicsmlm.ClassifierConfig(seed=seed)
        classifier = omicsmlm.Classifier.from_model(model, labels_key, unlabeled, config)
        classifier.train()
    if save_model is not None:
        classifier.save(save_model, overwrite=overwrite)
    labels, soft = classifier.predict(predicted), classifier.predict(predicted, soft=True)
    table = soft.max(axis=1).rename("probability").to_frame()
    table.insert(0, "label", labels)
    write_table(table.join(soft) if probabilities else table, target)
    counts = {str(name): int(number) for name, number in table["label"].value_counts().items()}
    result = {"target": target, "n_obs": len(table), "labels": counts, "held_out": classifier.held_out}
    text = "\n".join([f"Wrote {target}:", *(f"{number:>8,}  {name}" for name, number in counts.items())])
    return Report({**result, "model": save_model}, text)
