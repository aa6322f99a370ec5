"""Torch's random state, held by one thread at a time."""

import threading
from dataclasses import replace

import numpy as np
import torch

from omicsmlm import OmicsMLM
from omicsmlm._random_state import own_random_state
from tests.objects import QUIET, SMALL, rna


def test_threads_do_not_draw_from_each_other():
    with own_random_state(5, devices=[]):
        expected = [torch.rand(3) for _ in range(50)]
    found: dict[int, list[torch.Tensor]] = {}
    together = threading.Barrier(3)

    def draw(thread: int) -> None:
        together.wait()
        with own_random_state(5, devices=[]):
            found[thread] = [torch.rand(3) for _ in range(50)]

    threads = [threading.Thread(target=draw, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(torch.stack(found[thread]), torch.stack(expected)) for thread in range(3))


def test_the_state_is_restored_and_may_be_held_twice():
    before = torch.get_rng_state()
    with own_random_state(1, devices=[]):
        torch.rand(1)
        with own_random_state(2, devices=[]):
            inner = torch.rand(1)
    assert torch.equal(torch.get_rng_state(), before)
    with own_random_state(2, devices=[]):
        assert torch.equal(torch.rand(1), inner)


def test_trainings_in_two_threads_do_not_change_each_other():
    def train(found: dict[int, np.ndarray], seed: int) -> None:
        model = OmicsMLM(rna(40), replace(SMALL, seed=seed), batch_key="batch")
        model.train(1, key_added=None, **QUIET)
        found[seed] = model.get_latent_representation()

    alone: dict[int, np.ndarray] = {}
    for seed in (0, 1):
        train(alone, seed)
    together: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=train, args=(together, seed)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(together[seed], alone[seed]) for seed in (0, 1))
