"""Layers: scaling, set encoder, decoder, adversary, and the linear solution that they start from."""

from ._adversary import Adversary, reverse_gradient
from ._alignment import Alignment
from ._decoder import Decoded, Decoder, Design, Head
from ._label_head import LabelHead
from ._latents import LatentAttention
from ._linear_start import (
    Directions,
    Estimates,
    log_means,
    only_present,
    own_estimates,
    principal_directions,
    ridge_estimates,
)
from ._scaling import Scaling, Scalings
from ._set_encoder import SetEncoder

__all__ = [
    "Adversary",
    "Alignment",
    "Decoded",
    "Decoder",
    "Design",
    "Directions",
    "Estimates",
    "Head",
    "LabelHead",
    "LatentAttention",
    "Scaling",
    "Scalings",
    "SetEncoder",
    "log_means",
    "only_present",
    "principal_directions",
    "reverse_gradient",
    "ridge_estimates",
    "own_estimates",
]
