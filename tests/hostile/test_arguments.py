"""Of an argument that is not what it should be comes one sentence, of public functions and of getters."""

import pytest

from tests.hostile.arguments import arguments_judged, calls, good_calls, run_arguments
from tests.hostile.judging import FINE, SENTENCES
from tests.hostile.running import as_text

FOUND = [
    ("evaluation.probe", "n_splits", "a text"),
    ("evaluation.splits", "seed", "a class"),
    ("evaluation.cox", "time", "as many texts"),
    ("evaluation.length_features", "sequences", "a dict"),
    ("evaluation.retrieval", "tops", "None"),
    ("evaluation.ridge_imputation", "strengths", "an array"),
    ("datasets.simulate_rna", "n_genes", "a half"),
    ("datasets.read_many", "sources", "a list of texts"),
    ("pp.link_peaks", "max_distance", "an array"),
    ("pp.link_peaks", "gtf", "an array"),
    ("OmicsMLM.attribute", "n_steps", "None"),
    ("OmicsMLM.get_feature_embedding", "which", "an array"),
]
"""Some of what once ended in a foreign traceback: 1,252 of 3,344 cases."""


@pytest.mark.slow
def test_every_argument_of_every_function(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {name: verdict for name, verdict in good_calls().items() if verdict.kind != FINE} == {}
    tally = run_arguments(lambda line: None)
    assert not tally.keys, as_text(tally)
    assert tally.kinds[SENTENCES] > 2500


@pytest.mark.parametrize(("name", "argument", "what"), FOUND)
def test_what_once_ended_in_a_traceback(name, argument, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert arguments_judged(name, argument, what).kind == SENTENCES


def test_a_fault_is_seen(monkeypatch):
    name = "evaluation.probe"
    monkeypatch.setitem(calls(), name, calls()[name]._replace(function=lambda **given: {}["nothing"]))
    assert arguments_judged(name, "labels", "None").kind == "foreign traceback"
