"""What a person is told of a run, worked out once from journal, approved plan and world: pure functions, no output.

Used by progress on a terminal and in a pipe, by `status`, `why` and the summaries, in text and as JSON, so that they cannot
disagree. Moments are aware and in UTC.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from plans import wording
from plans.observed import Place
from plans.render import Line, Meaning, Span, line
from specs.model import Strategy
from specs.values import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plans.actions import Action
    from plans.observed import Network, RunFacts, Volume, World
    from plans.plan import Plan, Step
    from reconciler.store.journal import Run, StepRow

SHORT = 8
BAR = 18
WIDE = 100
MANY = 10
SOME_JOBS = 3
MARGIN = "  "
STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Kind(StrEnum):
    """What a VM is about, for people."""

    WAITS = "waits"
    MOVES = "moves"
    TESTS = "tests"
    DONE = "done"
    ROLLED_BACK = "rolled back"
    PAUSED = "paused"
    STUCK = "stuck"


MEANING = {
    Kind.WAITS: Meaning.WAITS,
    Kind.MOVES: Meaning.RUNNING,
    Kind.TESTS: Meaning.VERIFIED,
    Kind.DONE: Meaning.VERIFIED,
    Kind.ROLLED_BACK: Meaning.WAITS,
    Kind.PAUSED: Meaning.BROKEN,
    Kind.STUCK: Meaning.BROKEN,
}
NEEDS_A_PERSON = (Kind.PAUSED, Kind.STUCK)


@dataclass(frozen=True, slots=True)
class Motion:
    """One VM at one moment: how many steps are done, the one in hand, since when, and what is beneath it.

    `step` is what is being done or what it came to; `number` is the place of the step in hand, from 1; `details` say who
    is waited for, until when, what went wrong; `because` why a test that failed is taken back.
    """

    vm: str
    kind: Kind
    step: str
    done: int = 0
    all: int = 0
    number: int = 0
    back: bool = False
    since: datetime | None = None
    expected: timedelta | None = None
    details: tuple[str, ...] = ()
    because: str = ""

    @property
    def count(self) -> str:
        """How far it is, as `5/9`, or `back 2/7`."""
        return f"{'back ' if self.back else ''}{self.done}/{self.all}" if self.all else ""

    def timing(self, now: datetime) -> str:
        """How long the step in hand has been going, and should take, as `41s of about 1m 30s`."""
        if self.since is None:
            return ""
        so_far = format_duration(now - self.since)
        return f"{so_far} of about {format_duration(self.expected)}" if self.expected is not None else so_far


# --- a run ------------------------------------------------------------------------------------------------------------


def motion(run: Run, steps: Sequence[StepRow], plan: Plan | None, tries: int, state: str = "") -> Motion:
    """Where a run is. `state` is what the last look said of the step under way; `tries` how often one is tried."""
    done = sum(s.state == "done" for s in steps)
    back = run.direction == "back"
    because = f"taken back because {run.reason}" if back and run.failed and steps else ""
    there = Motion(run.vm_name, Kind.MOVES, "looking", done, len(steps), back=back, because=because)
    step = next((s for s in steps if s.state != "done"), None)
    if run.state in _ENDED:
        why = _reasons(run) if run.failed else ()
        return replace(there, kind=_ENDED[run.state], step=run.state, details=why, done=there.all)
    if run.state == "holding":
        return replace(there, kind=Kind.TESTS, step=_until(run), details=_after(run))
    if step is None:
        begins = there.back and not steps
        return replace(there, step="turning back" if begins else "a last look", details=_reasons(run) if begins else ())
    at = replace(there, number=steps.index(step) + 1, step=doing(run, step))
    if run.state in ("stuck", "paused"):
        reason = (run.reason or step.error or "",)
        return replace(at, kind=Kind(run.state), step=f"{run.state} at step {at.number}, {at.step}", details=reason)
    beside = [s for s in steps if s.state in ("started", "waiting") and type(s.action) is type(step.action)]
    return _under_way(at, run, beside, plan, state) if beside else _next(at, run, step, tries)


_ENDED: Mapping[str, Kind] = {"completed": Kind.DONE, "rolled-back": Kind.ROLLED_BACK}


def _reasons(run: Run) -> tuple[str, ...]:
    return (run.reason,) if run.reason else ()


def _until(run: Run) -> str:
    return f"testing until {clock(run.expires_at)}" if run.expires_at is not None else "testing"


def _after(run: Run) -> tuple[str, ...]:
    return (f"runs as {run.guest_name}", f"then {then(run)}")


def then(run: Run) -> str:
    """What happens to a test when its time is up."""
    return "it is taken back" if run.spec.auto_cleanup else f"it waits for you: failover end {run.vm_name}"


def _under_way(at: Motion, run: Run, beside: Sequence[StepRow], plan: Plan | None, state: str) -> Motion:
    deadline = min((s.deadline for s in beside if s.deadline is not None), default=None)
    more = f" and {len(beside) - 1} more" if len(beside) > 1 else ""
    return replace(
        at,
        step=doing(run, beside[0]) + more,
        since=min((s.started_at for s in beside if s.started_at is not None), default=None),
        expected=max((t for t in (expected(plan, s.action) for s in beside) if t is not None), default=None),
        details=(_job(beside, state), f"gives up at {clock(deadline)}"),
    )


def _job(beside: Sequence[StepRow], state: str) -> str:
    """Who is waited for; between accepting a job and its end, the cloud says no more than that it runs."""
    jobs = [s.custom_job_id[:SHORT] for s in beside if s.custom_job_id]
    shown = ", ".join(jobs[:SOME_JOBS]) + (f" and {len(jobs) - SOME_JOBS} more" if len(jobs) > SOME_JOBS else "")
    if state in ("", "accepted", "running"):
        told = "running" if beside[0].state == "waiting" else "sent"
        return f"cloud job{'s' if len(jobs) > 1 else ''} {shown} {told}"
    return "answered, looking whether it is so" if state == "looking" else f"{state} (job {shown})"


def _next(at: Motion, run: Run, step: StepRow, tries: int) -> Motion:
    """Between two steps, or before another try of one."""
    if not step.error:
        return at
    when = f" at {clock(run.not_before)}" if run.not_before is not None else ""
    return replace(at, details=(f"try {step.attempts + 1} of {tries}{when}", step.error))


def expected(plan: Plan | None, action: Action) -> timedelta | None:
    """How long the approved plan gives this action, or one like it; None when it knows none."""
    known: tuple[Step, ...] = (*plan.steps, *plan.way_back) if plan is not None else ()
    same = (s.takes for s in known if s.action == action)
    alike = (s.takes for s in known if type(s.action) is type(action))
    return next(same, next(alike, None))


def doing(run: Run, step: StepRow) -> str:
    """An action with the object it is about, for people."""
    return f"{wording.of(step.action).title} {subject(run, step.action)}".rstrip()


def subject(run: Run, action: Action) -> str:
    """The object of an action: the disk's key, the guest's name, the VM."""
    disk: str | None = getattr(action, "disk", None)
    if disk is not None:
        return disk
    if action.subject == "default-root":
        return run.default_root_id[:SHORT] if run.default_root_id else ""
    return run.guest_name if action.subject == "guest" else run.vm_name


def clock(moment: datetime | None) -> str:
    """A moment of today for people, in UTC, as `14:19:02`."""
    return f"{moment:%H:%M:%S}" if moment is not None else "?"


# --- lines ------------------------------------------------------------------------------------------------------------


def bar(done: int, count: int, width: int) -> str:
    """How far the steps are, as `████░░`."""
    filled = width * done // count if count else 0
    return "█" * filled + "░" * (width - filled)


def event(seen: Motion, now: datetime) -> str:
    """One line of news for a pipe: the words that a terminal shows, in the same order, after the time."""
    told = (seen.vm, seen.count, seen.step, seen.timing(now), " · ".join(seen.details))
    return "  ".join((f"{now:{STAMP}}", *filter(None, told)))


def live_lines(motions: Sequence[Motion], now: datetime, width: int, height: int, hint: str = "") -> list[Line]:
    """What a terminal of this size shows while VMs move; ten or more become a table with a total line."""
    if len(motions) >= MANY:
        return _table(motions, now, width, height, hint)
    lines: list[Line] = []
    for seen in motions:
        lines += _block(seen, now, width, hint if seen.kind is Kind.MOVES else "")
    return lines


def _block(seen: Motion, now: datetime, width: int, hint: str) -> Iterator[Line]:
    """Bar, count and step, then what is beneath; on a narrow terminal the time is the first thing beneath."""
    meaning, wide = MEANING[seen.kind], width >= WIDE
    counted = seen.all and seen.kind in (Kind.MOVES, *NEEDS_A_PERSON)
    words = [seen.count, seen.step, *([seen.timing(now)] if wide else [])] if counted else [seen.step]
    size = BAR if wide else BAR // 2
    told = MARGIN.join(filter(None, (bar(seen.done, seen.all, size) if counted else "", *words)))
    if len(seen.vm) + len(MARGIN) + len(told) > width:
        told = MARGIN.join(filter(None, words))
    first, *rest = textwrap.wrap(told, max(20, width - len(seen.vm) - len(MARGIN)))
    yield line(Span(seen.vm, Meaning.STRONG), MARGIN, Span(first, meaning))
    indent = " " * (len(seen.vm) + len(MARGIN)) if len(seen.vm) <= width // 4 else MARGIN
    yield from (line(indent, Span(more, meaning)) for more in rest)
    beneath = ["" if wide else seen.timing(now), *seen.details, seen.because, hint]
    yield from (line(indent, Span(row, Meaning.HISTORY)) for row in joined(beneath, width - len(indent)))


def joined(parts: Sequence[str], width: int) -> Iterator[str]:
    """Parts joined by middle dots, on as many lines as they need; a part too long for a line is wrapped."""
    row = ""
    for part in filter(None, parts):
        if row and len(row) + 3 + len(part) <= width:
            row = f"{row} · {part}"
            continue
        if row:
            yield row
        *whole, row = textwrap.wrap(part, max(20, width)) or [""]
        yield from whole
    if row:
        yield row


def _table(motions: Sequence[Motion], now: datetime, width: int, height: int, hint: str) -> list[Line]:
    order = {Kind.STUCK: 0, Kind.PAUSED: 0, Kind.MOVES: 1, Kind.WAITS: 2}
    ranked = sorted(motions, key=lambda m: order.get(m.kind, 3))
    room = max(1, height - 4)
    shown = ranked if len(ranked) <= room else ranked[: room - 1]
    rows = [(m.vm, m.count, m.step, m.timing(now) or next(iter(m.details), "")) for m in shown]
    head = ("VM", "step", "", "takes")
    widths = [max(len(r[i]) for r in (head, *rows)) for i in range(4)]
    lines = [line(Span(_cells(head, widths)[:width], Meaning.HISTORY))]
    for seen, row in zip(shown, rows, strict=True):
        lines.append(line(Span(_cells(row, widths)[:width], MEANING[seen.kind])))
    if len(shown) < len(ranked):
        lines.append(line(Span(f"… {len(ranked) - len(shown)} more: {counts(ranked[len(shown) :])}", Meaning.HISTORY)))
    lines += [line(Span(row, Meaning.STRONG)) for row in joined([total(motions), hint], width)]
    return lines


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    return MARGIN.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()


def counts(motions: Sequence[Motion]) -> str:
    """How many VMs are about what, as `3 tests, 8 moves`."""
    by_kind = {kind: sum(m.kind is kind for m in motions) for kind in Kind}
    return ", ".join(f"{count} {_COUNTED[kind]}" for kind, count in by_kind.items() if count)


_COUNTED = {
    Kind.WAITS: "waiting",
    Kind.MOVES: "moving",
    Kind.TESTS: "testing",
    Kind.DONE: "done",
    Kind.ROLLED_BACK: "rolled back",
    Kind.PAUSED: "paused (need you)",
    Kind.STUCK: "stuck (need you)",
}


def total(motions: Sequence[Motion]) -> str:
    """The total line: VMs, what they are about, steps."""
    done, every = sum(m.done for m in motions), sum(m.all for m in motions)
    return f"{len(motions)} VMs: {counts(motions)}" + (f" · {done}/{every} steps" if every else "")


# --- what a look shows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact that a look shows, and whether it is as it should be."""

    text: str
    good: bool = True


