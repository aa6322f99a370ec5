"""A training that is killed at any moment goes on as if it never was."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
N_KILLS = 12


def started(out):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, str(Path(__file__).with_name("one_pass_script.py")), str(out)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begins\n"
    return process


@pytest.mark.slow
def test_one_pass_killed_again_and_again_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    whole = started(tmp_path / "whole")
    began = time.monotonic()
    whole.wait()
    took, rng, n_kills = time.monotonic() - began, np.random.default_rng(0), 0
    broken = tmp_path / "broken"
    broken.mkdir()
    while not (broken / "weights.npz").exists():
        process = started(broken)
        if n_kills < N_KILLS:
            try:
                process.wait(timeout=rng.uniform(0, took / 4))
            except subprocess.TimeoutExpired:
                process.kill()
                n_kills += 1
        process.wait()
    unbroken, resumed = (np.load(folder / "weights.npz") for folder in (tmp_path / "whole", broken))
    assert n_kills > 1
    assert (broken / "last.ckpt").exists()
    for name in unbroken.files:
        assert np.array_equal(unbroken[name], resumed[name]), name
