"""What is built from a file is no larger than its weights."""

import pytest
import torch

from omicsmlm.models.base import _rebuilding, rebuilding

WEIGHTS = [torch.zeros(10, 10), torch.zeros(3, dtype=torch.int64)]


def test_what_fits_is_built():
    with rebuilding(WEIGHTS):
        layer = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.Dropout(), torch.nn.LayerNorm(10))
    assert layer(torch.ones(1, 10)).shape == (1, 10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Linear(10**6, 10**6),
        lambda: torch.nn.Embedding(10**12, 10**12),
        lambda: torch.nn.Parameter(torch.randn(2**20, 2**20, generator=torch.Generator())),
        lambda: [torch.nn.Linear(1, 1) for _ in range(10**9)],
    ],
)
def test_what_is_larger_is_not(make):
    with (
        pytest.raises(ValueError, match="^load: expected files that fit together, got others .*; save the model again"),
        rebuilding(WEIGHTS),
    ):
        make()
    torch.nn.Linear(3, 3)


@pytest.mark.parametrize(
    "error", [KeyError("width"), TypeError("no number"), RuntimeError("two\nlines"), OverflowError()]
)
def test_what_does_not_fit_gets_a_sentence(error):
    with (
        pytest.raises(
            ValueError, match=r"^load: expected files that fit together, got others \(.+\); save the model again\.$"
        ),
        rebuilding(WEIGHTS),
    ):
        raise error


@pytest.mark.parametrize("error", [ValueError("ours: expected"), ImportError("peft"), KeyboardInterrupt()])
def test_what_says_something_else_is_passed_on(error):
    with pytest.raises(type(error)) as raised, rebuilding(WEIGHTS):
        raise error
    assert raised.value is error


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _rebuilding.TIMES == 4
    assert _rebuilding.SPARE_ELEMENTS == 2**24
    assert _rebuilding.CALLS_PER_WEIGHT == 20
    assert _rebuilding.SPARE_CALLS == 1000
