"""Classifiers that several test files of the room share; tests must not change them."""

import pytest

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM
from omicsmlm.models.classifier import _linear_ensemble, _linear_model
from tests.models.survival.test_model import cohort
from tests.objects import QUIET, SMALL, multiome, rna

ALL = _linear_model.REGULARISATIONS, _linear_ensemble.INVERSE_REGULARISATIONS


@pytest.fixture(autouse=True, scope="package")
def coarse_grid():
    """Of the strengths of a penalty every second is tried: half of the time of these tests is spent on their choice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_linear_model, "REGULARISATIONS", ALL[0][::2])
        patch.setattr(_linear_ensemble, "INVERSE_REGULARISATIONS", ALL[1][::2])
        yield


@pytest.fixture(scope="module")
def whole_grid(coarse_grid):
    """All strengths, as users have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_linear_model, "REGULARISATIONS", ALL[0])
        patch.setattr(_linear_ensemble, "INVERSE_REGULARISATIONS", ALL[1])
        yield


@pytest.fixture(scope="package")
def model():
    """A model of RNA, ATAC and protein."""
    model = OmicsMLM(multiome(96), SMALL, batch_key="batch")
    model.train(5, **QUIET)
    return model


@pytest.fixture(scope="package")
def classifier(model):
    """A classifier of it."""
    classifier = Classifier.from_model(model, "type")
    classifier.train()
    return classifier


@pytest.fixture(scope="package")
def head_alone():
    """A classifier of two of three types, whose head is of the embedding alone."""
    data = rna(60)
    data.obs["known"] = data.obs["type"].astype(str).replace("t0", "Unknown")
    made = Classifier.from_model(
        OmicsMLM(data, SMALL), "known", config=ClassifierConfig(false_rejection=0.1, linear_models=False)
    )
    made.train()
    made.module.head.temperature.fill_(0.7)  # far from one
    return made


@pytest.fixture(scope="package")
def linear():
    """A classifier with linear models of the features."""
    made = Classifier.from_model(OmicsMLM(cohort(90), SMALL), "type")
    made.train()
    made.module.head.temperature.fill_(1.5)
    return made
