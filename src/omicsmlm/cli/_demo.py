"""``demo``: from a file to a table with baselines and controls."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._app import Report, app, reporting, say
from ._evaluating import printed
from ._files import check_writable, write_table
from ._options import AsJson, MaxEpochs, Seed

if TYPE_CHECKING:
    import numpy as np
    from mudata import MuData

N_EVALUATED = 5000
"""Most cells that the demonstration scores, for the sake of its five minutes."""


@app.command(epilog="Example: omicsmlm demo --out omicsmlm-demo")
@reporting
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("omicsmlm-demo"),
    max_epochs: MaxEpochs = None,
    controls: Annotated[bool, typer.Option(help="Also train with one modality shuffled, as a control.")] = True,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> Report:
    """Train on a small multiome and score the embedding beside plain baselines.

    The data are the SNARE-seq set of OMICSMLM_DATA if that is set, else 600 cells of bone marrow with proteins (CITE-seq), which
    come with the package.
    """
    from omicsmlm import OmicsMLM, OmicsMLMConfig, evaluation, pl
    from omicsmlm._writing import written_file

    start = time.monotonic()
    check_writable(out)
    mdata, name, second = _data()
    say(f"{name}: {mdata.n_obs} cells; results go to {out}/")
    config = OmicsMLMConfig(seed=seed)
    model = OmicsMLM(mdata, config, batch_key="batch")
    mdata.obsm["X_untrained"] = model.get_latent_representation()
    model.train(max_epochs)
    embeddings = {"OmicsMLM": mdata.obsm["X_omics"], "OmicsMLM untrained": mdata.obsm["X_untrained"]}
    if controls:
        say(f"Control: the same training with {second} shuffled over the cells.")
        shuffled = evaluation.shuffle_modality(mdata, second)
        control = OmicsMLM(shuffled, config, batch_key="batch")
        control.train(max_epochs, key_added=None)
        embeddings[f"OmicsMLM, {second} shuffled"] = control.get_latent_representation()
    indices = _evaluated_observations(mdata)
    say(f"Scoring {len(indices)} cells with scib-metrics, beside PCA and the like.")
    evaluated = {name: values[indices] for name, values in embeddings.items()}
    table = evaluation.benchmark(mdata[indices].copy(), evaluated, "batch", "cell_type")
    with written_file(out / "embedded.h5mu", "output") as part:
        mdata.write(part)
    model.save(out / "model", overwrite=True)
    write_table(table, out / "scib.csv")
    pl.benchmark_table(table, save=out / "scib.png")
    pl.umap(mdata, "X_omics", ["cell_type", "batch"], save=out / "umap.png")
    pl.history(model.history, save=out / "history.png")
    pl.report(model, out / "report.html", color=["cell_type", "batch"], table=table, title=f"Demonstration: {name}")
    seconds = time.monotonic() - start
    files = sorted(path.name for path in out.iterdir())
    totals = {str(name): float(value) for name, value in table["Total"].items()}
    result = {"out": out, "files": files, "n_obs": mdata.n_obs, "totals": totals, "seconds": round(seconds, 1)}
    return Report(result, f"{printed(table)}\nWrote {', '.join(files)} to {out}/ in {seconds:.0f} s.")


def _data() -> "tuple[MuData, str, str]":
    """Return a set, what it is, and its second modality."""
    from omicsmlm import datasets

    if os.environ.get("OMICSMLM_DATA"):
        return datasets.snareseq(), "SNARE-seq of mouse cortex", "atac"
    return datasets.bmmc_cite(), "CITE-seq of bone marrow", "adt"


def _evaluated_observations(mdata: "MuData") -> "np.ndarray":
    """Draw the cells to score: at most ``N_EVALUATED`` of those with a type, which SNARE-seq's miscellaneous have not."""
    import numpy as np

    typed = np.flatnonzero(mdata.obs["cell_type"] != "Mis")
    return np.sort(np.random.default_rng(0).permutation(typed)[:N_EVALUATED])
