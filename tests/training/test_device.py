"""Seeds of what is drawn."""

import pytest
import torch

from omicsmlm.training._device import seed_draws


def test_the_seed_is_that_of_torch():
    with torch.random.fork_rng(devices=[]):
        seed_draws(123, torch.device("cpu"))
        found = torch.rand(3), torch.randperm(9)
        torch.manual_seed(123)
        assert torch.equal(found[0], torch.rand(3))
        assert torch.equal(found[1], torch.randperm(9))


@pytest.mark.gpu
def test_a_device_is_seeded_with_the_cpu():
    device = torch.device("cuda")
    with torch.random.fork_rng():
        for _ in range(2):
            seed_draws(123, device)
            found = torch.rand(3), torch.rand(3, device=device)
            torch.manual_seed(123)
            assert torch.equal(found[0], torch.rand(3))
            assert torch.equal(found[1], torch.rand(3, device=device))
