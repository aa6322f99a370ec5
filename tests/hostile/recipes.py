"""How a hostile object is made, as plain values that can be drawn, shrunk, written down and made again."""

import json
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from mudata import MuData

from tests.hostile.mutations import COLUMNS, MUTATIONS, NAMES, SEQUENCES, STRUCTURE, UNSAFE, VALUES
from tests.objects import bulk, multiome, rna, transcripts

BASES = {
    "OmicsMLM, several": multiome,
    "OmicsMLM, RNA": rna,
    "ScMBERT, several": multiome,
    "ScMBERT, RNA": rna,
    "MOJO": bulk,
    "TxFM": rna,
    "IsoFormer": transcripts,
    "Toy, several": multiome,
    "Toy, RNA": rna,
}
"""Of each family of the contract test, what makes a good object."""
HEADS = ("Classifier", "Survival")


class Recipe(NamedTuple):
    """A family, an object, what is done to it, and what is asked of the model."""

    family: str
    n: int
    seed: int
    mutations: tuple[str, ...]
    batch_key: str | None
    trained: bool = False
    head: str | None = None

    def build(self) -> Any:
        """Make the object; whatever error comes of it is that of the libraries that make such objects."""
        data = BASES[self.family](self.n, seed=self.seed % 5)
        number = np.arange(data.n_obs)
        rng = np.random.default_rng(self.seed)
        data.obs["label"] = [f"t{i % 3}" for i in number]
        data.obs["time"] = rng.exponential(5, len(number))
        data.obs["died"] = (rng.random(len(number)) < 0.7).astype(int)
        if isinstance(data, MuData):
            data.update()
        for name in sorted(self.mutations, key=UNSAFE.__contains__):  # last, or what follows reads out of bounds itself
            data = (MUTATIONS | UNSAFE)[name](data, np.random.default_rng(self.seed))
        return data

    def written(self) -> str:
        """Write it as one line."""
        return json.dumps(self._asdict())

    @classmethod
    def read(cls, line: str) -> "Recipe":
        """Read such a line."""
        found = json.loads(line)
        return cls(**{**found, "mutations": tuple(found["mutations"])})


@cache
def _mutation(of_sequences: bool, unsafe: bool) -> st.SearchStrategy[str]:
    kinds = [VALUES | (UNSAFE if unsafe else {}), VALUES, NAMES, STRUCTURE, COLUMNS, *[SEQUENCES] * 2 * of_sequences]
    return st.integers(0, len(kinds) - 1).flatmap([st.sampled_from(sorted(kind)) for kind in kinds].__getitem__)


@st.composite
def recipes(draw: Any, family: str | None = None, *, trained: bool = False, unsafe: bool = False) -> Recipe:
    """Draw a recipe, of one family or any."""
    family = family or draw(st.sampled_from(sorted(BASES)))
    one = _mutation(family == "IsoFormer", unsafe)
    return Recipe(
        family=family,
        n=draw(st.sampled_from([24, 40, 60])),
        seed=draw(st.integers(0, 2**16)),
        mutations=tuple(draw(st.lists(one, min_size=1, max_size=3, unique=True))),
        batch_key=draw(st.sampled_from(["batch", "batch", None])),
        trained=trained,
        head=draw(st.sampled_from([None, *HEADS])) if trained else None,
    )
