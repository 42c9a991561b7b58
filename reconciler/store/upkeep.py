"""What `failover db` shows and does beside the upgrade: versions, the way back, and a look at everything we rely on.

Called by `reconciler.cli.db`. Looking writes nothing; the way back touches our own tables alone, and only when
nothing that is under way needs them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from migrations import run
from reconciler.store import database as databases
from reconciler.store import embedded, legacy, tables
from reconciler.store.database import OLDEST, Database, DatabaseReadOnly, StoreError
from reconciler.store.generation import MEANING

WRITTEN = {"failover_jobs": "INSERT UPDATE", "network_mappings": "INSERT UPDATE DELETE"}
OURS = "SELECT INSERT UPDATE DELETE CREATE ALTER INDEX"


class StillNeeded(StoreError):
    """Something under way needs what was to be removed; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was seen, and what is wrong with it and to be done, or None.

    What is `odd` works, and somebody should know of it.
    """

    what: str
    seen: str
    wrong: str | None = None
    odd: str | None = None


def versions(database: Database) -> tuple[str | None, str | None]:
    """The version of our tables, None where there are none, and the newest there is."""
    with database.read() as connection:
        return run.current(connection), run.head()


def create(database: Database) -> None:
    """Make the documented tables of a replication system, in a database that has none of them.

    Raises `StoreError` where there is one already: a replication system's own tables are never added to.
    """
    wanted = {*embedded.metadata.tables, legacy.CONTEXTS}
    with database.begin() as connection:
        databases.refuse_old(database, connection)
        there = sorted(wanted & set(sa.inspect(connection).get_table_names()))
        if there:
            text = f"{', '.join(there[:3])}{', …' if len(there) > 3 else ''}"
            raise StoreError(
                f"the database {database.shown} has tables of a replication system already ({text}), and nothing was made: "
                "use it as it is, with `failover db upgrade`, or name an empty database"
            )
        embedded.create(connection)


def upgrade(database: Database) -> bool:
    """Create or upgrade our own tables. Returns whether there was anything to do.

    Raises `DatabaseReadOnly` with what is to be granted before anything is made: MariaDB takes no table back.
    """
    with database.read() as connection:
        if not database.is_sqlite and run.current(connection) != run.head():
            _refuse_without_rights(connection, database)
    return databases.upgrade(database)


def _refuse_without_rights(connection: sa.Connection, database: Database) -> None:
    if _role(connection) is not None:
        return
    lacking = _lacking(connection, dict.fromkeys((run.VERSION_TABLE, *sorted(tables.metadata.tables)), OURS))
    if lacking:
        by_right: dict[str, list[str]] = {}
        for right, table in lacking:
            by_right.setdefault(right, []).append(table)
        of: dict[str, list[str]] = {}
        for right, names in by_right.items():
            of.setdefault(", ".join(names), []).append(right)
        grants = "; ".join(f"{', '.join(rights)} on {names}" for names, rights in of.items())
        raise DatabaseReadOnly(f"nothing was made in the database {database.shown}: grant its user {grants}")


def downgrade(database: Database, to: str) -> bool:
    """Bring our tables back to a version, or with `base` remove them. Returns whether there was anything to do.

    Raises `StillNeeded` while runs are open, or where something would be forgotten that no other place knows: which replicas
    a test left written, and mappings that stand in our table.
    """
    known = (run.BASE, *run.versions())
    if to not in known:
        raise StoreError(f'there is no version "{to}" of our tables: say one of {", ".join(known)}')
    with database.read() as connection:
        databases.refuse_newer(database, connection)
    with database.begin() as connection:
        return run.downgrade(connection, to, lambda: _refuse(connection, database, to))


def _refuse(connection: sa.Connection, database: Database, to: str) -> None:
    known = tables.runs.c
    open_ = connection.execute(sa.select(known.id).where(known.open_of.is_not(None)).order_by(known.id)).scalars().all()
    if open_:
        raise StillNeeded(
            f"our tables in {database.shown} stay as they are: {len(open_)} runs need them ({', '.join(open_[:3])}"
            f"{', …' if len(open_) > 3 else ''}); end them with `failover end`, then try again"
        )
    for since, table, kept in _ONLY_HERE:
        goes = sa.inspect(connection).has_table(table.name) and (to == run.BASE or to < since)
        if goes and (count := connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()):
            raise StillNeeded(f"our tables in {database.shown} stay as they are: {kept.format(count=count)}")


# what no other place knows, with the version that brought it
_ONLY_HERE = (
    (
        "0003",
        tables.dirty,
        "they alone know that {count} replicas were left written by a test; let full syncs make them clean first",
    ),
    (
        "0004",
        tables.network_mappings,
        "they alone hold {count} network mappings that network_mappings has no room for; unmap them first",
    ),
)


# --- a look at everything ---------------------------------------------------------------------------------------------


def check(database: Database) -> tuple[Finding, ...]:
    """Everything that we rely on, in a fixed order. Writes nothing. Raises `StoreError` where nothing can be read."""
    with database.read() as connection:
        found = [_server(connection)]
        kept = sa.inspect(connection).get_table_names()
    try:
        adopted = legacy.recognised(database)
    except StoreError as refused:
        found.append(Finding("tables", "not known", str(refused)))
        adopted = None
    with database.read() as connection:
        if adopted is not None:
            name = adopted.generation
            found += (Finding("tables", f"{name}, {MEANING[name]}"), *_words(adopted), *_unique(connection))
            found.append(_configurations(adopted.active_configurations(connection)))
        if not database.is_sqlite:
            found += (*_session(connection), _rights(connection, kept, adopted))
        found.append(_ours(connection))
    return tuple(found)


def _server(connection: sa.Connection) -> Finding:
    version = connection.dialect.server_version_info or ()
    text = ".".join(str(part) for part in version if isinstance(part, int))
    if connection.dialect.name == "sqlite":
        return Finding("server", f"SQLite {text}")
    oldest = ".".join(map(str, OLDEST))
    if not getattr(connection.dialect, "is_mariadb", False):
        return Finding("server", f"MySQL {text}", "this is no MariaDB, and was never tried: point `database.url` at MariaDB")
    old = version[:2] < OLDEST
    return Finding("server", f"MariaDB {text}", f"it is too old: upgrade it to {oldest} or newer" if old else None)


def _words(adopted: legacy.Legacy) -> Iterator[Finding]:
    for table, column in (("failover_jobs", "status"), (legacy.CONTEXTS, "current_status")):
        if table in adopted.tables:
            kind = adopted.tables[table].c[column].type
            words = ", ".join(map(str, kind.enums)) if isinstance(kind, sa.Enum) else "any word"
            yield Finding("words", f"{table}.{column}: {words}")


def _unique(connection: sa.Connection) -> Iterator[Finding]:
    look = sa.inspect(connection)
    for table in ("network_mappings", "vm_disks"):
        keys = {tuple(str(c) for c in key["column_names"]) for key in look.get_unique_constraints(table)}
        text = "; ".join(", ".join(columns) for columns in sorted(keys)) or "none"
        is_narrow = any({"vm_id", "source_network_name"} >= set(columns) for columns in keys)
        odd = "one mapping a source network has room there, so the other variant stands in fr_network_mappings"
        yield Finding("unique", f"{table}: {text}", odd=odd if is_narrow else None)


def _configurations(active: Sequence[str]) -> Finding:
    text = ", ".join(active) or "none"
    return Finding("configurations", text, odd=None if len(active) == 1 else f"{len(active)} are active: {text}")


def _session(connection: sa.Connection) -> Iterator[Finding]:
    said = {name: connection.scalar(sa.text(f"SELECT @@{name}")) for name in _VARIABLES}
    yield Finding(
        "times", f"session {said['session.time_zone']}, server {said['global.time_zone']} ({said['system_time_zone']})"
    )
    modes = {name: str(said[f"{name}.sql_mode"]).replace(",", ", ") or "none" for name in ("session", "global")}
    strict = "STRICT" in modes["global"] or "TRADITIONAL" in modes["global"]
    odd = None if strict else "what other programs write is cut where a column is too short: set STRICT_TRANS_TABLES"
    yield Finding("sql_mode", f"session {modes['session']}; server {modes['global']}", odd=odd)
    collations = connection.execute(_COLLATIONS).scalars().all()
    yield Finding("collated", ", ".join(map(str, collations)) or "nothing")
    closed = bool(said["global.read_only"])
    yield Finding(
        "writable", "no" if closed else "yes", "the server is read-only: name the one that is written" if closed else None
    )


def _rights(connection: sa.Connection, kept: Iterable[str], adopted: legacy.Legacy | None) -> Finding:
    needed = {name: "SELECT" for name in legacy.READ if name in set(kept)}
    needed |= {name: f"SELECT {words}" for name, words in WRITTEN.items()}
    if adopted is not None and adopted.has_contexts:
        needed[legacy.CONTEXTS] = "SELECT UPDATE"
    needed |= dict.fromkeys((run.VERSION_TABLE, *sorted(tables.metadata.tables)), OURS)
    if (role := _role(connection)) is not None:
        return Finding("rights", f"those of the role {role}; whether they are enough shows when they are used")
    lacking = _lacking(connection, needed)
    wrong = f"grant {', '.join(f'{right} on {table}' for right, table in lacking)}" if lacking else None
    return Finding("rights", "some are missing" if lacking else "all that are needed", wrong)


def _role(connection: sa.Connection) -> str | None:
    """The role that is in force: what is granted to it does not stand where we look."""
    role = connection.scalar(sa.text("SELECT CURRENT_ROLE()"))
    return None if role is None else str(role)


def _lacking(connection: sa.Connection, needed: Mapping[str, str]) -> list[tuple[str, str]]:
    """Rights with the table each is lacking on."""
    schema = str(connection.scalar(sa.text("SELECT DATABASE()")))
    granted = [tuple(map(str, row)) for row in connection.execute(_GRANTED)]
    wanted = ((right, table) for table, rights in needed.items() for right in rights.split())
    return [(right, table) for right, table in wanted if not _is_granted(granted, schema, table, right)]


def _is_granted(granted: Iterable[tuple[str, ...]], schema: str, table: str, right: str) -> bool:
    """Whether a right on a table is among those of the server, the database (its name is a pattern) or the table."""
    return any(
        held == right and (not where or fnmatch.fnmatchcase(schema, _pattern(where))) and of in ("", table)
        for where, of, held in granted
    )


def _pattern(where: str) -> str:
    """A name of a database as in a GRANT, `\\_` an underscore and `%` anything, as `fnmatch` has it."""
    return where.replace("\\_", "\0").replace("_", "?").replace("\0", "_").replace("%", "*")


def _ours(connection: sa.Connection) -> Finding:
    now, newest = run.current(connection), run.head()
    wrong = None if now == newest else f"run `failover db upgrade`: the newest version is {newest}"
    if now is not None and now > tables.VERSION:
        wrong = f"a newer release made them, and this one knows {newest} only: use that release"
    return Finding("ours", f"version {now}" if now else "no tables", wrong)


_VARIABLES = (
    "session.time_zone",
    "global.time_zone",
    "system_time_zone",
    "session.sql_mode",
    "global.sql_mode",
    "global.read_only",
)
_COLLATIONS = sa.text(
    "SELECT DISTINCT collation_name FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND collation_name IS NOT NULL AND table_name NOT LIKE 'fr\\_%' ORDER BY 1"
)
_GRANTED = sa.text(
    "WITH me AS (SELECT CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AS name) "
    "SELECT '', '', privilege_type FROM information_schema.user_privileges JOIN me ON grantee = name "
    "UNION SELECT table_schema, '', privilege_type FROM information_schema.schema_privileges JOIN me ON grantee = name "
    "UNION SELECT table_schema, table_name, privilege_type FROM information_schema.table_privileges "
    "JOIN me ON grantee = name WHERE table_schema = DATABASE()"
)
