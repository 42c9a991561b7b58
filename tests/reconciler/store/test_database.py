from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import certifi
import pytest
import sqlalchemy as sa

from reconciler.store import legacy, tables
from reconciler.store.database import (
    Database,
    DatabaseBusy,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseUnreachable,
    DatabaseUntrusted,
    StoreError,
    upgrade,
)
from tests.mariadb import PASSWORD, USER, Server

Open = Callable[..., Database]
NOW = datetime(2026, 11, 24, 14, 0, 0, 123456, tzinfo=UTC)


def told(kind: type[StoreError], database: Database, statement: str) -> str:
    """What is said of this statement; it never has the password in it, and always what to do."""
    with pytest.raises(kind) as caught, database.begin() as connection:
        connection.execute(sa.text(statement))
    text = str(caught.value)
    assert PASSWORD not in f"{text} {caught.value!r} {caught.value.__cause__!r} {database.engine!r}"
    assert ": " in text
    return text


# --- what may be wrong ------------------------------------------------------------------------------------------------


def test_a_missing_file_is_not_made_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissing, match="run `failover init`"):
        Database(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_called_so(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "notes.db").write_text("shopping list\n" * 100)
    assert "no SQLite database" in told(StoreError, opened(f"sqlite:///{tmp_path / 'notes.db'}"), "SELECT 1")


def test_a_read_only_file_is_read_and_not_written(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "failover.db"
    upgrade(opened(f"sqlite:///{path}"))
    closed = opened(f"sqlite:///file:{path}?mode=ro&uri=true")
    with closed.read() as connection:
        assert connection.execute(tables.leases.select()).all() == []
    assert "check the rights of the file" in told(DatabaseReadOnly, closed, "DELETE FROM fr_leases")


def test_a_folder_that_is_not_there_cannot_hold_a_database(tmp_path: Path, opened: Open) -> None:
    told(DatabaseReadOnly, opened(f"sqlite:///{tmp_path / 'none' / 'failover.db'}"), "SELECT 1")


def test_a_database_without_our_tables_says_how_to_make_them(empty: Database) -> None:
    assert "failover db upgrade" in told(DatabaseMissing, empty, "SELECT * FROM fr_leases")


def test_a_server_that_is_not_there_is_unreachable(opened: Open) -> None:
    away = opened(f"mysql+pymysql://{USER}@127.0.0.1:9/failover", password=PASSWORD)
    assert "check that the server runs" in told(DatabaseUnreachable, away, "SELECT 1")
    with pytest.raises(DatabaseUnreachable):
        legacy.adopt(away)


def test_a_wrong_password_is_not_repeated(mariadb: Server, opened: Open) -> None:
    refused = opened(mariadb.url("mysql", password=""), password=f"{PASSWORD}-wrong")
    assert "(1045)" in told(DatabaseUnreachable, refused, "SELECT 1")


def test_a_database_that_its_server_does_not_have_is_missing(mariadb: Server, opened: Open) -> None:
    assert "is not there on its server" in told(DatabaseMissing, opened(mariadb.url("nowhere")), "SELECT 1")


def test_a_user_without_rights_is_told_which_to_ask_for(mariadb: Server, opened: Open) -> None:
    with mariadb.fresh() as name:
        upgrade(opened(mariadb.url(name)))
        mariadb.say("CREATE OR REPLACE USER reader IDENTIFIED BY 'x'", f"GRANT SELECT ON {name}.* TO reader")
        reader = opened(mariadb.url(name, user="reader", password=":x"))
        with reader.read() as connection:
            assert connection.execute(tables.leases.select()).all() == []
        assert "grant its user" in told(DatabaseReadOnly, reader, "DELETE FROM fr_leases")


def test_a_server_without_tls_is_refused_when_certificates_are_to_be_checked(mariadb: Server, opened: Open) -> None:
    says = told(DatabaseUntrusted, opened(mariadb.url("mysql"), ca_file=Path(certifi.where())), "SELECT 1")
    assert says.endswith("offers no TLS, which `database.ca_file` asks for: turn TLS on there, or remove `database.ca_file`")


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(StoreError, match=r"ca\.pem cannot be read: correct `database\.ca_file`"):
        opened("mysql+pymysql://failover@127.0.0.1:9/failover", ca_file=tmp_path / "ca.pem")


# --- busy -------------------------------------------------------------------------------------------------------------


def test_a_sqlite_file_that_somebody_else_writes_is_busy(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "failover.db"
    ours = opened(f"sqlite:///{path}?timeout=0.05")
    sa.event.listen(ours.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=50"))
    upgrade(ours)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "try again" in told(DatabaseBusy, ours, "DELETE FROM fr_leases")
        with ours.read() as connection:
            assert connection.execute(tables.leases.select()).all() == []


def test_a_deadlock_on_mariadb_is_busy_and_leaves_nothing(mariadb: Server, opened: Open) -> None:
    with mariadb.fresh() as name:
        database = opened(mariadb.url(name))
        upgrade(database)
        lease = tables.leases
        with database.begin() as connection:
            for key in "ab":
                connection.execute(lease.insert().values(vm_key=key, owner="nobody", fence=0, expires_at=NOW))
        met, faults = threading.Barrier(2), list[Exception]()

        def cross(first: str, second: str) -> None:
            try:
                with database.begin() as connection:
                    connection.execute(lease.update().where(lease.c.vm_key == first).values(owner=first))
                    met.wait()
                    connection.execute(lease.update().where(lease.c.vm_key == second).values(owner=first))
            except StoreError as fault:
                faults.append(fault)

        workers = [threading.Thread(target=cross, args=keys) for keys in ("ab", "ba")]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        with database.read() as connection:
            owners = {x.owner for x in connection.execute(lease.select())}
        assert [type(fault) for fault in faults] == [DatabaseBusy]
        assert len(owners) == 1


# --- transactions and times -------------------------------------------------------------------------------------------


def test_what_a_transaction_wrote_before_it_failed_is_gone(store: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.execute(tables.leases.insert().values(vm_key="a", owner="me", fence=1, expires_at=NOW))
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"), store.begin() as connection:
        fail(connection)
    with store.read() as connection:
        assert connection.execute(tables.leases.select()).all() == []


def test_reading_does_not_wait_for_a_writer(store: Database) -> None:
    with store.begin() as writer:
        writer.execute(tables.leases.insert().values(vm_key="a", owner="me", fence=1, expires_at=NOW))
        with store.read() as reader:
            assert reader.execute(tables.leases.select()).all() == []


def test_a_second_read_in_one_transaction_sees_what_was_committed_meanwhile(mariadb: Server, opened: Open) -> None:
    with mariadb.fresh() as name:
        database = opened(mariadb.url(name))
        upgrade(database)
        count = sa.select(sa.func.count()).select_from(tables.leases)
        with database.read() as reader:
            assert reader.execute(count).scalar() == 0
            with database.begin() as writer:
                writer.execute(tables.leases.insert().values(vm_key="a", owner="me", fence=1, expires_at=NOW))
            assert reader.execute(count).scalar() == 1


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))], ids=str)
def test_a_moment_comes_back_to_the_microsecond_in_utc(store: Database, zone: timezone) -> None:
    with store.begin() as connection:
        row = {"vm_key": "a", "owner": "me", "fence": 1, "expires_at": NOW.astimezone(zone)}
        connection.execute(tables.leases.insert().values(row))
        found = connection.execute(sa.select(tables.leases.c.expires_at)).scalar_one()
    assert found == NOW
    assert found.utcoffset() == timedelta(0)


def test_a_moment_without_zone_is_refused(store: Database) -> None:
    row = {"vm_key": "a", "owner": "me", "fence": 1, "expires_at": NOW.replace(tzinfo=None)}
    with pytest.raises(sa.exc.StatementError, match="without zone"), store.begin() as connection:
        connection.execute(tables.leases.insert().values(row))


def test_keys_are_compared_exactly(store: Database) -> None:
    """Also on MariaDB, whose usual collations hold `WEB01` and `web01` for one."""
    with store.begin() as connection:
        for key in ("web01", "WEB01", "wéb01"):
            connection.execute(tables.leases.insert().values(vm_key=key, owner=key, fence=1, expires_at=NOW))
        found = connection.execute(sa.select(tables.leases.c.owner).where(tables.leases.c.vm_key == "web01"))
        assert found.scalars().all() == ["web01"]
