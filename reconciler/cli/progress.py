"""Progress of runs for a person: a live bar on a terminal, one line an event in a pipe, and the summary afterwards.

Fed by `operations.drive` with every pass; it reads the journal for the steps and writes nothing.
"""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from plans import wording
from reconciler.cli import screen
from specs.values import format_duration

if TYPE_CHECKING:
    from reconciler.cloudstack.errors import CloudError
    from reconciler.loop import Pass
    from reconciler.store.journal import Run, StepRow
    from reconciler.wiring import Connected

WIDTH = 18
_ENDED = {"completed": "verified", "rolled-back": "waits", "failed": "broken", "stuck": "broken", "paused": "waits"}


class Watcher:
    """Shows passes as they come: rewrites one line a VM on a terminal, prints changes only in a pipe."""

    def __init__(self, shown: screen.Screen, connected: Connected, quiet: bool = False) -> None:
        self.shown, self.connected, self.quiet = shown, connected, quiet
        self.live = sys.stdout.isatty() and not quiet
        self.told: dict[str, str] = {}
        self.last_error = ""

    def seen(self, seen: Pass) -> None:
        """Show what a pass came to, if it is news."""
        if self.quiet:
            return
        text = self._line(seen)
        if self.told.get(seen.vm_key) == text:
            return
        self.told[seen.vm_key] = text
        now = self.connected.engine.clock.now()
        click.echo(f"{now:%H:%M:%S}  {text}", color=self.shown.color)

    def lost(self, fault: CloudError) -> None:
        """Say once that CloudStack cannot be read, and that this goes on by itself."""
        if not self.quiet and str(fault) != self.last_error:
            self.last_error = str(fault)
            click.echo(f"! {fault}. Trying again; nothing is lost.", err=True)

    def _line(self, seen: Pass) -> str:
        if seen.run is None:
            return f"{seen.vm}  {seen.outcome.why or seen.outcome.kind}"
        with self.connected.database.read() as connection:
            from reconciler.store import journal

            steps = journal.steps(connection, seen.run, seen.run.direction)
        return f"{seen.vm}  {bar(steps)}  {current(seen.run, steps)}"


def bar(steps: tuple[StepRow, ...]) -> str:
    """How far the steps are, as `████░░ 5/9`."""
    done = sum(s.state == "done" for s in steps)
    filled = WIDTH * done // len(steps) if steps else WIDTH
    return f"{'█' * filled}{'░' * (WIDTH - filled)}  {done}/{len(steps)}"


def current(run: Run, steps: tuple[StepRow, ...]) -> str:
    """What is being done now, or how it ended."""
    if str(run.state) in _ENDED:
        return f"{run.state}{': ' + run.reason if run.reason and run.state != 'completed' else ''}"
    if run.state == "holding":
        return f"testing until {run.expires_at:%H:%M:%S}" if run.expires_at else "testing"
    step = next((s for s in steps if s.state != "done"), None)
    if step is None:
        return "looking"
    more = sum(type(s.action) is type(step.action) and s.state in ("started", "waiting") for s in steps)
    also = f" and {more - 1} more" if more > 1 else ""
    trouble = f"  ({step.error})" if step.error and step.state == "pending" else ""
    return f"{wording.of(step.action).title} {getattr(step.action, 'disk', '')}{also}{trouble}".replace("  (", " (")


def hold(connected: Connected, keys: frozenset[str], watcher: Watcher, stop: threading.Event) -> None:
    """Stay with the tests until they are over and taken back."""
    from reconciler import operations
    from reconciler.store import journal

    while not stop.is_set():
        operations.drive(connected.engine, keys, watcher.seen, stop, watcher.lost)
        with connected.database.read() as connection:
            runs = [r for r in journal.unfinished(connection) if r.vm_key in keys]
        holding = [r for r in runs if r.state == "holding"]
        if not holding:
            return
        ends = min((r.expires_at for r in holding if r.expires_at), default=None)
        connected.engine.clock.wait(_until(ends, connected.engine.clock.now()), stop)


def _until(ends: datetime | None, now: datetime) -> timedelta:
    longest = timedelta(seconds=30)
    return longest if ends is None else min(max(ends - now, timedelta(milliseconds=100)), longest)


def summary(shown: screen.Screen, connected: Connected, keys: frozenset[str], form: str, *, stopped: bool) -> int:
    """What came of the runs, for people or as JSON. Returns the exit code: 0 when all are as wanted, else 1."""
    from reconciler.store import journal

    with connected.database.read() as connection:
        latest = journal.latest(connection)
    runs = [latest[k] for k in keys if k in latest]
    missing = [k for k in keys if k not in latest]
    good = (not missing and all(r.state in ("holding", "completed") for r in runs)) or stopped
    if form == "json":
        screen.as_json({"runs": [run_json(r) for r in runs], "not_started": missing})
        return screen.DONE if good else screen.ERROR
    for run in runs:
        _tell(shown, connected, run)
    for key in missing:
        shown.text(f"{key}: not started; see `failover why {key}`", "broken")
    return screen.DONE if good else screen.ERROR


def _tell(shown: screen.Screen, connected: Connected, run: Run) -> None:
    shown.text()
    if run.state == "holding":
        took = format_duration(whole((run.running_since or run.created_at) - run.created_at))
        shown.text(f"{run.vm_name} is testing: guest {run.guest_name} runs, every disk verified (took {took})", "verified")
        if run.expires_at is not None:
            left = screen.left(run.expires_at, connected.engine.clock.now())
            shown.text(f"  ends at {run.expires_at:%Y-%m-%d %H:%M:%S} UTC ({left}); `failover daemon` takes it back")
        shown.text(f"  sooner:  failover end {run.vm_name}")
        return
    shown.text(f"{run.vm_name}: {run.state}", _ENDED.get(str(run.state), "running"))
    if run.reason:
        shown.text(f"  {run.reason}")
    if run.state not in ("completed",):
        shown.text(f"  next:  failover why {run.vm_name}")


def whole(span: timedelta) -> timedelta:
    """The span in whole seconds."""
    return timedelta(seconds=int(span.total_seconds()))


def run_json(run: Run) -> dict[str, Any]:
    """A run as plain data; times as RFC 3339."""
    return {
        "run": run.id,
        "vm": run.vm_name,
        "vm_key": run.vm_key,
        "state": str(run.state),
        "direction": str(run.direction),
        "reason": run.reason,
        "guest": run.guest_name,
        "guest_id": run.guest_id,
        "plan_digest": run.plan_digest,
        "created_at": stamp(run.created_at),
        "running_since": stamp(run.running_since),
        "expires_at": stamp(run.expires_at),
        "finished_at": stamp(run.finished_at),
    }


def stamp(moment: datetime | None) -> str | None:
    """A moment as RFC 3339 with offset, or None."""
    return moment.isoformat(timespec="seconds") if moment else None
