"""Embeddings that the user gives the genes to start with."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from omicsmlm import MOJO
from tests.objects import SMALL_MOJO, bulk


def test_a_table_of_gene_embeddings_is_what_genes_start_with():
    genes = [f"gene{j}" for j in range(25)] + ["other"]
    table = pd.DataFrame(np.random.default_rng(0).normal(3, 2, (26, 16)), index=genes)
    plain, given = MOJO(bulk(), SMALL_MOJO), MOJO(bulk(), SMALL_MOJO, gene_embedding=table)
    found, before = given.get_feature_embedding(), plain.get_feature_embedding()
    kept = table.loc[[f"gene{j}" for j in range(25)]]
    expected = kept / np.sqrt(np.square(kept.to_numpy()).mean())
    np.testing.assert_allclose(found.loc[kept.index], expected, rtol=1e-5)
    lacking = [f"gene{j}" for j in range(25, 30)]
    pd.testing.assert_frame_equal(found.loc[lacking], before.loc[lacking])
    random = MOJO(bulk(), replace(SMALL_MOJO, start="random", row_width=0), gene_embedding=table)
    np.testing.assert_allclose(random.get_feature_embedding().loc[kept.index], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.to_numpy(), "^gene_embedding: expected a DataFrame, got .*; put the names of the genes into its"),
        (lambda t: t.iloc[:, :3], r"expected 16 columns, the gene_width, got 3; pass MOJOConfig\(gene_width=3\)"),
        (lambda t: t.where(t > 0), "^gene_embedding: expected finite numbers, of each gene once, got others"),
        (lambda t: pd.concat([t, t]), "^gene_embedding: expected finite numbers, of each gene once, got others"),
        (lambda t: t.astype(str), "^gene_embedding: expected finite numbers, of each gene once, got others"),
        (lambda t: t.set_axis([f"x{j}" for j in range(30)]), "expected an index of genes that the data have, got 'x0'"),
    ],
)
def test_a_wrong_table_of_gene_embeddings_is_refused(change, message):
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 16)), index=[f"gene{j}" for j in range(30)])
    mdata = bulk()
    keys = set(mdata.uns), set(mdata.obs)
    with pytest.raises(ValueError, match=message):
        MOJO(mdata, SMALL_MOJO, gene_embedding=change(table))
    assert keys == (set(mdata.uns), set(mdata.obs))
