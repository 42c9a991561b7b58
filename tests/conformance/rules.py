"""The rules of the contract's section 15, the corrections of it, and the tests that name them.

A test speaks of a rule when `CS-ATT-08` (or `CS_ATT_08`) stands in its name or in the id of its parameters; of a correction
when its name begins with its number, as in `test_A07_page_0_is_the_first`. `outcomes` runs the tests under tests/simulator,
`joined` and `corrected` tell of each rule and each correction which tests there are and how they ended.
"""

from __future__ import annotations

import contextlib
import io
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

TABLE = Path(__file__).parent / "rules.toml"
TESTS = Path(__file__).parent.parent / "simulator"
CORRECTIONS = (*(f"A{number:02}" for number in range(1, 43)), *(f"B{number}" for number in range(1, 9)))
CORRECTED = re.compile(r"::test_([AB]\d+)_([^\[]+)")
NAMED = re.compile(r"CS[-_]([A-Z]{3})[-_](\d\d)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its tests. `outcome` is passed, failed or missing."""

    id: str
    text: str
    tests: tuple[str, ...] = ()
    outcome: str = "missing"


def load(path: Path = TABLE) -> dict[str, str]:
    """Id → what the rule says, in the order of the contract."""
    groups = tomllib.loads(path.read_text())
    return {f"CS-{group}-{number}": text for group, rows in groups.items() for number, text in rows.items()}


def named_in(node: str) -> set[str]:
    """The rules that a test's name speaks of."""
    return {f"CS-{group}-{number}" for group, number in NAMED.findall(node)}


class _Listener:
    """Hears what pytest has to say about every test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed or report.skipped:
            self.outcomes[report.nodeid] = self.outcomes.get(report.nodeid, True) and report.passed


def outcomes(folder: Path = TESTS) -> dict[str, bool]:
    """Node id → whether the test passed; empty without such a folder."""
    if not folder.is_dir():
        return {}
    listener = _Listener()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--no-header", str(folder)], plugins=[listener])
    return listener.outcomes


def joined(ended: dict[str, bool]) -> list[Rule]:
    """Every rule with the tests that name it."""
    tests: dict[str, list[str]] = defaultdict(list)
    for node in ended:
        for rule in named_in(node):
            tests[rule].append(node)
    return [Rule(rule, text, tuple(tests[rule]), _outcome(tests[rule], ended)) for rule, text in load().items()]


def corrected(ended: dict[str, bool]) -> list[Rule]:
    """Every correction with the tests that name it; what it says are the words of the first one's name."""
    tests: dict[str, list[str]] = defaultdict(list)
    words: dict[str, str] = {}
    for node in ended:
        for number, text in CORRECTED.findall(node):
            tests[number].append(node)
            words.setdefault(number, text.replace("_", " "))
    return [
        Rule(number, words.get(number, ""), tuple(tests[number]), _outcome(tests[number], ended)) for number in CORRECTIONS
    ]


def _outcome(tests: list[str], ended: dict[str, bool]) -> str:
    if not tests:
        return "missing"
    return "passed" if all(ended[test] for test in tests) else "failed"
