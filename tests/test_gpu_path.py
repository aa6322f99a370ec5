"""What happens on a GPU, without one: no two devices meet, and the host hardly ever waits (``tests/cuda_stand_in.py``).

The values are computed, too: what a step does differently on a device, it must do with the same result.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, ScMBERT, Survival, SurvivalConfig
from omicsmlm._types import Batch, Parts
from omicsmlm.data import observation_loader
from omicsmlm.models import OmicsModel
from omicsmlm.models.isoformer._residue_module import ResidueModule
from omicsmlm.objectives import ResidueCrossEntropy
from omicsmlm.training._memory_bank import BankContent, MemoryBank
from omicsmlm.training._optimisation import Optimisation
from omicsmlm.training._plan import Loaders, MaskedPlan
from tests.cuda_stand_in import CUDA, Ledger, OnCuda, move, noted, on_cuda, pretend
from tests.objects import QUIET, multiome, rna
from tests.test_contract import FAMILIES, Family, every_family_trained, new

WAITS = {"OmicsMLM": 0, "ScMBERT": 1, "MOJO": 0, "TxFM": 0, "IsoFormer": 1, "Toy": 0}
"""Times in a step that the host may wait. ScMBERT: for the number of tokens that are left of each row. IsoFormer: for the lengths
and the digests of sequences, and for the rows that have them."""


@pytest.fixture(autouse=True)
def card(monkeypatch):
    """A card of today, as far as the code can ask."""
    pretend(monkeypatch)


class Trained:
    """Parts of a model and a batch, on a device or not, with the plan that trains them."""

    def __init__(self, parts: Parts, batch: Batch, *, is_there: bool) -> None:
        self.parts, self.is_there = copy.deepcopy(parts), is_there
        self.batch = on_cuda(batch) if is_there else batch
        if is_there:
            for part in (self.parts.module, self.parts.tokenizer, self.parts.masking):
                if isinstance(part, nn.Module):
                    move(part)
        self.plan = MaskedPlan(self.parts, Optimisation(), 0, Loaders(None), 10, 50.0)  # type: ignore[arg-type]
        self.plan._trainer = SimpleNamespace(global_step=3, global_rank=0, precision="bf16-mixed")  # type: ignore[assignment]
        self.plan._device = CUDA if is_there else torch.device("cpu")
        self.plan._divided = {"train": 1, "validation": 1}
        skipped = torch.zeros((), dtype=torch.int64)
        self.plan._skipped = on_cuda(skipped) if is_there else skipped
        self.ledger = Ledger()
        self.parts.module.train()
        self.optimizer = self.plan.configure_optimizers()["optimizer"]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run something on the device, and note in ``ledger`` what the host waits for."""
        if not self.is_there:
            yield
            return
        with noted() as self.ledger:
            yield

    def refresh(self, *, is_whole: bool) -> None:
        """Find the targets of the alignment losses, from the batch."""
        assert self.parts.memory is not None
        self.parts.module.eval()
        with self.running(), torch.no_grad():
            mean_nd = self.parts.module.embed(self.parts.tokenizer(self.batch), self.batch).mean
            self.plan.bank = MemoryBank(self.parts.memory, is_whole)
            self.plan.bank.keep_network(self.parts.module)
            self.plan._fill_bank(BankContent(3, mean_nd, self.batch.covariates, self.batch.indices))
        self.parts.module.train()

    def step(self, *, is_half: bool = False) -> torch.Tensor:
        """Do all that a training step does, and give the loss."""
        with self.running():
            self.optimizer.zero_grad()
            with torch.autocast("cuda" if self.is_there else "cpu", torch.bfloat16, enabled=is_half):
                loss = self.plan.training_step(self.batch, 0)
            loss.backward()
            self.plan.configure_gradient_clipping(self.optimizer)
            self.optimizer.step()
        return loss

    def validate(self) -> None:
        """Do what a validation step does."""
        self.parts.module.eval()
        with self.running(), torch.no_grad():
            self.plan.validation_step(self.batch, 0)
        self.parts.module.train()

    def embed(self) -> torch.Tensor:
        """Embed the batch."""
        self.parts.module.eval()
        with self.running(), torch.no_grad():
            return self.parts.module.embed(self.parts.tokenizer(self.batch), self.batch).mean

    def weights(self) -> torch.Tensor:
        """All weights that are trained, one after the other, on the CPU."""
        found = [p.detach() for p in self.parts.module.parameters() if p.requires_grad]
        return torch.cat([(p.value if isinstance(p, OnCuda) else p).flatten().float() for p in found])


