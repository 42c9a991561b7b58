"""The database behind its URL: SQLite embedded or MariaDB, one code path, faults as sentences.

`wiring` makes one from the settings; everybody else gets connections from `begin`. Nothing is created and nothing
migrated unless asked for. No message carries a password: the URL is shown without it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.sql import operators, visitors

from reconciler.store import tables

OLDEST = (10, 5)
"""The oldest MariaDB that is accepted."""
BUSY_MS = 5000
IDLE_S = 30
"""So many seconds a transaction on MariaDB may stand still before its server takes it, and its locks, back."""
TRIES, PATIENCE = 4, 20.0
"""How often a transaction is tried in all, and for how many seconds another try is begun."""
T = TypeVar("T")
Connection = sa.Connection
"""A connection in a transaction, for those above who hand it on and never look into it."""


class StoreError(Exception):
    """The database cannot be used as it is: what happened and what to do next."""


class DatabaseMissing(StoreError):
    """There is no such database, or our tables are not in it."""


class DatabaseReadOnly(StoreError):
    """It can be read but not written."""


class DatabaseFull(DatabaseReadOnly):
    """There is no room for more; nothing was written."""


class DatabaseBusy(StoreError):
    """Others hold what this transaction needs; nothing was written, and it may be tried again."""


class DatabaseUnreachable(StoreError):
    """No connection."""


class DatabaseLost(DatabaseUnreachable):
    """The connection broke in the midst of a transaction: nothing was written."""


class DatabaseUnclear(DatabaseUnreachable):
    """The connection broke while a transaction was being committed: only a look tells whether it was written."""


class DatabaseUntrusted(DatabaseUnreachable):
    """Its server cannot show who it is as `database.ca_file` asks; nothing was sent to it."""


class ValueRefused(StoreError):
    """A column has no room for a value, or does not take it; nothing of its transaction was written."""


class ServerTooOld(StoreError):
    """The server is older than what this program knows how to speak to."""


class ProgramTooOld(StoreError):
    """Our tables are of a version that a newer program made."""


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

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A connection in a writing transaction: committed at the end, rolled back on any exception."""
        with self._transaction("BEGIN IMMEDIATE", writes=True) as connection:
            yield connection

    def written(self, work: Callable[[sa.Connection], T], *, looks: bool = False) -> T:
        """What `work` hands back, done in a writing transaction; as a whole once more where nothing of it was written.

        That is so when others held what it needs (a deadlock, a lock waited for too long), and when the connection broke
        before it was committed. `work` does nothing but read and write through its connection. Where the answer to a commit
        was lost, `DatabaseUnclear` is raised, for a look to settle it; work that `looks` itself whether it is done already
        is run again then, too. There are `TRIES` tries, and none begins after `PATIENCE` seconds.
        """
        passing = (DatabaseBusy, DatabaseLost, DatabaseUnclear) if looks else (DatabaseBusy, DatabaseLost)
        until = time.monotonic() + PATIENCE  # real time on purpose: it is the server's, whatever clock the engine was handed
        for left in reversed(range(TRIES)):
            try:
                with self.begin() as connection:
                    return work(connection)
            except passing:
                if not left or time.monotonic() >= until:
                    raise
        raise AssertionError("the last try ends with a return or an exception")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reading; on SQLite it does not wait for writers."""
        with self._transaction("BEGIN", writes=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, words: str, writes: bool) -> Iterator[sa.Connection]:
        """A transaction. SQLite's own begins with these `words`: an event of SQLAlchemy that says them slows everything."""
        ending = False
        try:
            with self.engine.connect() as connection:
                if self.is_sqlite:
                    connection.exec_driver_sql(words)
                yield connection
                if writes:
                    ending = True
                    connection.commit()
        except sa.exc.DBAPIError as fault:
            raise self._told(fault, ending) from fault
        except sa.exc.TimeoutError as fault:
            raise DatabaseBusy(f"all connections to the database {self.shown} are in use: try again") from fault

    def _told(self, fault: sa.exc.DBAPIError, ending: bool) -> Exception:
        name = _name(fault)
        for names, kind, then in _SENTENCES:
            if name.startswith(names):
                return kind(f"the database {self.shown} {then}")
        if name in _NO_ROOM and fault.orig is not None:
            what = f"{fault.orig.args[1]} ({name})" if name in _NO_ROOM[:-1] else f"a character does not fit ({name})"
            then = "nothing of it was written; widen the column, or shorten the name or text that is meant"
            return ValueRefused(f"the database {self.shown} does not take a value: {what}. {then}")
        if isinstance(fault, sa.exc.IntegrityError) and fault.orig is not None:
            then = "nothing of it was written; look at what is there, and try again"
            return ValueRefused(f"the database {self.shown} does not take a row: {fault.orig.args[-1]} ({name}). {then}")
        about_tls = _about_tls(fault)
        if about_tls is not None:
            return DatabaseUntrusted(f"the server of the database {self.shown} {about_tls}")
        if ending and not self.is_sqlite:
            what = f"the connection to the database {self.shown} broke while a change was being committed ({name})"
            return DatabaseUnclear(f"{what}: only a look tells whether it was; `failover status` shows what is so")
        if fault.connection_invalidated:
            what = f"the connection to the database {self.shown} broke ({name})"
            return DatabaseLost(f"{what}: nothing was written; see whether the server runs, and try again")
        if isinstance(fault, sa.exc.OperationalError):
            then = "check that the server runs, and user, password and address"
            return DatabaseUnreachable(f"the database {self.shown} does not answer ({name}): {then}")
        return fault


