"""``annotate``: labels for observations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._app import Report, app, reporting
from ._files import write_table
from ._heads import HeadFiles, ready_head
from ._options import AsJson, ModelFolder, Overwrite, Query, SaveModel, Seed, Source

if TYPE_CHECKING:
    from omicsmlm.models import Classifier, OmicsModel


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

    def learn(model: "OmicsModel") -> "Classifier":
        config = omicsmlm.ClassifierConfig(seed=seed)
        return omicsmlm.Classifier.from_model(model, str(labels_key), unlabeled, config)

    files = HeadFiles(source, model_dir, target, query, save_model, overwrite)
    classifier, predicted = ready_head(files, omicsmlm.Classifier, {"--labels-key": labels_key}, learn)
    labels, soft = classifier.predict(predicted), classifier.predict(predicted, soft=True)
    table = soft.max(axis=1).rename("probability").to_frame()
    table.insert(0, "label", labels)
    write_table(table.join(soft) if probabilities else table, target)
    counts = {str(name): int(number) for name, number in table["label"].value_counts().items()}
    result = {"target": target, "n_obs": len(table), "labels": counts, "held_out": classifier.held_out}
    text = "\n".join([f"Wrote {target}:", *(f"{number:>8,}  {name}" for name, number in counts.items())])
    return Report({**result, "model": save_model}, text)
