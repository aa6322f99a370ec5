"""``read``: tables and files of 10x to an ``.h5mu``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ._app import Report, app, reporting
from ._files import check_target
from ._options import AsJson, Overwrite, assigned

ROLES = ("rna", "methylation", "protein", "atac")
_HELP = "File or folder with {}; of several samples name=path of each; repeatable."


@app.command(epilog="Example: omicsmlm read tumours.h5mu --rna tpm.tsv --methylation beta.csv.gz --obs clinical.csv")
@reporting
def read(
    target: Annotated[Path, typer.Argument(help="The .h5mu file to write.", show_default=False)],
    rna: Annotated[list[str] | None, typer.Option(help=_HELP.format("RNA"))] = None,
    methylation: Annotated[list[str] | None, typer.Option(help=_HELP.format("methylation"))] = None,
    protein: Annotated[list[str] | None, typer.Option(help=_HELP.format("proteins"))] = None,
    atac: Annotated[list[str] | None, typer.Option(help=_HELP.format("open chromatin"))] = None,
    obs: Annotated[Path | None, typer.Option(help="Table of the observations: clinical data, cell types.")] = None,
    units: Annotated[
        list[str] | None, typer.Option(help="What values are, as rna=tpm, where that is not told by them; repeatable.")
    ] = None,
    observations_on: Annotated[
        list[str] | None, typer.Option(help="rna=rows or rna=columns, where names do not tell; repeatable.")
    ] = None,
    batch_key: Annotated[str, typer.Option(help="Column for the names of samples.")] = "batch",
    strip_versions: Annotated[bool, typer.Option("--strip-versions", help="ENSG….18 becomes ENSG….")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> Report:
    """Read tables, files of 10x, .h5ad and .h5mu into one .h5mu, and say what was understood."""
    import omicsmlm
    from omicsmlm._checks import value_error
    from omicsmlm._writing import written_file

    given = dict(zip(ROLES, (rna, methylation, protein, atac), strict=True))
    sources: dict[str, Any] = {role: _sources(paths) for role, paths in given.items() if paths}
    paths = [path for paths in given.values() for path in paths or ()]
    if not paths:
        raise value_error("read", "a file for one of --rna, --methylation, --protein, --atac", "none", "name one")
    check_target(target, "target", [".h5mu"], overwrite=overwrite, source=Path(paths[0]))
    sides: Any = assigned("--observations-on", observations_on or (), ROLES)
    mdata = omicsmlm.read(
        **sources,
        obs=obs,
        units=assigned("--units", units or (), ROLES),
        observations_on=sides,
        batch_key=batch_key,
        strip_versions=strip_versions,
    )
    with written_file(target, "output") as part:
        mdata.write_h5mu(part)
    shapes = {name: list(part.shape) for name, part in mdata.mod.items()}
    described = ", ".join(f"{name} {n_obs:,} × {n_features:,}" for name, (n_obs, n_features) in shapes.items())
    result = {"target": target, "n_obs": mdata.n_obs, "modalities": shapes, "obs": list(map(str, mdata.obs.columns))}
    return Report(result, f"Wrote {target}: {mdata.n_obs:,} observations; {described}.")


def _sources(texts: Sequence[str]) -> str | list[str] | dict[str, str]:
    """Return one path, several, or several by name."""
    pairs = [text.partition("=") for text in texts]
    if all(equals and not os.path.exists(Path(text)) for text, (_, equals, _) in zip(texts, pairs, strict=True)):
        return {name: path for name, _, path in pairs}
    return texts[0] if len(texts) == 1 else list(texts)
