"""Statistics of targets and vectors, against those of whole columns."""

import numpy as np
import torch

from omicsmlm._types import Batch, Tokens
from omicsmlm.models.isoformer._statistics import statistics_of


def packed(value_ng: np.ndarray) -> Batch:
    """A batch with the values that are not NaN."""
    obs_t, id_t = np.nonzero(~np.isnan(value_ng))
    offsets = np.searchsorted(obs_t, np.arange(len(value_ng) + 1))
    tokens = Tokens(
        torch.from_numpy(id_t.astype(np.int32)),
        torch.from_numpy(value_ng[obs_t, id_t].astype(np.float32)),
        torch.from_numpy(offsets),
    )
    nothing = torch.zeros(len(value_ng), 0, dtype=torch.int64)
    return Batch({"y": tokens}, {}, {}, nothing, torch.arange(len(value_ng)))


def test_they_are_those_of_the_measured_values_over_all_batches(rng):
    value_ng = rng.normal(3, 2, (20, 4))
    value_ng[rng.random((20, 4)) < 0.3] = np.nan
    found = statistics_of([packed(value_ng[:7]), packed(value_ng[7:])], "y", 4)
    np.testing.assert_allclose(found.mean, np.nanmean(value_ng, axis=0), atol=1e-5)
    np.testing.assert_allclose(found.scale, np.nanstd(value_ng, axis=0), atol=1e-5)


def test_what_does_not_vary_or_was_never_measured_has_the_scale_1():
    found = statistics_of([packed(np.array([[2.0, np.nan], [2.0, np.nan]]))], "y", 2)
    assert found.mean == [2.0, 0.0]
    assert found.scale == [1.0, 1.0]