def first_batch(model: OmicsModel, n: int = 24) -> Batch:
    """Rows of a model's object as they leave the loader."""
    assert model.adata is not None
    return next(iter(observation_loader(model.adata_manager, np.arange(min(n, model.adata.n_obs)), n)))


def read(tensor: torch.Tensor) -> torch.Tensor:
    """Give the values."""
    return tensor.value if isinstance(tensor, OnCuda) else tensor


@every_family_trained
def test_the_host_hardly_waits_in_a_step_and_no_two_devices_meet(family: Family):
    there = Trained(new(family).parts, first_batch(new(family)), is_there=True)
    for what in (lambda: there.step(is_half=True), there.step, there.validate):
        what()
        found = there.ledger.waits
        assert len(found) <= WAITS[family.model.__name__], found
        assert not there.ledger.doubles, "some devices, Apple's, have none"
    assert isinstance(there.embed(), OnCuda)
    assert not there.ledger.doubles


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("ScMBERT, several", {"max_tokens": 20}),
    ("ScMBERT, several", {"identity_visible": True, "drop_rates": (0.0, 0.0)}),
    ("TxFM", {"visible_genes": "frequency", "gene_start": "random", "stochastic_depth": 0.2}),
    ("TxFM", {"embedded": "all"}),
    ("MOJO", {"consistency": 0.5}),
    ("ScMBERT, several", {"exact_tokens": 1, "n_latents": 4}),
    ("IsoFormer", {"fusion": "perceiver"}),
    ("IsoFormer", {"encoders": {"dna": {"max_length": 40}, "protein": {"max_length": 20, "keep": "end"}}}),
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_variants_give_on_a_device_what_they_give_on_the_cpu(name: str, changes: dict[str, Any]):
    check_alike(new(FAMILIES[name], **changes))


@every_family_trained
def test_a_step_gives_on_a_device_what_it_gives_on_the_cpu(family: Family):
    check_alike(new(family))


def check_alike(model: OmicsModel) -> None:
    pair = [Trained(model.parts, first_batch(model), is_there=is_there) for is_there in (False, True)]
    torch.testing.assert_close(read(pair[1].embed()), pair[0].embed(), rtol=1e-4, atol=1e-5)
    first = pair[0].weights()
    losses = [[float(read(part.step().detach())) for _ in range(2)] for part in pair]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    moved = [part.weights() - first for part in pair]
    assert float((moved[1] - moved[0]).norm() / moved[0].norm()) < 0.05, "AdamW leads rounding at zero to whole steps"
    assert float(moved[0].norm()) > 0
    assert len(pair[1].ledger.waits) <= WAITS[type(model).__name__], pair[1].ledger.waits


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "sample"])
@pytest.mark.parametrize("name", ["OmicsMLM, several", "ScMBERT, several"])
def test_aligning_batches_asks_no_more(name: str, is_whole: bool):
    model = new(FAMILIES[name])
    pair = [Trained(model.parts, first_batch(model, 72), is_there=is_there) for is_there in (False, True)]
    for part in pair:
        part.refresh(is_whole=is_whole)
        part.step()
    there, found = pair[1].step(), pair[1].ledger.waits
    assert len(found) <= WAITS[type(model).__name__], found
    assert not pair[1].ledger.doubles
    assert float(read(there.detach())) == pytest.approx(float(pair[0].step().detach()), rel=1e-3)
    assert pair[1].plan._noted["train"][0][-1] in ("alignment", "neighbours")


