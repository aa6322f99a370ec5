"""Weights have the names of now, whatever they were called when they were saved."""

from omicsmlm._former_names import FORMER_WEIGHTS, current_name, under_current_names


def test_only_the_last_part_of_a_name_changed():
    assert current_name("share.memory_md") == "share.reference_md"
    assert current_name("") == ""


def test_no_two_weights_become_one_and_names_of_now_stay():
    assert len(set(FORMER_WEIGHTS.values())) == len(FORMER_WEIGHTS)
    now = {name: i for i, name in enumerate(FORMER_WEIGHTS.values())}
    assert under_current_names(now) == now
    assert under_current_names({name: i for i, name in enumerate(FORMER_WEIGHTS)}) == now
