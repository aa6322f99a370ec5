"""What every family is built on: registration, training, embedding, files, and what only some can do."""

from omicsmlm._stages import Stages

from ._component_model import (
    ACCESSIBILITY_WEIGHT,
    ADVERSARY_WEIGHT,
    KL_WARMUP,
    MOST_ADVERSARY,
    MOST_BALANCE,
    WEIGHT_DECAY,
    ComponentDerived,
    ComponentModel,
)
from ._component_module import N_DIRECTIONS, N_SAMPLED, Batches, ComponentModule
from ._embedding import EMBEDDING_BATCH_SIZE, checked_indices
from ._explaining import ExplainingModel
from ._files import Saved, parse_model, read_files, read_model, state_under, write_model
from ._fine_tuning import FineTunedModel
from ._hub import HubModel
from ._imputing import ImputingModel
from ._inherited import summary
from ._model import OmicsModel, announce
from ._named_columns import further_columns, listed_covariates
from ._query import MOST_REFERENCE_EMBEDDINGS, QueryDerived, QueryModel
from ._query_module import QueryModule
from ._rebuilding import rebuilding
from ._records import Config, FormerFields, check_config, check_fields, from_json, to_json
from ._registration import Registered

__all__ = [
    "MOST_REFERENCE_EMBEDDINGS",
    "check_config",
    "checked_indices",
    "check_fields",
    "ACCESSIBILITY_WEIGHT",
    "ADVERSARY_WEIGHT",
    "Batches",
    "ComponentDerived",
    "ComponentModel",
    "ComponentModule",
    "EMBEDDING_BATCH_SIZE",
    "Config",
    "ExplainingModel",
    "FineTunedModel",
    "FormerFields",
    "HubModel",
    "ImputingModel",
    "OmicsModel",
    "QueryDerived",
    "QueryModel",
    "QueryModule",
    "KL_WARMUP",
    "MOST_ADVERSARY",
    "MOST_BALANCE",
    "WEIGHT_DECAY",
    "N_DIRECTIONS",
    "N_SAMPLED",
    "Saved",
    "Stages",
    "announce",
    "from_json",
    "further_columns",
    "listed_covariates",
    "Registered",
    "parse_model",
    "read_files",
    "read_model",
    "rebuilding",
    "state_under",
    "summary",
    "to_json",
    "write_model",
]
