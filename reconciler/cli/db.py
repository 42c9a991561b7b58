"""`failover db`: our own tables, and what they stand beside. The replication system's tables are never migrated."""

from __future__ import annotations

from dataclasses import asdict

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


@command.command("downgrade")
@click.argument("version")
@click.pass_obj
def downgrade(shown: screen.Screen, version: str) -> int:
    """Bring our own tables back to a VERSION; `base` removes them. Refused while anything under way needs them."""
    from reconciler import wiring
    from reconciler.store import upkeep

    try:
        changed = upkeep.downgrade(wiring.database(wiring.settings(shown.settings_path)), version)
    except upkeep.StillNeeded as needed:
        raise screen.Complaint(f"Refused, nothing was changed: {needed}", screen.REFUSED) from needed
    shown.text("downgraded" if changed else "already there", "verified")
    return screen.DONE


@command.command("current")
@screen.format_option()
@click.pass_obj
def current(shown: screen.Screen, form: str) -> int:
    """Show the version of our own tables, and the newest."""
    from reconciler import wiring
    from reconciler.store import upkeep

    version, newest = upkeep.versions(wiring.database(wiring.settings(shown.settings_path)))
    if form == "json":
        shown.as_json({"version": version, "newest": newest})
    elif version == newest:
        shown.text(f"{version}, the newest", "verified")
    else:
        shown.text(f"{version or 'no tables of ours'}; the newest is {newest}: run `failover db upgrade`", "waits")
    return screen.DONE


@command.command("check")
@screen.format_option()
@click.pass_obj
def check(shown: screen.Screen, form: str) -> int:
    """Look at everything we rely on in the database, and say what is wrong. Writes nothing.

    Exit code 0: nothing is wrong; 1: something is, or an error.
    """
    from reconciler import wiring
    from reconciler.store import upkeep

    found = upkeep.check(wiring.database(wiring.settings(shown.settings_path)))
    wrong = any(finding.wrong for finding in found)
    if form == "json":
        shown.as_json({"findings": [asdict(finding) for finding in found]})
        return screen.ERROR if wrong else screen.DONE
    for finding in found:
        shown.titled(finding.what, finding.seen, "broken" if finding.wrong else "verified")
        if finding.wrong:
            shown.titled("", f"✗ {finding.wrong}", "broken")
    return screen.ERROR if wrong else screen.DONE
