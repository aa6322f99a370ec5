"""Masking of sequences: whole modalities of an observation, or single letters."""

from collections.abc import Sequence

import torch

from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked, Sequences, View, positions_of

from ._features import dropped_modality, keep_visible

MASK = ord("?")
"""What stands in the place of a masked letter."""


class DropModalities:
    """Takes a modality away from some rows that have several; the targets are never shown.

    Parameters
    ----------
    rate
        Probability that a row with several modalities loses one of them.
    target
        Name of what is foretold.
    """

    def __init__(self, rate: float, target: str) -> None:
        self.rate = rate
        self.target = target

    def __call__(self, views: dict[str, View], draws: Draws) -> Masked:
        """Return what is left as inputs, and the targets."""
        shown = {name: view for name, view in views.items() if name != self.target}
        has_nm = torch.stack([has_modality(view) for view in shown.values()], 1)
        lost_nm = dropped_modality(has_nm, self.rate, draws)
        inputs = {name: without(view, lost_nm[:, m]) for m, (name, view) in enumerate(shown.items())}
        return Masked(inputs, {self.target: views[self.target]})


class MaskResidues:
    """Puts a mask in the place of some letters, which are then guessed.

    Parameters
    ----------
    rate
        Share of the letters that are masked; the same for all sequences.
    names
        Sequences in which letters are masked.
    """

    def __init__(self, rate: float, names: Sequence[str]) -> None:
        self.rate = rate
        self.names = list(names)

    def __call__(self, views: dict[str, View], draws: Draws) -> Masked:
        """Return masked sequences, whole ones as targets, and (t,) bool of the letters that are guessed."""
        inputs, evaluated = {}, {}
        for name in self.names:
            view = views[name]
            assert isinstance(view, Sequences)
            places = positions_of(view.offsets, len(view.residues))
            drawn_t = draws.by(view.digests[:, 0]).tokens(*places)
            own_t = (
                torch.arange(len(drawn_t), device=drawn_t.device) < view.offsets[-1]
            )  # behind it are letters of none
            evaluated[name] = (drawn_t < self.rate) & own_t
            inputs[name] = view._replace(residues=view.residues.masked_fill(evaluated[name], MASK))
        return Masked(inputs, {name: views[name] for name in self.names}, evaluated)


def has_modality(view: View) -> torch.Tensor:
    """Tell, (n,) bool, which rows have something of a modality."""
    if isinstance(view, Sequences):
        return view.of_obs >= 0
    assert isinstance(view, Grid)
    return view.visible.any(1)


def without(view: View, lost_n: torch.Tensor) -> View:
    """Take a modality away from some rows."""
    if isinstance(view, Sequences):
        return view._replace(of_obs=view.of_obs.masked_fill(lost_n, -1))
    assert isinstance(view, Grid)
    return keep_visible(view, view.visible & ~lost_n[:, None])
