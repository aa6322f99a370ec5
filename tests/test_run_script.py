"""`run` finds a Python by itself, or says what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "run"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
SYSTEM = [
    python
    for folder in ("usr/bin", "usr/local/bin", "opt/*/bin")
    for python in Path("/").glob(f"{folder}/python3.1[234]")
]


def wrap(path: Path, interpreter: str = sys.executable) -> Path:
    """An executable at `path` that stands for the interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{interpreter}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def search(tmp_path):
    """Run the search in a home and on a path of our own, where `python3` is too old."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("cat", "dirname", "sh"):
        (tools / tool).symlink_to(next(p for d in ("/bin", "/usr/bin") if (p := Path(d, tool)).exists()))
    wrap(tools / "python3", "/bin/false")

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": str(tools), "HOME": str(tmp_path / "home"), **variables}
        return subprocess.run([RUN, "python"], env=variables, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/{0}.9/bin/python{0}",
        ".local/share/uv/python/cpython-{0}.9/bin/python{0}",
        "miniconda3/envs/x/bin/python{0}",
    ],
)
def test_finds_a_python_off_the_path(search, tmp_path, place):
    python = wrap(tmp_path / "home" / place.format(VERSION))
    assert search().stdout.strip() == str(python)


def test_finds_the_root_of_pyenv_by_its_variable_and_by_its_shims(search, tmp_path):
    python = wrap(tmp_path / "my pyenv" / "versions" / f"{VERSION}.9" / "bin" / f"python{VERSION}")
    shims = wrap(tmp_path / "my pyenv" / "shims" / "python3", "/bin/false").parent
    assert search(PYENV_ROOT=str(tmp_path / "my pyenv")).stdout.strip() == str(python)
    assert os.path.samefile(search(PATH=f"{shims}:{tmp_path / 'tools'}").stdout.strip(), python)


def test_takes_the_python_that_is_named(search, tmp_path):
    wrap(tmp_path / "home" / f".pyenv/versions/{VERSION}.9/bin/python{VERSION}")
    assert search(PYTHON=sys.executable).stdout.strip() == sys.executable


def test_is_not_led_astray_by_the_users_variables(search, tmp_path):
    (tmp_path / "sys.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "venv.py").write_text("raise SystemExit('shadowed')")
    assert search(PYTHON=sys.executable, PYTHONPATH=str(tmp_path)).stdout.strip() == sys.executable


def test_says_what_to_install_where_there_is_none(search, tmp_path):
    result = search(PYTHON=str(wrap(tmp_path / "old", "/bin/false")))
    assert result.returncode == 1
    assert (
        f"needs Python 3.12, 3.13 or 3.14 with the modules venv and ensurepip, and found none in {tmp_path / 'old'}."
        in result.stderr
    )
    assert "pyenv install 3.12" in result.stderr
    if not SYSTEM:
        assert "and found none." in search().stderr


def test_explains_itself(search):
    result = subprocess.run([RUN], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "./run demo | test | docs" in result.stderr
