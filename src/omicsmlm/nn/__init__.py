"""Layers: scaling, set encoder, attention, transformers, decoder, adversary, and the linear solution they start from."""

from ._adversary import Adversary, reverse_gradient
from ._alignment import Alignment
from ._attention import Rows, attend
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
from ._transformer import LatentTransformer, PackedTransformer

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
    "LatentTransformer",
    "PackedTransformer",
    "Rows",
    "Scaling",
    "Scalings",
    "SetEncoder",
    "attend",
    "log_means",
    "only_present",
    "principal_directions",
    "reverse_gradient",
    "ridge_estimates",
    "own_estimates",
]
