"""What a classifier predicts, against its parts put together by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from omicsmlm.nn import CANDIDATES
from tests.objects import rna
from tests.test_bad_input import refused


@pytest.fixture(scope="module")
def logits_nc(head_alone):
    """Of the head, by hand."""
    head, z_nd = head_alone.module.head, head_alone.model.get_latent_representation()
    scaled_nd = (z_nd - head.centre_d.numpy()) / float(head.scale)
    return scaled_nd @ head.linear.weight.detach().numpy().T + head.linear.bias.detach().numpy()


@pytest.fixture(scope="module")
def novelty_n(head_alone):
    """Relative Mahalanobis distance to the nearest label, from covariances."""
    head, z_nd = head_alone.module.head, head_alone.model.get_latent_representation().astype(np.float64)
    x_nd = (z_nd - head.centre_d.numpy()) / float(head.scale)
    within_dd, overall_dd = (w.double().numpy() @ w.double().numpy().T for w in (head.within_dd, head.overall_dd))
    away_nc = [
        [(x - m) @ within_dd @ (x - m) - x @ overall_dd @ x for m in head.means_cd.double().numpy()] for x in x_nd
    ]
    return np.min(away_nc, axis=1)


def test_probabilities_are_the_softmax_of_the_logits_at_the_temperature(head_alone, logits_nc):
    soft = head_alone.predict(soft=True)
    assert soft.columns.tolist() == ["t1", "t2"]
    assert soft.index.equals(head_alone.model.adata.obs_names)
    np.testing.assert_allclose(soft, softmax(logits_nc / 0.7, axis=1), atol=1e-4)


def test_labels_are_the_most_probable_unless_the_novelty_is_above_the_threshold(head_alone, logits_nc, novelty_n):
    np.testing.assert_allclose(head_alone.novelty(), novelty_n, rtol=1e-3, atol=1e-2)
    labels = head_alone.predict()
    assert labels.name == "known"
    threshold = head_alone.threshold
    clear_n = np.abs(novelty_n - threshold) > 0.1
    expected = np.where(novelty_n > threshold, "Unknown", np.array(["t1", "t2"])[logits_nc.argmax(1)])
    assert (labels.to_numpy()[clear_n] == expected[clear_n]).all()
    assert {"t1", "t2", "Unknown"} == set(labels)


def test_some_observations_are_predicted_as_all_are(head_alone):
    indices = [9, 2, 30]
    assert head_alone.predict(indices=indices).equals(head_alone.predict().iloc[indices])
    pd.testing.assert_series_equal(
        head_alone.novelty(indices=indices, batch_size=2), head_alone.novelty().iloc[indices], atol=1e-4
    )
    assert head_alone.predict(soft=True, indices=[]).shape == (0, 2)


def test_scores_are_those_of_known_labels_and_of_what_is_rejected(head_alone, logits_nc):
    data = head_alone.model.adata
    truth = data.obs["type"].astype(str).to_numpy()
    found = head_alone.evaluate(data, "type")
    known_n = truth != "t0"
    called = np.array(["t1", "t2"])[logits_nc.argmax(1)]
    rejected_n = (head_alone.predict() == "Unknown").to_numpy()
    assert found["accuracy"] == pytest.approx((called == truth)[known_n].mean())
    assert found["balanced accuracy"] == pytest.approx(recall_score(truth[known_n], called[known_n], average="macro"))
    assert found["macro F1"] == pytest.approx(f1_score(truth[known_n], called[known_n], average="macro"))
    assert found["share rejected"] == pytest.approx(rejected_n[known_n].mean())
    assert found["accuracy of kept"] == pytest.approx((called == truth)[known_n & ~rejected_n].mean())
    assert found["unknown: share rejected"] == pytest.approx(rejected_n[~known_n].mean())
    assert found["unknown: AUROC"] == pytest.approx(roc_auc_score(~known_n, head_alone.novelty()))
    assert "unknown: AUROC" not in head_alone.evaluate(data), "in the column of training all labels are known"
    for name, logits in (("ECE", logits_nc / 0.7), ("ECE uncalibrated", logits_nc)):
        p_nc = softmax(logits, axis=1)[known_n]
        confidence_n, right_n = p_nc.max(1), called[known_n] == truth[known_n]
        bin_n = np.minimum((confidence_n * 15).astype(int), 14)
        gap = sum(abs((right_n[bin_n == b] - confidence_n[bin_n == b]).sum()) for b in range(15)) / known_n.sum()
        assert found[name] == pytest.approx(gap, abs=1e-3)


def test_without_data_the_scores_are_those_of_training_and_a_copy(head_alone):
    found = head_alone.evaluate()
    assert found == head_alone.held_out
    found.clear()
    assert head_alone.held_out


def test_labels_that_no_observation_has_are_refused(head_alone):
    data = rna(12)
    data.obs["other"] = "else"
    with refused("evaluate: expected labels among 't1', 't2', got 'else'; pass the labels_key", data):
        head_alone.evaluate(data, "other")


def test_without_linear_models_there_are_no_candidates(head_alone):
    message = "predict_candidates: expected a classifier with linear models, got one without; make it with Classif"
    with refused(message):
        head_alone.predict_candidates()


def test_candidates_are_what_the_linear_models_say_at_the_temperature(linear):
    indices = np.arange(90)
    x_ng = linear.features.of_observations(linear.model, indices)
    z_nd = torch.from_numpy(linear.model.get_latent_representation())
    data = linear.model.adata
    subset_n = sum(2**k * data.obs_names.isin(data[name].obs_names) for k, name in enumerate(data.mod))
    with torch.no_grad():
        logits_n4c = linear.linear_models(
            torch.from_numpy(x_ng), torch.from_numpy(subset_n), linear.module.head.scaled(z_nd)
        )
    candidates, soft = linear.predict_candidates(), linear.predict(soft=True)
    assert tuple(candidates) == CANDIDATES
    for k, table in enumerate(candidates.values()):
        np.testing.assert_allclose(table, softmax(logits_n4c[:, k].numpy() / 1.5, axis=1), atol=1e-3)
        assert table.columns.tolist() == linear.labels
        assert table.index.equals(soft.index)
    views = np.array([" + ".join(np.array(list(data.mod))[[code & 1 > 0, code & 2 > 0]]) for code in subset_n])
    for view, candidate in linear.candidates.index[linear.candidates["chosen"]]:
        pd.testing.assert_frame_equal(soft[views == view], candidates[candidate][views == view], atol=1e-5)


def test_novelty_is_a_column_of_its_own_name(head_alone):
    novelty = head_alone.novelty()
    assert novelty.name == "novelty"
    assert novelty.index.equals(head_alone.predict().index)
