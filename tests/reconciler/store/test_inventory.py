from __future__ import annotations

import contextlib
import threading
from datetime import timedelta

import pytest

from plans.plan import Plan
from reconciler.store import inventory, tables
from reconciler.store.database import Database, DatabaseBusy
from reconciler.store.inventory import SpecState
from specs.model import Origin
from tests.reconciler.store.making import KEY, NOW, plan

LATER = NOW + timedelta(minutes=1)
HOUR = timedelta(hours=1)


def test_what_is_accepted_comes_back_as_it_was_given(store: Database) -> None:
    wanted = plan(disks=3)
    with store.begin() as connection:
        done = inventory.accept(connection, wanted, now=NOW, by="ci@example.org")
        found = inventory.of(connection, KEY)
    assert done.new
    assert found == done.record
    assert (found.spec, found.plan, found.plan.digest) == (wanted.spec, wanted, wanted.digest)
    assert (found.accepted_at, found.accepted_by, found.is_active) == (NOW, "ci@example.org", True)


def test_the_same_spec_accepted_twice_changes_nothing(store: Database) -> None:
    with store.begin() as connection:
        first = inventory.accept(connection, plan(), now=NOW, by="tests")
        again = inventory.accept(connection, plan(), now=LATER, by="somebody else", again=True)
    assert not again.new
    assert again.record == first.record


def test_another_spec_takes_the_place_of_the_one_before(store: Database) -> None:
    with store.begin() as connection:
        first = inventory.accept(connection, plan(), now=NOW, by="tests").record
        second = inventory.accept(connection, plan(duration=HOUR), now=LATER, by="tests")
        rows = connection.execute(tables.specs.select().order_by(tables.specs.c.id)).all()
        assert [(x.state, x.ended_at) for x in rows] == [(SpecState.SUPERSEDED, LATER), (SpecState.ACTIVE, None)]
        assert [x.id for x in inventory.active(connection)] == [second.record.id]
        assert inventory.wanted(connection) == ((KEY, second.record.id),)
    assert second.new
    assert second.record.id > first.id


def test_specs_of_other_vms_stay_as_they_are(store: Database) -> None:
    with store.begin() as connection:
        for key in ("vm-b", "vm-a"):
            inventory.accept(connection, plan(key), now=NOW, by="tests")
        assert inventory.end(connection, "vm-a", NOW, "enough")
        assert [key for key, _ in inventory.wanted(connection)] == ["vm-b"]


@pytest.mark.parametrize(
    ("became", "again", "new"),
    [("ended", False, False), ("ended", True, True), ("failed", False, True), ("failed", True, True)],
)
def test_a_spec_that_had_its_turn_is_wanted_again_only_when_said_so(
    store: Database, became: str, again: bool, new: bool
) -> None:
    """One that could not even begin had no turn."""
    with store.begin() as connection:
        first = inventory.accept(connection, plan(), now=NOW, by="tests").record
        (inventory.end if became == "ended" else inventory.fail)(connection, KEY, NOW, "so it was")
        second = inventory.accept(connection, plan(), now=LATER, by="tests", again=again)
    assert second.new is new
    assert (second.record.id != first.id) is new
    assert second.record.is_active is new


def test_a_superseded_spec_comes_back_only_when_said_so(store: Database) -> None:
    with store.begin() as connection:
        inventory.accept(connection, plan(), now=NOW, by="tests")
        inventory.accept(connection, plan(duration=HOUR), now=NOW, by="tests")
        assert inventory.accept(connection, plan(), now=LATER, by="tests").new
        assert len(inventory.active(connection)) == 1


@pytest.mark.parametrize("alike", [True, False])
def test_of_many_that_accept_at_once_for_one_vm_one_spec_is_active(store: Database, alike: bool) -> None:
    start, new = threading.Barrier(4), list[bool]()
    plans = [plan(duration=HOUR if alike else HOUR * (n + 1)) for n in range(4)]

    def work(wanted: Plan) -> None:
        start.wait()
        while True:
            with contextlib.suppress(DatabaseBusy), store.begin() as connection:
                done = inventory.accept(connection, wanted, now=NOW, by="tests")
                break
        new.append(done.new)

    workers = [threading.Thread(target=work, args=(wanted,)) for wanted in plans]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with store.read() as connection:
        assert len(inventory.active(connection)) == 1
    assert sorted(new) == ([False, False, False, True] if alike else [True] * 4)


def test_ending_tells_whether_there_was_anything_to_end(store: Database) -> None:
    with store.begin() as connection:
        assert not inventory.end(connection, KEY, NOW, "nothing there")
        accepted = inventory.accept(connection, plan(), now=NOW, by="tests").record
        assert not inventory.end(connection, KEY, NOW, "another one", spec_id=accepted.id + 1)
        assert inventory.end(connection, KEY, LATER, "enough", spec_id=accepted.id)
        assert not inventory.end(connection, KEY, LATER, "twice")
        found = inventory.of(connection, KEY)
    assert found is not None
    assert (found.state, found.reason, found.ended_at) == (SpecState.ENDED, "enough", LATER)


def test_a_spec_that_was_ever_accepted_is_known_by_its_digest(store: Database) -> None:
    wanted = plan()
    with store.begin() as connection:
        assert not inventory.seen(connection, wanted.spec.digest)
        inventory.accept(connection, wanted, now=NOW, by="tests")
        inventory.end(connection, KEY, NOW, "enough")
        assert inventory.seen(connection, wanted.spec.digest)


def test_the_newest_of_many_vms_are_read_at_once_and_without_their_plans(store: Database) -> None:
    with store.begin() as connection:
        for key in ("vm-a", "vm-b"):
            inventory.accept(connection, plan(key), now=NOW, by="tests")
            inventory.accept(connection, plan(key, duration=HOUR), now=NOW, by="tests")
        found = inventory.newest(connection, ["vm-a", "vm-b", "vm-c"])
    assert {key: x.spec.duration for key, x in found.items()} == {"vm-a": HOUR, "vm-b": HOUR}
    assert {x.raw_plan for x in found.values()} == {None}


def test_texts_longer_than_their_column_are_cut(store: Database) -> None:
    origin = Origin(file="x" * 5000, line=1)
    with store.begin() as connection:
        inventory.accept(connection, plan(origin=origin), now=NOW, by="y" * 5000)
        inventory.end(connection, KEY, NOW, "ü" * 70_000)
        found = connection.execute(tables.specs.select()).one()
    assert (len(found.origin), len(found.accepted_by), len(found.reason)) == (1024, 255, 4000)
