"""What came of the runs that a command drove: looked at once more, told to a person or as JSON, and the exit code.

Called by `apply` and `end` when nothing moves by itself any more, or a person stopped it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from reconciler import operations
from reconciler.cli import screen, views
from reconciler.cli.views import Finding, Kind, Motion
from reconciler.cloudstack.errors import CloudError
from reconciler.store import journal
from reconciler.store.journal import Direction, RunState
from specs.values import format_duration

if TYPE_CHECKING:
    from datetime import datetime

    from plans.observed import World
    from plans.plan import Plan
    from reconciler.cli.watcher import Watcher
    from reconciler.operations import Standing
    from reconciler.store.journal import Run
    from reconciler.wiring import Connected

LOOKED_AT = (RunState.HOLDING, RunState.COMPLETED, RunState.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of one VM's run: what a fresh look shows of it, how long it took and should have taken."""

    run: Run
    motion: Motion
    found: tuple[Finding, ...] = ()
    addresses: tuple[str, ...] = ()
    took: timedelta | None = None
    expected: timedelta | None = None

    @property
    def good(self) -> bool:
        """Whether the run is where it should be, and the look agrees."""
        return self.motion.kind in (Kind.TESTS, Kind.DONE) and all(f.good for f in self.found)

    def as_json(self) -> dict[str, Any]:
        """The run with what was seen of it; times in seconds."""
        return {
            **run_json(self.run),
            "good": self.good,
            "found": [{"text": f.text, "good": f.good} for f in self.found],
            "addresses": list(self.addresses),
            "took": _seconds(self.took),
            "expected": _seconds(self.expected),
        }


def summary(shown: screen.Screen, watcher: Watcher, keys: frozenset[str], form: str) -> int:
    """Tell what came of the runs of these VMs. Exit code 0 when all are as wanted, else 1."""
    rows = [r for r in operations.status(watcher.connected) if r.source.key in keys]
    missing = [r for r in rows if _is_missing(r)]
    runs = {r.source.key: run for r in rows if r not in missing and (run := r.run or r.last) is not None}
    worlds, unseen = _look(watcher.connected, runs.values())
    endings = [_ending(watcher.connected, run, worlds.get(key)) for key, run in runs.items()]
    good = not missing and all(e.good for e in endings)
    if form == "json":
        told = [e.as_json() for e in endings]
        shown.as_json({"runs": told, "not_started": [r.vm for r in missing], "not_looked_at": unseen or None})
        return screen.DONE if good else screen.ERROR
    for ending in endings:
        shown.text()
        _tell(shown, ending, watcher, unseen)
    for row in missing:
        shown.text()
        _tell_missing(shown, row)
    return screen.DONE if good else screen.ERROR


def _is_missing(row: Standing) -> bool:
    """Whether the test that was accepted last has not begun."""
    newest = row.newest
    if row.run is not None or newest is None or newest.spec.duration is None:
        return False
    return row.last is None or row.last.spec_id != newest.id


def _look(connected: Connected, runs: Iterable[Run]) -> tuple[dict[str, World], str]:
    """What a fresh look shows of the VMs that came to rest, by key, and why there is none."""
    resting = [run for run in runs if run.state in LOOKED_AT]
    try:
        return (operations.worlds(connected, resting) if resting else {}), ""
    except CloudError as fault:
        return {}, str(fault)


def _ending(connected: Connected, run: Run, world: World | None) -> Ending:
    plan = operations.approved_plan(connected, run)
    motion = views.motion(run, operations.steps(connected, run), plan, connected.settings.engine.attempts)
    if world is None:
        return Ending(run, motion)
    if run.state == RunState.HOLDING:
        found, spans = views.found_there(world), _there(run, plan)
        return Ending(run, motion, tuple(found), tuple(views.addresses(world)), *spans)
    with connected.database.read() as connection:
        began = next((s.started_at for s in journal.steps(connection, run, Direction.BACK)), None)
    return Ending(run, motion, tuple(views.found_back(world)), (), *_back(run, began, plan))


def _there(run: Run, plan: Plan | None) -> tuple[timedelta | None, timedelta | None]:
    took = run.running_since - run.created_at if run.running_since is not None else None
    return took, plan.takes_there if plan is not None else None


