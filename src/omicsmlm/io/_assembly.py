"""From sources that were opened to one object: tables turned the right way, values as models take them, samples joined."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm._checks import named, value_error
from omicsmlm._modality_names import COUNTS_LAYERS, Role

from ._features import with_distinct_names, without_versions
from ._matching import alike
from ._matrix_tables import MatrixTable, compact
from ._orientation import Evidence, Side, observation_side, undecided
from ._samples import joined, renamed_apart
from ._sources import Opened
from ._units import ADDITIVE, Unit, converted, range_of, unit_of

ONE = ""
"""Name of the sample, where there is only one."""
type Samples = dict[Role, dict[str, AnnData]]
"""Objects by modality and sample."""


class Opening(NamedTuple):
    """A source of one modality and sample, as far as it has been read."""

    role: Role
    sample: str
    found: Opened


class Reading(NamedTuple):
    """How values and names are read."""

    units: Mapping[str, str]
    """What the user says that values are, by modality."""
    batch_key: str
    strip_versions: bool
    hints: Mapping[str, str]
    """Names of the files, by modality."""


def place_of(role: str, sample: str) -> str:
    """Return what a source is called in messages.

    Examples
    --------
    >>> place_of("rna", ONE), place_of("rna", "s1")
    ('rna', "rna of 's1'")
    """
    return role if sample == ONE else f"{role} of {sample!r}"


def hints(openings: Sequence[Opening]) -> dict[str, str]:
    """Return the names of files that are tables, by modality."""
    return {role: found.table.hint for role, _, found in openings if found.table is not None}


def oriented(openings: Sequence[Opening], known: set[str], given: Mapping[str, Side]) -> tuple[Samples, list[str]]:
    """Return all sources as objects, observations × features, by modality and sample; and lines that say how.

    Parameters
    ----------
    openings
        The sources.
    known
        Texts of the table of observations, the names of observations among them.
    given
        Sides that the user says, by modality.

    Raises
    ------
    ValueError
        If of a table neither its own names tell the side of the observations, nor those of the other sources.
    """
    parts, lines = _whole_objects(openings)
    pending = [(role, sample, found.table) for role, sample, found in openings if found.table is not None]
    while pending:
        left = []
        for role, sample, table in pending:
            evidence = Evidence(known | _all(parts, "obs_names"), _all(parts, "var_names"))
            side = _side_of(table, given.get(role), evidence)
            if side is None:
                left.append((role, sample, table))
                continue
            part = table.oriented(side[0])
            parts.setdefault(role, {})[sample] = part
            size = f"{part.n_obs:,} observations × {part.n_vars:,} features"
            lines.append(f"{place_of(role, sample)}: {size}, observations on {side[0]} ({side[1]})")
        if len(left) == len(pending):
            role, _, table = left[0]
            raise undecided(role, table.row_names, table.column_names)
        pending = left
    return {role: parts[role] for role in get_args(Role) if role in parts}, lines


def _whole_objects(openings: Sequence[Opening]) -> tuple[Samples, list[str]]:
    """Return what was read as objects; of files of several modalities, those that have no source of their own."""
    asked = {role for role, _, _ in openings}
    parts: Samples = {}
    lines = []
    for role, sample, found in openings:
        extra = [own for own in found.parts if own not in asked]
        for own in [role, *extra] if found.parts else []:
            part = parts.setdefault(own, {})[sample] = found.parts[own]
            lines.append(f"{place_of(own, sample)}: {part.n_obs:,} observations × {part.n_vars:,} features")
        lines += [f"{place_of(role, sample)}: {line}" for line in found.lines]
    return parts, lines


def _side_of(table: MatrixTable, given: Side | None, evidence: Evidence) -> tuple[Side, str] | None:
    if given is not None:
        return given, "as you say"
    return observation_side(table.row_names, table.column_names, evidence)


def _all(parts: Samples, axis: str) -> set[str]:
    return {name for samples in parts.values() for part in samples.values() for name in getattr(part, axis)}


def assembled(parts: Samples, reading: Reading) -> tuple[MuData, list[str]]:
    """Return the modalities as one object, with values that models take; and lines that say what was done.

    Raises
    ------
    ValueError
        If values cannot be understood, samples cannot be joined, or observations of a modality have one name.
    """
    apart, renamed = renamed_apart(parts)
    lines = [renamed] if renamed else []
    made: dict[str, AnnData] = {}
    for role, samples in apart.items():
        units: set[Unit] = set()
        for sample, part in samples.items():
            samples[sample], unit, said = _with_values(place_of(role, sample), role, part, reading)
            units.add(unit)
            lines.append(f"{place_of(role, sample)}: {said}")
        made[role] = next(iter(samples.values()))
        if len(samples) > 1:
            are_counts = units <= {"counts", "expected_counts"}
            made[role], line = joined(role, samples, reading.batch_key, are_counts=are_counts)
            lines.append(f"{role}: {line}")
        if not made[role].obs_names.is_unique:
            twice = made[role].obs_names[made[role].obs_names.duplicated()].unique()
            remedy = "keep one of each, or name them apart"
            raise value_error(role, "distinct names of observations", f"duplicates {named(twice)}", remedy)
    changed, line_of_names = alike({role: part.obs_names for role, part in made.items()})
    for name, part in made.items():
        part.obs_names = changed[name]
    return MuData(made), [*lines, *([line_of_names] if line_of_names else [])]


def _with_values(place: str, role: str, part: AnnData, reading: Reading) -> tuple[AnnData, Unit, str]:
    """Return an object with values that models take, their unit before, and what was done."""
    said, given = [], reading.units.get(role)
    if reading.strip_versions:
        part.var_names, n_stripped = without_versions(part.var_names)
        said += [f"{n_stripped:,} versions of identifiers stripped"] if n_stripped else []
    layer = next((layer for layer in COUNTS_LAYERS if layer in part.layers), None)
    if layer is not None and given is None:
        return part, "counts", "; ".join([*said, f"values as they are, beside raw counts in layers[{layer!r}]"])
    if part.X is None:
        raise value_error(place, "values in X", "none", "put the values into X, or pass the matrix")
    found = range_of(place, _values(part))
    unit, why = unit_of(place, role, found, given, reading.hints.get(role, ""))
    part, twice = with_distinct_names(part, additive=unit in ADDITIVE)
    values, what = converted(unit, _values(part))
    is_dense_count = unit in ("counts", "expected_counts") and not sparse.issparse(values)
    part.X = compact(values) if is_dense_count else values
    return part, unit, "; ".join([*said, *([twice] if twice else []), f"{what} ({why})"])


def _values(part: AnnData) -> np.ndarray | sparse.csr_matrix:
    return sparse.csr_matrix(part.X) if sparse.issparse(part.X) else np.asarray(part.X)
