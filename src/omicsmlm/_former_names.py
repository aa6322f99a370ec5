"""What weights were called in models and checkpoints of omicsmlm 0.1, and are called now."""

from collections.abc import Mapping
from typing import Any

FORMER_WEIGHTS = {
    "share": "fraction",
    "share_g": "fraction_g",
    "memory_md": "reference_md",
    "hidden_feature": "mask_feature",
}
"""The last part of the name of a weight then, and now."""


def current_name(name: str) -> str:
    """Return what a weight is called now, whatever it was when it was saved.

    Examples
    --------
    >>> current_name("scalings.in_order.0.share")
    'scalings.in_order.0.fraction'
    """
    *path, last = name.split(".")
    return ".".join([*path, FORMER_WEIGHTS.get(last, last)])


def under_current_names[T](weights: Mapping[str, T]) -> dict[str, T]:
    """Return weights, or what is kept of each, by their names of now.

    Examples
    --------
    >>> under_current_names({"memory_md": 1, "rate": 2})
    {'reference_md': 1, 'rate': 2}
    """
    return {current_name(name): value for name, value in weights.items()}


LATER_PARTS = ("shifts", "moments")
"""Parts of a network that are filled when a training ends, and that checkpoints written before there were such parts lack."""


def completed(weights: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a checkpoint by their names of now, with those of a network's own that only come after training.

    Examples
    --------
    >>> completed({"net.rate": 2}, {"net.rate": 1, "net.width": 3, "net.shifts.profile_kg": 4})
    {'net.shifts.profile_kg': 4, 'net.rate': 2}
    """
    later = {name: value for name, value in own.items() if not set(LATER_PARTS).isdisjoint(name.split("."))}
    return later | under_current_names(weights)
