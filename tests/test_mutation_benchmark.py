"""The mutation run: its operators, what it leaves out, how it draws, and what it says of tests that bite and of none."""

import ast
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module, with the folder of benchmarks on the path as a script has it."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import mutation

    yield mutation
    for name in ("mutation", "_mutants"):
        sys.modules.pop(name)


def faults_of(benchmark, source):
    """The lines that stand where a fault is, by operator, of a source of one line per statement."""
    found = {}
    for site in benchmark.mutants(source):
        for mutant in site:
            changed = ast.unparse(ast.parse(mutant.applied(source))).splitlines()
            (line,) = set(changed) - set(ast.unparse(ast.parse(source)).splitlines())
            found.setdefault(mutant.operator, []).append(line.strip())
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"comparison": ["a <= b", "a >= b"]}),
        ("a == b", {"comparison": ["a != b"]}),
        ("a is not b", {"comparison": ["a is b"]}),
        ("a in b < c", {"comparison": ["a not in b < c"]}),
        ("a + b * c", {"arithmetic": ["a - b * c", "a + b / c"]}),
        ("(a - b) ** c", {"arithmetic": ["(a - b) * c", "(a + b) ** c"]}),
        ("a // b", {"arithmetic": ["a * b"]}),
        ("é['ü'] - b", {"arithmetic": ["é['ü'] + b"]}),
        ("a += b", {"arithmetic": ["a -= b"]}),
        ("a[3]", {"constant": ["a[4]", "a[2]", "a[6]"]}),
        ("a[0]", {"constant": ["a[1]", "a[-1]"]}),
        ("f(0.5)", {"constant": ["f(1.5)", "f(-0.5)", "f(1.0)"]}),
        ("f(True)", {"boolean": ["f(False)"]}),
        ("a and b", {"boolean": ["a or b"]}),
        ("x = a if f(b) else c", {"boolean": ["x = a if not f(b) else c"]}),
        ("[a for a in b if a.c]", {"boolean": ["[a for a in b if not a.c]"]}),
        ("f(not a)", {"negation": ["f(a)"]}),
        ("b[~a]", {"negation": ["b[a]"]}),
        ("f(-a)", {"negation": ["f(a)"]}),
        ("f(a, b=c, d=e)", {"keyword": ["f(a, d=e)", "f(a, b=c)"]}),
        ("def f(a, b=x, *, c: int = y): g()", {"default": ["def f(a, b, *, c: int=y):", "def f(a, b=x, *, c: int):"]}),
        ("def f(a=x, b=y): g()", {"default": []}),
        ("def f():\n    return a", {"return": ["return"]}),
        ("def f():\n    return a, b, c", {"return": ["return", "return (b, a, c)"]}),
    ],
)
def test_operators(benchmark, source, expected):
    if expected == {"default": []}:  # only the first may go: one without a default cannot follow
        source, expected = "def f(a=x, b=y): g()", {"default": []}
        mutant_texts = [m.applied(source) for site in benchmark.mutants(source) for m in site]
        assert mutant_texts == ["def f(a, b=y): g()"]
        return
    assert faults_of(benchmark, source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A text of 1 + 2."""',
        "import a.b as c",
        "__all__ = [1 + 2]",
        "assert a < 1",
        "raise value_error('n', 1 + 2)",
        "logger.info('%s', 1 + 2)",
        "f'{1 + 2}'",
        "x: Literal[1, 2]",
        "Kind = Literal[1, 2]",
        "View = Grid | None",
        "@cache(size=1)\ndef f(a: dict[str, 1]) -> x[1]: g()",
        "zip(a, b, strict=True)",
        "f(device=a.device)",
        "return_nothing()",
        "def f():\n    return None",
    ],
)
def test_what_is_never_mutated(benchmark, source):
    assert [mutant for site in benchmark.mutants(source) for mutant in site] == []


def test_every_mutant_of_our_sources_is_another_valid_program(benchmark):
    for file in (ROOT / "src/omicsmlm/nn/_value_bins.py", ROOT / "src/omicsmlm/data/_modality.py"):
        source = file.read_text()
        sites = benchmark.mutants(source)
        assert len(sites) > 30
        for mutant in (mutant for site in sites for mutant in site):
            assert ast.dump(ast.parse(mutant.applied(source))) != ast.dump(ast.parse(source))


def test_tests_mirror_their_source(benchmark):
    assert benchmark.mirror("nn/_fusion.py") == "tests/nn/test_fusion.py"
    assert benchmark.mirror("models/mojo/_config.py") == "tests/models/mojo/test_config.py"


@pytest.fixture
def tree(tmp_path):
    """A package of one function in each of two rooms, of which one has tests."""
    source = "def larger(a, b):\n    return a if a > b else b\n"
    for room in ("nn", "data"):
        (tmp_path / "src/omicsmlm" / room).mkdir(parents=True)
        (tmp_path / "src/omicsmlm" / room / "_max.py").write_text(source)
        (tmp_path / "src/omicsmlm" / room / "__init__.py").write_text("x = 1 + 1\n")
    (tmp_path / "src/omicsmlm/__init__.py").write_text("")
    (tmp_path / "tests/nn").mkdir(parents=True)
    test = "from omicsmlm.nn._max import larger\n\n\ndef test_larger():\n    assert larger(1, 2) == 2\n"
    (tmp_path / "tests/nn/test_max.py").write_text(test)
    return tmp_path


def test_faults_are_drawn_by_the_seed_and_as_many_in_each_room(benchmark, tree):
    first, same, other = (benchmark.drawn(tree, ["data", "nn"], 3, seed, []) for seed in (0, 0, 1))
    assert first == same != other
    assert [fault.room for fault in first] == ["data", "data", "nn"]
    assert {fault.file for fault in benchmark.drawn(tree, ["data", "nn"], 9, 0, ["nn/_max.py"])} == {"nn/_max.py"}
    assert len(benchmark.drawn(tree, ["data", "nn"], 100, 0, [])) == 4, "two places in each; __init__ is left out"


@pytest.mark.slow
def test_a_fault_is_killed_survives_or_has_no_tests(benchmark, tree):
    judge = benchmark.Judge(tree, 60)
    source = (tree / "src/omicsmlm/nn/_max.py").read_text()
    verdicts = {}
    for site in benchmark.mutants(source):
        for mutant in site:
            verdicts[mutant.text] = judge.verdict(benchmark.Fault("nn/_max.py", mutant))
    assert verdicts["(a >= b)"] == "survived", "it changes nothing"
    assert verdicts["(a <= b)"] == verdicts["return"] == "killed"
    assert judge.verdict(benchmark.Fault("data/_max.py", benchmark.mutants(source)[0][0])) == "survived: no tests"
    assert (tree / "src/omicsmlm/nn/_max.py").read_text() == source
    (tree / "tests/nn/test_max.py").write_text("def test_wrong():\n    assert False\n")
    with pytest.raises(SystemExit, match="fails without a fault"):
        benchmark.Judge(tree, 60).verdict(benchmark.Fault("nn/_max.py", benchmark.mutants(source)[0][0]))


def test_the_table_and_the_difference(benchmark, tree):
    faults = benchmark.drawn(tree, ["data", "nn"], 4, 0, [])
    lines = list(benchmark.table(faults, ["survived", "killed", "killed by time", "killed"], ["data", "nn"]))
    assert lines[2:] == ["| data | 1 | 2 | 50 % |", "| nn | 2 | 2 | 100 % |", "| all | 3 | 4 | 75 % |"]
    removed, added = benchmark.difference(tree, faults[0])
    assert removed == "-    return a if a > b else b"
    assert added.startswith("+    return")


def test_a_fault_is_known_by_its_source_and_its_tests(benchmark, tree):
    (fault, *_), judge = benchmark.drawn(tree, ["nn"], 1, 0, []), benchmark.Judge(tree, 1)
    before = judge.key(fault)
    assert json.dumps(before) == json.dumps(judge.key(fault))
    (tree / "tests/nn/test_max.py").write_text("")
    assert judge.key(fault) != before
