"""A new family is one room: the smallest complete one stands here, in one file, and nothing in ``src`` knows of it.

It takes one modality of counts, hides values by a rate of its own, encodes log values with one linear layer and rebuilds
them with another. Should a family ever need more than this, the house has a crack.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from omicsmlm._draws import Draws
from omicsmlm._types import Batch, Encoded, Grid, Masked, Module, Parts
from omicsmlm.models import OmicsModel
from omicsmlm.training import Optimisation
from tests.objects import QUIET, multiome, rna


@dataclass(frozen=True)
class ToyConfig:
    """Hyper-parameters; every family has a patience and a seed."""

    n_latent: int = 4
    rate: float = 0.3
    shape: tuple[int, ...] = (1, 2)
    patience: int = 5
    seed: int = 0


class ToyDerived(NamedTuple):
    """What is derived from the data: what can be written as JSON."""

    name: str
    n_features: int


class LogCounts:
    """Tokenizer: log1p of the whole vocabulary as one grid."""

    def __init__(self, name: str, n_features: int) -> None:
        self.name = name
        self.n_features = n_features

    def __call__(self, batch: Batch) -> dict[str, Grid]:
        tokens = batch.tokens[self.name]
        obs_t = torch.repeat_interleave(
            torch.arange(len(batch.indices), device=tokens.ids.device), tokens.offsets.diff()
        )
        values_ng = torch.zeros(len(batch.indices), self.n_features, device=tokens.ids.device)
        values_ng[obs_t, tokens.ids.long()] = tokens.values.log1p()
        visible_ng = batch.present[self.name][:, None] & batch.measured[self.name]
        return {self.name: Grid(values_ng, visible_ng, values_ng.sum(1))}


class MaskSome:
    """Masking: every value is masked with the same probability."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        inputs = {}
        for name, grid in grids.items():
            kept = draws.uniform(grid.values.shape[1]) >= self.rate
            inputs[name] = Grid(grid.values * kept, grid.visible & kept, grid.total)
        return Masked(inputs, grids)


class Rebuilt(NamedTuple):
    """What the module gives to the objective."""

    values: Tensor


class ToyModule(Module):
    """One layer in, one layer out."""

    def __init__(self, name: str, n_features: int, n_latent: int) -> None:
        super().__init__()
        self.name = name
        self.n_latent = n_latent
        self.register_buffer("mean", torch.zeros(n_features))
        self.into, self.back = nn.Linear(n_features, n_latent), nn.Linear(n_latent, n_features)

    def encode(self, grids: dict[str, Grid]) -> Encoded:
        mean_nd = self.into((grids[self.name].values - self.mean) * grids[self.name].visible)
        return Encoded(mean_nd, torch.zeros_like(mean_nd))

    def forward(self, grids: dict[str, Grid], batch: Batch) -> Rebuilt:
        return Rebuilt(self.back(self.encode(grids).mean) + self.mean)


class Squares:
    """Objective: squared error of the hidden values."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, outputs: Any, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        target, hidden = masked.targets[self.name], ~masked.inputs[self.name].visible
        return {"squares": ((outputs.values - target.values).square() * (hidden & target.visible)).mean()}


@final
class Toy(OmicsModel[ToyModule, ToyConfig, ToyDerived]):
    """The fifth family."""

    embedding_key: ClassVar[str] = "X_toy"
    config_class: ClassVar[type] = ToyConfig
    derived_class: ClassVar[type] = ToyDerived

    @property
    def optimisation(self) -> Optimisation:
        return Optimisation(learning_rate=1e-2)

    def _derive(self, sample: Sequence[Batch]) -> ToyDerived:
        name, state = next(iter(self.adata_manager.modalities.items()))
        return ToyDerived(name, len(state["vocabulary"]))

    def _assemble(self, derived: ToyDerived) -> Parts:
        name, n_features = derived
        return Parts(
            tokenizer=LogCounts(name, n_features),
            masking=MaskSome(self.config.rate),
            module=ToyModule(name, n_features, self.config.n_latent),
            objective=Squares(name),
        )

    def _initialize(self, sample: Sequence[Batch]) -> None:
        grids = [self.parts.tokenizer(batch)[self.module.name].values for batch in sample]
        self.module.mean.copy_(torch.cat(grids).mean(0))


def test_it_trains_embeds_saves_and_loads(tmp_path):
    adata = rna()
    model = Toy(adata, batch_key="batch")
    model.train(6, **QUIET)
    written = adata.obsm["X_toy"]
    assert written.shape == (72, 4)
    assert written.dtype == np.float32
    losses = model.history["validation_squares"]["validation_squares"]
    assert losses.iloc[-1] < losses.iloc[0]
    model.save(tmp_path / "toy")
    assert json.loads((tmp_path / "toy" / "config.json").read_text())["class"] == "Toy"
    loaded = Toy.load(tmp_path / "toy", rna())
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.get_latent_representation(), written)


def test_it_has_a_config_of_its_own():
    assert Toy(rna(), ToyConfig(n_latent=7)).get_latent_representation().shape == (72, 7)
    assert Toy(rna()).config == ToyConfig()


def test_it_maps_queries_by_name():
    model = Toy(rna())
    shuffled = rna()[:, ::-1].copy()
    np.testing.assert_allclose(model.get_latent_representation(shuffled), model.get_latent_representation(), atol=1e-5)


def test_it_resumes(tmp_path):
    part = Toy(rna())
    part.train(4, checkpoint_dir=tmp_path, max_steps=6, **QUIET)
    resumed = Toy(rna())
    resumed.train(4, resume_from=tmp_path / "last.ckpt", **QUIET)
    assert len(resumed.history["train_loss"]) == 4
    assert not np.allclose(part.get_latent_representation(), resumed.get_latent_representation())


def test_it_takes_a_mudata_too():
    mdata = multiome()
    Toy.setup_mudata(mdata, modalities=["rna"], batch_key="batch")
    model = Toy(mdata)
    model.train(1, **QUIET)
    assert mdata.obsm["X_toy"].shape == (72, 4)


def test_a_family_that_leaves_something_out_cannot_be_made():
    class Half(OmicsModel):
        embedding_key: ClassVar[str] = "X_half"
        config_class: ClassVar[type] = ToyConfig

    with pytest.raises(TypeError, match="abstract"):
        Half(rna())
