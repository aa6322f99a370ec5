"""Many recipes and calls, each in a process of its own, so that none can crash, hang or change another; and their counts."""

import faulthandler
import json
import os
import pickle
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.hostile.judging import Verdict, judged, quietly
from tests.hostile.recipes import BASES, Recipe, recipes

PATIENCE = 240.0
"""Seconds after which an object or a call hangs."""


def apart(act: Callable[[], Verdict], patience: float = PATIENCE) -> Verdict:
    """Do something in a process of its own; of one that dies or does not end, this is the verdict."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        faulthandler.disable()
        try:
            found = act()
        except BaseException as error:  # noqa: BLE001 - the judge itself failed
            found = Verdict("crash", f"crash | the judge | {type(error).__name__}", str(error)[:300])
        with os.fdopen(writer, "wb") as file:
            file.write(pickle.dumps(found))
        os._exit(0)
    os.close(writer)
    content, end = b"", time.monotonic() + patience
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(reader, 65536)
        if not part:
            break
        content += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if content:
        return pickle.loads(content)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        return Verdict("crash", f"crash | {signal.Signals(os.WTERMSIG(status)).name}")
    return Verdict("hang", "hang", f"after {patience:.0f} s")


class Failure(NamedTuple):
    """A distinct failure, its smallest example, and how many others there were."""

    key: str
    example: Any
    text: str
    n: int


class Tally:
    """Counts of verdicts, and the smallest example of each distinct failure."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.smallest: dict[str, tuple[Any, Verdict]] = {}

    def add(self, example: Any, verdict: Verdict) -> None:
        self.kinds[verdict.kind] += 1
        if verdict.is_fault:
            self.keys[verdict.key] += 1
            best = self.smallest.get(verdict.key)
            if best is None or _size(example) < _size(best[0]):
                self.smallest[verdict.key] = example, verdict

    def failures(self) -> list[Failure]:
        """The distinct failures, the most frequent first."""
        return [
            Failure(key, *self.smallest[key][:1], self.smallest[key][1].text, n) for key, n in self.keys.most_common()
        ]


def _size(example: Any) -> tuple[int, int, int]:
    if isinstance(example, Recipe):
        return len(example.mutations), int(example.trained) + (example.head is not None), example.n
    return 0, 0, len(str(example))


