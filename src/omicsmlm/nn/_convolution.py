"""Convolutions along a fixed axis of positions: a stem, a tower down to a short sequence, and one back up.

Two forms of a layer of theirs exist: "published", as the authors of MOJO have it, and "former", as omicsmlm 0.1 had it, for models
that it saved. See :data:`Form`.

States stay (n, l, d) and contiguous. Seen as an image of height 1 they are channels-last, the layout in which
``Conv2d(1, k)`` is fastest (1.1 to 2.2 times ``Conv1d`` forward, on two CPUs); no copy is made for it.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Form = Literal["published", "former"]
"""Where a transposed convolution of stride 2 and kernel 5 puts input i: on the outputs 2 i − 1 … 2 i + 3 ("published", as "SAME"
padding does in JAX) or 2 i − 2 … 2 i + 2 ("former"); and whether GELU is its approximation by tanh ("published") or exact."""
APPROXIMATION: dict[Form, str] = {"published": "tanh", "former": "none"}
"""Of GELU, by the form of the layers."""


class AxisConvolution(nn.Module):
    """Convolution along positions, of odd kernel, with as many positions out as in.

    Parameters
    ----------
    n_in, n_out
        Channels.
    kernel
        Positions that each output sees; odd.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        assert kernel % 2, "an even kernel has no middle"
        layer = nn.Conv2d(n_in, n_out, (1, kernel), padding=(0, kernel // 2))
        self.layer = layer.to(memory_format=torch.channels_last)

    def forward(self, states_nlc: Tensor) -> Tensor:
        """Return (n, l, n_out) from (n, l, n_in)."""
        return _as_states(self.layer(_as_image(states_nlc)))


class AxisExpansion(nn.Module):
    """Transposed convolution of stride 2 along positions: twice as many positions out as in.

    Parameters
    ----------
    width
        Channels.
    kernel
        Positions that each input reaches, k; odd. Input i reaches the outputs from 2 i − p to 2 i − p + k − 1.
    form
        "published": p = (k − 3) / 2; "former": p = (k − 1) / 2.
    """

    def __init__(self, width: int, kernel: int, form: Form = "published") -> None:
        super().__init__()
        assert kernel % 2, "an even kernel has no middle"
        before = kernel // 2 - (form == "published" and kernel > 1)
        layer = nn.ConvTranspose2d(width, width, (1, kernel), stride=(1, 2), padding=(0, before), output_padding=(0, 1))
        self.layer = layer.to(memory_format=torch.channels_last)

    def forward(self, states_nld: Tensor) -> Tensor:
        """Return (n, 2 l, d) from (n, l, d)."""
        return _as_states(self.layer(_as_image(states_nld)))[:, : 2 * states_nld.shape[1]]


class TowerLevel(nn.Module):
    """LayerNorm → wide convolution → GELU, and a residual LayerNorm → convolution of kernel 1 → GELU.

    Parameters
    ----------
    width
        Channels.
    wide
        The first convolution: :class:`AxisConvolution` or :class:`AxisExpansion`.
    form
        Of GELU.

    Notes
    -----
    A convolution of kernel 1, transposed or not, is a linear layer at each position, and is one here: that is faster.
    """

    def __init__(self, width: int, wide: AxisConvolution | AxisExpansion, form: Form = "published") -> None:
        super().__init__()
        self.approximation = APPROXIMATION[form]
        self.norm = nn.LayerNorm(width)
        self.wide = wide
        self.pointwise_norm = nn.LayerNorm(width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, states_nld: Tensor) -> Tensor:
        """Return (n, l, d), or (n, 2 l, d) if the wide convolution expands."""
        x_nld = F.gelu(self.wide(self.norm(states_nld)), approximate=self.approximation)
        return x_nld + F.gelu(self.pointwise(self.pointwise_norm(x_nld)), approximate=self.approximation)


class DownTower(nn.Module):
    """Halves the positions at each level.

    Parameters
    ----------
    width
        Channels.
    n_levels
        Times that the positions are halved.
    kernel
        Of the wide convolutions.
    form
        Of the layers.
    """

    def __init__(self, width: int, n_levels: int, kernel: int = 5, form: Form = "published") -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [TowerLevel(width, AxisConvolution(width, width, kernel), form) for _ in range(n_levels)]
        )

    def forward(self, states_nld: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the (n, l / 2^levels, d) states, and what entered each level, the longest first.

        The number of positions must be a multiple of 2^levels.
        """
        entered = []
        for level in self.levels:
            entered.append(states_nld)
            states_nld = _halved(level(states_nld))
        return states_nld, entered


class UpTower(nn.Module):
    """Doubles the positions at each level, and adds what entered the mirror level on the way down.

    Parameters
    ----------
    width, n_levels, kernel, form
        As of the :class:`DownTower`.
    """

    def __init__(self, width: int, n_levels: int, kernel: int = 5, form: Form = "published") -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [TowerLevel(width, AxisExpansion(width, kernel, form), form) for _ in range(n_levels)]
        )

    def forward(self, states_nld: Tensor, entered: list[Tensor]) -> Tensor:
        """Return states at all positions, from the short ones and from what the down tower gave beside them."""
        for level, mirror_nld in zip(self.levels, reversed(entered), strict=True):
            states_nld = level(states_nld) + mirror_nld
        return states_nld


def _as_image(states_nld: Tensor) -> Tensor:
    """Look at states as an (n, d, 1, l) image; channels-last, where they are contiguous."""
    return states_nld.unsqueeze(1).permute(0, 3, 1, 2)


def _as_states(image_nd1l: Tensor) -> Tensor:
    return image_nd1l.permute(0, 2, 3, 1).squeeze(1)


def _halved(states_nld: Tensor) -> Tensor:
    """Average each two neighbouring positions.

    Examples
    --------
    >>> _halved(torch.tensor([[[1.0], [3.0], [5.0], [5.0]]]))[0, :, 0].tolist()
    [2.0, 5.0]
    """
    n, l, d = states_nld.shape
    return states_nld.reshape(n, l // 2, 2, d).mean(2)
