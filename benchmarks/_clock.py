"""Where the time of a training step goes: CPU-seconds by part, measured inside the real training by wrappers."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any
from unittest.mock import patch

from torch import Tensor
from torch.utils.data.dataloader import _BaseDataLoaderIter

from omicsmlm.objectives import _reconstruction
from omicsmlm.training._callbacks import History, KeptWeights
from omicsmlm.training._plan import MaskedPlan

REST = "Lightning's loop and the rest"
REFRESH = "refreshes of the memory"
BACKWARD = "backward: likelihood and terms", "backward: decoder, adversary", "backward: encoder"


class Clock:
    """CPU-seconds of the process by part; what an inner part takes is not counted in the outer one.

    Only the thread that made the clock is watched: parts that run in another thread fall to whatever the first is at.
    """

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._open = [REST]
        self._thread = threading.get_ident()
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.spent[self._open[-1]] += now - self._since
        self._since = now

    def restart(self) -> None:
        """Forget what was measured."""
        self._turn()
        self.spent.clear()

    def stop(self) -> dict[str, float]:
        """Give what was measured so far."""
        self._turn()
        return dict(self.spent)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what follows for a part; within a refresh everything counts for it."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._turn()
        self._open.append(REFRESH if REFRESH in self._open else name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def switch(self, name: str) -> None:
        """Go on in another part of a backward pass, which one call runs through."""
        if self._open[-1] in BACKWARD:
            self._turn()
            self._open[-1] = name

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function."""

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return run

    def followed(self, name: str, function: Callable[..., Any], after: str) -> Callable[..., Any]:
        """Wrap a function whose outputs' gradients tell that the backward pass has got to the part ``after``."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                found = function(*args, **kwargs)
                for tensor in _tensors(found):
                    if tensor.requires_grad:
                        tensor.register_hook(lambda _: self.switch(after))
            return found

        return run


def _tensors(found: Any) -> list[Tensor]:
    """Give all tensors in nested tuples and dictionaries."""
    if isinstance(found, Tensor):
        return [found]
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, tuple) else ()
    return [tensor for part in inner for tensor in _tensors(part)]


class Timed:
    """A part of a family that is called, with a clock."""

    def __init__(self, clock: Clock, name: str, part: Any) -> None:
        self.run = clock.timed(name, part)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the part."""
        return self.run(*args, **kwargs)


@contextmanager
def instrumented(model: Any, clock: Clock) -> Iterator[None]:
    """Time the parts of an OmicsMLM, of the plan and of the loaders while this lasts."""
    parts, module = model.parts, model.module
    plain = [
        (_BaseDataLoaderIter, "__next__", "loader"),
        (parts.tokenizer, "forward", "tokenizer"),
        (module.scalings, "forward", "scaling"),
        (module.scalings, "relative_depth", "scaling"),
        (_reconstruction, "negative_log_likelihood", "likelihood"),
        (MaskedPlan, "backward", BACKWARD[0]),
        (MaskedPlan, "configure_gradient_clipping", "clipping"),
        (MaskedPlan, "optimizer_step", "optimiser and schedule"),
        (MaskedPlan, "optimizer_zero_grad", "optimiser and schedule"),
        (MaskedPlan, "lr_scheduler_step", "optimiser and schedule"),
        (MaskedPlan, "_noted_loss", "logging"),
        (MaskedPlan, "_refresh", REFRESH),
        (KeptWeights, "on_train_batch_end", "averaging of weights"),
        (History, "on_train_epoch_end", "logging"),
    ]
    if module.adversary is not None:
        plain.append((module.adversary, "forward", "adversary"))
    followed = [(module, "encode", "encoder", BACKWARD[2]), (module.decoder, "forward", "decoder", BACKWARD[1])]
    with ExitStack() as stack:
        for owner, attribute, name in plain:
            stack.enter_context(patch.object(owner, attribute, clock.timed(name, getattr(owner, attribute))))
        for owner, attribute, name, after in followed:
            run = clock.followed(name, getattr(owner, attribute), after)
            stack.enter_context(patch.object(owner, attribute, run))
        masking = Timed(clock, "masking", parts.masking)
        objective = Timed(clock, "other terms of the objective", parts.objective)
        stack.enter_context(patch.object(model, "parts", replace(parts, masking=masking, objective=objective)))
        yield
