"""``benchmark``: embeddings beside plain baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._app import WIDTH, Report, app, reporting
from ._files import TABLES, check_target, opened, write_table
from ._options import AsJson, BatchKey, Overwrite, Source

if TYPE_CHECKING:
    import pandas as pd

PRINTED = ["Total", "Bio conservation", "Batch correction"]


@app.command(epilog="Example: omicsmlm benchmark embedded.h5mu --key X_omics --labels-key cell_type --batch-key donor")
@reporting
def benchmark(
    source: Source,
    labels_key: Annotated[str, typer.Option(help="Column of .obs with the labels.", show_default=False)],
    key: Annotated[
        list[str] | None, typer.Option(help="Embedding in .obsm; all X_… of ours if not given; repeatable.")
    ] = None,
    batch_key: BatchKey = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Further baseline: Harmony, scVI, MultiVI, TotalVI; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Table for all scores: .csv, .tsv, .parquet.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Score embeddings of a file with scib-metrics, beside PCA and the like of the same observations."""
    from omicsmlm import evaluation
    from omicsmlm._checks import named, value_error

    if out is not None:
        check_target(out, "out", TABLES, overwrite=overwrite, source=source)
    data = opened(source)
    keys = key or [name for name in data.obsm if name in ("X_omics", "X_scmbert", "X_mojo", "X_txfm", "X_isoformer")]
    if not keys:
        found = f"only {named(data.obsm)}"
        raise value_error("--key", "an embedding in .obsm", found, "run omicsmlm embed first, or name one")
    table = evaluation.benchmark(data, keys, batch_key, labels_key, baselines=baseline or ())
    if out is not None:
        write_table(table, out)
    scores = {str(name): {str(k): float(v) for k, v in row.items()} for name, row in table.iterrows()}
    notes = {name: table.attrs[name] for name in ("n_scored", "n_obs", "left_out")}
    return Report({"scores": scores, "table": out, **notes}, printed(table))


def printed(table: "pd.DataFrame") -> str:
    """Return the totals of a table of scores as text, the best first."""
    from rich.console import Console
    from rich.table import Table

    rows = Table("embedding", *PRINTED)
    for name, row in table.sort_values("Total", ascending=False).iterrows():
        rows.add_row(str(name), *(f"{row[column]:.3f}" if column in row else "" for column in PRINTED))
    console = Console(width=WIDTH)
    with console.capture() as captured:
        console.print(rows)
    return captured.get().rstrip()
