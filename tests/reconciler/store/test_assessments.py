"""What was found of readiness is kept on both databases, newest first, of each VM and kind by itself; and gets old."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.store import assessments, retention
from reconciler.store.assessments import Assessment
from reconciler.store.database import Database
from tests.reconciler.store import making

FOUND = Assessment(making.KEY, "test", making.NOW, 80.0, True, ("V-04 Network Mappings: none",))
LATER = making.NOW + timedelta(hours=1)


def test_the_newest_of_each_vm_and_kind_is_found_and_all_of_them_newest_first(store: Database) -> None:
    newer, other = replace(FOUND, at=LATER, score=0.0, is_ready=False, failed=()), replace(FOUND, vm_key="other")
    live = replace(FOUND, kind="live")
    with store.begin() as connection:
        assessments.add(connection, [])
        assessments.add(connection, [FOUND, other, live])
        assessments.add(connection, [newer])
    with store.read() as connection:
        assert assessments.newest(connection, "test") == {making.KEY: newer, "other": other}
        assert assessments.newest(connection, "live") == {making.KEY: live}
        assert assessments.of(connection, making.KEY, "test", 10) == (newer, FOUND)
        assert assessments.of(connection, making.KEY, "test", 1) == (newer,)


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"at": LATER}, True),
        ({"failed": ("V-04 Network Mappings: another text",)}, True),
        ({"failed": ("V-07 Destination Name: none",)}, False),
        ({"failed": ()}, False),
        ({"score": 100.0}, False),
        ({"is_ready": False}, False),
    ],
)
def test_only_what_is_judged_otherwise_is_news(changes: dict[str, object], alike: bool) -> None:
    assert FOUND.is_like(replace(FOUND, **changes)) is alike  # type: ignore[arg-type]


def test_what_is_old_goes_but_the_newest_of_each_vm(store: Database) -> None:
    with store.begin() as connection:
        assessments.add(connection, [FOUND, replace(FOUND, score=0.0), replace(FOUND, kind="live")])
        assert retention.old_events(connection, making.NOW) == 0
        assert retention.old_events(connection, LATER) == 1
        assert retention.remove_events(connection, LATER) == 1
        assert [a.score for a in assessments.of(connection, making.KEY, "test", 10)] == [0.0]
        assert len(assessments.newest(connection, "live")) == 1
