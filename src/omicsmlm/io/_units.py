"""What the values of a table are (counts, TPM, FPKM, log values, beta and M values), and what models take in their place."""

import re
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from scipy import sparse

from omicsmlm._checks import shortened, value_error

Unit = Literal[
    "counts", "expected_counts", "tpm", "fpkm", "cpm", "rsem", "log", "log2_offset", "real", "beta", "m", "percent"
]
"""``log2_offset`` is log2(x + 0.001), as UCSC Xena has it; ``real`` is anything else that stays as it is (z-scores, CLR)."""

MILLION = 1e6
SUM_TOLERANCE = 0.02
"""Largest deviation from a million, as a fraction, of the sums of TPM: tables are rounded."""
LARGEST_LOG = 30.0
"""Above this, values cannot be logs: 2³⁰ exceeds any count or concentration."""
OFFSET = 0.001
WHOLE_TRANSCRIPTOME = 10_000
"""Genes from which on the sum over them is that of the transcriptome, so that FPKM can be turned into TPM."""
ADDITIVE: frozenset[Unit] = frozenset(["counts", "expected_counts", "tpm", "fpkm", "cpm", "rsem"])
"""Units in which the values of two entries of one gene are summed."""
FILE_HINTS: dict[str, Unit] = {"fpkm": "fpkm", "rpkm": "fpkm", "tpm": "tpm", "rsem": "rsem", "cpm": "cpm"}


class Range(NamedTuple):
    """What values are like."""

    minimum: float
    maximum: float
    has_nan: bool
    are_whole: bool
    sums_n: np.ndarray
    """(n,) sum of each observation."""

    @property
    def are_counts(self) -> bool:
        """Whether all are non-negative integers."""
        return self.are_whole and self.minimum >= 0

    @property
    def sum_to_a_million(self) -> bool:
        """Whether the values of each observation do."""
        return bool(self.minimum >= 0 and (np.abs(self.sums_n / MILLION - 1) < SUM_TOLERANCE).all())


def range_of(place: str, values: Any) -> Range:
    """Return what values, (n, g) dense or CSR, are like; NaN is left out.

    Raises
    ------
    ValueError
        If there is no number among them.

    Examples
    --------
    >>> range_of("rna", np.array([[0.0, 2.5], [1.0, np.nan]])).maximum
    2.5
    """
    stored = values.data if sparse.issparse(values) else values
    finite = stored[np.isfinite(stored)]
    if not finite.size and not sparse.issparse(values):
        raise value_error(place, "numbers", "nothing but missing values", "check the file")
    zero = sparse.issparse(values) and values.nnz < np.prod(values.shape)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    sums_n = np.asarray(values.sum(axis=1)).ravel() if sparse.issparse(values) else np.nansum(values, axis=1)
    return Range(
        min(low, 0.0) if zero else low,
        max(high, 0.0) if zero else high,
        len(finite) < stored.size,
        bool((finite == np.round(finite)).all()),
        sums_n.astype(np.float64),
    )


def unit_of(place: str, role: str, found: Range, given: str | None, hint: str) -> tuple[Unit, str]:
    """Return what values are and why.

    Parameters
    ----------
    place
        For messages.
    role
        ``rna``, ``atac``, ``protein`` or ``methylation``.
    found
        What they are like.
    given
        What the user says.
    hint
        Name of the file.

    Raises
    ------
    ValueError
        If that cannot be told, or contradicts the values.
    """
    if given is not None:
        return _checked(place, given, found), "as you say"
    if role == "methylation":
        return _methylation_unit(place, found)
    if found.are_counts and found.has_nan:
        remedy = "fill what was not detected with 0, or leave these features out"
        raise value_error(place, "a count of each feature in each observation", "missing values", remedy)
    if found.are_counts:
        is_tpm = found.sum_to_a_million and found.maximum > LARGEST_LOG
        return ("tpm", "each observation sums to a million") if is_tpm else ("counts", "non-negative integers")
    if role == "atac":
        text = f"values from {found.minimum:g} to {found.maximum:g}"
        raise value_error(place, "counts (non-negative integers)", text, "read the raw matrix of counts in peaks")
    if role == "protein":
        return "real", "no counts; log or CLR values, say"
    return _expression_unit(place, found, hint)