class Enough(Exception):
    """Nothing more is asked of a training."""


def parts_of_head(monkeypatch: Any, make: Callable[[], Any], place: str) -> Parts:
    """Let a head come as far as its training, and take what it would train."""
    held = []

    def fit(parts: Parts, *rest: Any, **more: Any) -> None:
        held.append(parts)
        raise Enough

    monkeypatch.setattr(f"omicsmlm.models.{place}.fit", fit)
    with pytest.raises(Enough):
        make().train(1, **QUIET)
    return held[0]


def timed(data: Any) -> Any:
    rng = np.random.default_rng(0)
    data.obs["time"], data.obs["event"] = rng.integers(1, 20, data.n_obs), rng.random(data.n_obs) < 0.6
    return data


@pytest.mark.parametrize(
    ("name", "tuning", "n_waits"),
    [
        ("OmicsMLM, RNA", "full", 0),
        ("OmicsMLM, RNA", "lora", 0),
        ("ScMBERT, RNA", "lora", 1),
        ("MOJO", "lora", 0),
        ("TxFM", "full", 3),  # for the sets of genes that rows show, the largest of them, and the number of subsets
    ],
)
def test_a_classifier_is_tuned_on_a_device(monkeypatch, name: str, tuning: str, n_waits: int):
    monkeypatch.setattr("omicsmlm.models.classifier._linear_model.REGULARISATIONS", (1.0, 0.1, 0.01))
    model = new(FAMILIES[name])
    config = ClassifierConfig(tuning=tuning)
    parts = parts_of_head(
        monkeypatch, lambda: Classifier.from_model(model, "type", config=config), "classifier._fine_tuning"
    )
    check_head(parts, first_batch(model), n_waits)


@pytest.mark.parametrize(("tuning", "likelihood"), [("frozen", "cox"), ("full", "cox"), ("lora", "discrete")])
def test_a_survival_model_is_trained_on_a_device(monkeypatch, tuning: str, likelihood: str):
    model = new(FAMILIES["OmicsMLM, RNA"], timed(rna()))
    config = SurvivalConfig(tuning=tuning, likelihood=likelihood)
    made = parts_of_head(
        monkeypatch, lambda: Survival.from_model(model, "time", "event", config=config), "survival._module"
    )
    check_head(made, first_batch(model), 0)


def check_head(parts: Parts, batch: Batch, n_waits: int) -> None:
    pair = [Trained(parts, batch, is_there=is_there) for is_there in (False, True)]
    losses = [float(read(part.step().detach())) for part in pair]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    pair[1].step(is_half=True)
    assert len(pair[1].ledger.waits) <= n_waits, pair[1].ledger.waits
    assert not pair[1].ledger.doubles


@pytest.mark.parametrize(
    "family", [FAMILIES["OmicsMLM, several"], FAMILIES["ScMBERT, several"]], ids=["OmicsMLM", "ScMBERT"]
)
def test_a_query_is_trained_on_a_device(family: Family):
    reference, query = new(family), multiome(seed=1)
    reference.train(1, **QUIET)
    query.obs["batch"] = "new"
    assert isinstance(reference, OmicsMLM | ScMBERT)
    model = type(reference).load_query_data(query, reference)
    model._prepare_training(np.arange(72))
    check_head(model.parts, first_batch(model), WAITS[type(model).__name__])


def test_letters_are_guessed_on_a_device():
    model = new(FAMILIES["IsoFormer"])
    names, module = list(model.module.encoders), model.module
    codes = {name: torch.arange(256) % 4 - 1 for name in names}
    from omicsmlm.masking import MaskResidues

    guessing = ResidueModule(module, names)
    parts = Parts(model.parts.tokenizer, MaskResidues(0.15, names), guessing, ResidueCrossEntropy(codes))
    check_head(parts, first_batch(model), 1)
