"""Regressions on components beside the embedding, and the choice among them."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score, f1_score

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM
from omicsmlm.models.classifier import _component_models
from omicsmlm.models.classifier._component_models import (
    Folds,
    _compared,
    batch_folds,
    discounts,
    fit_component_models,
    principal_directions,
)
from omicsmlm.models.classifier._head_fit import fit_head
from omicsmlm.models.classifier._linear_ensemble import SubsetData
from omicsmlm.models.classifier._linear_model import LabelData
from omicsmlm.nn import LabelHead, mean_probability
from tests.objects import SMALL, multiome

DEFAULTS = ClassifierConfig()
NAMES = ["embedding", "components, balanced", "components", "mean"]


def known(rng, by_features: bool, n=150):
    """Labels that the features or the embedding know; each observation has one modality."""
    label_n = rng.integers(0, 3, n)
    of_labels = np.eye(3)[label_n] * 4
    x_ng, z_nd = rng.normal(size=(n, 6)), rng.normal(size=(n, 4))
    (x_ng if by_features else z_nd)[:, :3] += of_labels
    fold_n = np.arange(n) % 5
    return SubsetData(x_ng.astype(np.float32), np.ones(n, dtype=np.int64), z_nd, label_n, fold_n)


def fitted(data, choice_n=None, config=DEFAULTS):
    head = LabelHead(4, 3)
    found = fit_head(head, LabelData(*data[2:]), np.arange(len(data.label_n)), config)
    scaled = data._replace(z_nd=head.scaled(torch.from_numpy(data.z_nd)).double().numpy())
    directions_gk = principal_directions(data.x_ng, {"rna": slice(0, 6)}, 0)
    folds = Folds(data.fold_n, data.fold_n if choice_n is None else choice_n)
    return head, scaled, fit_component_models(head, found, scaled, folds, directions_gk, config)


def test_directions_are_those_of_each_modality_with_components_of_one_size(rng, monkeypatch):
    monkeypatch.setattr(_component_models, "NARROW", 0)
    x_ng = rng.normal(size=(80, 9)) * np.linspace(3, 1, 9)
    x_ng[:, 8] = 0
    direction_gk = principal_directions(x_ng, {"rna": slice(0, 4), "protein": slice(4, 9)}, 0)
    assert direction_gk.shape == (9, 8), "a direction of nothing is left out"
    component_nk = (x_ng - x_ng.mean(0)) @ direction_gk
    np.testing.assert_allclose(component_nk.std(0, ddof=1), 1)
    expected_nk = PCA(4).fit_transform(x_ng[:, :4])
    np.testing.assert_allclose(np.abs(component_nk[:, :4]), np.abs(expected_nk / expected_nk.std(0, ddof=1)))
    assert not direction_gk[4:, :4].any()
    assert not direction_gk[:4, 4:].any()


def test_features_of_a_narrow_modality_are_components_themselves(rng):
    x_ng = rng.normal(size=(80, 7)) * np.linspace(3, 1, 7)
    x_ng[:, 2] = 5
    component_nk = x_ng @ principal_directions(x_ng, {"protein": slice(0, 4), "rna": slice(4, 7)}, 0)
    np.testing.assert_allclose(component_nk, (x_ng / x_ng.std(0, ddof=1).clip(1e-9))[:, [0, 1, 3, 4, 5, 6]])


def test_two_batches_are_held_out_by_turns_in_the_choice():
    fold_n = np.array([0, 1, 2, 3])
    assert batch_folds(fold_n, np.array([0, 0, 1, 1])).tolist() == [0, 0, 1, 1]
    assert batch_folds(fold_n, np.array([0, 1, 2, 2])) is fold_n
    assert batch_folds(fold_n, np.zeros(4)) is fold_n


@pytest.mark.parametrize("by_features", [True, False])
def test_what_knows_the_labels_predicts(rng, by_features):
    data = known(rng, by_features)
    head, scaled, found = fitted(data)
    assert found.table.index.tolist() == NAMES
    assert found.table["chosen"].sum() == 1
    other = "components, balanced" if by_features else "embedding"
    assert found.table["chosen"].idxmax() in (other, "components", "mean")
    assert not found.table.loc["embedding" if by_features else "components", "chosen"]
    inputs = torch.from_numpy(data.x_ng), torch.ones(150, dtype=torch.int64), torch.from_numpy(scaled.z_nd).float()
    right = (found.logits.chosen(*inputs).argmax(1).numpy() == data.label_n).mean()
    assert right > 0.9
    embedding_nc = head.linear(inputs[2]) * found.logits.sharpness_3[0]
    torch.testing.assert_close(found.logits(*inputs)[:, 0], embedding_nc)
    best = found.table["score"].max()
    assert found.table["score"].iloc[-1] <= best
    held_right = (found.held_out_nc.argmax(1) == data.label_n).mean()
    assert held_right == pytest.approx(found.table.loc[found.table["chosen"], "accuracy"].iloc[0])
    assert best > 0.85


def test_the_embedding_is_sharpened_until_held_out_observations_are_likeliest(rng):
    data = known(rng, by_features=False)
    head = LabelHead(4, 3)
    fit = fit_head(head, LabelData(*data[2:]), np.arange(150), DEFAULTS)
    directions_gk = principal_directions(data.x_ng, {"rna": slice(0, 6)}, 0)
    folds = Folds(data.fold_n, data.fold_n)
    found = fit_component_models(head, fit, data, folds, directions_gk, DEFAULTS)

    def loss(sharpness: float) -> float:
        log_p_nc = torch.from_numpy(fit.held_out.logits_nc * sharpness).log_softmax(1)
        return float(-log_p_nc[torch.arange(150), torch.from_numpy(data.label_n)].mean())

    sharpness = float(found.logits.sharpness_3[0])
    assert loss(sharpness) < min(loss(sharpness * 0.9), loss(sharpness * 1.1))


def test_a_candidate_that_fails_in_another_batch_is_not_chosen(rng):
    data = known(rng, by_features=False)
    batch_n = np.arange(150) % 2
    # in each batch a marker of its own: perfect as long as cells of the batch are known
    x_ng = rng.normal(size=(150, 6)).astype(np.float32)
    for batch in (0, 1):
        of_n = batch_n == batch
        x_ng[of_n, :3] += 6 * np.eye(3, dtype=np.float32)[(data.label_n[of_n] + batch) % 3]
        x_ng[of_n, 3 + batch] += 6
    data = data._replace(x_ng=x_ng, z_nd=data.z_nd * 0.8)
    _, _, grouped = fitted(data, batch_n)
    assert grouped.table.loc["embedding", "score"] > grouped.table.loc["components", "score"]
    assert not grouped.table.loc[["components, balanced", "components"], "chosen"].any()
    assert grouped.table.loc["components", "accuracy"] < 0.7


def test_the_score_is_the_mean_of_accuracy_and_macro_f1(rng):
    label_n, called_n = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    label_n[label_n == 3] = 0  # called, never right
    table = _compared([np.eye(4)[called_n]] * 4, label_n, 0)
    expected = accuracy_score(label_n, called_n), f1_score(label_n, called_n, average="macro", zero_division=0)
    assert table.loc["embedding", ["accuracy", "macro F1"]].tolist() == pytest.approx(expected)
    assert table["score"].tolist() == pytest.approx([np.mean(expected)] * 4)


@pytest.mark.parametrize(("n_wrong", "is_chosen"), [(30, True), (1, False), (0, False)])
def test_the_mean_predicts_unless_another_is_better_beyond_chance(rng, n_wrong, is_chosen):
    label_n = rng.integers(0, 3, 90)
    right_nc, mean_nc = np.eye(3)[label_n], np.eye(3)[label_n].copy()
    mean_nc[:n_wrong] = np.roll(mean_nc[:n_wrong], 1, axis=1)
    table = _compared([mean_nc, right_nc, mean_nc, mean_nc], label_n, 0)
    assert table["chosen"].tolist() == [False, is_chosen, False, not is_chosen]
    # by hand: accuracy and F1 fall by about the fraction that is wrong, whose error is binomial
    fraction = n_wrong / 90
    assert table.loc["components, balanced", "gain"] == pytest.approx(fraction, abs=0.02)
    assert table.loc["components, balanced", "error of gain"] == pytest.approx(
        np.sqrt(fraction * (1 - fraction) / 90), abs=0.01
    )


def test_the_mean_holds_as_it_is():
    data = known(np.random.default_rng(0), by_features=True)
    data = data._replace(z_nd=data.x_ng[:, :4] + np.random.default_rng(1).normal(size=(150, 4)))
    head, scaled, found = fitted(data, config=ClassifierConfig(frequency_power=0))
    assert found.table.loc["mean", "chosen"]
    inputs = torch.from_numpy(data.x_ng), torch.ones(150, dtype=torch.int64), torch.from_numpy(scaled.z_nd).float()
    p_n4c = found.logits(*inputs).softmax(2)
    torch.testing.assert_close(found.logits.chosen(*inputs).softmax(1), (p_n4c[:, 0] + p_n4c[:, 1]) / 2)
    np.testing.assert_allclose(np.exp(found.held_out_nc).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("power", [0.25, 1.0])
def test_the_mean_is_divided_by_a_power_of_the_labels_frequencies(power):
    rng = np.random.default_rng(0)
    data = known(rng, by_features=True)
    label_n = np.where(rng.random(150) < 0.7, 0, data.label_n)  # one frequent label, two rare ones
    x_ng = (data.x_ng + 2 * np.eye(6)[label_n]).astype(np.float32)
    data = data._replace(label_n=label_n, x_ng=x_ng, z_nd=x_ng[:, :4] + rng.normal(size=(150, 4)))
    _, scaled, found = fitted(data, config=ClassifierConfig(frequency_power=power))
    inputs = torch.from_numpy(data.x_ng), torch.ones(150, dtype=torch.int64), torch.from_numpy(scaled.z_nd).float()
    p_n4c = found.logits(*inputs).softmax(2).numpy()
    for n in range(150):
        share_c = [(p_n4c[n, 0, c] + p_n4c[n, 1, c]) / (label_n == c).mean() ** power for c in range(3)]
        np.testing.assert_allclose(p_n4c[n, 3], np.array(share_c) / sum(share_c), rtol=1e-4, atol=1e-6)
    plain = fitted(data, config=ClassifierConfig(frequency_power=0))[2]
    given_n3c = plain.logits(*inputs).softmax(2).numpy()[:, :3]
    np.testing.assert_allclose(p_n4c[:, :3], given_n3c, atol=1e-6, err_msg="the candidates themselves stay")
    assert (p_n4c[:, 3].argmax(1) == 0).sum() < (plain.logits(*inputs)[:, 3].argmax(1) == 0).sum() or power < 1
    if found.table.loc["mean", "chosen"]:  # and so are those that it is calibrated and chosen by
        frequency_c = np.bincount(label_n) / 150
        expected_nc = np.exp(plain.held_out_nc) / frequency_c**power
        assert plain.table.loc["mean", "chosen"]
        np.testing.assert_allclose(
            np.exp(found.held_out_nc), expected_nc / expected_nc.sum(1, keepdims=True), rtol=1e-4, atol=1e-7
        )


@pytest.fixture(scope="module")
def model():
    """A model of counts; tests must not change it."""
    return OmicsMLM(multiome(96), SMALL)


def test_a_classifier_of_counts_says_which_answered_and_is_saved(model, tmp_path, caplog):
    made = Classifier.from_model(model, "type")
    with caplog.at_level("INFO", "omicsmlm"):
        made.train(progress_bar=False)
    assert made.candidates.index.get_level_values("candidate").tolist() == NAMES
    chosen = made.candidates.droplevel(0).index[made.candidates["chosen"]][0]
    assert f" by {chosen} (accuracy" in caplog.text
    assert "the embedding alone" in caplog.text
    each, soft = made.predict_candidates(), made.predict(soft=True)
    assert list(each) == NAMES
    pd.testing.assert_frame_equal(each[chosen], soft, atol=1e-5)
    made.save(tmp_path / "made")
    again = Classifier.load(tmp_path / "made", model.adata)
    pd.testing.assert_frame_equal(again.candidates, made.candidates)
    for name, table in again.predict_candidates().items():
        pd.testing.assert_frame_equal(table, each[name], atol=1e-5)


def test_observations_that_lack_a_modality_are_predicted_from_the_embedding(model):
    made = Classifier.from_model(model, "type")
    made.train(progress_bar=False)
    part = model.adata[:, :].copy()
    name = list(part.mod)[0]
    alone = type(part)({name: part[name].copy()})
    each = made.predict_candidates(alone)
    for table in each.values():
        pd.testing.assert_frame_equal(table, each["embedding"])


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _component_models.N_COMPONENTS == 50
    assert _component_models.LEAST_DEVIATION == 0.001


def test_a_label_that_no_whole_observation_has_does_not_end_in_nan():
    discount_c = torch.from_numpy(discounts(np.repeat([0, 2], [6, 2]), 3, 0.25))
    np.testing.assert_allclose(discount_c, np.array([6 / 8, 1 / 8, 2 / 8]) ** 0.25)
    first, second = torch.zeros(1, 3).double(), torch.tensor([[0.0, -30.0, 0.0]]).double()
    assert torch.isfinite(mean_probability(first, second, discount_c)).all()
