"""What every family is built on: registration, training, embedding, files, and what only some can do."""

from ._component_model import MOST_ADVERSARY, ComponentModel
from ._component_module import N_DIRECTIONS, Batches, ComponentModule
from ._embedding import EMBED_ROWS
from ._explaining import ExplainingModel
from ._files import Saved, read_model, state_under, write_model
from ._fine_tuning import FineTunedModel
from ._imputing import ImputingModel
from ._model import OmicsModel, announce
from ._query import QueryModel, batch_counts
from ._query_module import QueryModule
from ._registration import listed_covariates

__all__ = [
    "Batches",
    "ComponentModel",
    "ComponentModule",
    "EMBED_ROWS",
    "ExplainingModel",
    "FineTunedModel",
    "ImputingModel",
    "OmicsModel",
    "QueryModel",
    "QueryModule",
    "MOST_ADVERSARY",
    "N_DIRECTIONS",
    "Saved",
    "announce",
    "batch_counts",
    "listed_covariates",
    "read_model",
    "state_under",
    "write_model",
]
