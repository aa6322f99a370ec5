"""The learning rate over a training, and how long a training is."""

import math

BASE_STEPS = 700
"""Steps that a set of up to ``BASE_ROWS`` rows gets."""
BASE_ROWS = 10_000


def warmup_cosine(step: int, n_steps: int, n_warmup: int) -> float:
    """Give the factor of the learning rate: linear warm-up, then half a cosine to 0.

    Examples
    --------
    >>> [round(warmup_cosine(step, 101, 1), 2) for step in (0, 51, 101)]
    [1.0, 0.5, 0.0]
    """
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))))


def sensible_epochs(n_rows: int, batch_size: int) -> int:
    """Choose the number of epochs from the number of rows.

    Small sets get ``BASE_STEPS`` steps whatever their size (``docs/experiments.md``); beyond ``BASE_ROWS`` rows the steps
    grow with the square root of their number.

    Examples
    --------
    >>> sensible_epochs(1280, 128), sensible_epochs(10_000, 128), sensible_epochs(1_000_000, 128)
    (70, 9, 1)
    """
    n_steps = BASE_STEPS * math.sqrt(max(1.0, n_rows / BASE_ROWS))
    return max(1, round(n_steps / max(1, math.ceil(n_rows / batch_size))))
