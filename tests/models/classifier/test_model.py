import json

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM
from omicsmlm._manifest import write_manifest
from omicsmlm._types import Tokens
from omicsmlm.models.classifier._modality_subsets import alone
from tests.objects import QUIET, SMALL, multiome, rna, state_of
from tests.test_bad_input import refused


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_labels_rows(model, classifier):
    labels = classifier.predict()
    assert labels.index.equals(model.adata.obs_names)
    assert set(labels) <= {"t0", "t1", "t2", "Unknown"}
    kept = labels != "Unknown"
    assert kept.mean() > 0.85
    assert (labels[kept] == model.adata.obs["type"][kept].astype(str)).mean() > 0.9
    soft = classifier.predict(soft=True)
    assert soft.columns.tolist() == ["t0", "t1", "t2"]
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    assert (soft.idxmax(axis=1)[kept] == labels[kept]).all()


def test_rows_and_batch_sizes_do_not_matter(classifier):
    whole = classifier.predict(soft=True)
    np.testing.assert_allclose(classifier.predict(soft=True, batch_size=7), whole, atol=1e-5)
    some = classifier.predict(soft=True, indices=[5, 3])
    pd.testing.assert_frame_equal(some, whole.iloc[[5, 3]], atol=1e-5)
    assert classifier.predict(indices=[]).empty


def test_nothing_of_the_users_is_changed(model):
    before, held = weights(model.module), state_of(model.adata)
    for tuning in ("frozen", "full"):
        made = Classifier.from_model(model, "type", config=ClassifierConfig(tuning=tuning))
        made.train(2, progress_bar=False, accelerator="cpu")
        made.predict()
    assert same(before, weights(model.module))
    assert state_of(model.adata) == held


def test_a_later_training_of_the_model_does_not_reach_the_classifier():
    model = OmicsMLM(rna(), SMALL)
    made = Classifier.from_model(model, "type")
    made.train()
    before = made.predict(soft=True)
    model.train(1, **QUIET)
    pd.testing.assert_frame_equal(made.predict(soft=True), before)


def test_rows_that_lack_modalities_are_labelled(model, classifier):
    truth = model.adata.obs["type"].astype(str)
    for name, part in model.adata.mod.items():
        alone = MuData({name: part.copy()})
        best = classifier.predict(alone, soft=True).idxmax(axis=1)
        assert best.index.equals(alone.obs_names)
        assert (best == truth[alone.obs_names]).mean() > 0.75, name


def test_a_query_is_matched_by_feature_name(classifier, model):
    query = multiome(96)
    query = MuData(
        {m: part[:, np.random.default_rng(0).permutation(part.n_vars)].copy() for m, part in query.mod.items()}
    )
    found = classifier.predict(query, soft=True).loc[model.adata.obs_names]
    np.testing.assert_allclose(found, classifier.predict(soft=True), atol=1e-4)


def test_a_view_of_one_modality_is_the_row_without_the_others(model):
    batch = model.adata_manager.create_torch_dataset()[[3, 30, 60]]
    manager = model.manager_for(MuData({"atac": model.adata["atac"].copy()}))
    rows = manager.adata.obs_names.get_indexer(model.adata.obs_names[[3, 30, 60]])
    shown = alone(batch, "atac")
    assert isinstance(shown.tokens["rna"], Tokens)
    has_n = rows >= 0
    with torch.no_grad():
        found = model.embed_batch(shown)[torch.from_numpy(has_n)]
        torch.testing.assert_close(
            found, model.embed_batch(manager.create_torch_dataset()[rows[has_n]]), atol=1e-5, rtol=0
        )


def test_evaluate_gives_the_held_out_scores_or_those_of_the_data(classifier, model):
    assert classifier.evaluate() == classifier.held_out
    found = classifier.evaluate(model.adata)
    soft, truth = classifier.predict(soft=True), model.adata.obs["type"].astype(str)
    assert found["accuracy"] == pytest.approx((soft.idxmax(axis=1) == truth).mean())
    assert found["share rejected"] == pytest.approx((classifier.predict() == "Unknown").mean())
    assert found.keys() == classifier.held_out.keys()


@pytest.mark.parametrize("tuning", ["frozen", "full"])
def test_save_and_load(model, tmp_path, tuning):
    made = Classifier.from_model(model, "type", config=ClassifierConfig(tuning=tuning))
    made.train(1, progress_bar=False, accelerator="cpu")
    made.save(tmp_path / "labels")
    assert {file.suffix for file in (tmp_path / "labels").rglob("*") if file.is_file()} == {".json", ".safetensors"}
    for loaded in (Classifier.load(tmp_path / "labels"), Classifier.load(tmp_path / "labels", model.adata)):
        pd.testing.assert_frame_equal(loaded.predict(model.adata, soft=True), made.predict(soft=True))
        pd.testing.assert_series_equal(loaded.predict(model.adata), made.predict())
        assert loaded.config == made.config
        assert loaded.evaluate() == made.evaluate()
        assert loaded.threshold == made.threshold
        assert loaded.history.keys() == made.history.keys()
    made.save(tmp_path / "labels", overwrite=True)


# ---- wrong input --------------------------------------------------------------------------------------------------


