"""Names of the same observation that files write differently: TCGA barcodes of several lengths, barcodes of cells with ``-1``."""

import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

SAMPLE_LENGTH, PATIENT_LENGTH = 15, 12
"""Characters of a TCGA barcode that name the sample (``TCGA-AB-2803-03``), and the patient."""
LANE = re.compile(r"-\d+$")


def short_sample(name: str) -> str:
    """Return a TCGA barcode up to the type of the sample: vial, portion, analyte and plate differ between assays.

    Examples
    --------
    >>> short_sample("TCGA-AB-2803-03A-01T-0736-13"), short_sample("cell1")
    ('TCGA-AB-2803-03', 'cell1')
    """
    return name[:SAMPLE_LENGTH] if name.startswith("TCGA-") else name


def short_patient(name: str) -> str:
    """Return a TCGA barcode up to the patient.

    Examples
    --------
    >>> short_patient("TCGA-AB-2803-03A")
    'TCGA-AB-2803'
    """
    return name[:PATIENT_LENGTH] if name.startswith("TCGA-") else name


def without_lane(name: str) -> str:
    """Return the barcode of a cell without the number of its lane.

    Examples
    --------
    >>> without_lane("AAACCTGAGTACACCT-1")
    'AAACCTGAGTACACCT'
    """
    return LANE.sub("", name)


SHORTENINGS: Mapping[str | None, Callable[[str], str]] = {
    "TCGA barcodes cut to the sample": short_sample,
    "TCGA barcodes cut to the patient": short_patient,
    "barcodes without the number of their lane": without_lane,
}
"""What makes names of the same observation equal; tried in this order."""


def alike(names: Mapping[str, pd.Index]) -> tuple[dict[str, pd.Index], str | None]:
    """Return the names of observations by modality, changed so that modalities meet, and what was done.

    They are left as they are if any name is already in two modalities, if no shortening makes one so, or if it would make two
    observations of a modality one.

    Examples
    --------
    >>> names = {"rna": pd.Index(["AAAC-1", "AAAG-1"]), "protein": pd.Index(["AAAG", "AAAC"])}
    >>> alike(names)[1]
    'barcodes without the number of their lane'
    """
    listed = list(names.values())
    if len(listed) < 2 or _meet(listed):
        return dict(names), None
    for line, shorten in SHORTENINGS.items():
        changed = {role: pd.Index([shorten(name) for name in index.astype(str)]) for role, index in names.items()}
        if all(index.is_unique for index in changed.values()) and _meet(list(changed.values())):
            return changed, line
    return dict(names), None


def _meet(listed: Sequence[pd.Index]) -> bool:
    return any(a.isin(b).any() for i, a in enumerate(listed) for b in listed[:i])


def id_column(frame: pd.DataFrame, names: pd.Index) -> tuple[str, pd.Index, int, str | None] | None:
    """Return the column of a table that names observations: it, the names as they are compared, how many are there, and how.

    The last is a key of :data:`SHORTENINGS` by which names on both sides were shortened, None where they are equal as they are.

    Parameters
    ----------
    frame
        All columns of the table, texts among them.
    names
        Of the observations.

    Examples
    --------
    >>> table = pd.DataFrame({"row": ["1", "2"], "patient": ["TCGA-AB-0001", "TCGA-AB-0002"]})
    >>> found = id_column(table, pd.Index(["TCGA-AB-0001-03", "TCGA-AB-0002-03"]))
    >>> found[0], found[2:]
    ('patient', (2, 'TCGA barcodes cut to the patient'))
    """
    best: tuple[str, pd.Index, int, str | None] | None = None
    ways: dict[str | None, Callable[[str], str]] = {None: str, **SHORTENINGS}
    for line, shorten in ways.items():
        looked = pd.Index([shorten(name) for name in names.astype(str)])
        for column in frame.columns:
            ids = pd.Index([shorten(name) for name in frame[column].dropna().astype(str)])
            n_found = int(looked.isin(ids).sum())
            if n_found > (best[2] if best else 0):
                best = str(column), looked, n_found, line
    return best
