"""What values are is inferred from every value and from names; a contradiction is refused."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from omicsmlm.data import Matrix, _kinds
from omicsmlm.data._kinds import check_is_rna, check_kind, infer_kind

COUNTS = np.array([[0, 3], [1, 0]])
GENES, REGIONS = ["Gad1", "Slc17a7"], ["chr1:100-200", "chrX:5-9"]


def inferred(place, values, names=GENES, types=None, form=np.asarray):
    var = pd.DataFrame({} if types is None else {"feature_types": types}, index=names)
    adata = AnnData(form(np.asarray(values, dtype=np.float32)), var=var)
    return infer_kind(place, adata, Matrix.of(place, adata, None).summary())


@pytest.mark.parametrize(
    ("place", "values", "names", "types", "kind"),
    [
        ("rna", COUNTS, GENES, None, "counts"),
        ("gex", COUNTS, GENES, "Gene Expression", "counts"),
        ("atac", COUNTS, GENES, None, "accessibility"),
        ("Peaks", COUNTS, GENES, None, "accessibility"),
        ("x", COUNTS, REGIONS, None, "accessibility"),
        ("x", COUNTS, ["chr1-100-200", "chr2_5_9"], None, "accessibility"),
        ("x", COUNTS, ["GL000194.1:100-200", "KI270711.1:5-9"], None, "accessibility"),
        ("x", COUNTS, GENES, "Peaks", "accessibility"),
        ("prot", COUNTS, GENES, None, "protein"),
        ("ADT", COUNTS, GENES, None, "protein"),
        ("x", COUNTS, GENES, "Antibody Capture", "protein"),
        ("x", COUNTS[:, [0, 1, 0]], ["CD3", "CD8", "CD45RA"], None, "protein"),
        ("rna", COUNTS[:, [0, 1, 0]], ["CD3", "CD8", "CD45RA"], None, "protein"),
        ("Ab", COUNTS, GENES, None, "protein"),
        ("CSP", COUNTS, GENES, None, "protein"),
        ("rna", COUNTS > 0, GENES, None, "counts"),
        ("meth", [[0.2, np.nan], [1, 0.0]], GENES, None, "fraction"),
        ("meth", [[1, np.nan], [1, 0]], GENES, None, "fraction"),
        ("rna", [[0.5, 2.25], [0, 6.1]], GENES, None, "real"),
        ("rna", [[-0.5, 2], [1, 40]], GENES, None, "real"),
        ("rna", [[-0.5, np.nan], [1, 0.2]], GENES, None, "real"),
    ],
)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_kinds_are_inferred(place, values, names, types, kind, form):
    assert inferred(place, values, names, types, form) == kind


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([[1, -3], [2, 5]], "values down to -3"),
        ([[1, np.nan], [2, 5]], "NaN"),
        ([[0.5, 812.3], [0, 1]], "floats up to 812.3"),
    ],
)
def test_counts_that_are_none_are_refused_when_inferred(values, found):
    with pytest.raises(ValueError, match=rf"^rna: expected raw counts \(non-negative integers\), got {found}; .*layer"):
        inferred("rna", values)


@pytest.mark.parametrize("kind", ["counts", "protein", "accessibility"])
@pytest.mark.parametrize("values", [[[1, -3]], [[1, np.nan]], [[0.5, 2]]])
def test_counts_that_are_none_are_refused_when_given(kind, values):
    with pytest.raises(ValueError, match="expected raw counts"):
        check_kind("rna", kind, Matrix("rna", np.array(values)).summary())


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("fraction", [[0.5, 1.5]], r"expected fractions between 0 and 1, got values from 0\.5 to 1\.5; .*\"real\""),
        ("fraction", [[-0.5, 1.0]], "values from -0.5 to 1"),
        ("real", [[np.inf, 1.0]], "expected finite values, got infinity"),
        ("counts", [[0.0, 0.0]], "expected at least one value that is not zero, got zeros only"),
        ("real", [[np.nan, np.nan]], "got nothing but zeros and NaN"),
        ("rna", [[1.0, 2.0]], r"expected a kind among \('counts', .*, got 'rna'; pass one of them"),
    ],
)
def test_other_contradictions(kind, values, message):
    with pytest.raises(ValueError, match=message):
        check_kind("x", kind, Matrix("x", np.array(values)).summary())


def test_a_kind_that_is_given_is_taken():
    summary = Matrix("x", COUNTS).summary()
    for kind in ("counts", "accessibility", "protein", "real"):
        assert check_kind("x", kind, summary) == kind


def test_features_of_several_types_are_to_be_split():
    with pytest.raises(ValueError, match="expected features of one type, got the feature_types 'Gene Expr.*'Peaks'"):
        inferred("rna", COUNTS, ["Gad1", "chr1:1-2"], ["Gene Expression", "Peaks"])
    assert inferred("rna", COUNTS, GENES, ["Gene Expression", "CRISPR Guide Capture"]) == "counts"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("value", [1e39, 1e200, 3e38, -1e16])
@pytest.mark.parametrize("place", ["rna", "atac"])
def test_values_beyond_what_can_be_computed_with_are_refused(place, value, form):
    values = form(np.array([[0, 3], [1, value]]))
    with pytest.raises(ValueError, match=rf"^{place}: expected (values of at most 1e\+15|raw counts .*), got .*; "):
        infer_kind(place, AnnData(var=pd.DataFrame(index=GENES)), Matrix(place, values).summary())
    with pytest.raises(
        ValueError, match=r"^x: expected values of at most 1e\+15, got values from .*; check their unit"
    ):
        check_kind("x", "real", Matrix("x", values).summary())


def test_a_second_modality_of_other_features_is_not_taken_for_rna():
    rna = AnnData(var=pd.DataFrame(index=GENES))
    panel = AnnData(var=pd.DataFrame(index=["AB1", "AB2"]))
    with pytest.raises(
        ValueError, match=r"^mod2: expected a modality whose name .*not those of \'rna\'; name it: kinds="
    ):
        check_is_rna("mod2", panel, {"rna": rna})
    check_is_rna("mod2", rna.copy(), {"rna": rna})
    check_is_rna("spliced", panel, {"rna": rna})
    check_is_rna("mod2", panel, {"mod1": rna})
    panel.var["feature_types"] = "Gene Expression"
    check_is_rna("mod2", panel, {"rna": rna})


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _kinds.LARGEST == 1000000000000000.0
    assert _kinds.LARGEST_LOG == 30.0
