"""Runs the migrations on a connection that is handed in. Called by `reconciler.store.database.upgrade`."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

VERSION_TABLE = "fr_schema_version"


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
    """Bring our tables to the newest version. Returns whether there was anything to do."""
    if current(connection) == head():
        return False
    command.upgrade(config(connection), "head")
    return True