def found_there(world: World) -> Iterator[Finding]:
    """What a look must show of a test that runs: the guest, every disk at its device, every rollback point, its networks."""
    guest, run = world.guest, world.run
    if guest is None or run is None:
        yield Finding("CloudStack shows no guest", False)
        return
    yield Finding(f"{guest.name} is {guest.state}", guest.state == "Running")
    for placed in run.placements:
        lent = world.clone_of(placed.volume_id) if run.strategy is Strategy.CLONE else world.volumes.get(placed.volume_id)
        good = lent is not None and (lent.vm_id, lent.device_id, lent.state) == (guest.id, placed.guest_device, "Ready")
        of = "clone of " if run.strategy is Strategy.CLONE else ""
        yield Finding(f"{of}{placed.disk_key} {placed_text(world, lent)}", good)
    yield from _rollback(world, run)
    strange = [n.network_id for n in guest.nics if n.network_id not in world.test_networks]
    yield Finding(
        f"on networks that are not for tests: {', '.join(strange)}" if strange else "only test networks", not strange
    )


def _rollback(world: World, run: RunFacts) -> Iterator[Finding]:
    """What lets the replicas return: they were never lent, or there is a usable rollback point of each, or of the guest."""
    if run.strategy is Strategy.CLONE:
        away = [p.disk_key for p in run.placements if world.place(p.volume_id) is not Place.APPLIANCE]
        yield Finding(f"not on the appliance: {', '.join(away)}" if away else "every replica on the appliance", not away)
    elif run.strategy is Strategy.VM_SNAPSHOT:
        state = world.guest_snapshot.state if world.guest_snapshot is not None else "missing"
        yield Finding(f"rollback point of the guest {state}", state == "Ready")
    else:
        bad = [p.name for p in run.points if (found := world.snapshot_of(p)) is None or found.state != "BackedUp"]
        yield from (Finding(f"rollback point {name} is not usable", False) for name in bad)
        if not bad:
            yield Finding(f"{_many(len(run.points), 'rollback point')} usable")


