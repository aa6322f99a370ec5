"""The judge of hostile objects sees what it is to see."""

import os
import signal
import time

import numpy as np
import pytest
from anndata import AnnData

from tests.hostile.judging import FINE, SENTENCES, Fault, Verdict, _compare, _Said, _step, differences, held, judged
from tests.hostile.mutations import COLUMNS, MUTATIONS, SEQUENCES
from tests.hostile.recipes import BASES, Recipe, recipes
from tests.hostile.running import Tally, apart, as_text, drawn
from tests.objects import rna, transcripts
from tests.test_contract import FAMILIES


def test_each_family_of_the_contract_has_objects():
    assert BASES.keys() == FAMILIES.keys()
    for name, make in BASES.items():
        assert make is FAMILIES[name].make


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name.startswith("batch") or name not in COLUMNS])
def test_a_mutation_changes_an_object_or_libraries_refuse_it(name):
    data = transcripts(12, seed=1) if name in SEQUENCES else rna(12, seed=1)
    before = held(data)
    try:
        after = MUTATIONS[name](data, np.random.default_rng(1))
    except (TypeError, ValueError, IndexError):
        after = None  # so says a library
    if isinstance(after, AnnData) and name not in ("no shared rows", "not updated"):  # which are of a MuData
        assert after.is_view or differences(before, held(after))


def test_a_good_object_is_fine():
    assert judged(Recipe("TxFM", 24, 0, (), "batch")) == Verdict(FINE)


def test_recipes_are_drawn_by_a_seed_and_written_down():
    found = drawn(10, recipes(trained=True), 3)
    assert found == drawn(10, recipes(trained=True), 3) != drawn(10, recipes(trained=True), 4)
    assert [Recipe.read(recipe.written()) for recipe in found] == found


def failing(error, data, change=None):
    def act():
        if change is not None:
            change(data)
        raise error

    return act


SAID = ValueError("x: expected a, got b; do c.")


def verdict(error, change=None):
    data = rna(6)
    try:
        _step("here", data, failing(error, data, change))
    except Fault as fault:
        return fault.verdict
    except _Said as said:
        return said.verdict
    raise AssertionError("not reached")


def test_what_is_raised_is_judged():
    assert verdict(SAID).kind == SENTENCES
    assert verdict(ImportError("it needs x; pip install x.")).kind == SENTENCES
    for error in (ValueError("of another kind"), ValueError(f"two\n{SAID}"), KeyError("pattern"), ZeroDivisionError()):
        found = verdict(error)
        assert found.kind == "foreign traceback"
        assert type(error).__name__ in found.key


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.uns.update(_scvi_uuid="left"),
        lambda data: data.obs.__setitem__("new", 1),
        lambda data: data.X.data.__setitem__(0, 99),
        lambda data: setattr(data, "raw", data.copy()),
        lambda data: data.obs.__setitem__("type", data.obs["type"].cat.add_categories("never")),
        lambda data: setattr(data, "var_names", data.var_names[::-1]),
        lambda data: data.obsm.__setitem__("X", np.zeros((6, 1))),
    ],
)
def test_a_changed_object_is_seen(change):
    found = verdict(SAID, change)
    assert found.kind == "changed"
    data = rna(6)
    with pytest.raises(Fault):
        _step("here", data, lambda: change(data))


def test_numbers_are_compared():
    x = np.ones((3, 2), dtype=np.float32)
    _compare("here", "order-dependent", x + 1e-6, x)
    for other in (x + 1e-3, x * np.nan, x[:2]):
        with pytest.raises(Fault):
            _compare("here", "order-dependent", other, x)


@pytest.mark.filterwarnings("ignore:This process")
def test_what_dies_or_does_not_end_is_seen():
    assert apart(lambda: Verdict(FINE)) == Verdict(FINE)
    assert apart(lambda: os.kill(os.getpid(), signal.SIGSEGV)).key == "crash | SIGSEGV"
    assert apart(lambda: time.sleep(60), 0.2).kind == "hang"
    assert apart(lambda: 1 / 0).kind == "crash"


def test_failures_are_counted_by_what_is_distinct():
    tally = Tally()
    small, large = (Recipe("TxFM", n, 0, ("NaN",), None) for n in (24, 60))
    for recipe, found in ((large, Verdict("NaN", "a")), (small, Verdict("NaN", "a")), (small, Verdict(FINE))):
        tally.add(recipe, found)
    (failure,) = tally.failures()
    assert (failure.key, failure.example, failure.n) == ("a", small, 2)
    assert as_text(tally).startswith(
        "tried 3: fine 1, sentence 0, no object 0, foreign traceback 0, changed 0, NaN 2, "
    )
