"""`failover db`: our own tables, and what they stand beside. The replication system's tables are never migrated."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen

if TYPE_CHECKING:
    from reconciler.retention import Pruning
    from reconciler.store.retention import Removed

TITLE = 9
MOST_SHOWN = 10


@click.group("db")
def command() -> None:
    """The tables this tool keeps beside those of the replication system."""


@command.command("create")
@click.pass_obj
def create(shown: screen.Screen) -> int:
    """Make the documented tables of a replication system in a database that has none of them, with rows of nobody."""
    from reconciler import wiring
    from reconciler.store import upkeep

    upkeep.create(wiring.database(wiring.settings(shown.settings_path)))
    shown.text("made; `failover db upgrade` makes our own tables beside them", "verified")
    return screen.DONE


@command.command("upgrade")
@click.pass_obj
def upgrade(shown: screen.Screen) -> int:
    """Create or upgrade our own tables (prefix fr_). The replication system's tables are not touched."""
    from reconciler import wiring
    from reconciler.store import upkeep

    changed = upkeep.upgrade(wiring.database(wiring.settings(shown.settings_path)))
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
        shown.titled(finding.what, finding.seen, "broken" if finding.wrong else "waits" if finding.odd else "verified")
        if finding.odd:
            shown.titled("", f"~ {finding.odd}", "waits")
        if finding.wrong:
            shown.titled("", f"✗ {finding.wrong}", "broken")
    return screen.ERROR if wrong else screen.DONE


@command.command("prune")
@click.option("--failed", is_flag=True, help="Old runs that failed, too.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and leave it at that.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@screen.format_option()
@click.pass_obj
def prune(shown: screen.Screen, failed: bool, dry_run: bool, yes: bool, form: str) -> int:
    """Remove old history, as `retention` in the settings says; never a run of which something is still in CloudStack.

    Exit code 0: done, nothing to do, or only shown; 1: an error; 3: nobody could be asked, nothing was removed.
    """
    from reconciler import retention
    from reconciler.cli import apply

    connected = shown.connect()
    found = retention.plan(connected, failed=failed)
    if form == "text":
        _planned(shown, found)
    removed = None
    if not found.is_empty and not dry_run:
        if not yes and not sys.stdin.isatty():
            raise screen.Complaint("nobody is there to be asked: say --yes or --dry-run", screen.REFUSED)
        if yes or click.confirm("Remove exactly this?", default=False, err=form == "json"):
            removed = retention.carry_out(connected, found, apply.who())
    if form == "json":
        shown.as_json(_pruned(found, removed))
    elif removed is not None:
        shown.titled("removed", _counts(removed.runs, removed.specs, removed.events), "verified", TITLE)
    elif not found.is_empty:
        shown.text("Nothing was removed.")
    return screen.DONE


def _planned(shown: screen.Screen, found: Pruning) -> None:
    """What would go, and what is old and stays."""
    if found.is_empty:
        shown.text("nothing is old enough to go", "verified")
    else:
        shown.titled("to go", _counts(len(found.runs), len(found.specs), found.events), "strong", TITLE)
    for run in found.runs[:MOST_SHOWN]:
        shown.titled("-", f"{run.vm_name}, {run.kind}, ended {run.finished_at:%Y-%m-%d}: {run.id}", "plain", TITLE)
    if len(found.runs) > MOST_SHOWN:
        shown.titled("", f"and {len(found.runs) - MOST_SHOWN} more; --format json names all", "history", TITLE)
    for kept in found.kept:
        shown.titled("stays", f"{kept.run.id}: {kept.why}", "waits", TITLE)


def _counts(runs: int, specs: int, events: int) -> str:
    rows = ((runs, "run"), (specs, "accepted spec"), (events, "event"))
    return ", ".join(screen.counted(number, noun) for number, noun in rows)


def _pruned(found: Pruning, removed: Removed | None) -> dict[str, Any]:
    return {
        "runs": [
            {"id": r.id, "vm": r.vm_name, "kind": r.kind, "finished_at": screen.stamp(r.finished_at)} for r in found.runs
        ],
        "specs": len(found.specs),
        "events": found.events,
        "kept": [{"id": k.run.id, "vm": k.run.vm_name, "why": k.why} for k in found.kept],
        "removed": asdict(removed) if removed is not None else None,
    }
