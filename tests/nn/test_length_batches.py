"""Batches of sequences of like length: what they hold, and what they may not."""

import pytest

from omicsmlm.nn._length_batches import length_batches


def padding_of(lengths, batch):
    size = len(batch) * max(lengths[u] for u in batch)
    return size, size - sum(lengths[u] for u in batch)


@pytest.mark.parametrize("most_padding", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("most_tokens", [1, 50, 1000])
def test_each_sequence_is_in_one_batch_of_little_padding_that_is_not_too_large(most_tokens, most_padding, rng):
    lengths = rng.integers(0, 120, 200).tolist()
    batches = length_batches(lengths, most_tokens, most_padding)
    assert sorted(u for batch in batches for u in batch) == list(range(200))
    for batch in batches:
        size, n_padding = padding_of(lengths, batch)
        assert size <= most_tokens or len(batch) == 1 or size == 0
        assert n_padding <= most_padding * size


def test_batches_are_as_large_as_they_may_be():
    """Of sequences in order of length, the first of the next batch never fits into one."""
    lengths = [5, 9, 9, 10, 10, 10, 30, 31]
    batches = length_batches(lengths, 40, 0.1)
    assert batches == [[0], [1, 2, 3, 4], [5], [6], [7]]
    assert length_batches(lengths, 70, 0.1) == [[0], [1, 2, 3, 4, 5], [6, 7]]


def test_the_order_of_the_sequences_matters_only_among_equals():
    assert length_batches([3, 1, 2], 100, 0.0) == [[1], [2], [0]]
    assert length_batches([], 100, 0.1) == []
    assert length_batches([0, 0], 100, 0.0) == [[0, 1]]
