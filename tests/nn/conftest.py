"""Small published encoders, made once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from omicsmlm.nn import Reading, Source
from tests import encoders


class Published(NamedTuple):
    """A checkpoint that the tests made."""

    source: Source
    reading: Reading
    network: Any
    """What is in the file, as it was before it was written."""
    width: int
    sequences: list[str]


PROTEINS = ["MKVLAAG", "MK", "WYXACDEF", "MKVLAAH"]
DNA = ["ACGTACGTACG", "GGNTACGTAAC" * 3, "T", "ACCTACGTACG"]
KINDS = ["esm", "sixmers", "bert", "t5", "d_model", "enformer"]
_MAKERS: dict[str, tuple[Callable[..., Any], Reading, int]] = {
    "esm": (partial(encoders.esm_like, tokens=encoders.PROTEIN_TOKENS), Reading("protein"), 16),
    "sixmers": (partial(encoders.esm_like, tokens=encoders.SIXMER_TOKENS), Reading("nucleotide"), 16),
    "bert": (partial(encoders.bert, letters="ACDEFGHIKLMNPQRSTVWYX"), Reading("protein", spaced=True), 16),
    "t5": (encoders.t5, Reading("protein", spaced=True), 16),
    "d_model": (encoders.d_model_only, Reading("nucleotide"), 32),
    "enformer": (encoders.enformer, Reading("nucleotide"), 48),
}


def published(kind: str, folder: Path, **sizes: Any) -> Published:
    """Write a checkpoint of a kind to a folder."""
    make, reading, width = _MAKERS[kind]
    network = make(folder, **sizes)
    source = Source("enformer" if kind == "enformer" else "transformers", str(folder), None, kind == "d_model")
    return Published(source, reading, network, width, PROTEINS if reading.kind == "protein" else DNA)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Published]:
    """Return the checkpoint of a kind, made when it is first asked for."""
    pytest.importorskip("transformers")
    pytest.importorskip("enformer_pytorch")
    made: dict[str, Published] = {}

    def of(kind: str) -> Published:
        if kind not in made:
            made[kind] = published(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return of
