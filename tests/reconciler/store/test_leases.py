from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from reconciler.store import journal
from reconciler.store.database import Database, StoreError
from reconciler.store.journal import Lease, StepState
from tests.reconciler.store.making import KEY, NOW, TTL, opened, step_moved, step_started, taken

LATER = NOW + TTL


def test_the_first_to_ask_gets_the_lease_and_others_do_not(store: Database) -> None:
    with store.begin() as connection:
        assert journal.take(connection, KEY, "us", NOW, TTL) == Lease(KEY, "us", 1, LATER)
        assert journal.take(connection, KEY, "them", NOW, TTL) is None


def test_the_owner_renews_its_lease_under_the_same_fence(store: Database) -> None:
    with store.begin() as connection:
        taken(connection)
        renewed = journal.take(connection, KEY, "us", NOW + timedelta(seconds=59), TTL)
    assert renewed == Lease(KEY, "us", 1, LATER + timedelta(seconds=59))


def test_a_lease_that_lapsed_goes_to_another_under_a_higher_fence(store: Database) -> None:
    with store.begin() as connection:
        taken(connection)
        assert journal.take(connection, KEY, "them", LATER - timedelta(microseconds=1), TTL) is None
        assert journal.take(connection, KEY, "them", LATER, TTL) == Lease(KEY, "them", 2, LATER + TTL)


@pytest.mark.parametrize(
    ("owner", "after", "fresh"), [("us", TTL / 3, True), ("us", TTL / 2, False), ("them", timedelta(), False)]
)
def test_a_lease_is_fresh_for_its_owner_during_half_its_time(owner: str, after: timedelta, fresh: bool) -> None:
    assert Lease(KEY, "us", 1, LATER).is_fresh(owner, NOW + after, TTL) is fresh


def test_what_is_given_back_is_free_at_once_and_only_ours_is(store: Database) -> None:
    with store.begin() as connection:
        taken(connection)
        taken(connection, "others", key="other-vm")
        journal.give_back(connection, "us", NOW)
        assert taken(connection, "them").fence == 2
        assert journal.take(connection, "other-vm", "them", NOW, TTL) is None


def test_who_was_overtaken_cannot_write(store: Database) -> None:
    with store.begin() as connection:
        ours = taken(connection)
        journal.fenced(connection, [ours])
        theirs = taken(connection, "them", LATER)
        with pytest.raises(journal.Fenced, match="another process works on"):
            journal.fenced(connection, [ours])
        journal.fenced(connection, [theirs])


def test_who_was_overtaken_and_took_it_again_cannot_write_under_the_old_fence(store: Database) -> None:
    with store.begin() as connection:
        first = taken(connection)
        taken(connection, "them", LATER)
        taken(connection, "us", LATER + TTL)
        with pytest.raises(journal.Fenced):
            journal.fenced(connection, [first])


def test_nobody_writes_without_a_lease(store: Database) -> None:
    with store.begin() as connection, pytest.raises(journal.Fenced):
        journal.fenced(connection, [Lease(KEY, "us", 1, LATER)])


def test_nobody_overtakes_in_the_middle_of_a_transaction(store: Database) -> None:
    """A lease that was checked stays in force until what was written under it is committed."""
    with store.begin() as connection:
        ours, run = taken(connection), opened(connection)
    order, asked = list[str](), threading.Event()

    def overtake() -> None:
        asked.set()
        with store.begin() as connection:
            taken(connection, "them", LATER)
            order.append("overtaken")

    other = threading.Thread(target=overtake)
    with store.begin() as connection:
        journal.fenced(connection, [ours])
        other.start()
        asked.wait()
        other.join(0.2)
        journal.event(connection, NOW, run, None, "told", "under our lease")
        order.append("written")
    other.join()
    assert order == ["written", "overtaken"]


def test_of_many_that_ask_at_once_one_gets_the_lease(store: Database) -> None:
    start, got = threading.Barrier(6), list[Lease]()

    def ask(owner: str) -> None:
        start.wait()
        for vm in range(10):
            with store.begin() as connection:
                lease = journal.take(connection, f"vm-{vm}", owner, NOW, TTL)
            if lease is not None:
                got.append(lease)

    workers = [threading.Thread(target=ask, args=(f"owner-{n}",)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(lease.vm_key for lease in got) == [f"vm-{vm}" for vm in range(10)]
    assert {lease.fence for lease in got} == {1}


def test_a_step_that_another_process_moved_is_not_moved_again(store: Database) -> None:
    with store.begin() as connection:
        row = journal.steps(connection, opened(connection), journal.Direction.THERE)[0]
        started = step_started(connection, row, "own-id", LATER, NOW)
        with pytest.raises(journal.Fenced, match="moved by another process"):
            step_started(connection, row, "own-id", LATER, NOW)
        step_moved(connection, started, StepState.DONE, None, "", NOW)
        with pytest.raises(journal.Fenced):
            step_moved(connection, started, StepState.FAILED, None, "", NOW)


def test_what_is_written_together_is_written_in_one_transaction(store: Database) -> None:
    with store.begin() as connection:
        leases = [taken(connection, key=key) for key in ("vm-a", "vm-b", "vm-c")]
    seen = []

    def write(connection: Any, items: Sequence[Lease]) -> list[str]:
        seen.append(len(items))
        for lease in items:
            journal.note(connection, NOW, lease.vm_key, "told", "together")
        return [lease.vm_key for lease in items]

    assert journal.together(store, leases, lambda lease: lease, write) == ["vm-a", "vm-b", "vm-c"]
    assert seen == [3]


def test_one_that_was_overtaken_stops_nobody_else(store: Database) -> None:
    with store.begin() as connection:
        leases = [taken(connection, key=key) for key in ("vm-a", "vm-b", "vm-c")]
        taken(connection, "them", LATER, key="vm-b")

    def write(connection: Any, items: Sequence[Lease]) -> list[str]:
        for lease in items:
            journal.note(connection, NOW, lease.vm_key, "told", "each")
        return [lease.vm_key for lease in items]

    first, second, third = journal.together(store, leases, lambda lease: lease, write)
    assert (first, third) == ("vm-a", "vm-c")
    assert isinstance(second, journal.Fenced)
    with store.read() as connection:
        told = {lease.vm_key: len(journal.events(connection, lease.vm_key, 9)) for lease in leases}
    assert told == {"vm-a": 1, "vm-b": 0, "vm-c": 1}


def test_a_defect_writes_nothing_for_the_vm_that_shows_it_and_stops_nobody_else(store: Database) -> None:
    with store.begin() as connection:
        leases = [taken(connection, key=key) for key in ("vm-a", "vm-b")]

    def write(connection: Any, items: Sequence[Lease]) -> list[str]:
        for lease in items:
            journal.note(connection, NOW, lease.vm_key, "told", "each")
            if lease.vm_key == "vm-a":
                raise LookupError("a defect")
        return [lease.vm_key for lease in items]

    first, second = journal.together(store, leases, lambda lease: lease, write)
    assert isinstance(first, LookupError)
    assert second == "vm-b"
    with store.read() as connection:
        assert [len(journal.events(connection, key, 9)) for key in ("vm-a", "vm-b")] == [0, 1]


def test_a_fault_of_the_database_is_everybodys(store: Database) -> None:
    with store.begin() as connection:
        leases = [taken(connection, key=key) for key in ("vm-a", "vm-b")]

    def write(_connection: Any, _items: Sequence[Lease]) -> list[str]:
        raise StoreError("it is full")

    with pytest.raises(StoreError, match="it is full"):
        journal.together(store, leases, lambda lease: lease, write)