def found_back(world: World) -> Iterator[Finding]:
    """What a look must show when a test was taken back: every replica home, and nothing left that the run made."""
    run = world.run
    if run is None:
        return
    for placed in run.placements:
        volume = world.volumes.get(placed.volume_id)
        home = volume is not None and world.place(placed.volume_id) is Place.APPLIANCE and volume.state == "Ready"
        yield Finding(f"{placed.disk_key} {placed_text(world, volume)}", home)
    made = (*map(world.snapshot_of, run.points), *(world.clone_of(c.volume_id) for c in run.clones), world.guest)
    left = [one.name for one in made if one is not None]
    yield Finding(f"still there: {', '.join(left)}" if left else "guest and rollback points gone", not left)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def placed_text(world: World, volume: Volume | None) -> str:
    """Where a volume hangs, and in which state it is unless that is as it should be."""
    if volume is None:
        return "is not shown by CloudStack"
    machines = {m.id: role for m, role in ((world.appliance, "the appliance"), (world.guest, "the guest")) if m is not None}
    where = f"on {machines.get(volume.vm_id, f'VM {volume.vm_id}')}" if volume.vm_id is not None else "attached to nothing"
    device = f", device {volume.device_id}" if volume.device_id is not None and volume.vm_id is not None else ""
    return f"{where}{device}{'' if volume.state == 'Ready' else f', {volume.state}'}"


def addresses(world: World) -> Iterator[str]:
    """The guest's addresses with their networks."""
    networks: Mapping[str, Network] = world.networks
    for nic in world.guest.nics if world.guest is not None else ():
        network = networks.get(nic.network_id)
        name = network.name if network is not None else nic.network_id[:SHORT]
        why = f"no address known to CloudStack, MAC {nic.mac}" if nic.mac else "no address known to CloudStack"
        yield f"{nic.ip or why} on {name}"
