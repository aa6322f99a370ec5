import warnings

import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM
from omicsmlm.models.classifier import _linear_ensemble
from omicsmlm.models.classifier._linear_ensemble import (
    INVERSE_REGULARISATIONS,
    SubsetData,
    _add_residual,
    _chosen_regularisation,
    _LinearModel,
    _RotatedData,
    fit_linear_ensemble,
    fit_residual,
)
from omicsmlm.models.classifier._linear_model import LabelData
from omicsmlm.models.classifier._modality_subsets import subset_embeddings, subset_features
from omicsmlm.models.heads._features import ObservationFeatures
from omicsmlm.nn import CANDIDATES, ComponentLogits, SubsetLogits
from tests.models.survival.test_model import cohort
from tests.objects import SMALL, multiome, rna
from tests.test_bad_input import refused

pytestmark = pytest.mark.usefixtures("whole_grid")


def shown(rng, n=120, spread=1.0):
    """Rows with two modalities of four and three features, each as both, first alone and second alone."""
    label_n = np.arange(n) % 3
    x_ng = rng.normal(size=(n, 7)).astype(np.float32)
    x_ng[:, 0] += spread * label_n
    x_ng[:, 5] -= spread * label_n
    first, second = x_ng * ([1] * 4 + [0] * 3), x_ng * ([0] * 4 + [1] * 3)
    subset_n, fold_n = np.repeat([3, 1, 2], n), np.tile(rng.integers(0, 4, n), 3)
    z_nd = rng.normal(size=(3 * n, 2))
    x_ng = np.concatenate([x_ng, first, second]).astype(np.float32)
    return SubsetData(x_ng, subset_n, z_nd, np.tile(label_n, 3), fold_n)


def test_the_residual_is_the_minimum(rng):
    offset_nc, z_nd, label_n = rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), rng.integers(0, 3, 50)

    def loss(flat):
        weight = flat.reshape(3, 3)
        logits = offset_nc + z_nd @ weight[:, :2].T + weight[:, 2]
        return -special.log_softmax(logits, axis=1)[np.arange(50), label_n].mean() + 0.1 * (flat**2).sum()

    slow = optimize.minimize(loss, np.zeros(9), method="BFGS").x.reshape(3, 3)
    found = fit_residual(offset_nc, z_nd, label_n, 0.2)
    np.testing.assert_allclose(np.column_stack([found.weight_cd, found.bias_c]), slow, atol=1e-3)
    much = fit_residual(offset_nc, z_nd, label_n, 1e6)
    assert abs(much.weight_cd).max() + abs(much.bias_c).max() < 1e-4, "without evidence nothing is added"


def test_a_model_is_logistic_regression_on_the_features(rng):
    rows = shown(rng)
    for of_n in (np.ones(360, dtype=bool), rows.subset_n == 1):
        model = _LinearModel.of(rows, of_n, 3)
        x, y = rows.x_ng[of_n].astype(float), rows.label_n[of_n]
        plain = LogisticRegression(C=1 / (model.regularisation * len(y)), max_iter=5000, tol=1e-8).fit(x, y)
        weight_cg, bias_c = model.in_features()
        np.testing.assert_allclose(x @ weight_cg.numpy().T + bias_c.numpy(), plain.decision_function(x), atol=0.02)


def test_held_out_logits_know_neither_their_own_label_nor_through_others(rng):
    rows = shown(rng, spread=0.0)
    out_n = rows.fold_n == 2
    other = rows._replace(label_n=np.where(out_n, (rows.label_n + 1) % 3, rows.label_n))
    models = [_LinearModel.of(part, np.ones(360, dtype=bool), 3)._replace(regularisation=0.1) for part in (rows, other)]
    inner = [model.without_two(2, 3) for model in models]
    np.testing.assert_allclose(inner[0][~out_n], inner[1][~out_n], atol=1e-2)
    assert np.abs(inner[0][out_n]).max() == 0
    own_n = rows.fold_n == 1
    other = rows._replace(label_n=np.where(own_n, (rows.label_n + 1) % 3, rows.label_n))
    model = _LinearModel.of(other, np.ones(360, dtype=bool), 3)._replace(regularisation=0.1)
    np.testing.assert_allclose(model.without_two(2, 3)[own_n], inner[0][own_n], atol=1e-2)


