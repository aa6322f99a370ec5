"""Genes on the axis, their values, and their order."""

import numpy as np
import pytest
import torch

from omicsmlm._types import Batch, Tokens
from omicsmlm.models.mojo import _axis
from omicsmlm.models.mojo._axis import coexpression_order, dense_values, fraction_of_counts, genes_of, on_axis


def test_the_union_has_each_gene_once_and_the_intersection_those_of_all():
    vocabularies = {"rna": ["c", "a", "b"], "meth": ["d", "b", "c"]}
    assert genes_of(vocabularies, "union") == ["c", "a", "b", "d"]
    assert genes_of(vocabularies, "intersection") == ["c", "b"]


def batch_of(x: np.ndarray, measured: list[bool], first: int = 0) -> Batch:
    """Rows of which the NaN are not stored; one of nothing but NaN lacks the modality."""
    stored = ~np.isnan(x)
    tokens = Tokens(
        torch.from_numpy(np.nonzero(stored)[1].astype(np.int32)),
        torch.from_numpy(x[stored].astype(np.float32)),
        torch.tensor([0, *stored.sum(1).cumsum()]),
    )
    none = torch.zeros(len(x), 0, dtype=torch.int64)
    present = torch.from_numpy(stored.any(1))
    return Batch({"rna": tokens}, {"rna": present}, {"rna": torch.tensor(measured)}, none, first + torch.arange(len(x)))


def test_values_are_laid_out_sample_by_sample(monkeypatch):
    x = np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [-1.0, 0.0, np.nan]])
    sample = [batch_of(x, [True] * 3), batch_of(x + 1, [True] * 3)]
    found = dense_values(sample, "rna", "real", None)
    np.testing.assert_array_equal(found, np.concatenate([x[[0, 2]], x[[0, 2]] + 1]))
    monkeypatch.setattr(_axis, "MOST_SAMPLES", 3)
    assert dense_values(sample, "rna", "real", None).shape == (3, 3)


def test_of_counts_what_is_not_stored_is_zero_and_the_rest_is_per_million():
    x = np.array([[9.0, np.nan, 1.0], [np.nan] * 3])
    found = dense_values([batch_of(x, [True] * 3)], "rna", "counts", [0.5, 0.3, 0.2])
    np.testing.assert_allclose(found, np.log10(1 + np.array([[0.9e6, 0.0, 0.1e6]])), rtol=1e-6)


def test_genes_that_vary_together_become_neighbours():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(4), 8))
    factors = rng.normal(size=(200, 4))
    x = factors[:, group] + 0.3 * rng.normal(size=(200, 32))
    order = coexpression_order([(x, np.arange(32))], 32)
    assert sorted(order) == list(range(32))
    assert (np.diff(group[order]) != 0).sum() == 3, "each group in one piece"
    turned = rng.permutation(32)
    again = coexpression_order([(x[:, turned], turned)], 32)
    np.testing.assert_array_equal(again, order, err_msg="whatever the order of the columns")


def test_a_chain_of_genes_is_unrolled():
    """Each gene resembles the next one: neighbours on the axis stay neighbours, also across the halves."""
    at = np.linspace(0, 1, 40)
    samples = np.linspace(-0.3, 1.3, 300)[:, None]
    x = np.exp(-((samples - at) ** 2) / 0.3)
    turned = np.random.default_rng(0).permutation(40)
    order = turned[coexpression_order([(x[:, turned], np.arange(40))], 40)]
    assert np.abs(np.diff(order)).mean() < 3


def test_modalities_are_judged_together_and_genes_without_values_are_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 5))
    x[:, 2], x[3, 1] = 1.0, np.nan
    order = coexpression_order([(x, np.array([0, 1, 2, 3, -1])), (np.empty((0, 2)), np.array([4, 5]))], 7)
    assert sorted(order) == list(range(7))
    wide = coexpression_order([(x[:3], np.arange(5))], 5)
    assert sorted(wide) == list(range(5))


def test_components_of_few_samples_are_those_of_many_genes():
    x = np.random.default_rng(0).normal(size=(20, 50))
    tall, flat = _axis._loadings(np.vstack([x] * 4), np.arange(50), 50), _axis._loadings(x, np.arange(50), 50)
    np.testing.assert_allclose(np.abs(tall), 2 * np.abs(flat), rtol=1e-6, atol=1e-8)


def test_rows_of_features_go_to_the_places_of_their_genes():
    values_vb = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found_gb = on_axis(values_vb, np.array([2, -1, 0]), 4)
    assert found_gb.tolist() == [[5.0, 6.0], [0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]


def test_fractions_of_counts():
    assert fraction_of_counts(np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 4.0]])) == pytest.approx([0.125, 0.0, 0.875])


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert (_axis.MOST_SAMPLES, _axis.ORDER_COMPONENTS) == (2000, 16)
