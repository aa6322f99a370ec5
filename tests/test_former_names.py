"""Weights have the names of now, whatever they were called when they were saved."""

from omicsmlm._former_names import FORMER_WEIGHTS, completed, current_name, under_current_names


def test_only_the_last_part_of_a_name_changed():
    assert current_name("share.memory_md") == "share.reference_md"
    assert current_name("") == ""


def test_no_two_weights_become_one_and_names_of_now_stay():
    assert len(set(FORMER_WEIGHTS.values())) == len(FORMER_WEIGHTS)
    now = {name: i for i, name in enumerate(FORMER_WEIGHTS.values())}
    assert under_current_names(now) == now
    assert under_current_names({name: i for i, name in enumerate(FORMER_WEIGHTS)}) == now


def test_a_checkpoint_may_lack_only_what_comes_after_a_training():
    own = {"net.weight": 0, "net.bias": 0, "net.shifts.profile_kg": 0}
    assert completed({"net.weight": 1}, own) == {"net.shifts.profile_kg": 0, "net.weight": 1}
    assert completed({"net.weight": 1, "net.shifts.profile_kg": 2}, own)["net.shifts.profile_kg"] == 2
