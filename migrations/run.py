"""Runs the migrations on a connection that is handed in. Called by `reconciler.store.database` and `.upkeep`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

VERSION_TABLE = "fr_schema_version"
BASE = "base"
LOCK, LOCK_SECONDS = "failover-upgrade", 60


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration without a file; the connection travels in its attributes."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


def current(connection: sa.Connection) -> str | None:
    """The version the database has, or None."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def head() -> str | None:
    """The newest version there is."""
    return ScriptDirectory.from_config(config()).get_current_head()


def upgrade(connection: sa.Connection) -> bool:
    """Bring our tables to the newest version. Returns whether there was anything to do.

    Of several processes that try at once one works and the others find it done. Raises TimeoutError when it takes longer
    than a minute.
    """
    with _alone(connection):
        if current(connection) == head():
            return False
        command.upgrade(config(connection), "head")
        return True


def downgrade(connection: sa.Connection, to: str, look: Callable[[], None]) -> bool:
    """Bring our tables back to a version of `versions()`, or with `BASE` remove them. Returns whether anything was done.

    `look` is called when nobody else migrates any more, and raises where it must not be. Raises TimeoutError as `upgrade`.
    """
    with _alone(connection):
        now = current(connection)
        if now is None or (to != BASE and now <= to):
            return False
        look()
        command.downgrade(config(connection), to)
        if to == BASE:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
        return True


def versions() -> tuple[str, ...]:
    """Every version there is, oldest first."""
    return tuple(sorted(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()))


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Nobody else upgrades: on SQLite the transaction sees to it, on MariaDB, where DDL commits by itself, a lock."""
    if connection.dialect.name == "sqlite":
        yield
        return
    lock = {"name": f"{LOCK}-{connection.engine.url.database}"[:64], "seconds": LOCK_SECONDS}
    if connection.execute(sa.text("SELECT GET_LOCK(:name, :seconds)"), lock).scalar() != 1:
        raise TimeoutError(f"another process has been upgrading this database for {LOCK_SECONDS} seconds: try again")
    try:
        yield
        # before the lock is gone the next one must be able to see the new version
        connection.connection.commit()
    finally:
        # the lock belongs to the connection, which goes back to the pool: it would stay held
        connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), lock)
