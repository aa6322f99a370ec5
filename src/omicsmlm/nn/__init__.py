"""Layers: scaling, set encoder, decoder, adversary, and the linear solution that they start from."""

from ._adversary import Adversary, reverse_gradient
from ._decoder import Decoded, Decoder, Design, Head
from ._latents import LatentAttention
from ._linear_start import Directions, log_means, only_present, principal_directions
from ._scaling import Scaling, Scalings
from ._set_encoder import SetEncoder

__all__ = [
    "Adversary",
    "Decoded",
    "Decoder",
    "Design",
    "Directions",
    "Head",
    "LatentAttention",
    "Scaling",
    "Scalings",
    "SetEncoder",
    "log_means",
    "only_present",
    "principal_directions",
    "reverse_gradient",
]