def _expression_unit(place: str, found: Range, hint: str) -> tuple[Unit, str]:
    if abs(found.minimum - np.log2(OFFSET)) < 1e-3:
        return "log2_offset", f"their minimum is log2({OFFSET})"
    if found.minimum < 0:
        return "real", "they are negative in part; z-scores or log ratios, say"
    if found.maximum <= LARGEST_LOG:
        return "log", f"none is above {found.maximum:.3g}"
    if found.sum_to_a_million:
        return "tpm", "each observation sums to a million"
    for text, unit in FILE_HINTS.items():
        if re.search(rf"(?<![a-z]){text}(?![a-z])", hint, re.IGNORECASE):
            return unit, f"the file is named so ({hint})"
    text = f"values up to {found.maximum:g} that are no integers and do not sum to a million"
    remedy = f'say what they are: units={{"{place}": "tpm"}}, or "fpkm", "rsem", "expected_counts", "log"'
    raise value_error(place, "counts, TPM or log values", text, remedy)


def _methylation_unit(place: str, found: Range) -> tuple[Unit, str]:
    if found.minimum >= 0 and found.maximum <= 1:
        return "beta", "all are between 0 and 1"
    if found.minimum < 0 and found.maximum <= LARGEST_LOG and found.minimum >= -LARGEST_LOG:
        return "m", "they are negative in part"
    if found.minimum >= 0 and found.maximum <= 100:
        return "percent", "all are between 0 and 100"
    text = f"values from {found.minimum:g} to {found.maximum:g}"
    raise value_error(place, "beta values (0 to 1), M values or percentages", text, "check the file")


def _checked(place: str, given: str, found: Range) -> Unit:
    known = get_args(Unit)
    if not isinstance(given, str) or given not in known:
        raise value_error(place, f"a unit among {list(known)}", shortened(given), "pass one of them")
    text = f"values from {found.minimum:g} to {found.maximum:g}"
    if given == "counts" and not found.are_counts:
        remedy = 'pass units "expected_counts" to round them' if found.minimum >= 0 else "pass another unit"
        raise value_error(place, "counts (non-negative integers)", text, remedy)
    limits = {"beta": (0.0, 1.0), "percent": (0.0, 100.0), "log": (-LARGEST_LOG, LARGEST_LOG)}
    low, high = limits.get(given, (0.0 if given in ADDITIVE else -np.inf, np.inf))
    if found.minimum < low or found.maximum > high:
        raise value_error(place, f"{given} values from {low:g} to {high:g}", text, "pass another unit")
    return given  # type: ignore[return-value]


def converted(unit: Unit, values: Any) -> tuple[Any, str]:
    """Return what models take in the place of values, (n, g) float32, and what was done, in words.

    Linear amounts become log2(x + 1), where FPKM of a whole transcriptome is first scaled to TPM:

        TPM = 10^6 FPKM / (sum of the sample's FPKM)        (Li & Dewey 2011)

    M values become beta values, beta = 2^M / (2^M + 1) (Du et al. 2010).

    Examples
    --------
    >>> converted("m", np.array([[0.0, 1.0]]))
    (array([[0.5      , 0.6666667]], dtype=float32), 'M values, turned into beta values')
    """
    if unit == "expected_counts":
        return _mapped(values, np.round), "expected counts, rounded to integers"
    if unit == "fpkm" and values.shape[1] >= WHOLE_TRANSCRIPTOME:
        factor_n = MILLION / np.maximum(np.asarray(_sums(values)), np.finfo(float).tiny)
        scaled = sparse.diags_array(factor_n) @ values if sparse.issparse(values) else values * factor_n[:, None]
        return _mapped(scaled, _log2), "FPKM, scaled to TPM and turned into log2(TPM + 1)"
    if unit in ("tpm", "fpkm", "cpm", "rsem"):
        name = "RSEM" if unit == "rsem" else unit.upper()
        return _mapped(values, _log2), f"{name}, turned into log2({name} + 1)"
    if unit == "log2_offset":
        linear = np.maximum(np.exp2(_dense(values)) - OFFSET, 0)
        return _log2(linear).astype(np.float32), f"log2(x + {OFFSET}), turned into log2(x + 1)"
    if unit == "m":
        return (1 / (1 + np.exp2(-_dense(values)))).astype(np.float32), "M values, turned into beta values"
    if unit == "percent":
        return _mapped(values, lambda x: x / 100), "percentages, turned into fractions"
    names = {"counts": "raw counts", "log": "log values", "beta": "beta values"}
    return _mapped(values, lambda x: x), f"{names.get(unit, 'real values')}, as they are"


def _log2(x: np.ndarray) -> np.ndarray:
    return np.log1p(x) / np.log(2)


def _sums(values: Any) -> np.ndarray:
    return np.asarray(values.sum(axis=1)).ravel() if sparse.issparse(values) else np.nansum(values, axis=1)


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def _mapped(values: Any, change: Any) -> Any:
    """Return values that are changed one by one, zeros staying zeros; float32."""
    if not sparse.issparse(values):
        return change(values).astype(np.float32)
    made = values.tocsr().astype(np.float64)
    made.data = change(made.data)
    return made.astype(np.float32)
