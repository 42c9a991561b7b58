"""`failover db upgrade`: the database's own tables. The replication system's tables are never migrated."""

from __future__ import annotations

import click

from reconciler.cli import screen


@click.group("db")
def command() -> None:
    """The tables this tool keeps beside those of the replication system."""


@command.command("upgrade")
@click.pass_obj
def upgrade(shown: screen.Screen) -> int:
    """Create or upgrade our own tables (prefix fr_). The replication system's tables are not touched."""
    from reconciler import wiring
    from reconciler.store import database

    found = wiring.settings(shown.settings_path)
    changed = database.upgrade(wiring.database(found))
    shown.text("upgraded" if changed else "already up to date", "verified")
    return screen.DONE
