"""The records and protocols that a model family is written with, for method developers.

Data flow through a family as records: :class:`Batch` and its :class:`Tokens` from the loader, a :data:`View` per modality from the
tokenizer, :class:`Masked` from the masking, :class:`Encoded` from the network. Protocols say what a part must be able to do.
The page "Add a family" builds a family of them.
"""

from ._draws import Draws
from ._types import (
    SPARSE_KINDS,
    Batch,
    Encoded,
    FewVisible,
    Grid,
    Kind,
    Loader,
    Masked,
    Masking,
    Memory,
    Module,
    Objective,
    Panels,
    Parts,
    Sequences,
    Tokenizer,
    Tokens,
    TokenSet,
    View,
    measured_in,
    obs_of,
    positions_of,
)

__all__ = [
    "Batch",
    "Draws",
    "Encoded",
    "FewVisible",
    "Grid",
    "Kind",
    "Loader",
    "Masked",
    "Masking",
    "Memory",
    "Module",
    "Objective",
    "Panels",
    "Parts",
    "SPARSE_KINDS",
    "Sequences",
    "TokenSet",
    "Tokenizer",
    "Tokens",
    "View",
    "measured_in",
    "obs_of",
    "positions_of",
]
