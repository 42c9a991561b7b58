"""The page on hooks says what the code asks, answers and allows."""

from __future__ import annotations

import json
import re

from plans.guest_os import Family, Need, drivers, family
from reconciler.hooks import process
from reconciler.hooks.protocol import FITTING, LONGEST, MOST, Answer, Request
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "reference" / "hooks.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = pages.sections(PAGE)


def test_the_examples_are_what_is_asked_and_answered() -> None:
    asked, answered = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.S))
    assert Request.model_validate(asked).model_dump(mode="json") == asked
    assert Answer.model_validate(answered).model_dump(mode="json") == answered


def test_every_verb_is_there_with_its_results() -> None:
    table = {row[0].strip("`"): set(re.findall(r"`([a-z-]+)`", row[2])) for row in pages.rows(SECTIONS["What it answers"])}
    assert table == {str(verb): {str(r) for r in results} for verb, results in FITTING.items()}


def test_limits_are_as_said() -> None:
    assert f"at most {LONGEST} characters" in TEXT
    assert f"at most {MOST} entries" in TEXT
    assert f"more than {process.ANSWER_MOST >> 20} MiB of answer or {process.LOG_MOST >> 20} MiB of log" in TEXT
    assert process.Limits().grace.total_seconds() == 5
    assert process.MARK in TEXT


def test_each_beginning_of_a_guest_id_means_what_its_row_says() -> None:
    rows = pages.rows(SECTIONS["Which VMs"])
    assert [Need(re.split("[,:]", row[2])[0]) for row in rows] == [Need.PREPARE, Need.SKIP, Need.SKIP, Need.ASK]
    for row, expected in zip(rows[:3], (Family.WINDOWS, Family.LINUX, Family.OTHER), strict=True):
        wanted, _, but = row[0].partition(", but not ")
        assert {family(name) for name in re.findall(r"`(\w+)`", wanted)} == {expected}
        assert {family(name) for name in re.findall(r"`(\w+)`", but)} <= {Family.OTHER}
    assert drivers("otherGuest").need is Need.ASK
