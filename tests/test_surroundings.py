"""Torch and numpy compute with their own defaults within, and have those of the caller again after, also where something fails."""

import numpy as np
import pytest
import torch

from omicsmlm._surroundings import in_own_surroundings, own_surroundings

OTHERS = {
    "float64": lambda: _default_dtype(torch.float64),
    "meta": lambda: torch.device("meta"),
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


class _default_dtype:
    def __init__(self, dtype):
        self.dtype = dtype

    def __enter__(self):
        torch.set_default_dtype(self.dtype)

    def __exit__(self, *_):
        torch.set_default_dtype(torch.float32)


def state():
    autocast = torch.is_autocast_enabled("cpu")
    return (
        torch.get_default_dtype(),
        torch.get_default_device().type,
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        autocast,
    )


def value() -> float:
    weight = torch.linspace(0, 1, 5, requires_grad=True)
    loss = (weight.view(1, 5) @ torch.full((5, 1), 1 / 3)).sum()
    loss.backward()
    return float(loss.detach()) + float(weight.grad.sum())


@pytest.mark.parametrize("name", OTHERS)
def test_surroundings_of_the_caller_do_not_count(name):
    expected, own = value(), state()
    with OTHERS[name]():
        outside = state()
        assert outside != own
        assert in_own_surroundings(value)() == expected
        assert state() == outside
        with pytest.raises(KeyError):
            in_own_surroundings({}.__getitem__)("nothing")
        assert state() == outside
        with own_surroundings():
            assert state() == own
    assert state() == own


def test_names_and_signatures_stay():
    def function(x: int, *, y: int = 2) -> int:
        """Add."""
        return x + y

    made = in_own_surroundings(function)
    assert (made.__name__, made.__doc__, made(1, y=3)) == ("function", "Add.", 4)


def test_an_underflow_that_the_caller_lets_raise_is_zero_within():
    with np.errstate(all="raise"):
        with pytest.raises(FloatingPointError):
            np.exp(np.array([-1e3]))
        assert in_own_surroundings(np.exp)(np.array([-1e3]))[0] == 0
        assert np.geterr()["under"] == "raise"
