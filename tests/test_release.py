"""What says the version, the licence or the requirements says the same as ``pyproject.toml``."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml

import omicsmlm

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "igraph": "python-igraph",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}
"""Names on conda-forge that are not those of the Python index."""
ECOSYSTEM_FIELDS = {
    *("name", "description", "project_home", "documentation_home", "install", "license", "tags", "version", "category"),
    "contact",
}
"""Fields that scverse/ecosystem-packages requires (version 2.0 of its schema)."""
OF_AN_ADDRESS = {"project_home", "documentation_home", "contact"}
"""Those that a repository has only with a public address."""


def document(name: str) -> dict:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def conda_requirement(requirement: str) -> str:
    """A requirement of the Python index as one of conda.

    Examples
    --------
    >>> conda_requirement("torch>=2.8")
    'pytorch >=2.8'
    """
    name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
    return f"{CONDA_NAMES.get(name, name)} {bounds}"


@pytest.fixture(scope="module")
def recipe():
    return document("packaging/conda/recipe.yaml")


def test_one_version(recipe):
    versions = {
        "CITATION.cff": document("CITATION.cff")["version"],
        "conda": recipe["context"]["version"],
        "scverse": document("packaging/scverse/meta.yaml")["version"],
    }
    assert versions == dict.fromkeys(versions, PROJECT["version"])
    assert omicsmlm.__version__ == metadata("omicsmlm")["Version"]


def test_one_licence(recipe):
    named = {document("CITATION.cff")["license"], document("packaging/scverse/meta.yaml")["license"]}
    assert named == {recipe["about"]["license"]} == {PROJECT["license"]}
    assert (ROOT / recipe["about"]["license_file"]).is_file()


def test_the_recipe_requires_what_the_package_requires(recipe):
    required = recipe["requirements"]
    python, *run = required["run"]
    assert python == "python >=${{ python_min }}"
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    assert sorted(run) == sorted(map(conda_requirement, PROJECT["dependencies"]))
    extras = {conda_requirement(one) for extra in PROJECT["optional-dependencies"].values() for one in extra}
    assert set(required["run_constraints"]) == extras
    entry = [f"{name} = {place}" for name, place in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == entry


def test_the_recipe_is_one(recipe):
    rattler_build = pytest.importorskip("rattler_build")
    (found,) = rattler_build.Stage0Recipe.from_file(str(ROOT / "packaging/conda/recipe.yaml")).render()
    assert str(found.recipe.package.version) == PROJECT["version"]


def test_the_entry_in_the_ecosystem_lacks_only_what_an_address_gives():
    entry = document("packaging/scverse/meta.yaml")
    assert ECOSYSTEM_FIELDS - set(entry) == (set() if PROJECT.get("urls") else OF_AN_ADDRESS)
    assert entry["install"] == {"pypi": PROJECT["name"]}
    assert entry["name"] == PROJECT["name"]
    assert len(set(entry["tags"])) == len(entry["tags"]) > 0
    assert (ROOT / entry["test_command"].split()[0]).is_file()


def test_the_pages_are_built_from_files_that_are_there():
    built = document(".readthedocs.yaml")
    assert (ROOT / built["sphinx"]["configuration"]).is_file()
    assert built["sphinx"]["fail_on_warning"] is True
    assert f">={built['build']['tools']['python']}" == PROJECT["requires-python"]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert "docs" in groups
    assert any(step.endswith("--group docs") for step in built["build"]["jobs"]["install"])
