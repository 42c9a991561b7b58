"""`failover status [VM]`: what is wanted, what is so, what is waited for. Reads the database only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import progress, screen

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.operations import Standing
    from reconciler.store.journal import Run


@click.command("status")
@click.argument("vm", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(shown: screen.Screen, vm: str | None, form: str) -> int:
    """Show what is wanted, what is so, and what is waited for."""
    from reconciler import operations

    connected = shown.connect()
    rows = operations.status(connected)
    if vm is not None:
        key = operations.resolve(connected, vm).key
        rows = tuple(r for r in rows if r.vm_key == key)
    if form == "json":
        screen.as_json({"vms": [as_json(r) for r in rows]})
        return screen.DONE
    now = connected.engine.clock.now()
    _table(shown, [(r.vm, goal(r, now), *_present(r, now)) for r in rows])
    return screen.DONE


def as_json(row: Standing) -> dict[str, Any]:
    """One VM's standing as plain data."""
    run = row.run or row.last
    wanted = row.wanted
    return {
        "vm": row.vm,
        "vm_key": row.vm_key,
        "wanted": str(wanted.spec.state) if wanted else "no opinion",
        "accepted_at": progress.stamp(wanted.accepted_at) if wanted else None,
        "running": row.run is not None,
        "steps": {"done": sum(s.state == "done" for s in row.steps), "all": len(row.steps)},
        "run": progress.run_json(run) if run else None,
    }


def goal(row: Standing, now: datetime) -> str:
    """What is wanted of this VM at this moment, in words."""
    if row.run is not None and row.run.direction == "there":
        return f"testing, {screen.left(row.run.expires_at, now)}" if row.run.expires_at else "testing"
    if row.wanted is not None and row.run is None:
        return str(row.wanted.spec.state)
    return "protected"


def _present(row: Standing, now: datetime) -> tuple[str, str, str]:
    """Now, what it waits for, and the meaning of the line."""
    run = row.run
    if run is None:
        ended = f"last test {row.last.state} {screen.ago(row.last.finished_at, now)}" if row.last else "as replicated"
        return ended, "to be started" if row.wanted else "", "plain" if row.wanted else "history"
    if run.state == "holding":
        return f"running as {run.guest_name}", ending(run, now), "verified"
    done = f"{sum(s.state == 'done' for s in row.steps)}/{len(row.steps)} {progress.current(run, row.steps)}"
    if run.state in ("stuck", "paused"):
        return f"! {run.state}", f"you: `failover why {row.vm}`", "broken"
    return done, "the cloud", "running"


def ending(run: Run, now: datetime) -> str:
    """What a running test waits for: its end, or, where its time is up, who ends it."""
    if run.expires_at is not None and now < run.expires_at:
        return f"its end at {run.expires_at:%H:%M}"
    return "a daemon, its time is up" if run.spec.auto_cleanup else f"you: `failover end {run.vm_name}`, its time is up"


def _table(shown: screen.Screen, rows: list[tuple[str, str, str, str, str]]) -> None:
    head = ("VM", "goal", "now", "waits for")
    widths = [max(len(r[i]) for r in [head, *[x[:4] for x in rows]]) for i in range(4)]
    shown.text("  ".join(h.ljust(w) for h, w in zip(head, widths, strict=True)).rstrip(), "history")
    for row in rows:
        cells = "  ".join(c.ljust(w) for c, w in zip(row[:4], widths, strict=True))
        shown.text(cells.rstrip(), row[4])
    if not rows:
        shown.text("no replicated VM in the database; replicate one, or `failover init --example` for a sample")
