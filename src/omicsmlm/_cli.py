"""The command ``omicsmlm``: a demonstration from file to table, and embedding of files."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

# What takes seconds to import waits inside the commands: ``--help`` needs none of it.
app = typer.Typer(add_completion=False, no_args_is_help=True, help="One good embedding of any omics data.")
console = Console(width=120)
N_EVALUATED = 5000
"""Most cells that the demonstration scores, for the sake of its five minutes."""
PRINTED = ["Total", "Bio conservation", "Batch correction"]


def _say_version(asked: bool) -> None:
    if asked:
        from omicsmlm import __version__

        console.print(f"omicsmlm {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("omicsmlm-demo"),
    max_epochs: Annotated[int | None, typer.Option(help="Epochs of training; a sensible number if not given.")] = None,
    controls: Annotated[bool, typer.Option(help="Also train on shuffled peaks, as a control.")] = True,
) -> None:
    """Train on a small multiome and score the embedding beside plain baselines.

    The data are the SNARE-seq set of OMICSMLM_DATA if that is set, else a simulated multiome in which half of the rows
    lack a modality.
    """
    from omicsmlm import OmicsMLM, evaluation, pl
    from omicsmlm._writing import written_file

    start = time.monotonic()
    _writable(out)
    mdata, name = _demo_data()
    console.print(f"[bold]{name}[/bold]: {mdata.n_obs} cells; results go to {out}/")
    model = OmicsMLM(mdata, batch_key="batch")
    mdata.obsm["X_untrained"] = model.get_latent_representation()
    model.train(max_epochs)
    embeddings = {"OmicsMLM": mdata.obsm["X_omics"], "OmicsMLM untrained": mdata.obsm["X_untrained"]}
    if controls:
        console.print("Control: the same training with the rows of [italic]atac[/italic] shuffled.")
        shuffled = evaluation.shuffle_modality(mdata, "atac")
        control = OmicsMLM(shuffled, batch_key="batch")
        control.train(max_epochs, key_added=None)
        embeddings["OmicsMLM, atac shuffled"] = control.get_latent_representation()
    rows = _evaluated_observations(mdata)
    console.print(f"Scoring {len(rows)} cells with scib-metrics, beside PCA and PCA + LSI.")
    evaluated = {name: values[rows] for name, values in embeddings.items()}
    table = evaluation.benchmark(mdata[rows].copy(), evaluated, "batch", "cell_type")
    with written_file(out / "embedded.h5mu", "output") as part:
        mdata.write(part)
    model.save(out / "model", overwrite=True)
    with written_file(out / "scib.csv", "output") as part:
        table.to_csv(part)
    pl.benchmark_table(table, save=out / "scib.png")
    pl.umap(mdata, "X_omics", ["cell_type", "batch"], save=out / "umap.png")
    pl.history(model.history, save=out / "history.png")
    _print(table)
    console.print(
        f"Wrote {', '.join(sorted(p.name for p in out.iterdir()))} to {out}/ in {time.monotonic() - start:.0f} s."
    )


@app.command()
def embed(
    source: Annotated[Path, typer.Argument(help="An .h5ad or .h5mu file with raw counts.")],
    target: Annotated[Path, typer.Argument(help="File to write: the same, with the embedding in .obsm.")],
    model_dir: Annotated[
        Path | None, typer.Option("--model", help="A saved OmicsMLM to embed with; without it one is trained.")
    ] = None,
    batch_key: Annotated[str | None, typer.Option(help="Column of .obs with the batch.")] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Epochs of training; a sensible number if not given.")] = None,
    save_model: Annotated[Path | None, typer.Option(help="Folder to save the trained model to.")] = None,
) -> None:
    """Embed a file: with a saved model, or with one trained on it. The values stay in the file, however large it is."""
    from omicsmlm import OmicsMLM
    from omicsmlm._checks import value_error
    from omicsmlm._writing import absolute

    _writable(absolute(target).parent)
    data = _opened(source)
    if target.suffix != source.suffix:
        raise value_error("target", f"a name that ends in {source.suffix}", repr(target.name), "rename it")
    if absolute(target).exists() and absolute(target).samefile(source):
        raise value_error("target", "a new file", f"{str(target)!r}, which is the source", "pass another name")
    if save_model is not None and model_dir is not None:
        raise value_error("save_model", "a model that is trained here", "--model as well", "leave out one of the two")
    if save_model is not None and absolute(save_model).exists():
        raise value_error(
            "save_model", "a new folder", f"{str(save_model)!r}, which exists", "pass another or remove it"
        )
    if save_model is not None:
        _writable(absolute(save_model).parent)
    if model_dir is not None:
        model = OmicsMLM.load(model_dir)
    else:
        model = OmicsMLM(data, batch_key=batch_key)
        model.train(max_epochs, key_added=None)
        if save_model is not None:
            model.save(save_model)
    model.write_latent_representation(target, data)
    shape = data.n_obs, model.module.n_latent
    console.print(f"Wrote {target} with .obsm[{OmicsMLM.embedding_key!r}] of shape {shape}.")


def main() -> None:
    """Run the command; wrong input ends with one sentence, not with a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("omicsmlm").setLevel(logging.INFO)
    try:
        app()
    except ValueError as error:
        console.print(f"[red]error:[/red] {error}", soft_wrap=True)
        raise SystemExit(2) from error


def _demo_data() -> "tuple[MuData, str]":
    from omicsmlm import datasets

    if os.environ.get("OMICSMLM_DATA"):
        return datasets.snareseq(), "SNARE-seq of mouse cortex"
    return datasets.simulate_multiome(), "Simulated multiome, half of the cells without RNA or without ATAC"


def _evaluated_observations(mdata: "MuData") -> "np.ndarray":
    """Draw the cells to score: at most ``N_EVALUATED`` of those with a type, which SNARE-seq's miscellaneous have not."""
    import numpy as np

    typed = np.flatnonzero(mdata.obs["cell_type"] != "Mis")
    return np.sort(np.random.default_rng(0).permutation(typed)[:N_EVALUATED])


def _opened(path: Path) -> "AnnData | MuData":
    from anndata import read_h5ad
    from mudata import read_h5mu

    from omicsmlm._checks import value_error

    readers = {".h5ad": read_h5ad, ".h5mu": read_h5mu}
    if path.suffix not in readers or not path.is_file():
        raise value_error("source", "an existing .h5ad or .h5mu file", repr(str(path)), "check the path")
    return readers[path.suffix](path, backed="r")


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".omicsmlm-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        from omicsmlm._checks import value_error

        raise value_error("output", "a folder that can be written", str(error), "pass another path") from error


def _print(table: "pd.DataFrame") -> None:
    from rich.table import Table

    printed = Table("embedding", *PRINTED)
    for name, row in table.sort_values("Total", ascending=False).iterrows():
        printed.add_row(str(name), *(f"{row[column]:.3f}" if column in row else "" for column in PRINTED))
    console.print(printed)


if __name__ == "__main__":
    main()
