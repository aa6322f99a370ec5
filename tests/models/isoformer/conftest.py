"""A small trained IsoFormer that several files ask."""

import pytest

from omicsmlm import IsoFormer
from tests.objects import QUIET, SMALL_ISOFORMER, transcripts


@pytest.fixture(scope="package")
def trained():
    """Must not be changed."""
    adata = transcripts()
    IsoFormer.setup_anndata(adata, dna_key="dna", protein_key="protein", group_key="gene")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(4, **QUIET)
    return model
