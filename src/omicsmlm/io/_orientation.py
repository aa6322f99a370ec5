"""Which side of a table the observations are on, told by names; never by its shape."""

import re
from collections.abc import Collection
from typing import Literal, NamedTuple

import pandas as pd

from omicsmlm._checks import named, value_error

Side = Literal["rows", "columns"]

FEATURE = re.compile(
    r"ENS[A-Z]{0,4}[GTP]\d{11}(\.\d+)?(_PAR_Y)?$"  # Ensembl
    r"|(cg|rs)\d{5,}|ch\.\d+\.\d+"  # probes of methylation arrays
    r"|(chr)?[\w.]+[:\-_]\d+[\-_]\d+$"  # regions
    r"|(ADT|HTO|anti|Ab|prot)[_-]|.*[_-](TotalSeq|ADT|prot)",
    re.IGNORECASE,
)
OBSERVATION = re.compile(
    r"(TCGA|TARGET|GTEX|K-562)-|(GSM|SRR|ERR|DRR|SAM[NED]A?|ACH-)\d+"  # samples of public projects
    r"|(.*[_:#-])?[ACGTN]{10,}([_-]\w+)*$"  # barcodes of cells
)
KNOWN = frozenset(
    "actb gapdh b2m malat1 tp53 myc egfr pten brca1 brca2 kras nras braf rb1 cdkn2a cdkn1a mki67 pcna top2a vim cdh1 cdh2 epcam "
    "krt5 krt8 krt18 krt19 esr1 pgr erbb2 gata3 gata2 gata1 foxa1 foxp3 ptprc cd3d cd3e cd3g cd4 cd8a cd8b ms4a1 cd19 cd79a cd14 "
    "fcgr3a lyz nkg7 gnly gzmb prf1 il7r ccr7 sell itgax itgam cd68 cd163 pecam1 vwf col1a1 col1a2 col3a1 acta2 dcn lum fn1 "
    "hba1 hbb gypa ppbp pf4 kit cd34 flt3 npm1 runx1 dnmt3a tet2 idh1 idh2 wt1 slc17a7 gad1 gad2 mbp plp1 gfap aqp4 olig1 olig2 "
    "snap25 syt1 rbfox3 pdgfra pdgfrb cx3cr1 p2ry12 alb apoe apob ttr ins gcg sst nkx2-1 sftpc foxj1 stat1 stat3 jak1 jak2 "
    "hla-a hla-b hla-c hla-dra cd74 il2ra il6 tnf ifng cxcl8 jun fos egr1 hspa1a hsp90aa1 eef1a1 rps6 rpl13a tuba1a tubb actg1 "
    "notch1 ctnnb1 apc smad4 vegfa hif1a mtor akt1 pik3ca atm mdm2 ccnd1 ccne1 cdk4 cdk6 aurka birc5 bcl2 bax".split()
)
"""Genes that hardly any table of expression lacks, in lower case."""
FEWEST_KNOWN = 3
"""Known genes among names from which on these are taken for genes."""
LOOKED_AT = 5000
"""Names that are looked at, at most."""
CLEAR = 0.3
"""Difference between the two sides in the fraction of telling names, from which on it is taken for an answer."""


class Evidence(NamedTuple):
    """What is known of names beside those of the table."""

    observations: Collection[str] = ()
    """Names of observations, from the table of ``obs`` or other modalities."""
    features: Collection[str] = ()
    """Names of features of other modalities."""


def observation_side(row_names: pd.Index, column_names: pd.Index, evidence: Evidence) -> tuple[Side, str] | None:
    """Return the side that the observations are on and why, or None where the names do not tell.

    Examples
    --------
    >>> genes, samples = pd.Index(["ENSG00000141510.1", "ENSG00000146648"]), pd.Index(["a", "b", "c"])
    >>> observation_side(genes, samples, Evidence())
    ('columns', "names such as 'ENSG00000141510.1' are features")
    """
    known = _compared(row_names, column_names, lambda names: _fraction_in(names, evidence.observations))
    if known is not None:
        return known, "the names of its observations are known"
    features = _compared(column_names, row_names, lambda names: _telling(names, evidence.features))
    if features is None:
        return None
    names = row_names if features == "columns" else column_names
    example = next((name for name in map(str, names) if _is_feature(name)), str(names[0]))
    if _telling(names, evidence.features) <= 0:
        names = column_names if features == "columns" else row_names
        return features, f"names such as {str(names[0])!r} are observations"
    return features, f"names such as {example!r} are features"


def undecided(place: str, row_names: pd.Index, column_names: pd.Index) -> ValueError:
    """Return the error of a table of which it cannot be told which side the observations are on."""
    found = f"rows such as {named(row_names[:2])} and columns such as {named(column_names[:2])}"
    remedy = f'say so: observations_on={{"{place}": "rows"}} or "columns"'
    return value_error(place, "names that tell observations from features", found, remedy)


def _compared(of_rows: pd.Index, of_columns: pd.Index, score: object) -> Side | None:
    assert callable(score)
    rows, columns = score(of_rows), score(of_columns)
    if abs(rows - columns) < CLEAR:
        return None
    return "rows" if rows > columns else "columns"


def _fraction_in(names: pd.Index, known: Collection[str]) -> float:
    return float(pd.Index(names.astype(str)).isin(list(known)).mean()) if len(known) and len(names) else 0.0


def _telling(names: pd.Index, features: Collection[str]) -> float:
    """Return the fraction of names that look like features, less that of those that look like observations."""
    looked = [str(name) for name in names[:LOOKED_AT]]
    n_features = sum(map(_is_feature, looked))
    n_observations = sum(OBSERVATION.match(name) is not None and FEATURE.match(name) is None for name in looked)
    n_known = sum(str(name).lower() in KNOWN for name in names)
    fraction = max(n_features / max(len(looked), 1), _fraction_in(names, features))
    return max(fraction, float(n_known >= FEWEST_KNOWN)) - n_observations / max(len(looked), 1)


def _is_feature(name: str) -> bool:
    return OBSERVATION.match(name) is None and FEATURE.match(name) is not None or name.lower() in KNOWN
