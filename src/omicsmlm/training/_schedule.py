"""The learning rate over a training, and how long a training is."""

import math

BASE_STEPS = 700
"""Steps that a data set of up to ``BASE_OBSERVATIONS`` gets (``docs/experiments.md``)."""
BASE_OBSERVATIONS = 10_000
"""Observations from which on there are more steps."""


def warmup_cosine(step: int, n_steps: int, n_warmup: int) -> float:
    """Return the factor of the learning rate: linear warm-up, then half a cosine to 0.

    Examples
    --------
    >>> [round(warmup_cosine(step, 101, 1), 2) for step in (0, 51, 101)]
    [1.0, 0.5, 0.0]
    """
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))))


def sensible_epochs(n_obs: int, batch_size: int) -> int:
    """Return the number of epochs of a training, from the number of observations.

    Small sets get ``BASE_STEPS`` steps whatever their size (``docs/experiments.md``); beyond ``BASE_OBSERVATIONS`` the steps
    grow with the square root of their number.

    Examples
    --------
    >>> sensible_epochs(1280, 128), sensible_epochs(10_000, 128), sensible_epochs(1_000_000, 128)
    (70, 9, 1)
    """
    n_steps = BASE_STEPS * math.sqrt(max(1.0, n_obs / BASE_OBSERVATIONS))
    return max(1, round(n_steps / max(1, math.ceil(n_obs / batch_size))))
