"""What a GPU run trains with (bfloat16, a fused optimiser, clipping), on the CPU, held against float32."""

import warnings

import numpy as np
import pytest
import torch

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, ScMBERT, Survival, SurvivalConfig
from omicsmlm._draws import Draws
from omicsmlm.data import observation_loader
from omicsmlm.training import on_device
from tests.objects import QUIET, multiome, rna
from tests.test_contract import FAMILIES, Family, every_family, every_family_trained, new

HALF = {**QUIET, "precision": "bf16-mixed"}
"""A GPU run's settings."""
LOSS, EMBEDDING = 0.02, 0.08
"""How far bfloat16 may be from float32 after three epochs: of the loss, and of the spread of the embedding (.006 and .04 were
measured at most)."""


def distance(found_nd: np.ndarray, wanted_nd: np.ndarray) -> float:
    """Size of a difference in units of the spread of what is wanted."""
    return float(np.linalg.norm(found_nd - wanted_nd) / np.linalg.norm(wanted_nd - wanted_nd.mean(0)))


@every_family_trained
def test_every_family_trains_with_the_settings_of_a_gpu_run(family: Family):
    full, half = new(family), new(family)
    before_nd = half.get_latent_representation()
    full.train(3, **QUIET)
    half.train(3, **HALF)
    for name in ("train_loss", "validation_loss"):
        losses = [model.history[name].to_numpy(float).ravel() for model in (half, full)]
        np.testing.assert_allclose(*losses, rtol=LOSS)
    found_nd, wanted_nd = half.get_latent_representation(), full.get_latent_representation()
    assert found_nd.dtype == np.float32
    assert distance(found_nd, wanted_nd) < min(EMBEDDING, distance(before_nd, wanted_nd) / 5)
    assert all(weight.dtype == torch.float32 for weight in half.module.parameters())


@pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
def test_a_classifier_is_tuned_with_the_settings_of_a_gpu_run(tuning: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("omicsmlm.models.classifier._linear_model.REGULARISATIONS", (1.0, 0.1, 0.01))
    shares = []
    for settings in (QUIET, HALF):
        model = new(FAMILIES["OmicsMLM, RNA"])
        made = Classifier.from_model(model, "type", config=ClassifierConfig(tuning=tuning))
        made.train(2, **settings)
        shares.append(made.predict(soft=True).to_numpy())
    np.testing.assert_allclose(*shares, atol=0.05)


@pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
def test_a_survival_model_is_trained_with_the_settings_of_a_gpu_run(tuning: str):
    risks, data = [], rna()
    rng = np.random.default_rng(0)
    data.obs["time"], data.obs["event"] = rng.exponential(5, data.n_obs), rng.random(data.n_obs) < 0.6
    for settings in (QUIET, HALF):
        config = SurvivalConfig(tuning=tuning, n_networks=2)
        made = Survival.from_model(new(FAMILIES["OmicsMLM, RNA"], data.copy()), "time", "event", config=config)
        made.train(2, **settings)
        risks.append(made.predict_parts()["network"].to_numpy())  # noise: no omics may be in the combined risk
    assert np.corrcoef(*risks)[0, 1] > 0.99
    assert np.isfinite(risks[1]).all()


@pytest.mark.parametrize("name", ["OmicsMLM, several", "ScMBERT, several"])
def test_a_query_is_mapped_with_the_settings_of_a_gpu_run(name: str):
    reference, query = new(FAMILIES[name]), multiome(seed=1)
    assert isinstance(reference, OmicsMLM | ScMBERT)
    reference.train(1, **QUIET)
    query.obs["batch"] = "new"
    found = []
    for settings in (QUIET, HALF):
        model = type(reference).load_query_data(query.copy(), reference)
        model.train(2, **settings)
        found.append(model.get_latent_representation())
    assert distance(found[1], found[0]) < EMBEDDING


@every_family
def test_nothing_overflows_in_float16(family: Family):
    """With a gradient scaler, losses may be large but must be finite; of the modules, nothing may be beyond 65,504."""
    model = new(family)
    batch = next(iter(observation_loader(model.adata_manager, np.arange(24), 24)))
    batch = batch._replace(draws=Draws(0, batch.indices))
    model.module.train()
    for part in model.module.modules():  # dropout alone is drawn anew in each pass
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    with torch.no_grad():
        views = model.parts.tokenizer(batch)
        masked = model.parts.masking(views, batch.draws)
        losses = []
        for is_half in (False, True):
            with torch.autocast("cpu", torch.float16, enabled=is_half):
                terms = model.parts.objective(model.module(masked.inputs, batch), masked, batch, 0.5)
            assert all(term.dtype == torch.float32 for term in terms.values())
            losses.append(torch.stack(list(terms.values())))
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0.05)


@pytest.mark.gpu
@every_family
def test_on_a_gpu_every_family_trains_and_embeds_as_on_a_cpu(family: Family):
    model = new(family)
    before_nd = model.get_latent_representation()
    model.train(3, **{**QUIET, "accelerator": "gpu"})
    assert model.device.type == "cpu", "as Lightning leaves it"
    here_nd = model.get_latent_representation()
    assert np.isfinite(here_nd).all()
    assert distance(here_nd, before_nd) > 1e-3, "it trains"
    model.to_device("cuda")
    assert distance(model.get_latent_representation(), here_nd) < 1e-2, "TF32 and the order of sums"


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "n_waits"), [("OmicsMLM, several", 0), ("ScMBERT, several", 1), ("MOJO", 0), ("TxFM", 0), ("IsoFormer", 1)]
)
def test_on_a_gpu_the_host_hardly_waits_in_a_step(name: str, n_waits: int):
    model = new(FAMILIES[name])
    model.module.train()
    model.to_device("cuda")
    parts, batch = model.parts, next(iter(observation_loader(model.adata_manager, np.arange(24), 24)))
    batch = on_device(batch, torch.device("cuda"))
    batch = batch._replace(draws=Draws(0, batch.indices))
    for _ in range(2):  # the first step compiles and allocates
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                with torch.autocast("cuda", torch.bfloat16):
                    masked = parts.masking(parts.tokenizer(batch), batch.draws)
                    terms = parts.objective(model.module(masked.inputs, batch), masked, batch, 0.5)
                torch.stack(list(terms.values())).sum().backward()
            finally:
                torch.cuda.set_sync_debug_mode("default")
    found = [str(line.message) for line in caught if "called a synchronizing" in str(line.message)]
    assert len(found) <= n_waits, found
