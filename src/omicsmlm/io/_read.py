"""Files of users, one or several for each modality, to a MuData that goes straight into a model; every decision is logged."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._announcing import announce
from omicsmlm._checks import check_switch, named, value_error
from omicsmlm._modality_names import Role
from omicsmlm._pairing import describe_pairing
from omicsmlm._stages import Stages

from ._assembly import ONE, Opening, Reading, assembled, hints, oriented, place_of
from ._observations import joined_observations, observation_table
from ._orientation import Side
from ._sources import Source, opened

logger = logging.getLogger(__name__)

type Sources = Source | Sequence[Source] | Mapping[str, Source]


def read(
    rna: Sources | None = None,
    methylation: Sources | None = None,
    protein: Sources | None = None,
    atac: Sources | None = None,
    obs: str | Path | pd.DataFrame | None = None,
    *,
    units: Mapping[str, str] | None = None,
    observations_on: Mapping[str, Literal["rows", "columns"]] | None = None,
    batch_key: str = "batch",
    strip_versions: bool = False,
) -> MuData:
    """Return a MuData that is read from files; what was understood of them is logged, line by line.

    Which side of a table the observations are on is told by names (those of ``obs``, of other modalities, of genes, probes and
    barcodes), never by its shape. Values become what the models take: counts stay, TPM and FPKM become log2(TPM + 1), M values
    and percentages of methylation become fractions. What cannot be told is refused with what to say about it.

    Parameters
    ----------
    rna, methylation, protein, atac
        For each modality a path, a data frame, an AnnData or a MuData; several samples by name (``{"s1": path, "s2": path}``) or
        in a list. Paths: a table (``.tsv``, ``.csv``, ``.txt``, ``.gct``, also compressed, or ``.parquet``), an ``.h5ad`` or
        ``.h5mu`` file, or the ``.h5`` file or the folder of 10x Genomics. A file of several modalities brings all those that no
        other argument names.
    obs
        Table of observations: a path or a data frame. The column with their names is found by the names. See Notes.
    units
        What the values are, by modality, where that is not told by them: ``counts``, ``expected_counts``, ``tpm``, ``fpkm``,
        ``cpm``, ``rsem``, ``log``, ``log2_offset`` (log2(x + 0.001)), ``real``, ``beta``, ``m`` or ``percent``.
    observations_on
        ``"rows"`` or ``"columns"``, by modality, where names do not tell.
    batch_key
        Column for the names of samples, where there are several.
    strip_versions
        Whether ``ENSG00000141510.18`` becomes ``ENSG00000141510``.

    Returns
    -------
    MuData
        Modalities ``rna``, ``methylation``, ``protein``, ``atac``; counts sparse where most are zero, all else float32.
        Observations need not be paired. The files stay as they are.

    Raises
    ------
    ValueError
        If nothing is given, a file is not there or damaged, or values or names cannot be understood.

    Notes
    -----
    Of ``obs``, texts become what they hold: numbers; yes and no, DECEASED and LIVING, ``0:LIVING`` and ``1:DECEASED`` become 0
    and 1; dates become days where they are those of birth, diagnosis, death and last follow-up (``age_years``, ``time_days``,
    ``event``); other texts become categories.

    Examples
    --------
    >>> import pandas as pd
    >>> genes = pd.DataFrame({"s1": [5.0, 1.0], "s2": [0.0, 3.5]}, index=["ENSG00000141510.18", "ENSG00000146648.1"])
    >>> mdata = read(rna=genes, obs=pd.DataFrame({"sex": ["male", "female"]}, index=["s2", "s1"]), strip_versions=True)
    >>> mdata["rna"].shape, list(mdata.obs_names), mdata.obs["sex_male"].tolist()
    ((2, 2), ['s1', 's2'], [0.0, 1.0])
    """
    given = {"rna": rna, "methylation": methylation, "protein": protein, "atac": atac}
    sources = {role: _by_sample(role, source) for role, source in given.items() if source is not None}
    check_switch("strip_versions", strip_versions)
    _check_arguments(sources, {"units": units, "observations_on": observations_on})
    with warnings.catch_warnings(), Stages("read", 1, redraws=True) as stages:
        warnings.filterwarnings("ignore", message=".*names are not unique")  # what is done about them is logged
        stages(" and ".join(sources))
        mdata, lines = _read(sources, obs, Reading(units or {}, batch_key, strip_versions, {}), observations_on or {})
    if len(mdata.mod) > 1:
        has_nm = np.stack([mdata.obs_names.isin(part.obs_names) for part in mdata.mod.values()], axis=1)
        lines.append(f"observations: {describe_pairing(list(mdata.mod), has_nm)}")
        if not (has_nm.sum(axis=1) > 1).any():
            lines.append("no observation has two modalities: if some are the same cells or samples, name them alike")
    for line in lines:
        announce(logger, f"read: {line}.")
    return mdata


def _read(
    sources: Mapping[str, Mapping[str, Source]],
    obs: str | Path | pd.DataFrame | None,
    reading: Reading,
    observations_on: Mapping[str, Side],
) -> tuple[MuData, list[str]]:
    """Return the object, and lines that say what was understood."""
    table = None if obs is None else observation_table(obs)
    openings = [
        Opening(role, sample, opened(place_of(role, sample), role, source))  # type: ignore[arg-type]
        for role, samples in sources.items()
        for sample, source in samples.items()
    ]
    parts, lines = oriented(openings, _names_in(table), observations_on)
    mdata, of_values = assembled(parts, reading._replace(hints=hints(openings)))
    frames = [found.obs for _, _, found in openings if found.obs is not None]
    return mdata, [*lines, *of_values, *joined_observations(mdata, table, frames)]


def _names_in(table: pd.DataFrame | None) -> set[str]:
    """Return all texts of a table of observations, the names of observations among them."""
    return set() if table is None else {str(name) for column in table for name in table[column].dropna()}


def _by_sample(role: str, source: Any) -> dict[str, Any]:
    """Return the sources of a modality by sample."""
    if isinstance(source, Mapping):
        found = {str(name): one for name, one in source.items()}
    elif isinstance(source, str | PathLike | pd.DataFrame | AnnData | MuData):
        found = {ONE: source}
    elif isinstance(source, Sequence):
        found = {f"sample{i + 1}": one for i, one in enumerate(source)}
    else:
        found = {ONE: source}
    if not found or "" in found and len(found) > 1:
        raise value_error(role, "at least one source, each with a name", named(found), "pass {name: path}")
    return found


def _check_arguments(sources: Mapping[str, Any], options: Mapping[str, Mapping[str, str] | None]) -> None:
    roles = list(get_args(Role))
    if not sources:
        raise value_error("read", f"a source for one of {roles}", "none", 'pass rna="counts.tsv", say')
    for argument, given in options.items():
        option: object = given  # typed as a mapping, but whatever the user passes
        if option is not None and not isinstance(option, Mapping):
            remedy = f'pass {argument}={{"rna": {option!r}}}'
            raise value_error(argument, "a value by modality", repr(option), remedy)
        unknown = [name for name in given or {} if name not in roles]
        if unknown:
            raise value_error(argument, f"modalities among {roles}", named(unknown), "name one of them")
    sides = options.get("observations_on") or {}
    for name, side in sides.items():
        if side not in get_args(Side):
            raise value_error("observations_on", '"rows" or "columns"', f"{side!r} of {name}", "pass one of them")
