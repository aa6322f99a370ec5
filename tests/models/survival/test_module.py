from dataclasses import replace

import numpy as np
import pytest
import torch

from omicsmlm import OmicsMLM, SurvivalConfig
from omicsmlm._cox import Times
from omicsmlm.models.heads import TrainerSettings
from omicsmlm.models.survival._module import (
    Clinical,
    RiskNetwork,
    RiskTraining,
    TrainingData,
    _objective,
    new_network,
    train_network,
    training_risk,
)
from omicsmlm.nn import RiskHead
from omicsmlm.objectives import CoxObjective, DiscreteHazards
from tests.objects import SMALL, rna

CONFIG = SurvivalConfig(n_networks=1, n_steps=6, tuning="full")
SETTINGS = TrainerSettings(None, 16, "cpu", "auto", False, {})
N, G = 48, 5
INDICES = np.arange(4, 44)


@pytest.fixture(scope="module")
def model():
    """A model of cells; tests must not change it."""
    return OmicsMLM(rna(N), SMALL)


@pytest.fixture(scope="module")
def known():
    """What is known of the cells: two strata, one covariate, and features of those at ``INDICES``."""
    rng = np.random.default_rng(0)
    stratum_n = torch.from_numpy(rng.integers(0, 2, N))
    clinical = Clinical(stratum_n, torch.from_numpy(rng.normal(size=(N, 1)).astype(np.float32)))
    return TrainingData.of(clinical, rng.normal(size=(len(INDICES), G)).astype(np.float32), INDICES)


@pytest.fixture(scope="module")
def times(known):
    """Times whose hazard grows with the first feature."""
    rng = np.random.default_rng(1)
    x_n = np.zeros(N)
    x_n[INDICES] = known.x_ng[:, 0]
    return Times(rng.exponential(np.exp(-2 * x_n)), rng.random(N) < 0.8, known.clinical.stratum_n.numpy())


def made(model, known, config=CONFIG):
    torch.manual_seed(0)
    own, network = new_network(model, G, 1, 2, config)
    return own, RiskTraining(network, known)


def test_training_data_are_found_by_position(known):
    clinical, x_ng = known.at(torch.tensor([43, 4, 10]))
    torch.testing.assert_close(x_ng, known.x_ng[[39, 0, 6]])
    torch.testing.assert_close(clinical.stratum_n, known.clinical.stratum_n[[43, 4, 10]])
    torch.testing.assert_close(clinical.covariate_nk, known.clinical.covariate_nk[[43, 4, 10]])
    assert known.to(torch.device("cpu")) is known
    moved = known.to(torch.device("meta"))
    assert {part.device.type for part in (*moved.clinical, moved.x_ng, moved.position_n)} == {"meta"}
    picked = known.clinical.of(torch.tensor([3, 1]))
    torch.testing.assert_close(picked.covariate_nk, known.clinical.covariate_nk[[3, 1]])


def test_risks_are_the_head_of_embedding_strata_covariates_and_features(model, known):
    own, training = made(model, known)
    batch = own.adata_manager.create_torch_dataset()[INDICES[:6]]
    views = own.parts.tokenizer(batch)
    clinical, x_ng = known.at(batch.indices)
    network = training.network
    torch.nn.init.normal_(network.head.wide.weight)
    training.eval()
    with torch.no_grad():
        z_nd = own.embed_batch(batch)
        expected = network.head(z_nd, clinical.stratum_n, clinical.covariate_nk, x_ng)
        torch.testing.assert_close(network(views, batch, clinical, x_ng), expected)
        torch.testing.assert_close(training(views, batch), expected)
        torch.testing.assert_close(network.log_risk(views, batch, clinical, x_ng), expected[:, 0])
        torch.testing.assert_close(training.embed(views, batch).mean, z_nd)
        torch.testing.assert_close(training.encode(views).mean, model.module.encode(views).mean)
        risk_n = training_risk(own, training, INDICES[:6])
    np.testing.assert_allclose(risk_n, expected[:, 0], atol=1e-5)
    assert training.n_latent == network.n_latent == model.module.n_latent


def test_a_new_network_has_as_many_outputs_as_the_likelihood_needs(model):
    assert new_network(model, G, 1, 2, CONFIG)[1].head.deep[-1].out_features == 1
    discrete = replace(CONFIG, likelihood="discrete", n_intervals=7)
    own, network = new_network(model, G, 1, 2, discrete)
    assert network.head.deep[-1].out_features == 7
    assert network.encoder is own.module is not model.module
    assert isinstance(network, RiskNetwork)
    assert network.head.wide.in_features == G
    assert network.head.strata.num_embeddings == 3
    assert isinstance(network.head, RiskHead)
    assert not network.training


