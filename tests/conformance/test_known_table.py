"""The table of known differences: it only gets shorter, and every row earns its place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.conformance import known
from tests.conformance.comparing import Difference
from tests.conformance.known import Result, Row

MOST = 10
ROW = Row("kvm-*", "list-*", "listeventsresponse.event[]*", "another history")


def test_the_table_does_not_grow() -> None:
    assert len(known.load()) <= known.most() <= MOST


def test_every_row_gives_a_reason() -> None:
    assert [row for row in known.load() if len(row.reason) < 10] == []


def test_no_row_is_given_twice() -> None:
    assert len(set(known.load())) == len(known.load())


STEPS: dict[str, tuple[str, str, list[str], Result]] = {
    "no difference": ("kvm-04", "list-x", [], Result.EQUAL),
    "explained": ("kvm-04", "list-x", ["listeventsresponse.event[].type"], Result.KNOWN),
    "one is not": ("kvm-04", "list-x", ["listeventsresponse.event[].type", "status"], Result.DIFFERENT),
    "another step": ("kvm-04", "start", ["listeventsresponse.event[]"], Result.DIFFERENT),
    "another file": ("04", "list-x", ["listeventsresponse.event[]"], Result.DIFFERENT),
    "brackets mean themselves": ("kvm-04", "list-x", ["listeventsresponse.event.type"], Result.DIFFERENT),
}


@pytest.mark.parametrize(("file", "step", "fields", "result"), STEPS.values(), ids=STEPS.keys())
def test_a_difference_is_known_only_where_a_row_names_its_place(
    file: str, step: str, fields: Iterable[str], result: Result
) -> None:
    judged = known.judge(file, step, [Difference(field, "a", "b") for field in fields], [ROW])
    assert judged.result is result
    assert bool(judged.unexplained) is (result is Result.DIFFERENT)
