"""`failover status [VM]`: what is wanted, what is so, what is waited for. Reads the database only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen, trouble, views
from specs.values import format_duration

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.operations import Standing
    from reconciler.settings import Settings
    from reconciler.store.inventory import AcceptedSpec
    from reconciler.store.journal import Run

FEW = 10
HEAD = ("VM", "goal", "now", "waits for")


@click.command("status")
@click.argument("vm", required=False)
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str | None, form: str) -> int:
    """Show what is wanted, what is so, and what is waited for."""
    from reconciler import operations

    connected = shown.connect()
    every = operations.status(connected)
    key = operations.resolve(connected, vm).key if vm is not None else None
    told = Teller(every, connected.settings, connected.engine.clock.now())
    rows = [told.row(standing) for standing in every if key in (None, standing.source.key)]
    if form == "json":
        shown.as_json({"vms": [told.as_json(row) for row in rows]})
        return screen.DONE
    _table(shown, rows)
    for row in (r for r in rows if vm is not None):
        _trouble(shown, row.standing, connected.settings)
    if not every:
        shown.text("no replicated VM in the database; replicate one, or `failover init --example` for a sample")
    return screen.DONE


@dataclass(frozen=True, slots=True)
class Row:
    """One VM's line; `quiet` when nothing is going on."""

    standing: Standing
    goal: str
    now: str
    waits: str
    meaning: str
    quiet: bool = False

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The cells of the table."""
        return self.standing.vm, self.goal, self.now, self.waits


@dataclass(frozen=True)
class Teller:
    """Puts the standing of VMs into words, at one moment; it knows the whole fleet, because VMs wait for each other."""

    every: Sequence[Standing]
    settings: Settings
    at: datetime

    def row(self, row: Standing) -> Row:
        """One VM's line."""
        run = row.run
        if run is None:
            return self._without_run(row)
        told = self.motion(row, run)
        if told.kind in views.NEEDS_A_PERSON:
            return Row(row, goal_of(run, self.at), f"! {told.step}", f"you: failover why {row.vm}", "broken")
        if told.kind is views.Kind.TESTS:
            return Row(row, goal_of(run, self.at), self._runs(run), self.end_of(run), "verified")
        now = " ".join(filter(None, (told.count, told.step)))
        return Row(row, goal_of(run, self.at), now, "; ".join(self.waits(row, told)), "running")

    def motion(self, row: Standing, run: Run) -> views.Motion:
        """Where its run is."""
        return views.motion(run, row.steps, None, self.settings.engine.attempts)

    def waits(self, row: Standing, told: views.Motion) -> Iterator[str]:
        """Whom a VM that moves waits for, and until when."""
        yield from filter(None, (*told.details, told.because))
        if not self.is_led(row):
            yield "no process works on it: `failover daemon`, or `failover apply` of its spec, goes on"

    def is_led(self, row: Standing) -> bool:
        """Whether some process holds this VM's lease."""
        lease = row.dossier.lease
        return lease is not None and lease.expires_at > self.at

    def _runs(self, run: Run) -> str:
        since = f" since {format_duration(self.at - run.running_since)}" if run.running_since is not None else ""
        return f"runs as {run.guest_name}{since}"

    def end_of(self, run: Run) -> str:
        """When a running test ends, and what then."""
        if run.expires_at is None:
            return f"you: failover end {run.vm_name}"
        if run.spec.auto_cleanup:
            late = run.expires_at < self.at
            who = "a process that takes it back: failover daemon, or failover end" if late else "then it is taken back"
            return f"its end at {run.expires_at:%H:%M}, {who}" if not late else f"{who}, since {run.expires_at:%H:%M}"
        if run.expires_at <= self.at:
            return f"you, since {run.expires_at:%H:%M}: failover end {run.vm_name}"
        return f"its end at {run.expires_at:%H:%M}, then you: failover end {run.vm_name}"

    # --- no run -------------------------------------------------------------------------------------------------------

    def _without_run(self, row: Standing) -> Row:
        wanted, newest = row.wanted, row.newest
        if wanted is not None and wanted.spec.duration is not None:
            goal = f"testing for {format_duration(wanted.spec.duration)}"
            since = f"accepted {screen.ago(wanted.accepted_at, self.at)}"
            return Row(row, goal, since, "; ".join(self.start_of(row, wanted)), "waits")
        dirty = row.source.unsynced_since(row.dossier.dirty)
        if dirty:
            disks = ", ".join(d.key for d in row.source.disks if d.volume_id in dirty)
            return Row(row, "protected", f"! dirty: {disks}", f"you: a full sync of {row.vm}", "broken")
        if newest is not None and newest.state == "failed":
            when = screen.ago(newest.ended_at, self.at)
            return Row(row, "protected", f"! not begun, {when}", f"you: failover why {row.vm}", "broken")
        if row.last is not None and row.last.failed:
            when = screen.ago(row.last.finished_at, self.at)
            return Row(row, "protected", f"last test failed {when}, taken back", f"you: failover why {row.vm}", "waits")
        ended = f"last test {row.last.state} {screen.ago(row.last.finished_at, self.at)}" if row.last else "as replicated"
        return Row(row, "protected", ended, "", "history", quiet=True)

    def start_of(self, row: Standing, wanted: AcceptedSpec) -> Iterator[str]:
        """What an accepted test waits for before it begins, and until when it does."""
        yield next(self._hurdles(row, wanted))
        yield f"called off at {wanted.accepted_at + self.settings.test.start_within:%H:%M} if its guest does not run by then"

    def _hurdles(self, row: Standing, wanted: AcceptedSpec) -> Iterator[str]:
        testing = {s.vm for s in self.every if s.run is not None and s.run.state == "holding"}
        before = [name for name in wanted.spec.after if name not in testing]
        moving = sum(s.run is not None and s.run.state != "holding" for s in self.every)
        limit = self.settings.engine.max_runs
        for job in row.source.active_jobs:
            done = f", {job.progress:.0f} %" if job.progress is not None else ""
            yield f"{job.kind} job {job.id} ({job.status}{done}), then it starts"
        if before:
            yield f"{', '.join(before)} to be testing (after:)"
        if moving >= limit:
            yield f"a start slot ({moving}/{limit} VMs moving)"
        yield f"a process that starts it: failover daemon, or failover apply {wanted.spec.origin.file}"

    # --- JSON ---------------------------------------------------------------------------------------------------------

    def as_json(self, told: Row) -> dict[str, Any]:
        """One VM's standing as plain data, with the words of its line."""
        from reconciler.cli import ending

        row = told.standing
        run, wanted = row.run or row.last, row.wanted
        return {
            "vm": row.vm,
            "vm_key": row.source.key,
            "wanted": str(wanted.spec.state) if wanted else "no opinion",
            "accepted_at": screen.stamp(wanted.accepted_at) if wanted else None,
            "goal": told.goal,
            "now": told.now,
            "waits_for": told.waits,
            "needs_you": told.meaning == "broken",
            "running": row.run is not None,
            "led": self.is_led(row),
            "steps": {"done": sum(s.state == "done" for s in row.steps), "all": len(row.steps)},
            "run": ending.run_json(run) if run else None,
            "trouble": trouble.of(run, row.steps, self.settings).as_json() if run and trouble.is_in(run) else None,
        }


