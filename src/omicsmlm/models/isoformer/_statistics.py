"""Mean and standard deviation of targets and vectors, by which they are standardised."""

from collections.abc import Sequence

import numpy as np

from omicsmlm._types import Batch

from ._derived import Statistics


def statistics_of(sample: Sequence[Batch], name: str, width: int) -> Statistics:
    """Return mean and standard deviation of each dimension over its measured values; 1 where it does not vary."""
    total, squares, count = np.zeros(width), np.zeros(width), np.zeros(width)
    for batch in sample:
        tokens = batch.tokens[name]
        ids, values = tokens.ids.numpy(), tokens.values.numpy().astype(np.float64)
        for sums, amounts in ((total, values), (squares, values**2), (count, np.ones_like(values))):
            sums += np.bincount(ids, amounts, minlength=width)
    mean = total / np.maximum(count, 1)
    scale = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    return Statistics(mean.round(6).tolist(), np.where(scale > 1e-6, scale, 1.0).round(6).tolist())