@pytest.mark.parametrize(("n", "rank"), [(5, 5), (7, 7), (9, 7), (5, 3), (9, 3)])
def test_in_the_space_that_observations_span_they_are_the_same(rng, n, rank):
    """Of fewer observations than features, as many, and more; also where some are sums of others."""
    x_ng, zeros_n = rng.normal(size=(n, 7)).astype(np.float32), np.zeros(n, dtype=np.int64)
    if rank == 3:
        x_ng = np.round(x_ng[np.arange(n) % 3] * 64) / 64 * 2.0 ** (np.arange(n) // 3)[:, None].astype(np.float32)
    data = SubsetData(x_ng, zeros_n, np.zeros((n, 1)), zeros_n, zeros_n)
    direction_gk, rotated = _RotatedData.of(data, np.ones(n, dtype=bool))
    np.testing.assert_allclose(rotated.z_nd @ direction_gk.T, x_ng, atol=1e-5)
    np.testing.assert_allclose(direction_gk.T @ direction_gk, np.eye(rank), atol=1e-5)


def test_held_out_residuals_do_not_know_their_own_labels_through_the_shared_model(rng, monkeypatch):
    """Other labels in a fold change what a model with that fold says of the others, and nothing that is held out in it."""
    monkeypatch.setattr(_linear_ensemble, "RESIDUAL_REGULARISATIONS", (0.3,))  # so that none is chosen, by all labels
    data = shown(rng, spread=0.5)
    out_n = data.fold_n == 2
    other = data._replace(label_n=np.where(out_n, (data.label_n + 1) % 3, data.label_n))
    everything, found = np.ones(360, dtype=bool), []
    for part in (data, other):
        shared = _LinearModel.of(part, everything, 3)._replace(regularisation=0.01)
        held_nc = _add_residual(SubsetLogits(2, 3, 3, 7, 2), part, shared, np.ones(360))
        found.append((held_nc[out_n], shared.held_out_nc[out_n], shared.held_out_nc[~out_n]))
    (first, shared_first, others_first), (second, shared_second, others_second) = found
    assert np.abs(others_first - others_second).max() > 0.5, "the other folds' logits know this fold"
    np.testing.assert_allclose(first - shared_first, second - shared_second, atol=2e-3)
    assert np.abs(first - shared_first).max() > 0.02, "something is added"


def test_what_helps_is_chosen_view_by_view(rng):
    rows = shown(rng, n=240)
    told = np.eye(3)[rows.label_n][:, :2] * 4
    helped = rows._replace(z_nd=np.where((rows.subset_n == 2)[:, None], told, rows.z_nd))
    table = fit_linear_ensemble(helped, 2, 3).table
    chosen = table[table["chosen"]].set_index("subset")["candidate"]
    assert chosen[2] == "residual", "there the embedding tells the label"
    plain = fit_linear_ensemble(rows, 2, 3)
    table = plain.table.set_index(["subset", "candidate"])
    assert table.loc[(3, "modality dropout"), "accuracy"] > table.loc[(1, "modality dropout"), "accuracy"] - 0.02
    for subset in (1, 2, 3):
        losses = table.loc[subset]
        assert losses["chosen"].sum() == 1
        assert losses.index[losses["chosen"]][0] in ("specialist", losses["loss"].idxmin())
        right = plain.held_out_nc[rows.subset_n == subset].argmax(1) == rows.label_n[rows.subset_n == subset]
        assert right.mean() == pytest.approx(losses.loc[losses["chosen"], "accuracy"].iloc[0])


# ---- within the classifier ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """A model of rows with methylation and values of genes; tests must not change it."""
    return OmicsMLM(cohort(), SMALL)


@pytest.fixture(scope="module")
def classifier(model):
    """A classifier of it; tests must not change it."""
    made = Classifier.from_model(model, "type")
    made.train()
    return made


def test_bulk_values_with_few_labels_get_linear_models_and_counts_regressions_on_components(model, classifier):
    assert classifier.linear_models is not None
    assert set(classifier.candidates.index.get_level_values("view")) == {"meth", "rna", "rna + meth"}
    of_counts = Classifier.from_model(OmicsMLM(rna(60), SMALL), "type")
    of_counts.train()
    assert isinstance(of_counts.linear_models, ComponentLogits)
    alone = Classifier.from_model(of_counts.model, "type", config=ClassifierConfig(component_models=False))
    alone.train()
    assert alone.linear_models is None
    without = Classifier.from_model(model, "type", config=ClassifierConfig(linear_models=False))
    without.train()
    assert without.linear_models is None
    config = ClassifierConfig()
    assert config.has_linear_models(["real", "fraction"], 1999)
    assert not config.has_linear_models(["real"], 2000)
    assert not config.has_linear_models(["real", "protein"], 100)
    assert not ClassifierConfig(tuning="full").has_linear_models(["real"], 100)


def test_rows_that_were_not_learned_from_are_labelled_whatever_they_lack(classifier):
    others = cohort(first=300)
    truth = others.obs["type"].astype(str)
    for part in (others, *(MuData({name: others[name].copy()}) for name in others.mod)):
        soft = classifier.predict(part, soft=True)
        assert soft.index.equals(part.obs_names)
        np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
        assert (soft.idxmax(axis=1) == truth[part.obs_names]).mean() > 0.8
    assert classifier.evaluate(others, "type")["accuracy"] > 0.85


def test_what_was_chosen_answers(classifier):
    others = cohort(first=300)
    soft, each = classifier.predict(others, soft=True), classifier.predict_candidates(others)
    assert tuple(each) == CANDIDATES
    chosen = classifier.candidates.index[classifier.candidates["chosen"]]
    assert len(chosen) == 3
    has = pd.DataFrame({name: others.obs_names.isin(others[name].obs_names) for name in others.mod})
    view = has.apply(lambda row: " + ".join(has.columns[row]), axis=1).to_numpy()
    for name, candidate in chosen:
        rows = view == name
        pd.testing.assert_frame_equal(soft[rows], each[candidate][rows], atol=1e-6)


def test_rows_and_batch_sizes_do_not_matter(classifier):
    whole = classifier.predict(soft=True)
    pd.testing.assert_frame_equal(classifier.predict(soft=True, batch_size=7), whole, atol=1e-5)
    pd.testing.assert_frame_equal(classifier.predict(soft=True, indices=[9, 2]), whole.iloc[[9, 2]], atol=1e-5)


def test_features_are_in_the_order_of_the_embeddings(model):
    rows = np.arange(model.adata.n_obs)
    features = ObservationFeatures.of(model, rows)
    x_ng, subset_n = subset_features(features, model, rows)
    z_nd, position_n = subset_embeddings(model, rows)
    assert len(x_ng) == len(subset_n) == len(z_nd)
    for m, (name, span) in enumerate(features.spans.items()):
        has_n = (subset_n >> m & 1).astype(bool)
        assert not x_ng[~has_n][:, span].any()
        assert x_ng[has_n][:, span].any(axis=1).all()
        alone = MuData({name: model.adata[name].copy()})
        picked = subset_n == 1 << m
        names = model.adata.obs_names[position_n[picked]]
        z_alone = model.get_latent_representation(alone)[alone.obs_names.get_indexer(names)]
        np.testing.assert_allclose(z_nd[picked], z_alone, atol=1e-4)


def test_save_and_load(classifier, model, tmp_path):
    classifier.save(tmp_path / "labels")
    assert {file.suffix for file in (tmp_path / "labels").rglob("*") if file.is_file()} == {".json", ".safetensors"}
    others = cohort(first=300)
    for loaded in (Classifier.load(tmp_path / "labels"), Classifier.load(tmp_path / "labels", model.adata)):
        pd.testing.assert_frame_equal(loaded.predict(others, soft=True), classifier.predict(others, soft=True))
        pd.testing.assert_frame_equal(loaded.candidates, classifier.candidates)
        assert loaded.evaluate() == classifier.evaluate()


def test_counts_can_have_linear_models_too():
    made = Classifier.from_model(OmicsMLM(multiome(96), SMALL), "type", config=ClassifierConfig(linear_models=True))
    made.train()
    assert made.evaluate()["accuracy"] > 0.7


def test_wrong_use(model):
    with refused('linear_models: expected None or False unless tuning is "frozen", got True'):
        ClassifierConfig(linear_models=True, tuning="full")
    without = Classifier.from_model(model, "type", config=ClassifierConfig(linear_models=False))
    without.train()
    with refused("predict_candidates: expected a classifier with linear models, got one without; make it with Clas"):
        without.predict_candidates()


def test_the_grids_and_what_evidence_is_asked_for():
    expected = [1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2, 10**-1.5, 0.1, 10**-0.5, 1, 10**0.5, 10]
    assert pytest.approx(expected) == _linear_ensemble.INVERSE_REGULARISATIONS
    assert _linear_ensemble.RESIDUAL_REGULARISATIONS == (30.0, 10.0, 3.0, 1.0, 0.3)
    assert (_linear_ensemble.FEWEST_OBSERVATIONS, _linear_ensemble.STANDARD_ERRORS) == (20, 2.0)
    assert _linear_ensemble.LEAST_EIGENVALUE == 1e-9


@pytest.mark.parametrize(
    ("gain", "best"),
    [
        ([0.5, 0.5, 0.5, 0.5], 1),  # beyond any doubt
        ([1.0, -0.9, 1.0, -0.9], 0),  # within the error
        ([-0.5] * 4, 0),  # worse
        ([0.0] * 4, 0),  # as good: the plainest model
        ([3.0, 1.0, 3.0, 1.0], 1),  # mean 2, two standard errors 1.15
        ([3.0, -1.0, 3.0, -1.0], 0),  # mean 1, two standard errors 2.3
    ],
)
def test_a_candidate_beats_the_plainest_by_two_standard_errors(gain, best):
    first = np.array([4.0, 5.0, 6.0, 7.0])
    assert _linear_ensemble._better(np.stack([first, first - gain])) == best
    assert _linear_ensemble._better(np.stack([first, first + 9, first - gain])) == 2 * best


def test_losses_are_of_calibrated_probabilities_with_noise():
    """A label that the model did not know has the probability of noise alone."""
    rng = np.random.default_rng(0)
    logits_nc, label_n = rng.normal(0, 2, (300, 3)), rng.integers(0, 3, 300)
    logits_nc[0, label_n[0]] = -np.inf
    found = _linear_ensemble.calibrate(logits_nc, label_n)
    loss_n = _linear_ensemble._losses(logits_nc, label_n)
    p_nc = np.exp(np.maximum(logits_nc, -1e4) / found.temperature)
    p_n = (p_nc / p_nc.sum(1, keepdims=True))[np.arange(300), label_n]
    np.testing.assert_allclose(loss_n, -np.log((1 - found.noise) * p_n + found.noise / 3 + 1e-12), rtol=1e-6)
    assert loss_n[0] == pytest.approx(-np.log(found.noise / 3 + 1e-12))


def test_without_an_observation_of_a_known_label_the_strongest_regularisation_is_chosen(rng):
    """As where each batch, held out whole, has a label of its own."""
    label_n = np.arange(40) % 4
    data = LabelData(rng.normal(size=(40, 3)), label_n, label_n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _chosen_regularisation(data, 4) == 1 / 40 / INVERSE_REGULARISATIONS[0]
