"""Processes that fill and read one store at once, or that are killed while they do; what was found is counted, as JSON.

python store_script.py FOLDER fill|kills N SEED
"""

import json
import os
import signal
import sys
import time

import numpy as np
import torch

from omicsmlm.nn._state_store import StateStore

WIDTH, N_PROCESSES = 32, 3


def states(number):
    """The states of a sequence, by its number."""
    rng = np.random.default_rng(number)
    return torch.from_numpy(rng.normal(size=(int(rng.integers(1, 40)), WIDTH)).astype(np.float32))


def digest(number):
    return number, -number


def wrong(store, numbers):
    """How many states are read wrong, and how many are missing."""
    found = store.get([digest(number) for number in numbers])
    n_wrong = sum(
        not np.array_equal(values, states(number).half().numpy())
        for number in numbers
        if (values := found.get(digest(number))) is not None
    )
    return n_wrong, len(numbers) - len(found)


def fill(folder, n, seed):
    """Add the states of 0 to n in an order of one's own, reading some after each; the number of wrong reads."""
    rng, store, n_wrong = np.random.default_rng(seed), StateStore(folder, WIDTH), 0
    for some in np.array_split(rng.permutation(n), max(1, n // 3)):
        store.add({digest(int(number)): states(int(number)) for number in some})
        n_wrong += wrong(store, some.tolist())[0] + wrong(store, rng.integers(0, n, 5).tolist())[0]
    return n_wrong


def started(folder, n, seed):
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        code = min(fill(folder, n, seed), 98)
    finally:
        os._exit(code)


def counted(folder, what, n, seed):
    """Fill a store by several processes at once, or by ones that are killed; what was found."""
    counts = {}
    if what == "fill":
        children = [started(folder, n, seed + i) for i in range(N_PROCESSES)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        counts["failed or wrong"] = sum(code != 0 for code in codes)
    else:
        rng = np.random.default_rng(seed)
        counts["killed"] = counts["failed or wrong"] = 0
        for i in range(n):
            child = started(folder, 3000, seed + i)
            time.sleep(rng.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            counts["killed"] += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            counts["failed or wrong"] += wrong(StateStore(folder, WIDTH), list(range(3000)))[0]
        n = 3000
        counts["stored"] = len(StateStore(folder, WIDTH))
        fill(folder, n, seed)
    counts["wrong"], counts["lost"] = wrong(StateStore(folder, WIDTH), list(range(n)))
    counts["files"] = sorted(os.listdir(folder))
    return counts


if __name__ == "__main__":
    found = counted(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.write(json.dumps(found) + "\n")
