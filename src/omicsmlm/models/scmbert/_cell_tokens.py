"""Tokens of cells as if these lacked some modalities, or with their lengths on the host."""

from collections.abc import Iterable

import torch

from omicsmlm._types import TokenCache, TokenSet, cached_lengths


def without(parts: dict[str, TokenSet], names: Iterable[str]) -> dict[str, TokenSet]:
    """Return the tokens of cells as if they lacked some modalities."""
    emptied = {}
    for name in names:
        part = parts[name]
        emptied[name] = part._replace(
            ids=part.ids[:0],
            values=part.values[:0],
            offsets=torch.zeros_like(part.offsets),
            present=torch.zeros_like(part.present),
        )
    return {**parts, **emptied}


def with_lengths(parts: dict[str, TokenSet]) -> dict[str, TokenSet]:
    """Return tokens with the cells' lengths on the host, which waits for them once, and without those that belong to no cell."""
    if all(cached_lengths(part) is not None for part in parts.values()):
        return parts
    lengths = torch.stack([part.offsets.diff() for part in parts.values()]).tolist()
    known = {}
    for (name, part), own in zip(parts.items(), lengths, strict=True):
        n = sum(own)
        known[name] = part._replace(ids=part.ids[:n], values=part.values[:n], cache=TokenCache(part.offsets, own))
    return known