def test_what_cannot_be_learned_from(model, tmp_path):
    with refused("model: expected a model of omicsmlm, got MuData", model.adata):
        Classifier.from_model(model.adata, "type")
    with refused("column 'nothing': expected a column of .obs", model.adata):
        Classifier.from_model(model, "nothing")
    data = rna()
    data.obs["one"] = "same"
    one = OmicsMLM(data, SMALL)
    with refused("column 'one': expected at least two labels, got 'same'", data):
        Classifier.from_model(one, "one")
    model.save(tmp_path / "alone")
    with refused("model: expected one with its object, got one loaded alone"):
        Classifier.from_model(OmicsMLM.load(tmp_path / "alone"), "type")


def test_an_untrained_classifier_says_so(model, tmp_path):
    made = Classifier.from_model(model, "type")
    for verb, call in (
        ("predict", made.predict),
        ("predict", made.novelty),
        ("evaluate", made.evaluate),
        ("save", lambda: made.save(tmp_path / "labels")),
    ):
        with refused(f"{verb}: expected a trained classifier, got one that is not; call train"):
            call()
    assert not (tmp_path / "labels").exists()


def test_labels_that_nothing_knows(classifier):
    data = multiome(30)
    data.obs["other"] = "else"
    with refused("evaluate: expected labels among 't0', 't1', 't2', got 'else'", data):
        classifier.evaluate(data, "other")


def test_loading_what_is_not_whole(classifier, tmp_path):
    classifier.save(tmp_path / "labels")
    with refused("save: expected a new directory"):
        classifier.save(tmp_path / "labels")
    loaded = Classifier.load(tmp_path / "labels")
    with refused("data: expected an object, got none, as the model was loaded without one"):
        loaded.predict()
    with refused("train: expected a classifier with its object, got one loaded alone"):
        loaded.train()
    with refused("load: expected a saved OmicsMLM, got a Classifier"):
        OmicsMLM.load(tmp_path / "labels")
    config = tmp_path / "labels" / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"class": "Gone"}))
    write_manifest(tmp_path / "labels")
    with refused("load: expected a classifier of a known family, got 'Gone'"):
        Classifier.load(tmp_path / "labels")


def shifted_query(n: int = 60):
    """Cells of a new batch whose RNA is off by a factor per gene."""
    query = rna(n, first=300)
    factor = np.random.default_rng(3).poisson(2, query.n_vars) + 1
    query.X = query.X.multiply(factor[None, :]).tocsr().astype(np.float32)
    query.obs["batch"] = "new"
    return query


@pytest.fixture(scope="module", params=["frozen", "full"])
def of_rna(request):
    model = OmicsMLM(rna(120), SMALL, batch_key="batch")
    model.train(20, **QUIET)
    config = ClassifierConfig(tuning=request.param, linear_models=False)  # of the embedding, which is moved
    classifier = Classifier.from_model(model, "type", config=config)
    classifier.train(3, progress_bar=False)
    return classifier


def test_a_query_is_labelled_as_by_the_reference_until_it_is_adapted(of_rna):
    like_the_reference = rna(60, first=300)
    like_the_reference.obs["batch"] = "new"
    mapped = Classifier.load_query_data(like_the_reference, of_rna)
    pd.testing.assert_frame_equal(mapped.predict(soft=True), of_rna.predict(like_the_reference, soft=True), atol=1e-3)
    query = shifted_query()
    mapped = Classifier.load_query_data(query, of_rna)  # whose shifted genes count less
    likeliest, of_reference = mapped.predict(soft=True).idxmax(axis=1), of_rna.predict(query, soft=True).idxmax(axis=1)
    assert (likeliest == of_reference).mean() > 0.95
    before = of_rna.predict(soft=True)
    mapped.adapt()
    assert not np.allclose(mapped.predict(soft=True), of_rna.predict(query, soft=True))
    pd.testing.assert_frame_equal(of_rna.predict(soft=True), before)
    pd.testing.assert_frame_equal(mapped.predict(of_rna.model.adata, soft=True), before)
    centre = of_rna.model.get_latent_representation().mean(0)
    distance = [np.linalg.norm(c.model.get_latent_representation(query).mean(0) - centre) for c in (of_rna, mapped)]
    assert distance[1] < 0.8 * distance[0], "the rows are moved onto the reference"


def test_an_adapted_classifier_is_saved_and_loaded_whole(of_rna, tmp_path):
    of_rna.save(tmp_path / "reference")
    mapped = Classifier.load_query_data(shifted_query(), tmp_path / "reference")
    mapped.adapt()
    mapped.save(tmp_path / "mapped")
    loaded = Classifier.load(tmp_path / "mapped", shifted_query())
    pd.testing.assert_frame_equal(loaded.predict(soft=True), mapped.predict(soft=True))


def test_only_a_query_with_new_batches_is_adapted(of_rna):
    with refused("adapt: expected a classifier of a query, got one of a reference; call load_query_data"):
        of_rna.adapt()
    with pytest.raises(ValueError, match="a query with batches that the reference does not know"):
        Classifier.load_query_data(rna(40, first=300), of_rna).adapt()


def test_labels_that_one_batch_alone_holds_are_reported(caplog):
    data = rna(96)
    data.obs["batch"] = np.where(data.obs["type"] == "t0", "b0", "b1")
    with caplog.at_level("WARNING", logger="omicsmlm"):
        Classifier.from_model(OmicsMLM(data, SMALL, batch_key="batch"), "type")
    assert "one batch alone holds the labels 't0', 't1' and 't2'" in caplog.text or "'t0', 't1', 't2'" in caplog.text