def drawn(n: int, strategy: st.SearchStrategy[Recipe], at: int) -> list[Recipe]:
    """Draw recipes, distinct ones, by a seed; hypothesis begins with simple ones, many alike, so that some of many are taken."""
    found: dict[str, Recipe] = {}

    @seed(at)
    @settings(
        max_examples=10 + 5 * n,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def note(recipe: Recipe) -> None:
        found.setdefault(recipe.written(), recipe)

    note()
    listed = list(found.values())
    return [listed[i] for i in np.random.default_rng(at).permutation(len(listed))[:n]]


def run_recipes(
    n: int, n_trained: int, at: int, report: Callable[[str], None], families: Sequence[str] = tuple(sorted(BASES))
) -> Tally:
    """Judge so many objects, and so many more with training, heads and files, of each family about as many; Ctrl-C ends it."""
    tally = Tally()
    warm_up(families)
    lists = [
        drawn(
            many // len(families) + (i < many % len(families)), recipes(family, trained=how, unsafe=True), at + 1000 * i
        )
        for how, many in ((False, n), (True, n_trained))
        for i, family in enumerate(families)
    ]
    todo = [recipe for round_of in zip_longest(*lists) for recipe in round_of if recipe is not None]
    todo = [todo[i] for i in np.random.default_rng(at).permutation(len(todo))]  # so that a part is as the whole
    with suppress(KeyboardInterrupt):  # what was tried until then counts
        for i, recipe in enumerate(todo):
            verdict = apart(lambda r=recipe: judged(r))
            tally.add(recipe, verdict)
            if verdict.is_fault:
                report(f"{i + 1}/{len(todo)} {verdict.key} {recipe.written()}")
            elif i % 100 == 99:
                report(f"{i + 1}/{len(todo)}")
    for key, (recipe, _) in list(tally.smallest.items()):
        tally.smallest[key] = reduced(recipe, key, tally.smallest[key][1])
    return tally


def reduced(recipe: Recipe, key: str, verdict: Verdict) -> tuple[Recipe, Verdict]:
    """Leave mutations out as long as the failure stays the same."""
    for name in recipe.mutations:
        smaller = recipe._replace(mutations=tuple(other for other in recipe.mutations if other != name))
        found = apart(lambda r=smaller: judged(r))
        if found.key == key:
            recipe, verdict = smaller, found
    return recipe, verdict


def run_calls(report: Callable[[str], None], families: Sequence[str]) -> Tally:
    """Judge all hostile calls of each family."""
    from tests.hostile.calls import CALLS, _good, call_judged

    tally = Tally()
    for family in families:
        _good(family)  # once, for all that are forked
        for name in CALLS:
            with TemporaryDirectory() as folder:
                verdict = apart(lambda n=name, f=family, d=folder: call_judged(f, n, Path(d)), 60)
            tally.add(f"{family}: {name}", verdict)
            if verdict.is_fault:
                report(f"{family} | {name} | {verdict.key}")
    return tally


def run_surface(n: int | None, at: int, report: Callable[[str], None], only: str = "") -> Tally:
    """Judge so many of the cases of tables, columns, files and figures, or all; those that begin with a text."""
    from tests.hostile.surface import SURFACE, classifier, reference, surface_judged, survival

    tally = Tally()
    names = [name for name in SURFACE if name.startswith(only)]
    names = [names[i] for i in np.random.default_rng(at).permutation(len(names))[:n]]
    with quietly():
        for make in (reference, classifier, survival):  # once, for all that are forked
            make()
    for i, name in enumerate(names):
        with TemporaryDirectory() as folder:
            verdict = apart(lambda n=name, d=folder: surface_judged(n, Path(d)), 120)
        tally.add(name, verdict)
        if verdict.is_fault:
            report(f"{i + 1}/{len(names)} {name} | {verdict.key} | {verdict.text}")
    return tally


def run_neighbours(report: Callable[[str], None], families: Sequence[str], *, with_heads: bool = True) -> Tally:
    """Judge what users of neighbouring tools reported, of each family and of heads on it."""
    from tests.hostile.neighbours import KINDS, heads, neighbour_judged, reference

    tally = Tally()
    for family in families:
        with quietly():
            reference(family)  # once, for all that are forked
            has_heads = with_heads and family != "IsoFormer"  # which heads refuse, as it has no values of features
            if has_heads:
                heads(family)
        for kind, (cases, _) in KINDS.items():
            for name in cases:
                with TemporaryDirectory() as folder:
                    verdict = apart(
                        lambda f=family, k=kind, n=name, d=folder, h=has_heads: neighbour_judged(f, k, n, Path(d), h),
                        120,
                    )
                tally.add(f"{family} | {kind} | {name}", verdict)
                if verdict.is_fault:
                    report(f"{family} | {kind} | {name} | {verdict.key} | {verdict.text}")
    return tally


def warm_up(families: Sequence[str]) -> None:
    """Import and compile once what each process needs."""
    for family in families:
        judged(Recipe(family, 24, 0, (), "batch", trained=family == "TxFM"))


def as_text(tally: Tally) -> str:
    """Say the counts and the failures."""
    kinds = ["fine", "sentence", "no object", "foreign traceback", "changed", "NaN", "order-dependent", "wrong shape", "hang", "crash"]  # fmt: skip
    lines = [f"tried {sum(tally.kinds.values())}: " + ", ".join(f"{kind} {tally.kinds[kind]}" for kind in kinds)]
    for failure in tally.failures():
        example = failure.example.written() if isinstance(failure.example, Recipe) else json.dumps(failure.example)
        lines += [f"{failure.n} x {failure.key}", f"    {example}", f"    {failure.text}"]
    return "\n".join(lines)
