"""The side of the observations is told by names, or not at all."""

import pandas as pd
import pytest

from omicsmlm.io._orientation import Evidence, observation_side, undecided

SAMPLES = [f"P{i:02d}" for i in range(40)]
GENES = ["TP53", "ACTB", "MYC", *(f"G{i}" for i in range(20))]


def side(rows, columns, **evidence):
    found = observation_side(pd.Index(rows), pd.Index(columns), Evidence(**evidence))
    return found and found[0]


@pytest.mark.parametrize(
    "features",
    [
        GENES,
        [name.capitalize() for name in GENES],
        ["ENSG00000141510.18", "ENSG00000146648"],
        ["ENSMUSG00000059552"] * 3,
        ["cg00000029", "cg00000108", "rs1234567"],
        ["chr1:100-200", "GL000194.1:5-9", "chrX_5_9"],
        ["ADT_CD3", "ADT_x"],
    ],
)
def test_features_are_known_by_their_names(features):
    assert side(features, SAMPLES) == "columns"
    assert side(SAMPLES, features) == "rows"


@pytest.mark.parametrize(
    "samples",
    [["TCGA-AB-2803-03"], ["GSM1234", "GSM1235"], ["AAACCTGAGTACACCT-1"], ["s1_AAACCTGAGTACACCT"], ["ACH-000001"]],
)
def test_observations_are_known_by_their_names(samples):
    odd = [f"feature{i}" for i in range(5)]
    assert side(samples, odd) == "rows"
    assert side(odd, samples) == "columns"


def test_other_sources_tell():
    rows, columns = ["a", "b", "c"], ["x", "y", "z"]
    assert side(rows, columns) is None
    assert side(rows, columns, observations={"a", "b", "q"}) == "rows"
    assert side(rows, columns, features={"a", "b", "q"}) == "columns"


def test_the_shape_never_tells():
    assert side([f"x{i}" for i in range(20_000)], ["a", "b"]) is None


def test_the_error_says_what_to_do():
    error = undecided("rna", pd.Index(["a", "b"]), pd.Index(["x", "y"]))
    assert 'observations_on={"rna": "rows"}' in str(error)
