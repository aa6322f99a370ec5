"""How a classifier is trained, and what of its labels it learns from."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM
from omicsmlm.models.classifier._head_fit import HeadFit
from tests.objects import SMALL, bulk, rna
from tests.test_bad_input import refused


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_unlabelled_rows_teach_nothing_and_are_labelled():
    data = rna(90)
    truth = data.obs["type"].astype(str)
    data.obs["known"] = truth.where(np.arange(90) % 3 > 0, "Unknown").where(np.arange(90) % 7 > 0, np.nan)
    made = Classifier.from_model(OmicsMLM(data, SMALL), "known")
    assert made.labels == ["t1", "t2"], "t0 stands at every third place, where it is called unknown"
    made.train()
    is_new = (truth == "t0").to_numpy()
    assert roc_auc_score(is_new, made.novelty()) > 0.9
    found = made.evaluate(data, "type")
    assert found["unknown: AUROC"] == pytest.approx(roc_auc_score(is_new, made.novelty()))
    assert found["unknown: share rejected"] == ((made.predict() == "Unknown")[is_new]).mean()


def test_the_threshold_rejects_the_stated_share_of_held_out_rows(model):
    for fraction in (0.0, 0.3):
        made = Classifier.from_model(model, "type", config=ClassifierConfig(false_rejection=fraction))
        made.train()
        assert made.held_out["share rejected"] == pytest.approx(fraction, abs=0.01)
        assert ((made.predict() == "Unknown") == (made.novelty() > made.threshold)).all()


def test_wrong_labels_are_noticed_and_do_little_harm():
    data = rna(300)
    rng = np.random.default_rng(0)
    truth = data.obs["type"].astype(str).to_numpy()
    data.obs["given"] = np.where(rng.random(300) < 0.3, rng.permutation(truth), truth)
    model = OmicsMLM(data, SMALL)
    made = Classifier.from_model(model, "given")
    made.train()
    right = Classifier.from_model(model, "type")
    right.train()
    assert made.label_noise == pytest.approx(0.3, abs=0.12)
    assert right.label_noise < 0.02
    accuracy = [(c.predict(soft=True).idxmax(axis=1).to_numpy() == truth).mean() for c in (made, right)]
    assert accuracy[0] > accuracy[1] - 0.03


@pytest.mark.parametrize(("tuning", "rate"), [("full", 5e-3), ("lora", 5e-3), ("ia3", 5e-2)])
def test_fine_tuning_changes_the_copy_and_learns(model, tuning, rate, monkeypatch):
    if tuning != "full":
        pytest.importorskip("peft")
    made = Classifier.from_model(model, "type", config=ClassifierConfig(tuning=tuning, learning_rate=rate))
    # from a head that knows nothing there is much to learn
    monkeypatch.setattr(made, "_fit_head", lambda rows, code_n, fold_n: HeadFit(code_n[rows], None, {}, 1.0, 1.0))
    made.train(5, progress_bar=False, accelerator="cpu", batch_size=24)
    assert made.module.encoder.state_dict().keys() == model.module.state_dict().keys(), "adapters are merged"
    assert not same(weights(made.module.encoder), weights(model.module))
    losses = made.history["train_loss"]["train_loss"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]


def test_adapters_leave_the_decoderalone(model):
    pytest.importorskip("peft")
    made = Classifier.from_model(model, "type", config=ClassifierConfig(tuning="lora"))
    made.train(1, progress_bar=False, accelerator="cpu")
    changed = {
        name.split(".")[0]
        for name, value in made.module.encoder.state_dict().items()
        if not torch.equal(value, model.module.state_dict()[name])
    }
    assert changed
    assert "decoder" not in changed


def test_the_same_seed_gives_the_same_numbers(model, classifier):
    again = Classifier.from_model(model, "type")
    again.train()
    pd.testing.assert_frame_equal(again.predict(soft=True), classifier.predict(soft=True))


def test_too_few_rows_to_hold_some_out():
    data = rna(8)
    made = Classifier.from_model(OmicsMLM(data, SMALL), "type", config=ClassifierConfig(tuning="full"))
    with refused("train: expected a label of at least 5 observations, got at most 3 observations of a label", data):
        made.train(1)


def test_a_very_small_bulk_set_is_learned_by_the_head_alone():
    data = bulk(14)  # seven samples
    data.obs["label"] = ["a", "b"] * (data.n_obs // 2) + ["a"] * (data.n_obs % 2)
    classifier = Classifier.from_model(OmicsMLM(data, SMALL), "label")
    classifier.train()
    assert classifier.linear_models is None
    assert len(classifier.predict()) == data.n_obs


def test_what_predicts_is_said_with_its_scores_where_regressions_stand_beside_the_embedding(
    classifier, linear, head_alone
):
    table = classifier.candidates.droplevel(0)
    (name,) = table.index[table["chosen"]]
    said = classifier._predicted_by()
    assert said.startswith(f" by {name} (accuracy {table.loc[name, 'accuracy']:.3f}, macro F1 ")
    assert said.endswith(
        f"the embedding alone {table.loc['embedding', 'accuracy']:.3f}, {table.loc['embedding', 'macro F1']:.3f})"
    )
    assert linear._predicted_by() == head_alone._predicted_by() == ""


def test_components_are_those_of_the_observations_with_all_modalities(classifier):
    data, indices = classifier.model.adata, np.arange(classifier.model.adata.n_obs)
    whole_n = np.all([data.obs_names.isin(part.obs_names) for part in data.mod.values()], axis=0)
    assert 0 < whole_n.sum() < len(whole_n)
    x_ng = classifier.features.of_observations(classifier.model, indices)[whole_n]
    components_nk = classifier.linear_models.components(torch.from_numpy(x_ng))
    torch.testing.assert_close(components_nk.std(0), torch.ones(components_nk.shape[1]), atol=0.02, rtol=0)
    torch.testing.assert_close(components_nk.mean(0), torch.zeros(components_nk.shape[1]), atol=0.02, rtol=0)
