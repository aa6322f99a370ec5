import json

import pandas as pd

from omicsmlm.models.classifier._derived import CANDIDATE_INDEX, ClassifierDerived, LinearModelsDerived
from omicsmlm.nn import ComponentLogits, SubsetLogits
from tests.fixtures.make import FIXTURES

TABLE = pd.DataFrame(
    {"view": ["rna", "rna"], "candidate": ["specialist", "mean"], "accuracy": [0.5, 0.75], "chosen": [False, True]}
).set_index(CANDIDATE_INDEX)
FEATURES = {"kinds": {"rna": "real"}, "n_vocabulary": {"rna": 3}, "n_selected": {"rna": 2}}
DERIVED = ClassifierDerived(
    "OmicsMLM", ["a", "b"], "type", "Unknown", 0.25, {"accuracy": 0.5}, LinearModelsDerived(FEATURES, 1, TABLE)
)


def test_it_goes_to_json_and_back():
    again = ClassifierDerived.from_json(json.loads(json.dumps(DERIVED.to_json())))
    assert again.linear_models is not None
    assert again.linear_models.features == FEATURES
    assert again.linear_models.n_subsets == 1
    pd.testing.assert_frame_equal(again.linear_models.candidates, TABLE)
    for name in ("model", "labels", "labels_key", "unlabeled_category", "label_noise", "held_out"):
        assert getattr(again, name) == getattr(DERIVED, name)


def test_without_linear_models_there_is_nothing_of_them():
    content = ClassifierDerived(**{**vars(DERIVED), "linear_models": None}).to_json()
    assert content["anchor"] is None
    assert ClassifierDerived.from_json(content).linear_models is None
    del content["anchor"]  # as before there were any
    assert ClassifierDerived.from_json(content).linear_models is None


def test_what_the_first_version_wrote_is_read_and_written_alike():
    for name in ("Classifier", "Classifier_anchored"):
        content = json.loads((FIXTURES / name / "config.json").read_text())["choice"]
        assert ClassifierDerived.from_json(content).to_json() == content


def test_the_number_of_components_is_kept_and_their_models_are_made_again():
    derived = LinearModelsDerived(FEATURES, 1, TABLE, 7)
    again = LinearModelsDerived.from_json(json.loads(json.dumps(derived.to_json())))
    assert again.n_components == 7
    features, logits = again.parts(3, 4)
    assert isinstance(logits, ComponentLogits)
    assert logits.direction_gk.shape == (2, 7)
    assert LinearModelsDerived.of(features, logits, TABLE).n_components == 7
    features, logits = LinearModelsDerived(FEATURES, 2, TABLE).parts(3, 4)
    assert isinstance(logits, SubsetLogits)
    assert LinearModelsDerived.of(features, logits, TABLE).n_subsets == 2
