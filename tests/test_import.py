"""What is imported when: the package and the command's help wait for nothing heavy, and nothing public is lost by that."""

import importlib.resources
import json
import pickle
import resource
import subprocess
import sys

import pytest

import omicsmlm

HEAVY = ["torch", "lightning", "captum", "matplotlib", "transformers", "pyro", "scvi", "scanpy", "anndata", "pandas"]
MOST_SECONDS = 1.0


def modules_after(*commands: str) -> set[str]:
    """Run commands in a Python of their own and give the modules that it then holds."""
    lines = ["import json, sys", *commands, "print(json.dumps(sorted(sys.modules)))"]
    answer = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1]))


def test_importing_the_package_imports_nothing_heavy():
    held = modules_after("import omicsmlm", "omicsmlm.__version__, dir(omicsmlm)")
    assert "omicsmlm" in held
    assert held.isdisjoint(HEAVY)


def test_importing_the_command_imports_nothing_heavy():
    held = modules_after("import omicsmlm._cli")
    assert "typer" in held
    assert held.isdisjoint(HEAVY)


def test_a_part_brings_no_other_part():
    held = modules_after("import omicsmlm", "omicsmlm.datasets.simulate_rna(20, 10)")
    assert "torch" in held
    assert held.isdisjoint({"omicsmlm.models", "omicsmlm.pl", "lightning", "captum", "matplotlib"})


@pytest.mark.slow
def test_a_model_does_not_bring_captum():
    """What imports what in the package, and captum in functions alone, is read by ``test_floors.py`` in a tenth of the time."""
    held = modules_after("from omicsmlm import OmicsMLM")
    assert "omicsmlm.models.base._explaining" in held
    assert held.isdisjoint({"captum", "omicsmlm.pl", "omicsmlm.evaluation"})


@pytest.mark.parametrize("arguments", [["--help"], ["embed", "--help"], ["--version"]])
def test_help_takes_less_than_a_second(arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "omicsmlm._cli", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_SECONDS
    expected = f"omicsmlm {omicsmlm.__version__}" if arguments == ["--version"] else "Embed a file"
    assert expected in answer.stdout


def test_every_public_name_is_there_and_listed():
    assert set(omicsmlm.__all__) <= set(dir(omicsmlm))
    for name in omicsmlm.__all__:
        found = getattr(omicsmlm, name)
        assert found.__name__.rpartition(".")[2] == name
        assert getattr(omicsmlm, name) is found


def test_names_come_by_from_and_by_star():
    held: dict[str, object] = {}
    exec("from omicsmlm import *\nfrom omicsmlm import OmicsMLM as Mine", held)
    assert held["Mine"] is held["OmicsMLM"] is omicsmlm.models.OmicsMLM
    assert set(omicsmlm.__all__) <= set(held)


def test_classes_are_pickled_by_name():
    config = omicsmlm.OmicsMLMConfig(width=16)
    assert pickle.loads(pickle.dumps(config)) == config
    assert pickle.loads(pickle.dumps(omicsmlm.OmicsMLM)) is omicsmlm.OmicsMLM


def test_type_checkers_are_told_that_it_is_typed():
    assert (importlib.resources.files("omicsmlm") / "py.typed").is_file()


def test_an_unknown_name_is_said_to_be_unknown():
    with pytest.raises(AttributeError, match="module 'omicsmlm' has no attribute 'OmicsMML'"):
        _ = omicsmlm.OmicsMML
    with pytest.raises(ImportError, match="OmicsMML"):
        exec("from omicsmlm import OmicsMML")
