"""What a classifier consists of, and that it is the same again."""

import pandas as pd
import pytest

from omicsmlm import Classifier
from omicsmlm.models.classifier._state import FEATURES, LINEAR_MODELS


def test_weights_are_named_by_part_and_restored(linear, head_alone):
    weights = linear._weights()
    for prefix, part in ((FEATURES, linear.features), (LINEAR_MODELS, linear.linear_models)):
        assert {name for name in weights if name.startswith(prefix)} == {f"{prefix}{n}" for n in part.state_dict()}
    assert not any(name.startswith((FEATURES, LINEAR_MODELS)) for name in head_alone._weights())
    for made in (linear, head_alone):
        derived = made._derived().to_json()
        again = Classifier._restored(made.model, made.config, derived, made._weights())
        again.is_trained = True
        pd.testing.assert_frame_equal(again.predict(soft=True), made.predict(soft=True))
        pd.testing.assert_series_equal(again.predict(), made.predict())
        assert (again.label_noise, again.held_out) == (made.label_noise, made.held_out)
        assert (again.linear_models is None) == (made.linear_models is None)


def test_what_is_known_before_any_training(model):
    made = Classifier.from_model(model, "type")
    assert (made.features, made.linear_models, made.candidates) == (None, None, None)
    assert (made.label_noise, made.held_out, made.is_trained) == (0.0, {}, False)
    assert made.module.encoder is made.model.module
    assert not made.module.training
    assert made.labels == ["t0", "t1", "t2"]


def test_the_threshold_is_that_of_the_head_and_targets_are_said(head_alone):
    assert head_alone.threshold == pytest.approx(float(head_alone.module.head.threshold))
    assert isinstance(head_alone.threshold, float)
    assert head_alone._targets() == {"labels": "'t1', 't2' of column 'known'"}
    assert head_alone._derived().labels_key == "known"
