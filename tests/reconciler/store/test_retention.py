"""What is pruned, on both databases: only what is over and not the newest; many at once; no other table."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from reconciler.store import journal, retention, tables
from reconciler.store.database import Database
from tests.reconciler.store import making

LATER = making.NOW + timedelta(days=100)
OTHER = "4205a841-0265-f4bd-39a6-39fd921900d3"


def finished(store: Database, key: str, times: int) -> list[str]:
    """The ids of so many runs of a VM that are over, oldest first."""
    ids = []
    with store.begin() as connection:
        for number in range(times):
            now = making.NOW + timedelta(hours=number)
            run = making.opened(connection, making.plan(key), now)
            making.taken(connection, key=key)
            ids.append(journal.finish(connection, run, {}, now).id)
    return ids


def kept(store: Database) -> set[str]:
    with store.read() as connection:
        return set(connection.execute(sa.select(tables.runs.c.id)).scalars())


def test_the_newest_run_of_every_vm_and_what_is_open_is_never_among_the_ended(store: Database) -> None:
    ours, others = finished(store, making.KEY, 3), finished(store, OTHER, 1)
    with store.begin() as connection:
        making.opened(connection, making.plan(OTHER), making.NOW + timedelta(hours=9))
        found = retention.ended(connection, LATER)
    assert {run.id for run in found} == {*ours[:2], *others}


def test_an_age_counts_from_the_end(store: Database) -> None:
    first, second, _ = finished(store, making.KEY, 3)
    with store.read() as connection:
        assert [r.id for r in retention.ended(connection, making.NOW + timedelta(minutes=30))] == [first]
        assert [r.id for r in retention.ended(connection, LATER)] == [first, second]


def test_what_is_open_is_not_removed_even_when_named(store: Database) -> None:
    (old,) = finished(store, making.KEY, 1)
    with store.begin() as connection:
        run = making.opened(connection, now=making.NOW + timedelta(hours=9))
        assert retention.remove_runs(connection, [old, run.id]) == 1
    assert kept(store) == {run.id}
    with store.read() as connection:
        for part in retention.PARTS:
            assert old not in set(connection.execute(sa.select(part.c.run_id)).scalars())
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.steps)).scalar_one() > 0


def test_more_runs_than_go_into_one_statement(store: Database) -> None:
    row = {"vm_key": making.KEY, "run_id": None, "seq": None, "kind": "opened", "text": "·", "at": making.NOW}
    many = 3 * retention.AT_ONCE
    (first,) = finished(store, making.KEY, 1)
    with store.begin() as connection:
        like = connection.execute(tables.runs.select().where(tables.runs.c.id == first)).mappings().one()
        connection.execute(tables.runs.insert(), [{**like, "id": f"r{n}", "attempt": n + 2} for n in range(many)])
        connection.execute(tables.events.insert(), [{**row, "run_id": f"r{n}"} for n in range(many)])
        connection.execute(
            tables.points.insert(),
            [{"run_id": f"r{n}", "volume_id": "v", "name": "n", "snapshot_id": f"s{n}"} for n in range(many)],
        )
    with store.read() as connection:
        found = retention.ended(connection, LATER)
    assert len(found) == many
    assert {i for run in found for i in run.made.ids} >= {f"s{n}" for n in range(many - 1)}


def test_specs_that_are_active_needed_or_the_newest_stay(store: Database) -> None:
    with store.begin() as connection:
        first = making.accepted(connection, making.plan())
        second = making.accepted(connection, making.plan(disks=2))  # another spec: the first is superseded
        before = making.NOW + timedelta(days=1)
        specs = (first.id,) if second.id != first.id else ()
        assert retention.old_specs(connection, before, ()) == specs
        assert retention.old_specs(connection, making.NOW, ()) == ()
        assert retention.remove_specs(connection, [first.id, second.id]) == len(specs)
        assert connection.execute(sa.select(tables.specs.c.id)).scalars().all() == [second.id]


def test_a_spec_stays_as_long_as_a_run_of_it_does(store: Database) -> None:
    runs = finished(store, making.KEY, 1)
    with store.begin() as connection:
        connection.execute(tables.specs.update().values(active_of=None, state="ended", ended_at=making.NOW))
        newer = making.accepted(connection, making.plan(duration=timedelta(minutes=40)))
        assert newer.is_active
        assert retention.old_specs(connection, LATER, ()) == ()
        assert len(retention.old_specs(connection, LATER, runs)) == 1


def test_events_of_runs_are_not_events_of_no_run(store: Database) -> None:
    with store.begin() as connection:
        run = making.opened(connection)
        journal.note(connection, making.NOW, making.KEY, "refused", "a word")
        assert retention.old_events(connection, LATER) == 1
        assert retention.remove_events(connection, making.NOW) == 0
        assert retention.remove_events(connection, LATER) == 1
        assert {e.run_id for e in journal.events(connection, making.KEY, 10)} == {run.id}
