"""When to stop weakening the regularisation of a linear model."""

from collections.abc import Sequence

FEWEST_TRIED = 4
"""Strengths that are tried at least: the first, strongest ones hardly differ, and their losses may rise by chance."""
PATIENCE = 2
"""Strengths in a row that must be worse than the best for the search to end: the loss is nearly convex along the path."""


def is_past_minimum(losses: Sequence[float]) -> bool:
    """Return whether the held-out loss has risen for good along a path from strong to weak regularisation.

    Examples
    --------
    >>> is_past_minimum([3.0, 2.0, 1.0, 1.5]), is_past_minimum([3.0, 1.0, 1.5, 1.2]), is_past_minimum([1.0, 2.0, 3.0])
    (False, True, False)
    """
    return len(losses) >= FEWEST_TRIED and min(losses[-PATIENCE:]) > min(losses)