def _back(run: Run, began: datetime | None, plan: Plan | None) -> tuple[timedelta | None, timedelta | None]:
    took = run.finished_at - began if run.finished_at is not None and began is not None else None
    return took, plan.takes_back if plan is not None else None


# --- words ------------------------------------------------------------------------------------------------------------


def _tell(shown: screen.Screen, ending: Ending, watcher: Watcher, unseen: str) -> None:
    run, motion = ending.run, ending.motion
    meaning = views.MEANING[motion.kind] if ending.good or motion.kind is not Kind.TESTS else "broken"
    shown.text(f"{run.vm_name}: {_head(ending)}", meaning)
    for title, text, meant in (*_verified(ending, unseen), *_rows(ending, watcher)):
        shown.titled(title, text, meant)


def _head(ending: Ending) -> str:
    run, kind = ending.run, ending.motion.kind
    if kind is Kind.TESTS:
        return f"{ending.motion.step} UTC" if run.expires_at is not None else "testing"
    if kind is Kind.DONE:
        return "everything is taken back"
    if kind is Kind.ROLLED_BACK:
        return "the test failed; everything is taken back"
    return "stopped" if kind is Kind.MOVES else ending.motion.step


def _verified(ending: Ending, unseen: str) -> Iterator[tuple[str, str, str]]:
    good = [f.text for f in ending.found if f.good]
    yield from (("!", f.text, "broken") for f in ending.found if not f.good)
    if good:
        yield "verified", " · ".join(good), "plain"
    elif unseen and ending.run.state in LOOKED_AT:
        yield "verified", f"not just now: {unseen}", "waits"
    if ending.took is not None:
        about = f", expected about {format_duration(ending.expected)}" if ending.expected is not None else ""
        yield "took", f"{format_duration(ending.took)}{about}", "plain"


def _rows(ending: Ending, watcher: Watcher) -> Iterator[tuple[str, str, str]]:
    run, kind = ending.run, ending.motion.kind
    if kind is Kind.TESTS:
        short = f" ({run.guest_id[: views.SHORT]})" if run.guest_id else ""
        yield "guest", f"{run.guest_name}{short}, {', '.join(ending.addresses) or 'address not known'}", "plain"
        yield from _end_of(run, watcher.now())
    elif kind is Kind.ROLLED_BACK:
        yield "because", run.reason or "", "plain"
        yield "next", f"failover why {run.vm_name}", "plain"
    elif kind in views.NEEDS_A_PERSON:
        yield "because", run.reason or "", "plain"
        yield "ways out", f"failover why {run.vm_name}", "plain"
    elif kind is Kind.MOVES:
        yield "so far", _stopped(ending.motion), "plain"
        yield "go on", f"failover apply {run.spec.origin.file}   (a daemon that runs goes on by itself)", "plain"
        yield "take back", f"failover end {run.vm_name}", "plain"


def _stopped(motion: Motion) -> str:
    if motion.since is not None:
        return f"{motion.count}; {motion.step} is under way: {', '.join(motion.details)}"
    return f"{motion.count} done, nothing is under way; next is {motion.step}"


def _end_of(run: Run, now: datetime) -> Iterator[tuple[str, str, str]]:
    if run.expires_at is not None:
        then = "`failover daemon` takes it back then" if run.spec.auto_cleanup else "then it waits for you"
        yield "ends", f"at {run.expires_at:%Y-%m-%d %H:%M:%S} UTC ({screen.left(run.expires_at, now)}); {then}", "plain"
    yield "sooner", f"failover end {run.vm_name}", "plain"


def _tell_missing(shown: screen.Screen, row: Standing) -> None:
    failed = row.newest is not None and row.newest.state == "failed"
    shown.text(f"{row.vm}: not begun", "broken" if failed else "waits")
    if row.newest is not None and row.newest.reason:
        shown.titled("because", row.newest.reason)
    shown.titled("next", f"failover why {row.vm}")


# --- JSON -------------------------------------------------------------------------------------------------------------


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
        "created_at": screen.stamp(run.created_at),
        "running_since": screen.stamp(run.running_since),
        "expires_at": screen.stamp(run.expires_at),
        "finished_at": screen.stamp(run.finished_at),
    }


def _seconds(span: timedelta | None) -> int | None:
    return int(span.total_seconds()) if span is not None else None
