"""Layers: scaling, set encoder, attention, transformers, decoder, adversary, and the linear solution they start from."""

from ._adversary import Adversary, reverse_gradient
from ._alignment import Alignment
from ._attention import Rows, attend
from ._axis_tokens import AxisEmbedding, TokenHead, TokenReading
from ._convolution import AxisConvolution, AxisExpansion, DownTower, UpTower
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
from ._rotary import RotaryTransformer, rotated
from ._scaling import Scaling, Scalings
from ._set_encoder import SetEncoder
from ._transformer import LatentTransformer, PackedTransformer

__all__ = [
    "Adversary",
    "Alignment",
    "AxisConvolution",
    "AxisEmbedding",
    "AxisExpansion",
    "Decoded",
    "Decoder",
    "Design",
    "Directions",
    "DownTower",
    "Estimates",
    "Head",
    "LabelHead",
    "LatentAttention",
    "LatentTransformer",
    "PackedTransformer",
    "RotaryTransformer",
    "Rows",
    "Scaling",
    "Scalings",
    "SetEncoder",
    "TokenHead",
    "TokenReading",
    "UpTower",
    "attend",
    "log_means",
    "only_present",
    "principal_directions",
    "reverse_gradient",
    "ridge_estimates",
    "rotated",
    "own_estimates",
]
