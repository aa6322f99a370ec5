"""A table of links against the features of a model, pair by pair."""

import numpy as np
import pandas as pd
import pytest

from omicsmlm.models.base._links import FeatureLinks, matched_links

STATES = {
    "protein": {"kind": "protein", "vocabulary": ["cd3"]},
    "rna": {"kind": "counts", "vocabulary": ["a", "b", "c"]},
    "atac": {"kind": "accessibility", "vocabulary": ["p", "q", "r", "s"]},
}
TABLE = pd.DataFrame(
    {"gene": ["b", "x", "a", "b", "b"], "peak": ["q", "p", "y", "s", "q"], "weight": [0.5, 1, 1, 2, 0.25]}
)


def test_links_are_found_by_name_and_repeated_ones_add_up():
    found = matched_links(TABLE, STATES)
    assert found == FeatureLinks(("rna", "atac"), (1, 1), (1, 3), (0.75, 2.0))
    assert str(found) == "2 links of 1 genes and 2 peaks"


def test_without_weights_all_links_are_alike():
    assert matched_links(TABLE.iloc[[0, 3]].drop(columns="weight"), STATES).weights == (1.0, 1.0)


def test_the_matrix_is_that_of_the_chosen_features():
    links = FeatureLinks(("rna", "atac"), (0, 1, 1, 2), (0, 1, 3, 2), (0.1, 0.2, 0.3, 0.4))
    ((key, matrix),) = links.between({"rna": [1, 0], "atac": [3, 2, 1]}).items()
    assert key == ("rna", "atac")
    np.testing.assert_allclose(matrix.toarray(), [[0.3, 0, 0.2], [0, 0, 0]], atol=1e-7)
    assert FeatureLinks().between({"rna": [0]}) == {}


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ({"gene": ["a"]}, r"links: expected a DataFrame with the columns 'gene' and 'peak', got \{'gene'"),
        (TABLE[["gene"]], r"links: expected a DataFrame with the columns 'gene' and 'peak', got 'gene'; pass what"),
        (TABLE.iloc[:0], r"links: expected at least one link, got an empty table"),
        (TABLE.assign(weight=[1, 1, -1, 1, 1]), r"links: expected weights above 0, got '-1'"),
        (
            TABLE.assign(gene="x"),
            r"links: expected genes among the features of 'rna', such as 'a', 'b' and 1 more, got 'x'",
        ),
        (
            TABLE.assign(peak="x"),
            r"links: expected peaks among the features of 'atac', such as 'p', 'q' and 2 more, got 'x'",
        ),
        (TABLE.iloc[1:3], r"links: expected genes and peaks that the object has, got none of 2 links with both"),
    ],
)
def test_a_table_that_does_not_fit_is_said(links, message):
    with pytest.raises(ValueError, match=message):
        matched_links(links, STATES)


def test_two_modalities_are_needed():
    with pytest.raises(ValueError, match=r"links: expected one modality of kind 'counts' and one of kind 'acc"):
        matched_links(TABLE, {"rna": STATES["rna"]})