def goal_of(run: Run, now: datetime) -> str:
    """What a run is for at this moment."""
    if run.direction == "back":
        return "protected"
    if run.expires_at is not None:
        return f"testing, {screen.left(run.expires_at, now)}"
    return f"testing for {format_duration(run.spec.duration)}" if run.spec.duration is not None else "testing"


def _trouble(shown: screen.Screen, row: Standing, settings: Settings) -> None:
    """What a VM that was asked for needs a person for."""
    if row.run is None or not trouble.is_in(row.run):
        return
    shown.text()
    trouble.tell(shown, trouble.of(row.run, row.steps, settings).rows())


def _table(shown: screen.Screen, rows: Sequence[Row]) -> None:
    quiet = [r for r in rows if r.quiet]
    told = [r for r in rows if not (r.quiet and len(quiet) > FEW)]
    for text, meaning in lines(told, screen.width()):
        shown.text(text, meaning)
    if len(told) < len(rows):
        shown.text(f"… {len(rows) - len(told)} more as wanted", "history")


def lines(rows: Sequence[Row], width: int) -> Iterator[tuple[str, str]]:
    """The table's lines with their meanings; where four columns do not fit, what is waited for stands beneath."""
    if not rows:
        return
    widths = [max(len(r[i]) for r in (HEAD, *(x.cells for x in rows))) for i in range(4)]
    beside = sum(widths) + 3 * len(views.MARGIN) <= width
    yield _cells(HEAD if beside else HEAD[:3], widths), "history"
    for row in rows:
        yield _cells(row.cells if beside else row.cells[:3], widths), row.meaning
        if not beside and row.waits:
            indent = " " * (widths[0] + len(views.MARGIN))
            yield from (
                (indent + more, row.meaning) for more in views.joined([f"waits for {row.waits}"], width - len(indent))
            )


def _cells(cells: Iterable[str], widths: Sequence[int]) -> str:
    return views.MARGIN.join(c.ljust(w) for c, w in zip(cells, widths, strict=False)).rstrip()
