"""Layers: scaling, set encoder, attention, transformers, decoder, adversary, and the linear model they are initialised with."""

from ._adversary import Adversary, reverse_gradient
from ._architecture import ARCHITECTURE, architecture, longest_frames
from ._attention import Segments, attend
from ._axis_tokens import AxisEmbedding, TokenHead, TokenLogits
from ._component_fit import ComponentFit
from ._component_logits import ComponentLogits, mean_probability
from ._composition import Composition, CompositionScores
from ._concatenated_tokens import ConcatenatedTokens
from ._convolution import APPROXIMATION, AxisConvolution, AxisExpansion, DownTower, Form, TowerLevel, UpTower
from ._cross_fitting import CrossFitting, FoldSizes
from ._decoder import CovariateEncoding, Decoded, Decoder, FeatureHead
from ._encoder_weights import Source
from ._feature_shifts import MOST_PROFILES, OBSERVATIONS_PER_CLUSTER, FeatureShifts, Observed, ShiftSizes
from ._frozen_encoder import FrozenEncoder
from ._fusion import Fusion, FusionKind
from ._group_folds import CrossFit, group_folds
from ._group_regression import GroupRegression, group_means, with_differences
from ._kernel_regression import KernelRegression
from ._label_head import LabelHead
from ._latent_head import LatentHead, drawn
from ._latents import LatentAttention
from ._linear_initialization import (
    Component,
    Fitting,
    are_paired,
    initial_components,
    log_means,
    only_present,
    principal_directions,
)
from ._linear_risks import LinearRisks
from ._linked_estimates import Links, is_tied_by_links, linked_estimates, linked_weights, with_pairs
from ._modality_moments import ModalityMoments
from ._modality_scalings import Scalings
from ._own_estimates import own_estimates
from ._pretrained_encoder import PretrainedEncoder, state_width
from ._query_alignment import QueryAlignment
from ._residual_decoder import ResidualDecoder
from ._residue_encoder import ResidueEncoder
from ._residues import ALPHABETS, PackedStates, place_of, residue_codes, sequence_of, windowed
from ._ridge_estimates import Directions, Estimates, FoldEstimates, ridge_estimates
from ._risk_head import RiskHead
from ._rotary import RotaryBlock, RotaryTransformer, rotated
from ._scaling import ScaledTokens, Scaling
from ._sequence_tokens import Reading, SequenceKind
from ._set_encoder import PrecisionWeighting, SetEncoder
from ._state_store import StateStore
from ._subset_logits import CANDIDATES, SubsetLogits, mean_logits
from ._token_layout import TokenLayout
from ._token_summary import TokenSummary
from ._transformer import LatentTransformer, PackedTransformer
from ._value_bins import ValueBins

__all__ = [
    "ModalityMoments",
    "is_tied_by_links",
    "MOST_PROFILES",
    "OBSERVATIONS_PER_CLUSTER",
    "APPROXIMATION",
    "Form",
    "place_of",
    "sequence_of",
    "ComponentLogits",
    "mean_probability",
    "CrossFitting",
    "FoldEstimates",
    "FoldSizes",
    "ScaledTokens",
    "are_paired",
    "Composition",
    "CompositionScores",
    "Fusion",
    "FusionKind",
    "ARCHITECTURE",
    "architecture",
    "longest_frames",
    "CrossFit",
    "group_folds",
    "group_means",
    "GroupRegression",
    "with_differences",
    "KernelRegression",
    "ResidueEncoder",
    "ALPHABETS",
    "PackedStates",
    "residue_codes",
    "windowed",
    "FrozenEncoder",
    "PretrainedEncoder",
    "Reading",
    "SequenceKind",
    "Source",
    "state_width",
    "StateStore",
    "CANDIDATES",
    "Adversary",
    "QueryAlignment",
    "AxisConvolution",
    "AxisEmbedding",
    "AxisExpansion",
    "PrecisionWeighting",
    "Component",
    "ComponentFit",
    "ConcatenatedTokens",
    "Decoded",
    "Decoder",
    "CovariateEncoding",
    "Directions",
    "DownTower",
    "Estimates",
    "FeatureHead",
    "FeatureShifts",
    "Observed",
    "ShiftSizes",
    "LabelHead",
    "LatentAttention",
    "LatentTransformer",
    "PackedTransformer",
    "ResidualDecoder",
    "RotaryBlock",
    "RotaryTransformer",
    "LatentHead",
    "TokenLayout",
    "Segments",
    "LinearRisks",
    "RiskHead",
    "Scaling",
    "Scalings",
    "SetEncoder",
    "TokenHead",
    "TokenLogits",
    "TokenSummary",
    "TowerLevel",
    "UpTower",
    "ValueBins",
    "SubsetLogits",
    "attend",
    "initial_components",
    "Fitting",
    "Links",
    "linked_estimates",
    "linked_weights",
    "with_pairs",
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
