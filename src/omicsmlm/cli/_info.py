"""``info``: what a file or a saved model holds, and which families would take it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._app import Report, app, reporting
from ._files import opened, saved_class
from ._options import AsJson

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

LOOKED_AT = 200
"""Values of a column that are looked at for sequences."""
SHORTEST_SEQUENCE = 20
MOST_CATEGORIES = 12


@app.command(epilog="Example: omicsmlm info cells.h5mu --json")
@reporting
def info(
    source: Annotated[Path, typer.Argument(help="An .h5ad or .h5mu file, or a saved model.", show_default=False)],
    as_json: AsJson = False,
) -> Report:
    """Say what is in a file or a saved model, which families of models fit, and what they would take."""
    result = _of_model(source) if os.path.isdir(source) else _of_file(source)
    return Report(result, "\n".join(_lines(result)))


def _of_model(folder: Path) -> dict[str, Any]:
    """Return what a saved model is."""
    import omicsmlm

    name = saved_class(folder, "source")
    model: Any = getattr(omicsmlm, name).load(folder)
    return {"model": folder, "class": name, "summary": str(model).splitlines()}


def _of_file(path: Path) -> dict[str, Any]:
    """Return what a file holds."""
    import numpy as np
    from mudata import MuData

    from omicsmlm._pairing import describe_pairing

    data = opened(path, backed=True)
    modalities = dict(data.mod) if isinstance(data, MuData) else {"rna": data}
    found = {str(name): _of_modality(str(name), part, data) for name, part in modalities.items()}
    result: dict[str, Any] = {
        "file": path,
        "type": type(data).__name__,
        "n_obs": data.n_obs,
        "modalities": found,
        "obs": {str(name): _of_column(data.obs[name]) for name in data.obs.columns},
        "obsm": {str(name): list(np.shape(data.obsm[name])) for name in data.obsm if name not in modalities},
    }
    if len(modalities) > 1:
        has_nm = np.stack([data.obs_names.isin(part.obs_names) for part in modalities.values()], axis=1)
        result["pairing"] = describe_pairing(list(modalities), has_nm)
    return {**result, "families": _families(data, modalities, found)}


def _of_modality(name: str, part: "AnnData", data: "AnnData | MuData") -> dict[str, Any]:
    """Return the size of a modality, and what its values are taken for or why they cannot be."""
    from omicsmlm.data import ModalityField, counts_layers

    layers = [str(layer) for layer in part.layers.keys() if layer is not None]
    entry: dict[str, Any] = {"n_obs": part.n_obs, "n_features": part.n_vars, "layers": layers}
    entry["features"] = [str(feature) for feature in part.var_names[:3]]
    try:
        layer = counts_layers(data, [name], ()).get(name)
        state = ModalityField(name, layer).register_field(data)
    except ValueError as error:
        return {**entry, "kind": None, "layer": None, "problem": str(error)}
    return {**entry, "kind": state["kind"], "layer": layer}


def _of_column(column: "pd.Series") -> str:
    """Return the type of a column; of a few categories also these."""
    n_distinct = int(column.nunique())
    n_missing = int(column.isna().sum())
    missing = f", {n_missing:,} missing" if n_missing else ""
    if n_distinct <= MOST_CATEGORIES:
        return f"{column.dtype}: {', '.join(map(str, sorted(column.dropna().unique(), key=str)))}{missing}"
    return f"{column.dtype}: {n_distinct:,} distinct{missing}"


def _families(
    data: "AnnData | MuData", modalities: "dict[str, AnnData]", found: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return, of each family, whether it fits, and what it would take or what is in the way."""
    from omicsmlm._types import SPARSE_KINDS

    kinds = {name: entry["kind"] for name, entry in found.items()}
    wrong = [name for name, kind in kinds.items() if kind is None]
    taken = ", ".join(f"{name} as {kind}" for name, kind in kinds.items())
    real = [name for name, kind in kinds.items() if kind not in SPARSE_KINDS]
    counts = [name for name, kind in kinds.items() if kind == "counts"]
    shared = set.intersection(*(set(map(str, part.var_names)) for part in modalities.values()))
    sequences = [str(name) for name in data.obs.columns if _holds_sequences(data.obs[name])]
    problem = f"{wrong[0]}: {found[wrong[0]]['problem']}" if wrong else None
    others = f"; name --modality {counts[0]}" if counts and len(kinds) > 1 else ""
    return {
        "OmicsMLM": _entry(problem is None, problem or taken),
        "ScMBERT": _entry(not wrong and not real, problem or (f"no counts in {', '.join(real)}" if real else taken)),
        "MOJO": _entry(
            not wrong and bool(shared),
            problem or (f"{len(shared):,} genes that all modalities have" if shared else "no gene in common"),
        ),
        "TxFM": _entry(bool(counts), f"{counts[0]} as counts{others}" if counts else "no counts of RNA"),
        "IsoFormer": _entry(
            bool(sequences), f"sequences in {', '.join(sequences)}" if sequences else "no column of obs holds sequences"
        ),
    }


def _entry(fits: bool, why: str) -> dict[str, Any]:
    return {"fits": fits, "why": why}


def _holds_sequences(column: "pd.Series") -> bool:
    """Return whether the first values of a column are nucleotides or amino acids."""
    looked = column.dropna().iloc[:LOOKED_AT]
    texts = [value for value in looked if isinstance(value, str)]
    if not texts or len(texts) < len(looked):
        return False
    residues = set("ABCDEFGHIKLMNPQRSTUVWXYZ*")
    return all(len(text) >= SHORTEST_SEQUENCE and set(text.upper()) <= residues for text in texts)


def _lines(result: dict[str, Any]) -> list[str]:
    """Return a result as text."""
    if "model" in result:
        return [f"{result['model']}: {result['class']}", *result["summary"]]
    lines = [f"{result['file']}: {result['type']} of {result['n_obs']:,} observations"]
    for name, entry in result["modalities"].items():
        where = f"layers[{entry['layer']!r}]" if entry["layer"] else "X"
        what = f"{entry['kind']} in {where}" if entry["kind"] else entry["problem"]
        lines.append(
            f"  {name}: {entry['n_obs']:,} × {entry['n_features']:,} ({', '.join(entry['features'])}, …); {what}"
        )
    lines += [f"  pairing: {result['pairing']}"] if "pairing" in result else []
    lines += [f"  obs {name!r}: {what}" for name, what in result["obs"].items()]
    lines += [f"  obsm {name!r}: {shape[1]} dimensions" for name, shape in result["obsm"].items() if len(shape) == 2]
    lines += [
        f"  {name} {'fits' if entry['fits'] else 'does not fit'}: {entry['why']}"
        for name, entry in result["families"].items()
    ]
    return lines
