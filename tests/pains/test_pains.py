"""The table of pains is whole, and what it names exists: every pain once, tests that are collected, names that resolve."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Pain = dict[str, Any]
FOLDER = Path(__file__).parent
PAINS: dict[str, Pain] = tomllib.loads((FOLDER / "pains.toml").read_text(encoding="utf-8"))
TRAPS: dict[str, Pain] = tomllib.loads((FOLDER / "traps.toml").read_text(encoding="utf-8"))
EVERY = {**PAINS, **TRAPS}
SUBJECTS = (
    "live failover and the source side",
    "driver preparation",
    "REST API and page",
    "running it as a service",
)
LONGEST = 125


def named(kind: str) -> list[str]:
    """What all pains and traps together name, each once."""
    return sorted({name for pain in EVERY.values() for name in pain.get(kind, ())})


def test_every_pain_is_there_once_in_order() -> None:
    assert list(PAINS) == [f"P-{n:02d}" for n in range(1, 100)]


def test_every_question_and_every_trap_of_the_database_is_there_once_in_order_and_tried() -> None:
    assert list(TRAPS) == [*(f"Q-{n}" for n in range(1, 10)), *(f"D-{n:02d}" for n in range(1, 14))]
    assert all(trap["tests"] for trap in TRAPS.values())


@pytest.mark.parametrize("number", EVERY)
def test_a_pain_says_what_hurt_and_what_makes_it_impossible_or_when_that_comes(number: str) -> None:
    pain = EVERY[number]
    assert pain.keys() <= {"pain", "here", "tests", "design", "later"}
    assert all(0 < len(pain[text]) <= LONGEST for text in ("pain", "here"))
    assert pain.get("tests") or "later" in pain, "what is in reach is tried, not only asserted"
    assert pain.get("later", SUBJECTS[0]) in SUBJECTS


def test_every_subject_is_waited_for_by_a_pain() -> None:
    assert {pain["later"] for pain in PAINS.values() if "later" in pain} == set(SUBJECTS)


@pytest.mark.parametrize("name", named("design"))
def test_a_name_of_the_design_exists(name: str) -> None:
    assert pkgutil.resolve_name(name) is not None


def test_every_test_that_is_named_is_collected() -> None:
    assert set(named("tests")) - collected(named("tests")) == set()


def test_a_test_that_does_not_exist_is_noticed() -> None:
    there = named("tests")[0]
    assert {there, f"{there}_and_more"} - collected([there]) == {f"{there}_and_more"}


def collected(tests: Iterable[str]) -> set[str]:
    """The tests that pytest finds in the files of these tests."""
    files = sorted({test.partition("::")[0] for test in tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "-p", "no:randomly", *files]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-2000:]
    return set(re.findall(r"^(tests/\S+?::\w+)", done.stdout, re.MULTILINE))
