"""Data of low numerical rank: embeddings do not depend on what they are computed with, as they do not on other data."""

from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm.models import OmicsModel
from tests.hostile.mutations import VALUES, dense
from tests.objects import QUIET, multiome
from tests.test_contract import FEATURES, new

KINDS = ("empty rows", "three distinct rows", "one distinct row", "repeated features", "rank one", "constant features")
TOLERANCE = 1e-5
"""Of an embedding's spread."""
LARGEST = 100.0
"""Beyond it an embedding is rounding made large: on 3 distinct observations there were norms of 4.6e4."""


def of_low_rank(data: Any, kind: str) -> Any:
    """Each modality of an object, changed."""
    for part in [data] if isinstance(data, AnnData) else data.mod.values():
        x_ng = dense(VALUES[kind](AnnData(np.nan_to_num(dense(part))), np.random.default_rng(0)))
        part.X = x_ng.astype(np.float32)
    return data


def check(model: OmicsModel, data: Any) -> None:
    z_nd = model.get_latent_representation()
    assert np.isfinite(z_nd).all()
    assert np.abs(z_nd).max() < LARGEST
    spread = np.abs(z_nd - z_nd.mean(0)).max()
    tolerance = TOLERANCE * (spread if spread > 1e-3 else 1.0)
    order = np.random.default_rng(1).permutation(len(z_nd))
    for how, found, expected in (
        ("batches of 1", model.get_latent_representation(indices=order[:9], batch_size=1), z_nd[order[:9]]),
        ("batches of 7", model.get_latent_representation(batch_size=7), z_nd),
        ("another order", model.get_latent_representation(indices=order), z_nd[order]),
        ("a subset", model.get_latent_representation(indices=order[:5]), z_nd[order[:5]]),
    ):
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0, err_msg=how)
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_allclose(model.get_latent_representation(), z_nd, atol=tolerance, rtol=0, err_msg="threads")
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, id=name, marks=[pytest.mark.slow] if name in ("ScMBERT, RNA", "Toy, RNA") else [])
        for name, family in FEATURES.items()
    ],
)
def test_an_embedding_does_not_depend_on_batches_order_or_threads(family, kind):
    data = of_low_rank(family.make(), kind)
    check(new(family, data), data)


@pytest.mark.parametrize("family", FEATURES.values(), ids=FEATURES)
def test_nor_does_that_of_a_trained_model(family):
    data = of_low_rank(family.make(), "three distinct rows")
    model = new(family, data)
    model.train(1, **QUIET)
    check(model, data)


@pytest.mark.parametrize("kind", ["three distinct rows", "one distinct row", "rank one"])
def test_nor_where_one_modality_is_predicted_from_another(kind):
    """With a hundred observations that have both, components of one are regressed on the other's."""
    family = FEATURES["OmicsMLM, several"]
    data = multiome(150)
    assert isinstance(data, MuData)
    for name in ("atac", "prot"):
        data[name].X = dense(VALUES[kind](AnnData(dense(data[name])), np.random.default_rng(0))).astype(np.float32)
    check(new(family, data), data)
