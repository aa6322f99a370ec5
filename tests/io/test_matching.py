"""Observations that files name differently meet, unless two would become one."""

import pandas as pd

from omicsmlm.io._matching import alike, id_column


def test_aliquots_of_tcga_meet_by_sample():
    names = {
        "rna": pd.Index(["TCGA-AB-2803-03A-01T-0736-13", "TCGA-AB-2805-03A-01T-0736-13"]),
        "methylation": pd.Index(["TCGA-AB-2805-03A-01D-0742-05"]),
    }
    changed, line = alike(names)
    assert list(changed["rna"]) == ["TCGA-AB-2803-03", "TCGA-AB-2805-03"]
    assert list(changed["methylation"]) == ["TCGA-AB-2805-03"]
    assert line == "TCGA barcodes cut to the sample"


def test_names_that_meet_stay():
    names = {"rna": pd.Index(["AAAC-1", "AAAG-1"]), "atac": pd.Index(["AAAC-1"])}
    changed, line = alike(names)
    assert line is None
    assert list(changed["rna"]) == ["AAAC-1", "AAAG-1"]


def test_two_observations_never_become_one():
    names = {"rna": pd.Index(["AAAC-1", "AAAC-2"]), "protein": pd.Index(["AAAC"])}
    assert alike(names)[1] is None


def test_the_column_of_names_is_found():
    table = pd.DataFrame({"n": ["1", "2", "3"], "id": ["b", "a", None], "note": ["a", "x", "y"]})
    column, looked, n_found, line = id_column(table, pd.Index(["a", "b"]))
    assert (column, list(looked), n_found, line) == ("id", ["a", "b"], 2, None)
    assert id_column(table, pd.Index(["q"])) is None


def test_names_of_a_table_are_shortened_like_those_of_the_observations():
    table = pd.DataFrame({"barcode": ["AAAC-1", "AAAG-1"]})
    found = id_column(table, pd.Index(["AAAG", "AAAC"]))
    assert found is not None
    assert (found[0], found[2], found[3]) == ("barcode", 2, "barcodes without the number of their lane")
