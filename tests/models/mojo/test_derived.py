"""What is derived from data, in cases worked by hand."""

import numpy as np
import pytest

from omicsmlm import MOJOConfig
from omicsmlm.models.mojo._derived import derived_from
from tests.models.mojo.test_axis import batch_of


def states_of(kind, vocabulary):
    return {"rna": {"kind": kind, "vocabulary": vocabulary}}


def test_of_counts_the_depth_is_the_median_of_those_who_have_them():
    x = np.array([[9.0, np.nan, 1.0], [np.nan] * 3, [15.0, 5.0, np.nan], [30.0, 10.0, 10.0]])
    sample = [batch_of(x[:2], [True] * 3), batch_of(x[2:], [True] * 3)]
    found = derived_from(sample, states_of("counts", ["a", "b", "c"]), MOJOConfig(scaling="range", order="data"))
    assert found.genes == ["a", "b", "c"]
    assert found.profiles["rna"] == pytest.approx([54 / 80, 15 / 80, 11 / 80])
    assert found.depths == {"rna": 20.0}
    # The largest value is that of 9 among 10: log10(1 + 0.9e6).
    assert found.scales["rna"].knots == pytest.approx([0.0, np.log10(1 + 0.9e6)], rel=1e-5)


def test_real_values_have_no_depth_and_are_scaled_as_the_config_says():
    x = np.array([[-1.0, 2.0], [3.0, 0.0], [1.0, 4.0]])
    sample = [batch_of(x, [True] * 2)]
    whole = derived_from(sample, states_of("real", ["a", "b"]), MOJOConfig(scaling="range", order="data"))
    assert (whole.profiles, whole.depths) == ({}, {})
    assert whole.scales["rna"].knots == [-1.0, 4.0]
    by_gene = derived_from(sample, states_of("real", ["a", "b"]), MOJOConfig(scaling="genes", order="data"))
    assert [(knots[0], knots[-1]) for knots in by_gene.scales["rna"].knots] == [(-1.0, 3.0), (0.0, 4.0)]


def test_genes_are_put_in_order_only_where_that_was_asked_for(rng):
    group = np.tile([0, 1], 6)
    x = rng.normal(size=(60, 2))[:, group] + 0.1 * rng.normal(size=(60, 12))
    names, sample = [f"g{j}" for j in range(12)], [batch_of(x, [True] * 12)]
    in_order = derived_from(sample, states_of("real", names), MOJOConfig(order="data"))
    assert in_order.genes == names
    together = derived_from(sample, states_of("real", names), MOJOConfig(order="coexpression"))
    assert (np.diff([group[names.index(gene)] for gene in together.genes]) != 0).sum() == 1
