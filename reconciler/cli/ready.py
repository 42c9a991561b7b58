"""`failover ready [VM...]`: which VMs are ready for a test or a live failover, and what is to be done about the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen
from specs.values import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plans.readiness import Check, Kind
    from reconciler.readiness import Assessed
    from reconciler.wiring import Connected

MOST = 100
PAST = 20
MARKS = {True: ("=", "verified"), False: ("!", "broken")}


@click.command("ready")
@click.argument("vms", nargs=-1, metavar="[VM]...")
@click.option("--type", "kind", type=click.Choice(["test", "live"]), default="test", show_default=True, help="What for.")
@click.option("--record", is_flag=True, help="Keep what changed, as a daemon does now and then.")
@click.option("--history", "past", is_flag=True, help="How ready VMs were instead, as it was kept.")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vms: tuple[str, ...], kind: str, record: bool, past: bool, form: str) -> int:
    """Show which VMs are ready for a failover. Exit code 3 when one of them is not, or there is none."""
    if past and (record or not vms):
        raise screen.Complaint("--history tells of VMs that are named, and goes without --record")
    from plans.readiness import Kind
    from reconciler import operations, readiness, wiring

    connected = shown.connect()
    keys = [operations.resolve(connected, vm).key for vm in vms] or None
    wanted = Kind(kind)
    if past:
        return _history(shown, connected, wanted, keys or (), form)
    side = wiring.source_side(connected.settings, connected.engine.clock) if wanted is Kind.LIVE else None
    found = readiness.of(connected, wanted, keys, side)
    ready = bool(found) and all(row.readiness.is_ready for row in found)
    if record:
        readiness.record(connected, wanted, found)
    if form == "json":
        shown.as_json({"type": kind, "is_ready": ready, "vms": [_as_json(row) for row in found]})
    elif vms:
        for row in found:
            _whole(shown, row)
    else:
        _table(shown, found)
    return screen.DONE if ready else screen.REFUSED


def _history(shown: screen.Screen, connected: Connected, kind: Kind, keys: Sequence[str], form: str) -> int:
    """How ready VMs were, newest first; the exit code is that of what was found last."""
    from reconciler import operations, readiness

    kept = {operations.resolve(connected, key).name: readiness.history(connected, kind, key, MOST) for key in keys}
    if form == "json":
        shown.as_json(
            {"type": str(kind), "vms": [{"vm": vm, "history": [r.as_json() for r in rows]} for vm, rows in kept.items()]}
        )
    for vm, rows in kept.items() if form == "text" else ():
        shown.text(vm, "strong")
        for row in rows:
            verdict = f"{MARKS[row.is_ready][0]} {row.score:5.0f}"
            shown.titled(f"{row.at:%Y-%m-%d %H:%M} UTC", f"{verdict}  {'; '.join(row.failed)}", MARKS[row.is_ready][1], PAST)
        if not rows:
            shown.text("  nothing was kept yet: a daemon does so, and `failover ready --record`", "history")
    last = [rows[0].is_ready for rows in kept.values() if rows]
    return screen.DONE if len(last) == len(kept) and all(last) else screen.REFUSED


def _as_json(row: Assessed) -> dict[str, Any]:
    seconds = int(row.takes.total_seconds()) if row.takes is not None else None
    return {
        **row.readiness.as_json(),
        "estimated_duration": format_duration(row.takes) if row.takes is not None else None,
        "estimated_seconds": seconds,
    }


def _whole(shown: screen.Screen, row: Assessed) -> None:
    """One VM with every check, and what is to be done."""
    found = row.readiness
    mark, meaning = MARKS[found.is_ready]
    verdict = "ready" if found.is_ready else "not ready"
    takes = f", up in about {format_duration(row.takes)}" if row.takes is not None else ""
    shown.text(f"{found.vm}  {mark} {verdict} for {found.kind}, score {found.score:g}{takes}", meaning)
    for check in (*found.checks, *found.extended):
        shown.text(f"  {_mark(check)} {check.id}  {check.name:<18} {check.message}", _meaning(check))
    for text in found.findings:
        shown.text(f"  ~ {text}", "waits")
    for number, text in enumerate(found.required_actions, 1):
        shown.text(f"  {number}. {text}", "strong")
    shown.text()


def _mark(check: Check) -> str:
    return "=" if check.passed else "~" if check.severity == "warning" else "!"


def _meaning(check: Check) -> str:
    return {"=": "plain", "~": "waits", "!": "broken"}[_mark(check)]


def _table(shown: screen.Screen, found: Sequence[Assessed]) -> None:
    """A line for every VM: its score, and the first thing that stands against it."""
    if not found:
        shown.text("no replicated VM in the database; replicate one, or `failover init --example` for a sample")
        return
    names = max(len("VM"), *(len(row.readiness.vm) for row in found))
    shown.text(f"  {'VM'.ljust(names)}  score  takes    because", "history")
    for row in found:
        one = row.readiness
        mark, meaning = MARKS[one.is_ready] if one.is_ready or one.errors else ("!", "broken")
        takes = format_duration(row.takes) if row.takes is not None else "·"
        first = (*one.errors, *one.warnings, "")[0]
        shown.text(f"{mark} {one.vm.ljust(names)}  {one.score:5.0f}  {takes:<7}  {first}", meaning)
    ready = sum(row.readiness.is_ready for row in found)
    shown.text(f"{ready} of {screen.counted(len(found), 'VM')} ready; `failover ready VM` shows what to do", "strong")
