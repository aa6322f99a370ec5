"""Of hostile tables, columns, files and arguments come results of finite numbers, or one sentence and unchanged objects."""

import os
from datetime import date

import pytest

from tests.hostile.judging import FINE, SENTENCES
from tests.hostile.running import as_text, run_surface
from tests.hostile.surface import SURFACE, surface_judged

SEED = int(os.environ.get("OMICSMLM_SEED", date.today().toordinal()))
FOUND = {
    "unlabeled_category is a class": SENTENCES,
    "gene_embedding with 1e200": FINE,
    "gene_embedding beyond float32": FINE,
    "IsoFormer, rna_key is a list": SENTENCES,
    "IsoFormer, vector_keys is a number": SENTENCES,
    "Classifier.predict, min_prop is a list": SENTENCES,
    "Classifier.predict, min_prop is None": SENTENCES,
    "Survival, time: beyond float32": SENTENCES,
    "Survival.evaluate, data is a text": SENTENCES,
    "read a table of two levels of columns": SENTENCES,
    "read a table empty": SENTENCES,
    "gene_embedding of two levels": SENTENCES,
    "read, obs of two levels of columns": SENTENCES,
    "differential_features, modality is an array": SENTENCES,
    "pl.embedding, color is a class": SENTENCES,
    "pl.embedding, key is a list": SENTENCES,
    "pl.marker_dots, imputed is a tuple": SENTENCES,
    "pl.confusion, title is an array": SENTENCES,
    "pl.confusion, unknown is None": SENTENCES,
    "pl.survival, event is empty": SENTENCES,
    "pl.survival, save is a table of texts": SENTENCES,
    "pl.report, title is a tuple": SENTENCES,
    "save_to_hub, description is None": SENTENCES,
    "save_to_hub, metrics is True": SENTENCES,
    "from_hub, repository is alike": SENTENCES,
    "read, obs empty": SENTENCES,
    "read, obs of objects": SENTENCES,
    "read, units of an array": SENTENCES,
    "Classifier.evaluate, labels_key is an array": SENTENCES,
    "Classifier.predict, majority_voting is an array": SENTENCES,
    "query, extend_vocabulary is an array": SENTENCES,
    "pl.history, history is a dict": FINE,
    "differential_features, type: all missing": SENTENCES,
}
"""What once ended in a foreign traceback, and what must come."""


@pytest.mark.parametrize("name", FOUND)
def test_what_once_ended_in_a_traceback(name, tmp_path):
    verdict = surface_judged(name, tmp_path)
    assert verdict.kind == FOUND[name], verdict


def test_a_fault_is_seen(tmp_path, monkeypatch):
    case = SURFACE["pl.remarks of None"]
    monkeypatch.setitem(SURFACE, "broken", case._replace(act=lambda data, folder: {}["nothing"]))
    assert surface_judged("broken", tmp_path).kind == "foreign traceback"


@pytest.mark.slow
def test_hostile_tables_columns_files_and_arguments():
    tally = run_surface(400, SEED, lambda line: None)
    assert not tally.keys, f"seed {SEED}\n{as_text(tally)}"
    assert tally.kinds["sentence"] > 150