def inserted(connection: Connection, statement: sa.Insert, values: Mapping[str, Any] | None = None) -> bool:
    """Insert a row. False, and nothing is changed, where a key of the table leaves no room for it beside another row."""
    try:
        with connection.begin_nested():
            connection.execute(statement, values)
    except sa.exc.IntegrityError as fault:
        if _name(fault) in _TAKEN:
            return False
        raise
    return True


_TAKEN = ("1062", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


def about(
    connection: Connection, statement: sa.Select[*tuple[Any, ...]], keys: Sequence[str]
) -> sa.CursorResult[*tuple[Any, ...]]:
    """Rows of a statement that asks for keys `in (:of)`. For one key it says so: a list costs its text anew."""
    if len(keys) == 1:
        return connection.execute(_about_one(statement), {"of": keys[0]})
    return connection.execute(statement, {"of": keys})


@cache
def _about_one(statement: Any) -> sa.Select[*tuple[Any, ...]]:
    def compared(part: Any, **_: Any) -> Any:  # None where nothing is to be replaced
        is_list = isinstance(part, sa.BinaryExpression) and part.operator is operators.in_op
        return part.left == sa.bindparam("of") if is_list and getattr(part.right, "key", None) == "of" else None

    found = visitors.replacement_traverse(statement, {}, compared)  # type: ignore[call-overload]
    return cast("sa.Select[*tuple[Any, ...]]", found)


def _refuse_missing(url: URL, create: bool) -> None:
    path = Path(url.database or "")
    if not create and url.database not in (None, "", ":memory:") and not path.exists():
        raise DatabaseMissing(f"there is no database {path}: run `failover init` to make one")


def _name(fault: sa.exc.DBAPIError) -> str:
    """SQLite's name of a fault, or MariaDB's number."""
    said = fault.orig.args[0] if fault.orig is not None and fault.orig.args else ""
    older = any(missing in str(said) for missing in ("no such table", "no such column", "has no column named"))
    return NO_TABLE if older else getattr(fault.orig, "sqlite_errorname", str(said))


def _about_tls(fault: sa.exc.DBAPIError) -> str | None:
    """What is wrong with the server's TLS, and what to do; None where it is something else."""
    if _name(fault) == NO_TLS:
        return "offers no TLS, which `database.ca_file` asks for: turn TLS on there, or remove `database.ca_file`"
    cause = getattr(fault.orig, "original_exception", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return next((then for codes, then in _DISTRUST if cause.verify_code in codes), UNKNOWN_ISSUER)
    return "cannot agree with us on TLS: see which versions it allows" if isinstance(cause, ssl.SSLError) else None


NO_TLS = "2026"
UNKNOWN_ISSUER = (
    "shows a certificate that `database.ca_file` does not vouch for: put the certificate of its issuer into that file"
)
_DISTRUST: tuple[tuple[tuple[int, ...], str], ...] = (  # OpenSSL's reasons not to trust a certificate
    ((62, 64), "shows a certificate for another name: correct the host in `database.url`, or the server's certificate"),
    ((9, 10), "shows a certificate that is not valid at this moment: renew it, or set the clocks right"),
)
NO_TABLE = "NO_TABLE"
_NO_ROOM = ("1264", "1265", "1406", "1366")
"""Too large, not among the words, too long; of the last one the server's own sentence would show the value."""
_SENTENCES: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (
    (
        ("SQLITE_FULL", "SQLITE_IOERR_WRITE"),
        DatabaseFull,
        "could not store what was to be written, and nothing of it was: make space on the disk of its file",
    ),
    (
        ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"),
        DatabaseReadOnly,
        "cannot be written: check the rights of the file and its folder, and the space on the disk",
    ),
    (
        ("1036", "1290", "1792", "1142"),
        DatabaseReadOnly,
        "cannot be written: see that it is not read-only, and grant its user SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX",
    ),
    (
        ("1021", "1026", "1114", "1030"),
        DatabaseFull,
        "could not store what was to be written, and nothing of it was: see how full the disk of its server is, and its log",
    ),
    (
        ("1045", "1698"),
        DatabaseUnreachable,
        "refuses its user or the password (1045): correct `database.url` and what `database.password` refers to, or see "
        "from which machines that user may connect",
    ),
    ((NO_TABLE, "1146", "1054"), DatabaseMissing, "lacks our tables, or is of an older version: run `failover db upgrade`"),
    (
        ("1044",),
        DatabaseUnreachable,
        "is not there, or its user may do nothing in it: correct its name in `database.url`, or grant that user rights",
    ),
    (("1049",), DatabaseMissing, "is not there on its server: create it, or correct its name"),
    (
        # 1305: the server took the whole transaction back at a deadlock, and with it the savepoint that is to be left
        ("SQLITE_BUSY", "SQLITE_LOCKED", "1020", "1205", "1213", "1305"),
        DatabaseBusy,
        "is busy with other work; nothing was written: try again",
    ),
    (
        ("SQLITE_NOTADB", "SQLITE_CORRUPT"),
        StoreError,
        "is no SQLite database, or a damaged one: correct `database.url`, or bring back a backup",
    ),
)


def _sqlite(url: URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _mariadb(url: URL, ca_file: Path | None) -> sa.Engine:
    arguments: dict[str, object] = {"charset": "utf8mb4", "connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}
    arguments["init_command"] = _SESSION
    if ca_file is not None:
        arguments["ssl"] = _verified(ca_file)
    return sa.create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=16, connect_args=arguments)


# What is done does not depend on how a server is set up: other programs need other modes. Too long is an error, never cut.
_SESSION = (
    f"SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    f"innodb_lock_wait_timeout = {BUSY_MS // 1000} /*M!100300 , idle_transaction_timeout = {IDLE_S} */"
)


def _verified(ca_file: Path) -> ssl.SSLContext:
    """TLS that checks the server's certificate, and refuses a server that offers none."""
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as unreadable:
        raise StoreError(f"the certificates in {ca_file} cannot be read: correct `database.ca_file`") from unreadable


def refuse_old(database: Database, connection: Connection) -> None:
    """Raise `ServerTooOld` where the server is MariaDB, and older than `OLDEST`."""
    version = connection.dialect.server_version_info or ()
    if getattr(connection.dialect, "is_mariadb", False) and version[:2] < OLDEST:
        now, oldest = (".".join(str(part) for part in v if isinstance(part, int)) for v in (version, OLDEST))
        what = f"the server of the database {database.shown} is MariaDB {now}, which is too old, and nothing was written"
        raise ServerTooOld(f"{what}: upgrade it to {oldest} or newer")


def refuse_newer(database: Database, connection: Connection) -> None:
    """Raise `ProgramTooOld` where our tables are of a version that this program does not know."""
    if not sa.inspect(connection).has_table(tables.VERSION_TABLE):
        return
    found = connection.execute(_VERSIONS).scalars().all()
    newer = [version for version in found if version > tables.VERSION]
    if newer:
        what = (
            f"our tables in the database {database.shown} are of version {newer[0]}, and this program knows {tables.VERSION}"
        )
        raise ProgramTooOld(f"{what}: nothing was written; use the release of this tool that upgraded them, or a newer one")


_VERSIONS = sa.select(sa.column("version_num", sa.String)).select_from(sa.table(tables.VERSION_TABLE))


def upgrade(database: Database) -> bool:
    """Create or upgrade our own tables. Returns whether anything was to be done; touches nobody else's tables."""
    from migrations import run

    with database.read() as connection:
        refuse_old(database, connection)
        refuse_newer(database, connection)
    with database.begin() as connection:
        return run.upgrade(connection)