def test_training_lowers_the_loss_and_orders_the_risks(model, known, times):
    own, training = made(model, known)
    config = replace(CONFIG, n_steps=60, learning_rate=1e-2, mask_rates=(0.0, 0.0))
    losses = train_network(own, training, INDICES, times, config, SETTINGS)
    assert len(losses["train_loss"]) == 20, "60 steps, of which 40 observations in batches of 16 make three an epoch"
    assert losses["train_loss"][-1] < losses["train_loss"][0]
    risk_n = training_risk(own, training, INDICES)
    assert np.corrcoef(risk_n, known.x_ng[:, 0])[0, 1] > 0.5
    with torch.no_grad():
        z_nd = torch.from_numpy(model.get_latent_representation(indices=INDICES))
    torch.testing.assert_close(training.network.head.centre_d, z_nd.mean(0), atol=1e-4, rtol=1e-4)
    assert all(w.requires_grad for w in training.parameters())


def test_epochs_are_those_of_the_user_or_of_the_steps(model, known, times):
    for max_epochs, n_steps, n in ((None, 6, 2), (None, 1, 1), (3, 100, 3)):
        own, training = made(model, known)
        settings = replace(SETTINGS, max_epochs=max_epochs)
        losses = train_network(own, training, INDICES, times, replace(CONFIG, n_steps=n_steps), settings)
        assert len(losses["train_loss"]) == n


def test_the_seed_decides_and_a_frozen_encoder_stays(model, known, times):
    found = {}
    for name, config in {
        "first": CONFIG,
        "again": CONFIG,
        "other": replace(CONFIG, seed=1),
        "frozen": replace(CONFIG, tuning="frozen"),
    }.items():
        own, training = made(model, known)
        train_network(own, training, INDICES, times, config, SETTINGS)
        found[name] = {key: value.clone() for key, value in training.state_dict().items()}
    same = [all(torch.equal(found["first"][key], found[name][key]) for key in found["first"]) for name in found]
    assert same == [True, True, False, False]
    for key, value in model.module.state_dict().items():
        torch.testing.assert_close(found["frozen"][f"network.encoder.{key}"], value)


@pytest.mark.parametrize("changes", [{}, {"likelihood": "discrete", "n_intervals": 4}, {"agreement_form": "infonce"}])
def test_views_that_agree_are_one_more_term(model, known, times, changes):
    config = replace(CONFIG, agreement=2.0, **changes)
    own, training = made(model, known, config)
    losses = train_network(own, training, INDICES, times, config, SETTINGS)
    name = "hazards" if config.likelihood == "discrete" else "cox"
    assert losses["train_agreement"][0] > 0
    assert losses["train_loss"][0] == pytest.approx(losses[f"train_{name}"][0] + losses["train_agreement"][0], rel=1e-3)


def test_the_head_may_have_more_layers(model):
    head = new_network(model, G, 1, 2, replace(CONFIG, hidden_widths=(512, 256)))[1].head
    assert [layer.out_features for layer in head.deep if isinstance(layer, torch.nn.Linear)] == [512, 256, 1]


def test_the_objective_is_that_of_the_likelihood():
    time_n = np.arange(1.0, 13.0)
    times = Times(time_n, np.array([True] * 8 + [False] * 4), np.arange(12) % 2)
    cox = _objective(times, np.arange(12), CONFIG)
    assert isinstance(cox, CoxObjective)
    discrete = _objective(times, np.arange(12), replace(CONFIG, likelihood="discrete", n_intervals=4))
    assert isinstance(discrete, DiscreteHazards)
    ends = np.quantile(np.arange(1.0, 9.0), [0.25, 0.5, 0.75])  # with as many events in each
    intervals = [sum(end < t for end in ends) for t in time_n]
    held = next(value for value in vars(discrete).values() if torch.is_tensor(value) and value.dtype == torch.int64)
    assert held.tolist() == intervals
    few = _objective(times, np.arange(4), replace(CONFIG, likelihood="discrete", n_intervals=2))
    held = next(value for value in vars(few).values() if torch.is_tensor(value) and value.dtype == torch.int64)
    assert held.tolist() == [0, 0, *[1] * 10], "by the events of the training observations alone"
