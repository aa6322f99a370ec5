"""Of hostile objects come the right numbers, or one sentence and an unchanged object; of every family, head and public method."""

import os
from datetime import date

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded

from tests.hostile.judging import NO_OBJECT, judged
from tests.hostile.recipes import BASES, recipes
from tests.hostile.running import as_text, run_calls, run_recipes

SEED = int(os.environ.get("OMICSMLM_SEED", date.today().toordinal()))
"""Another one each day."""
every_family = pytest.mark.parametrize("family", BASES)


@pytest.mark.parametrize("n", [10, pytest.param(40, marks=pytest.mark.slow)])
@every_family
def test_hostile_objects_of_each_family(family, n):
    @seeded(0)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes(family))
    def ask(recipe):
        verdict = judged(recipe)
        assume(verdict.kind != NO_OBJECT)
        assert not verdict.is_fault, f"{verdict}\npython -m tests.hostile --one '{recipe.written()}'"

    ask()


@pytest.mark.slow
def test_a_thousand_hostile_objects():
    tally = run_recipes(850, 150, SEED, lambda line: None)
    assert not tally.keys, f"seed {SEED}\n{as_text(tally)}"
    assert tally.kinds["fine"] > 200
    assert tally.kinds["sentence"] > 200


@pytest.mark.slow
@every_family
def test_hostile_calls(family):
    tally = run_calls(lambda line: None, [family])
    assert not tally.keys, as_text(tally)
