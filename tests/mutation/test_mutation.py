"""The hunt for mutants, on a small tree: what is noticed, what is not, and that every verdict can come out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.hunt import ROOT
from tests.mutation.mutants import mutants_of

TINY = '''\
"""A module."""
BOUND = 3


def big(n):
    return n > BOUND


def down(n):
    while n > 0:
        n -= 1
    return n


def some(ns):
    return any(ns)


def unseen(n):
    return n + 1
'''
TESTS = """\
from plans import tiny

def test_big():
    assert tiny.big(4) and not tiny.big(3)

def test_down():
    assert tiny.down(5) == 0

def test_some():
    assert tiny.some([0, 1])
"""


def fruits(source: str) -> set[str]:
    return {m.becomes for m in mutants_of("tiny", source)}


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is not None", {"x = a is None"}),
        ("x = a and b", {"x = (a or b)", "x = (a)", "x = (b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = b if a else c", {"x = b if (not (a)) else c"}),
        ("x = any(a for a in b if c)", {"x = all(a for a in b if c)", "x = any(a for a in b if (not (c)))"}),
        ("x = f(a, b=c)", {"x = f(a)"}),
        ("x = a.get(b, c)", {"x = a.get(b)"}),
        ("x = a + 1", {"x = (a - 1)", "x = a + (2)"}),
        ("x = {a, b}", {"x = {b}", "x = {a}"}),
        ("x = (a, b)", {"x = (b,)", "x = (a,)"}),
        ("x = {a: b}", {"x = {}"}),
        ("x = 'word'", {"x = 'XXword'"}),
        ("def f():\n    return a", {" return None".strip()}),
        ("def f():\n    yield a", {"() if True else ((yield a))"}),
        ("def f():\n    f()", {"pass"}),
        ("for a in b:\n    continue", {"pass"}),
    ],
)
def test_a_slip_of_the_hand_of_every_kind(source: str, becomes: set[str]) -> None:
    assert becomes <= fruits(source)


@pytest.mark.parametrize(
    "source",
    [
        "'''A docstring.'''",
        "x = 'a text with blanks'",
        "x = f'{1 if a else 2}'",
        "def f(a: 'int') -> None: ...",
        "x: dict['int', 3] = y",
        "@f(3)\ndef g(): ...",
        "from a import b",
        "def f():\n    raise NotImplementedError(3)",
    ],
)
def test_what_only_people_and_type_checkers_read_is_left_alone(source: str) -> None:
    assert fruits(source) == set()


@pytest.mark.parametrize("module", sorted((ROOT / "plans").glob("*.py")), ids=lambda path: path.stem)
def test_every_mutant_of_ours_can_be_compiled_and_is_another_program(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    for mutant in mutants_of(module.stem, source):
        compile(mutant.text(source), module.name, "exec")
        assert mutant.text(source) != source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    files = {"plans/__init__.py": "", "plans/tiny.py": TINY, "tests/plans/test_tiny.py": TESTS, "pyproject.toml": ""}
    for name, text in {**files, "tests/__init__.py": "", "tests/plans/__init__.py": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def hunted(root: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, what was printed, and the report."""
    report = root.parent / "mutation.txt"
    command = [sys.executable, "-m", "tests.mutation", "tiny", "--root", str(root), "--report", str(report), *words]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout + done.stderr, report.read_text() if report.exists() else ""


def test_what_survives_stands_in_the_report_with_its_place_and_its_change(tree: Path) -> None:
    code, printed, report = hunted(tree)
    assert (code, "below 85 %" in printed) == (1, True)
    assert "plans/tiny.py:20: no test passes here\n  - return n + 1\n  + return (n - 1)\n" in report
    assert "n >= BOUND" not in report, "killed, in a function"
    assert "BOUND = (4)" not in report, "killed, at import"
    assert "all(ns)" not in report, "killed, where only a name is another"
    assert hunted(tree, "--bound", "50")[0] == 0


def test_a_mutant_that_never_ends_is_caught_and_no_failure_of_the_hunt(tree: Path) -> None:
    code, printed, report = hunted(tree, "--bound", "50")
    assert (code, "+ pass" in report) == (0, False)
    assert printed.splitlines()[2].split()[5] == "1", "n -= 1 left out"


def test_an_excuse_needs_a_mutant_that_it_fits_and_leaves_it_out_of_the_score(tree: Path) -> None:
    excuses = tree / "tests" / "mutation" / "equivalent.toml"
    excuses.parent.mkdir()
    row = '[[equivalent]]\nmodule = "tiny"\nwas = "return n + 1"\nbecomes = "return (n - 1)"\nwhy = "a reason"\n'
    excuses.write_text(row)
    assert "(n - 1)" not in hunted(tree)[2]
    excuses.write_text(row.replace("n - 1", "n - 7"))
    code, printed, _ = hunted(tree)
    assert (code, "fits no mutant" in printed) == (1, True)


def test_tests_that_fail_without_a_fault_stop_the_hunt(tree: Path) -> None:
    (tree / "tests" / "plans" / "test_tiny.py").write_text(TESTS + "\ndef test_wrong():\n    assert tiny.BOUND == 9\n")
    code, printed, report = hunted(tree)
    assert (code, "tiny.BOUND == 9" in printed, report) == (1, True, "")
