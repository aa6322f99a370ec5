"""Masking of sequences: whole modalities of an observation, or single residues."""

from collections.abc import Sequence

import torch

from omicsmlm._draws import Draws
from omicsmlm._types import MASK_BIT, Grid, Masked, Sequences, View, positions_of

from ._features import dropped_modality, keep_visible


class DropModalities:
    """Masks one modality of some observations that have several; the targets are never visible.

    Parameters
    ----------
    rate
        Probability that one modality of an observation with several is masked.
    target
        Name of the modality that is predicted.
    """

    def __init__(self, rate: float, target: str) -> None:
        self.rate = rate
        self.target = target

    def __call__(self, views: dict[str, View], draws: Draws) -> Masked:
        """Return the remaining modalities as inputs, and the targets."""
        remaining = {name: view for name, view in views.items() if name != self.target}
        has_nm = torch.stack([has_modality(view) for view in remaining.values()], 1)
        lost_nm = dropped_modality(has_nm, self.rate, draws)
        inputs = {name: without_modality(view, lost_nm[:, m]) for m, (name, view) in enumerate(remaining.items())}
        return Masked(inputs, {self.target: views[self.target]})


class MaskResidues:
    """Replaces some residues by a mask; they are then predicted.

    Parameters
    ----------
    rate
        Probability that a residue is masked.
    names
        Sequences in which residues are masked.
    """

    def __init__(self, rate: float, names: Sequence[str]) -> None:
        self.rate = rate
        self.names = list(names)

    def __call__(self, views: dict[str, View], draws: Draws) -> Masked:
        """Return masked sequences as inputs, whole ones as targets, and, (t,) bool, the masked residues.

        Draws are keyed by the hash of the sequence: one that several observations share is masked alike in each batch order.
        """
        inputs, evaluated = {}, {}
        for name in self.names:
            view = views[name]
            assert isinstance(view, Sequences)
            places = positions_of(view.offsets, len(view.residues))
            drawn_t = draws.by(view.digests[:, 0]).tokens(*places)
            # On a device, residues of no sequence may stand behind those of the last one.
            own_t = torch.arange(len(drawn_t), device=drawn_t.device) < view.offsets[-1]
            evaluated[name] = (drawn_t < self.rate) & own_t
            inputs[name] = with_masked(view, evaluated[name])
        return Masked(inputs, {name: views[name] for name in self.names}, evaluated)


def with_masked(residues: Sequences, is_masked_t: torch.Tensor) -> Sequences:
    """Return sequences some of whose residues, (t,) bool, are masked, too.

    Examples
    --------
    >>> one = Sequences(
    ...     torch.tensor([65, 67], dtype=torch.uint8), torch.tensor([0, 2]), torch.tensor([0]), torch.zeros(1, 2)
    ... )
    >>> with_masked(one, torch.tensor([False, True])).residues.tolist()
    [65, 195]
    """
    return residues._replace(residues=torch.where(is_masked_t, residues.residues | MASK_BIT, residues.residues))


def has_modality(view: View) -> torch.Tensor:
    """Return, (n,) bool, which observations have a modality."""
    if isinstance(view, Sequences):
        return view.of_obs >= 0
    assert isinstance(view, Grid)
    return view.visible.any(1)


def without_modality(view: View, lost_n: torch.Tensor) -> View:
    """Return a modality that some observations, (n,) bool, no longer have."""
    if isinstance(view, Sequences):
        return view._replace(of_obs=view.of_obs.masked_fill(lost_n, -1))
    assert isinstance(view, Grid)
    return keep_visible(view, view.visible & ~lost_n[:, None])
