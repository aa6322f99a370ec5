"""Layers: scaling, set encoder, decoder, adversary, and the linear solution that they start from."""

from ._adversary import Adversary, reverse_gradient
from ._decoder import Decoded, Decoder, Design, Head
from ._latents import LatentAttention
from ._linear_start import Directions, principal_directions
from ._scaling import Scaling, scaling_of
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
    "SetEncoder",
    "principal_directions",
    "reverse_gradient",
    "scaling_of",
]
