"""Layers: scaling, set encoder, attention, transformers, decoder, adversary, and the linear solution they start from."""

from ._adversary import Adversary, reverse_gradient
from ._alignment import Alignment
from ._attention import Rows, attend
from ._axis_tokens import AxisEmbedding, TokenHead, TokenReading
from ._component_fit import ComponentFit
from ._composition import Composition, CompositionScores
from ._concatenated_tokens import ConcatenatedTokens
from ._convolution import AxisConvolution, AxisExpansion, DownTower, TowerLevel, UpTower
from ._decoder import CovariateEncoding, Decoded, Decoder, Head
from ._fusion import Fusion, FusionKind
from ._kernel_regression import KernelRegression
from ._label_head import LabelHead
from ._latent_head import LatentHead, drawn
from ._latents import LatentAttention
from ._linear_start import (
    Component,
    Directions,
    Estimates,
    component_starts,
    log_means,
    only_present,
    own_estimates,
    principal_directions,
    ridge_estimates,
)
from ._pretrained_encoder import FrozenEncoder, PretrainedEncoder, Source, state_width
from ._residual_decoder import ResidualDecoder
from ._residue_encoder import ResidueEncoder
from ._residues import ALPHABETS, States, place_of, residue_codes, sequence_of, texts, windowed
from ._risk_anchor import RiskAnchor
from ._risk_head import RiskHead
from ._rotary import RotaryBlock, RotaryTransformer, rotated
from ._row_layout import RowLayout
from ._scaling import Scaling, Scalings
from ._set_encoder import Combination, SetEncoder
from ._state_store import StateStore
from ._token_summary import TokenSummary
from ._transformer import LatentTransformer, PackedTransformer
from ._value_bins import ValueBins
from ._view_logits import CANDIDATES, ViewLogits, mean_logits

__all__ = [
    "place_of",
    "sequence_of",
    "Composition",
    "CompositionScores",
    "Fusion",
    "FusionKind",
    "KernelRegression",
    "ResidueEncoder",
    "ALPHABETS",
    "States",
    "residue_codes",
    "texts",
    "windowed",
    "FrozenEncoder",
    "PretrainedEncoder",
    "Source",
    "state_width",
    "StateStore",
    "CANDIDATES",
    "Adversary",
    "Alignment",
    "AxisConvolution",
    "AxisEmbedding",
    "AxisExpansion",
    "Combination",
    "Component",
    "ComponentFit",
    "ConcatenatedTokens",
    "Decoded",
    "Decoder",
    "CovariateEncoding",
    "Directions",
    "DownTower",
    "Estimates",
    "Head",
    "LabelHead",
    "LatentAttention",
    "LatentTransformer",
    "PackedTransformer",
    "ResidualDecoder",
    "RotaryBlock",
    "RotaryTransformer",
    "LatentHead",
    "RowLayout",
    "Rows",
    "RiskAnchor",
    "RiskHead",
    "Scaling",
    "Scalings",
    "SetEncoder",
    "TokenHead",
    "TokenReading",
    "TokenSummary",
    "TowerLevel",
    "UpTower",
    "ValueBins",
    "ViewLogits",
    "attend",
    "component_starts",
    "drawn",
    "log_means",
    "mean_logits",
    "only_present",
    "principal_directions",
    "reverse_gradient",
    "ridge_estimates",
    "rotated",
    "own_estimates",
]
