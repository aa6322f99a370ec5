"""A loaded model says the same of an observation whatever stands beside it, in any batch, order, thread and process: all kinds of state."""

import numpy as np
import pytest
import torch

import omicsmlm
from omicsmlm import Classifier, Survival
from tests.fixtures.make import FIXTURES, OBJECTS, SAID
from tests.objects import QUIET

ATOL = 1e-5
"""Of what a head predicts, and of an embedding relative to its largest number, if that is above 1."""


def said(model, data=None, **how):
    """What a model says of some observations: their embedding, or what a head predicts."""
    if isinstance(model, Classifier):
        return model.predict(data, soft=True, **how).to_numpy(np.float32)
    if isinstance(model, Survival):
        return model.predict(data, **how).to_numpy(np.float32)
    return model.get_latent_representation(data, **how)


def close(found, expected, why):
    atol = ATOL * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0, err_msg=why)


@pytest.mark.parametrize("name", OBJECTS)
def test_what_a_loaded_model_says_depends_on_the_observation_alone(name):
    family, data = getattr(omicsmlm, name.split("_")[0]), OBJECTS[name]()
    model = family.load(FIXTURES / name, data)
    whole = said(model)
    order = np.random.default_rng(0).permutation(data.n_obs)
    for size in (7, 1000):
        close(said(model, batch_size=size), whole, f"batches of {size}")
    close(said(model, indices=order[:9], batch_size=1), whole[order[:9]], "batches of 1")
    close(said(model, indices=order), whole[order], "another order")
    close(said(model, indices=order[:5], batch_size=2), whole[order[:5]], "a subset")
    close(said(model, data[order].copy()), whole[order], "an object in another order")
    close(said(model, data[order[:9]].copy()), whole[order[:9]], "an object of some of them")
    close(said(family.load(FIXTURES / name), data), whole, "loaded without an object")
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        close(said(model), whole, "threads")
    finally:
        torch.set_num_threads(n_threads)
    # Written by a process of another time, some by one of another version.
    np.testing.assert_allclose(np.load(FIXTURES / name / SAID), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["OmicsMLM_now", "MOJO_now", "TxFM_now", "ScMBERT_now", "IsoFormer_now"])
def test_what_was_trained_on_in_bfloat16_embeds_in_float32_as_exactly(name):
    """Half precision changes where a training ends, within what ``test_gpu_settings.py`` states, and not how exact an embedding is."""
    data = OBJECTS[name]()
    model = getattr(omicsmlm, name.split("_")[0]).load(FIXTURES / name, data)
    model.train(1, **{**QUIET, "precision": "bf16-mixed"})
    whole = model.get_latent_representation()
    assert whole.dtype == np.float32
    close(model.get_latent_representation(batch_size=3), whole, "batches of 3")
    order = np.random.default_rng(1).permutation(data.n_obs)
    close(model.get_latent_representation(indices=order), whole[order], "another order")
