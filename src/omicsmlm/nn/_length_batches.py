"""Batches of sequences of like length."""

from collections.abc import Sequence


def length_batches(lengths: Sequence[int], most_tokens: int, most_padding: float) -> list[list[int]]:
    """Divide sequences into batches, shortest first, so that little of what is computed is padding.

    Parameters
    ----------
    lengths
        Tokens of each sequence.
    most_tokens
        Tokens of a batch at most, padding counted; a longer sequence is a batch of its own.
    most_padding
        Fraction of a batch that is padding at most; 0 for batches of equal lengths.

    Returns
    -------
    list of list of int
        Places of the sequences of each batch; each sequence is in one.

    Examples
    --------
    >>> length_batches([10, 3, 9, 10, 3], most_tokens=30, most_padding=0.1)
    [[1, 4], [2, 0, 3]]
    """
    batches: list[list[int]] = []
    n_own = 0
    for u in sorted(range(len(lengths)), key=lengths.__getitem__):
        size = (len(batches[-1]) + 1) * lengths[u] if batches else 0  # the new one is the longest
        n_padding = size - n_own - lengths[u]
        if not batches or size > most_tokens or n_padding > most_padding * size:
            batches.append([])
            n_own = 0
        batches[-1].append(u)
        n_own += lengths[u]
    return batches
