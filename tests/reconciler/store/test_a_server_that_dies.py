"""Transactions on a server that others work on, that is killed, and whose answers are lost on the way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
import sqlalchemy as sa

from reconciler.store import tables
from reconciler.store.database import (
    TRIES,
    Database,
    DatabaseBusy,
    DatabaseLost,
    DatabaseUnclear,
    DatabaseUnreachable,
    upgrade,
)
from tests.mariadb import Server
from tests.reconciler.store.making import NOW

Open = Callable[..., Database]
lease = tables.leases


@pytest.fixture
def ours(mortal: Server, opened: Open) -> Iterator[Database]:
    """A database with our tables on a server that may be killed."""
    with mortal.fresh() as name:
        made = opened(mortal.url(name))
        upgrade(made)
        yield made


def put(connection: sa.Connection, key: str, owner: str = "us") -> None:
    connection.execute(lease.insert().values(vm_key=key, owner=owner, fence=0, expires_at=NOW))


def owners(database: Database) -> dict[str, str]:
    """Who holds what, by VM key."""
    with database.read() as connection:
        return {x.vm_key: x.owner for x in connection.execute(lease.select().order_by(lease.c.vm_key))}


def moved(connection: sa.Connection, key: str, owner: str) -> None:
    connection.execute(lease.update().where(lease.c.vm_key == key).values(owner=owner))


# --- others -----------------------------------------------------------------------------------------------------------


def test_every_transaction_reads_what_was_committed_and_waits_for_nobody_for_long(ours: Database) -> None:
    for transaction in (ours.begin, ours.read):
        with transaction() as connection:
            told = connection.execute(sa.text("SELECT @@tx_isolation, @@time_zone, @@innodb_lock_wait_timeout")).one()
            assert tuple(told) == ("READ-COMMITTED", "+00:00", 5)


def test_of_two_in_a_deadlock_both_are_written_one_of_them_at_its_second_try(ours: Database) -> None:
    met, tries = threading.Barrier(2), list[str]()
    with ours.begin() as connection:
        put(connection, "a")
        put(connection, "b")

    def cross(first: str, second: str) -> None:
        def work(connection: sa.Connection) -> None:
            tries.append(first)
            moved(connection, first, first)
            if tries.count(first) == 1:
                met.wait(30)
            moved(connection, second, first)

        ours.written(work)

    workers = [threading.Thread(target=cross, args=keys) for keys in ("ab", "ba")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(tries) == 3
    assert owners(ours) == {"a": tries[2], "b": tries[2]}, "whoever came last"


def test_a_lock_that_others_hold_too_long_is_asked_for_again(ours: Database) -> None:
    tries = list[int]()
    with ours.begin() as connection:
        put(connection, "a")
    with ours.engine.connect() as others:
        moved(others, "a", "them")

        def work(connection: sa.Connection) -> None:
            tries.append(len(tries))
            put(connection, "b", "written once")
            if len(tries) == 3:
                others.commit()
            connection.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 0"))
            moved(connection, "a", "us")

        ours.written(work)
    assert len(tries) == 3
    assert owners(ours) == {"a": "us", "b": "written once"}


def test_it_is_not_tried_for_ever(ours: Database) -> None:
    tries = list[int]()
    with ours.begin() as connection:
        put(connection, "a")
    with ours.engine.connect() as others:
        moved(others, "a", "them")

        def work(connection: sa.Connection) -> None:
            tries.append(len(tries))
            connection.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 0"))
            moved(connection, "a", "us")

        with pytest.raises(DatabaseBusy, match="nothing was written: try again"):
            ours.written(work)
    assert len(tries) == TRIES


def test_a_fault_of_the_work_itself_is_nobody_elses(ours: Database) -> None:
    tries = list[int]()

    def work(connection: sa.Connection) -> None:
        tries.append(len(tries))
        put(connection, "a")
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        ours.written(work)
    assert (len(tries), owners(ours)) == (1, {})


# --- a server that dies -----------------------------------------------------------------------------------------------


def test_a_server_that_is_killed_in_the_midst_of_a_transaction_and_comes_back_has_it_once(
    ours: Database, mortal: Server
) -> None:
    tries = list[int]()

    def work(connection: sa.Connection) -> str:
        tries.append(len(tries))
        put(connection, "a")
        if len(tries) == 1:
            mortal.kill()
            mortal.start()
        put(connection, "b")
        return "written"

    with ours.begin() as connection:
        put(connection, "before", "committed")
    assert ours.written(work) == "written"
    assert len(tries) == 2
    assert owners(ours) == {"a": "us", "b": "us", "before": "committed"}


def test_one_that_stays_away_is_told_and_whoever_asks_later_goes_on(ours: Database, mortal: Server) -> None:
    with ours.begin() as connection:
        put(connection, "a")
    mortal.kill()
    try:
        with pytest.raises(DatabaseUnreachable, match="check that the server runs"):
            ours.written(lambda connection: put(connection, "b"))
        with pytest.raises(DatabaseUnreachable):
            owners(ours)
    finally:
        mortal.start()
    ours.written(lambda connection: put(connection, "b"))
    assert owners(ours) == {"a": "us", "b": "us"}


def test_a_connection_that_the_server_ends_is_made_anew(ours: Database, mortal: Server) -> None:
    tries = list[int]()

    def work(connection: sa.Connection) -> None:
        tries.append(len(tries))
        put(connection, "a")
        if len(tries) == 1:
            mortal.say(f"KILL CONNECTION {connection.execute(sa.text('SELECT connection_id()')).scalar_one()}")
        put(connection, "b")

    ours.written(work)
    assert (len(tries), owners(ours)) == (2, {"a": "us", "b": "us"})


def test_a_transaction_that_is_no_function_says_that_nothing_was_written(ours: Database, mortal: Server) -> None:
    def killed_within() -> None:
        with ours.begin() as connection:
            put(connection, "a")
            mortal.kill()
            mortal.start()
            put(connection, "b")

    with pytest.raises(DatabaseLost, match="nothing was written"):
        killed_within()
    assert owners(ours) == {}


# --- answers that are lost --------------------------------------------------------------------------------------------

COMMIT = b"\x03COMMIT"


class Cutter:
    """What stands between us and a server, and cuts the next commits off: before they get there, or their answers."""

    def __init__(self, port: int) -> None:
        self.server, self.cuts = port, list[str]()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.workers = [threading.Thread(target=self._accept)]
        self.workers[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self.listening.accept()
                theirs, cut = socket.create_connection(("127.0.0.1", self.server)), threading.Event()
                self.pairs.append((ours, theirs))
                carriers = [threading.Thread(target=way, args=(ours, theirs, cut)) for way in (self._there, self._back)]
                for carrier in carriers:
                    carrier.start()
                self.workers += carriers

    def _there(self, ours: socket.socket, theirs: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := ours.recv(65536):
                what = self.cuts.pop(0) if COMMIT in data and self.cuts else ""
                if what == "commit":
                    break
                if what == "answer":
                    cut.set()
                theirs.sendall(data)
        _shut(ours, theirs)

    def _back(self, ours: socket.socket, theirs: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := theirs.recv(65536):
                if cut.is_set():
                    break
                ours.sendall(data)
        _shut(ours, theirs)

    def close(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for worker in self.workers:
            worker.join(10)
        for end in (end for pair in self.pairs for end in pair):
            end.close()


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_off(ours: Database, mortal: Server, opened: Open) -> Iterator[tuple[Database, Cutter]]:
    """The same database, by way of a cutter."""
    with closing(Cutter(mortal.port)) as cutter:
        name = ours.engine.url.database or ""
        far = opened(mortal.url(name).replace(f":{mortal.port}/", f":{cutter.port}/"))
        assert owners(far) == {}, "it is connected: from now on a commit is one of ours"
        yield far, cutter
        far.engine.dispose()


@pytest.mark.parametrize(("cut", "there"), [("answer", {"a": "us"}), ("commit", {})])
def test_a_commit_without_an_answer_is_not_run_again_but_said_to_be_unclear(
    cut: str, there: dict[str, str], ours: Database, mortal: Server, opened: Open
) -> None:
    tries = list[int]()

    def work(connection: sa.Connection) -> None:
        tries.append(len(tries))
        put(connection, "a")

    with cut_off(ours, mortal, opened) as (far, cutter):
        cutter.cuts.append(cut)
        with pytest.raises(DatabaseUnclear, match="only a look tells"):
            far.written(work)
        assert owners(far) == there, "a look tells"
    assert len(tries) == 1


@pytest.mark.parametrize("cut", ["answer", "commit"])
def test_work_that_looks_whether_it_is_done_is_run_again_and_is_there_once(
    cut: str, ours: Database, mortal: Server, opened: Open
) -> None:
    found = list[bool]()

    def work(connection: sa.Connection) -> None:
        found.append(connection.execute(lease.select().where(lease.c.vm_key == "a")).first() is not None)
        if not found[-1]:
            put(connection, "a")

    with cut_off(ours, mortal, opened) as (far, cutter):
        cutter.cuts.append(cut)
        far.written(work, looks=True)
    assert found == [False, cut == "answer"]
    assert owners(ours) == {"a": "us"}
