"""Building a model from a file that may hold anything: nothing larger than its weights, and one sentence where it does not fit."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from omicsmlm._checks import value_error

FACTORIES = frozenset(
    {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace, torch.eye}
)
"""Functions by which modules get memory."""
TIMES, SPARE_ELEMENTS = 4, 2**24
"""Elements that are allocated while a model is built, for each that its file has, and beside them (64 MiB)."""
CALLS_PER_WEIGHT, SPARE_CALLS = 20, 1000
"""Allocations for each tensor in the file, and beside them; a model of a billion layers ends with these."""


@contextmanager
def rebuilding(weights: Collection[Tensor]) -> Iterator[None]:
    """Build a model, in a ``with`` block, from what a file says and from these weights of it.

    Raises
    ------
    ValueError
        If the block wants far more memory than the weights have, or ends with an error that says that parts do not fit.
    """
    try:
        with _Bounded(weights):
            yield
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
    ) as error:
        found = f"others ({' '.join(str(error).split())[:200] or type(error).__name__})"
        raise value_error("load", "files that fit together", found, "save the model again") from error


class _Bounded(TorchFunctionMode):
    """Refuses to allocate more, or more often, than a model of these weights would; in this thread alone."""

    def __init__(self, weights: Collection[Tensor]) -> None:
        super().__init__()
        self.n_elements = TIMES * sum(weight.numel() for weight in weights) + SPARE_ELEMENTS
        self.n_calls = CALLS_PER_WEIGHT * len(weights) + SPARE_CALLS

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at the size of a tensor before it is made."""
        if func in FACTORIES:
            options = {**(kwargs or {}), "device": "meta"}
            options.pop("generator", None)  # has a device of its own
            self.n_elements -= func(*args, **options).numel()
            self.n_calls -= 1
            if self.n_elements < 0 or self.n_calls < 0:
                raise RuntimeError("more than its weights have")
        return func(*args, **(kwargs or {}))
