"""The database behind its URL: SQLite embedded or MariaDB, one code path, faults as sentences.

`wiring` makes one from the settings; everybody else gets connections from `begin`. Nothing is created and nothing
migrated unless asked for. No message carries a password: the URL is shown without it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

BUSY_MS = 5000
READ_ONLY_CODES = frozenset({1290, 1792, 1142, 1044})


class StoreError(Exception):
    """The database cannot be used as it is: what happened and what to do next."""


class DatabaseMissing(StoreError):
    """There is no such database, or our tables are not in it."""


class DatabaseReadOnly(StoreError):
    """It can be read but not written."""


class DatabaseUnreachable(StoreError):
    """No connection."""


class SchemaUnknown(StoreError):
    """The replication system's tables are not of a known shape."""


class Database:
    """One database. `create` lets SQLite make the file; otherwise a missing file is a fault."""

    def __init__(self, url: str, *, password: str | None = None, ca_file: Path | None = None, create: bool = False) -> None:
        parsed = make_url(url)
        self.shown = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite":
            _refuse_missing(parsed, create)
            self.engine = _sqlite(parsed)
        else:
            self.engine = _mariadb(parsed.set(password=password) if password else parsed, ca_file)
        self._reader = self.engine.execution_options(reading=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A connection in a writing transaction: committed at the end, rolled back on any exception."""
        with self._transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reading; on SQLite it does not wait for writers."""
        with self._transaction(self._reader) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as fault:
            raise self._told(fault) from fault

    def _told(self, fault: sa.exc.DBAPIError) -> Exception:
        code = fault.orig.args[0] if fault.orig is not None and fault.orig.args else None
        if _read_only(fault, code):
            return DatabaseReadOnly(f"the database {self.shown} cannot be written: check the file's rights and the disk")
        if _no_table(fault, code):
            return DatabaseMissing(f"the database {self.shown} lacks our tables: run `failover db upgrade`")
        if isinstance(fault, sa.exc.OperationalError):
            then = "check that the server runs, and user, password and address"
            return DatabaseUnreachable(f"the database {self.shown} does not answer ({code}): {then}")
        return fault


def _refuse_missing(url: URL, create: bool) -> None:
    path = Path(url.database or "")
    if not create and url.database not in (None, "", ":memory:") and not path.exists():
        raise DatabaseMissing(f"there is no database {path}: run `failover init` to make one")


def _read_only(fault: sa.exc.DBAPIError, code: object) -> bool:
    name = getattr(fault.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_FULL")) or (code in READ_ONLY_CODES)


def _no_table(fault: sa.exc.DBAPIError, code: object) -> bool:
    return code == 1146 or (getattr(fault.orig, "sqlite_errorname", "") == "SQLITE_ERROR" and "no such table" in str(code))


def _sqlite(url: URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _immediately(connection) -> None:  # type: ignore[no-untyped-def]
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _mariadb(url: URL, ca_file: Path | None) -> sa.Engine:
    arguments: dict[str, object] = {"charset": "utf8mb4", "connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}
    arguments["init_command"] = "SET time_zone = '+00:00'"
    if ca_file is not None:
        arguments["ssl"] = ssl.create_default_context(cafile=str(ca_file))
    return sa.create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=16, connect_args=arguments)


def upgrade(database: Database) -> bool:
    """Create or upgrade our own tables. Returns whether anything was to be done; touches nobody else's tables."""
    from migrations import run

    with database.begin() as connection:
        return run.upgrade(connection)
