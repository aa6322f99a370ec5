"""Fixtures that several rooms share."""

import functools
import gc
import importlib.metadata
import os
from pathlib import Path

# The functions of scib-metrics are compiled for a few numbers each; before jax is imported.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import numpy as np
import pytest

# For each Trainer, Lightning reads what all installed packages declare: 12 ms, a fifth of a small training.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)

COMPILING = (
    "tests/test_docstrings.py",
    "tests/evaluation/test_benchmark.py",
    "tests/evaluation/test_scib_metrics.py",
    "tests/evaluation/test_averages.py",
    "tests/test_stages.py",
    "tests/pl/test_umap.py",
    "tests/pl/test_report.py",
    "tests/models/classifier/test_voting.py",
    "tests/pp/test_recovery.py",
    "tests/tokenizers/test_selection.py",
    "tests/cli/test_evaluating.py",
)
"""Files whose functions numba and jax compile, of UMAP, scanpy and scib-metrics: one worker gets them all, and compiles once."""
LONGEST = (
    "tests/test_contract.py",
    *COMPILING,
    "tests/test_low_rank.py",
    "tests/hostile/test_families.py",
    "tests/test_gpu_path.py",
    "tests/test_gpu_settings.py",
    "tests/training/test_kill.py",
    "tests/test_import.py",
    "tests/test_workflows.py",
)
"""Files that take longest, each of which goes to one worker as a whole."""
ROOMS = ("tests/models/mojo/", "tests/models/classifier/")
"""Folders whose files share trained models: they go to one worker."""


def pytest_collection_modifyitems(items):
    """Put the longest files first: a worker that gets one of them last keeps all others waiting."""
    rank = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each file to one worker, and to the same one all that share what takes long to make."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if file in COMPILING:
                return "compiling"
            return next((room for room in ROOMS if file.startswith(room)), file)

    return Scheduling(config, log)


def pytest_collection_finish(session):
    """Keep what was imported and collected, millions of objects, out of every garbage collection of the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small tensors gain nothing from threads."""
    import torch  # not at the head: the process that only hands out the tests needs none

    torch.set_num_threads(1)
    return torch.set_num_threads


@pytest.fixture(autouse=True)
def still_one_thread(one_thread):
    """Nor do they after numba, where a test called it: its parallel loops set the threads of all of OpenMP."""
    yield
    one_thread(1)


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real data; tests that ask for it are skipped without it."""
    folder = os.environ.get("OMICSMLM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("OMICSMLM_DATA does not name a folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """The published encoder of a kind, of small random weights, made when it is first asked for."""
    pytest.importorskip("transformers")
    pytest.importorskip("enformer_pytorch")
    from tests.encoders import published

    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = published(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return of
