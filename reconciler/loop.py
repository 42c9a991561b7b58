"""One round over all VMs that are due: look once, then one pass for each.

Called by `daemon`, by `apply` and `end` on the command line, and by tests; all of them drive the same rounds. A pass of
one VM takes its lease, settles what is under way, asks for the goal of this moment, plans, and submits what comes next.
Nothing in a pass waits for the cloud: it hands back when to look again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TypeVar

from plans import actions, guards, placing, planner
from plans.observed import Estate, Source, World
from plans.plan import Plan, Refusal
from reconciler import crashpoints, observe, phases
from reconciler.clock import Clock
from reconciler.cloudstack.client import Client
from reconciler.cloudstack.jobs import JobBoard
from reconciler.execute import Executor, Kind, Outcome, Turn
from reconciler.observe import Fleet, Memory
from reconciler.phases import Phase
from reconciler.settings import Settings
from reconciler.store import inventory, journal, legacy
from reconciler.store.database import Database
from reconciler.store.inventory import AcceptedSpec
from reconciler.store.journal import Brief, Direction, Dossier, Lease, Run, RunState, StepRow
from specs.goal import Goal, GoalKind, goal_at
from specs.model import Spec, State

KNOWN_FOR = timedelta(minutes=1)
STUCK_AGAIN = timedelta(minutes=5)
OVERDUE_AGAIN = timedelta(minutes=10)
T = TypeVar("T")
R = TypeVar("R")
UnderWay = tuple[tuple[str, str, str, datetime], ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of one VM came to; `until` is when it should be looked at again (None: nothing to wait for)."""

    vm_key: str
    vm: str
    outcome: Outcome
    run: Run | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """All passes of one round, and when the next one is due."""

    passes: tuple[Pass, ...] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What all passes of one round share: the fleet of the database and the estate of the cloud."""

    fleet: Fleet
    estate: Estate


@dataclass
class Engine:
    """Everything a round needs, connected by `wiring`. `owner` names this process in the leases."""

    database: Database
    client: Client
    clock: Clock
    settings: Settings
    owner: str
    legacy: legacy.Legacy
    _board: JobBoard = field(init=False)
    _executor: Executor = field(init=False)
    _known: tuple[Fleet, observe.Standing] | None = None

    def __post_init__(self) -> None:
        self._board = JobBoard(self.client, self.clock.now)
        self._executor = Executor(self.database, self.client, self.clock, self.settings.engine, self.legacy)

    # --- looking ------------------------------------------------------------------------------------------------------

    def look(self, anew: bool = True) -> Look:
        """One complete look at both sources.

        `anew` also reads what a run relies on only when it begins (the fleet, networks, capabilities); otherwise that may
        be up to a minute old.
        """
        now = self.clock.now()
        if anew or self._known is None or now - self._known[1].since > KNOWN_FOR:
            with self.database.read() as connection:
                sources = self.legacy.sources(connection)
            fleet = observe.fleet(sources, self.settings.networks.test)
            self._known = (fleet, observe.standing(self.client, now))
        fleet, standing = self._known
        return Look(fleet, observe.estate(self.client, now, standing))

    def world(self, source: Source, look: Look, dossier: Dossier) -> World:
        """The part of a look that concerns this VM, with what the journal knows."""
        memory = Memory(run=dossier.facts, attempt=dossier.attempt, dirty=dossier.dirty)
        return observe.world(look.estate, look.fleet, source, memory)

    def dossier(self, vm_key: str) -> Dossier:
        """What journal and inventory know of one VM."""
        with self.database.read() as connection:
            return journal.dossiers(connection, [vm_key])[vm_key]

    def preview(self, spec: Spec, look: Look, again: bool = False) -> Plan | Refusal:
        """The plan for a spec as if it were accepted now: what `plan` prints, and what `apply` approves.

        What was carried out before and is over wants nothing, unless it is to run `again`.
        """
        now = self.clock.now()
        source = legacy.find(look.fleet.sources.values(), name=spec.vm.name, uuid=spec.vm.uuid, vcenter=spec.vm.vcenter)
        dossier = self.dossier(source.key)
        run, newest, world = dossier.run, dossier.accepted, self.world(source, look, dossier)
        if not again and newest is not None and newest.digest == spec.digest and newest.is_over:
            found = planner.plan(spec, GoalKind.PROTECTED, world)
            note = f"carried out before, {newest.state} {newest.ended_at:%Y-%m-%d %H:%M} UTC; --again runs it once more"
            return replace(found, warnings=(*found.warnings, note)) if isinstance(found, Plan) else found
        goal = goal_at(spec, now, now, run.running_since if run else None, self.settings.test.start_within)
        return planner.plan(spec, goal.kind, world)

    def let_go(self) -> None:
        """Give back all leases, so that another process need not wait for them to lapse."""
        with self.database.begin() as connection:
            journal.give_back(connection, self.owner, self.clock.now())

    # --- a round ------------------------------------------------------------------------------------------------------

    def round(self, only: frozenset[str] | None = None) -> Round:
        """One pass for every VM that is due (of `only`, if given). Raises `CloudError` when no look was possible.

        Jobs first, then the look: what a job did is seen by a look that began after it ended.
        """
        now = self.clock.now()
        due, beginning, under_way, expiry = self._due(now, only)
        if not due:
            return Round(next_at=expiry)
        self._board.refresh(job for _, _, job, _ in under_way)
        busy = self._busy(under_way, now)
        due = [key for key in due if key not in busy]
        if not due:
            return Round(next_at=now + self.settings.engine.poll)
        passes = self._passes(due, self.look(anew=not beginning.isdisjoint(due)))
        return Round(passes, min((p.until for p in passes if p.until), default=expiry))

    def _passes(self, due: list[str], look: Look) -> tuple[Pass, ...]:
        """Settle what is under way for all, read the journal again, then let each go on."""
        held = self._leased(due, look)
        ours = {d.vm_key: d for d in held if isinstance(d, Dossier)}
        settled = dict(zip(ours, self._each(lambda d: self._settled(d, look), list(ours.values())), strict=True))
        free = [key for key, seen in settled.items() if seen is None]
        with self.database.read() as connection:
            again = journal.dossiers(connection, free)
        gone_on = dict(zip(free, self._each(lambda key: self._guarded(again[key], look), free), strict=True))
        stopped = tuple(d for d in held if isinstance(d, Pass))
        return (*stopped, *(seen or gone_on[key] for key, seen in settled.items()))

    def _each(self, work: Callable[[T], R], items: list[T]) -> list[R]:
        if len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(max_workers=self.settings.engine.threads) as pool:
            return list(pool.map(work, items))

    def _busy(self, under_way: UnderWay, now: datetime) -> frozenset[str]:
        """VMs of which every job still runs, within its deadline: no look at them could tell anything new."""
        by_vm: dict[str, list[bool]] = {}
        for vm_key, _run, job, deadline in under_way:
            by_vm.setdefault(vm_key, []).append(self._board.is_pending(job) and now < deadline)
        return frozenset(vm_key for vm_key, pending in by_vm.items() if all(pending))

    def _due(
        self, now: datetime, only: frozenset[str] | None
    ) -> tuple[list[str], frozenset[str], UnderWay, datetime | None]:
        """Which VMs are due, which of them only begin, which jobs are under way, and when the next test ends."""
        with self.database.read() as connection:
            runs = {b.vm_key: b for b in journal.briefs(connection)}
            wanted = dict(inventory.wanted(connection))
            under_way = journal.jobs_under_way(connection)
        room = self.settings.engine.max_runs - sum(b.state is not RunState.HOLDING for b in runs.values())
        moving = [k for k, b in runs.items() if _moves(b, wanted.get(k), now)]
        starting = [k for k in wanted if k not in runs]
        chosen = [k for k in (*moving, *starting[: max(0, room)]) if only is None or k in only]
        expiry = min((b.expires_at for b in runs.values() if b.expires_at is not None), default=None)
        return chosen, frozenset(starting), under_way, expiry

    # --- a pass -------------------------------------------------------------------------------------------------------

    def _leased(self, due: list[str], look: Look) -> list[Dossier | Pass]:
        """The dossiers of the VMs whose lease we hold now, and a pass for each that somebody else works on."""
        now, limits = self.clock.now(), self.settings.engine
        with self.database.read() as connection:
            found = journal.dossiers(connection, due)
        held: list[Dossier | Pass] = []
        for key, dossier in found.items():
            source = look.fleet.sources.get(key)
            if source is None:
                held.append(Pass(key, key, Outcome(Kind.REFUSED, "the database no longer lists this VM")))
                continue
            lease = self._take(key, dossier.lease, now)
            if lease is None:
                why = Outcome(Kind.WAIT, "another process works on this VM")
                held.append(Pass(key, source.name, why, until=now + limits.poll))
            else:
                held.append(replace(dossier, lease=lease))
        return held

    def _take(self, vm_key: str, known: Lease | None, now: datetime) -> Lease | None:
        ttl = self.settings.engine.lease
        if known is not None and known.owner == self.owner and known.expires_at - now > ttl / 2:
            return known
        with self.database.begin() as connection:
            return journal.take(connection, vm_key, self.owner, now, ttl)

    def _turn(self, dossier: Dossier, look: Look) -> Turn:
        source = look.fleet.sources[dossier.vm_key]
        if dossier.run is None or dossier.lease is None:
            raise LookupError(f"{dossier.vm_key} has no run under our lease")
        return Turn(dossier.run, dossier.lease, self.world(source, look, dossier), look.fleet, dossier.rest)

    def _settled(self, dossier: Dossier, look: Look) -> Pass | None:
        """Settle what is under way; None when nothing is, or all of it is done, and the VM may go on."""
        if not dossier.under_way:
            return None
        turn = self._turn(dossier, look)
        try:
            worst = _worst(self._executor.settle(turn, row, self._board) for row in dossier.under_way)
            return None if worst.kind is Kind.DONE else self._came_to(turn, worst)
        except journal.Fenced as overtaken:
            return self._overtaken(look, dossier, overtaken)

    def _guarded(self, dossier: Dossier, look: Look) -> Pass:
        try:
            return self._begin(dossier, look) if dossier.run is None else self._advance(dossier, look)
        except journal.Fenced as overtaken:
            return self._overtaken(look, dossier, overtaken)

    def _overtaken(self, look: Look, dossier: Dossier, why: Exception) -> Pass:
        name = look.fleet.sources[dossier.vm_key].name
        return Pass(dossier.vm_key, name, Outcome(Kind.WAIT, str(why)), until=self.clock.now() + self.settings.engine.poll)

    def _begin(self, dossier: Dossier, look: Look) -> Pass:
        source, accepted = look.fleet.sources[dossier.vm_key], dossier.accepted
        if accepted is None or not accepted.is_active or dossier.lease is None:
            return Pass(source.key, source.name, Outcome(Kind.DONE, "nothing is wanted"))
        now = self.clock.now()
        goal = goal_at(accepted.spec, accepted.accepted_at, now, None, self.settings.test.start_within)
        if goal.kind is not GoalKind.TESTING:
            return self._nothing_to_begin(accepted, source, goal.reason, now)
        waits = self._waits_for(accepted.spec, look)
        if waits is not None:
            return Pass(source.key, source.name, waits, until=now + self.settings.engine.poll)
        world = self.world(source, look, dossier)
        found = planner.plan(accepted.spec, goal.kind, world)
        if isinstance(found, Refusal):
            why = "; ".join(r.text for r in found.reasons)
            if all(r.code in guards.PASSING for r in found.reasons):
                waits = Outcome(Kind.WAIT, why)
                return Pass(source.key, source.name, waits, until=now + self.settings.engine.poll)
            return self._not_begun(accepted, source, why, now)
        if accepted.plan_digest != found.digest:
            return self._not_begun(accepted, source, "the world changed since the plan was approved; plan again", now)
        with self.database.begin() as connection:
            journal.fenced(connection, dossier.lease)
            run = journal.open_run(connection, accepted, found, placing.guest_name(world), now)
            self._show(connection, run, phases.VALIDATING, now)
        crashpoints.hit(crashpoints.Point.RUN_OPENED)
        return self._advance(replace(self.dossier(source.key), lease=dossier.lease), look)

    def _nothing_to_begin(self, accepted: AcceptedSpec, source: Source, why: str, now: datetime) -> Pass:
        """Protected is wanted, and there is no run: it is so. A test that did not start in time is over, too."""
        if accepted.spec.state is State.TEST_FAILOVER:
            return self._not_begun(accepted, source, why, now)
        with self.database.begin() as connection:
            inventory.end(connection, source.key, now, why)
        return Pass(source.key, source.name, Outcome(Kind.DONE, why))

    def _waits_for(self, spec: Spec, look: Look) -> Outcome | None:
        """What `after:` makes this VM wait for: every VM named there must be testing."""
        if not spec.after:
            return None
        with self.database.read() as connection:
            holding = {b.vm_key for b in journal.briefs(connection) if b.state is RunState.HOLDING}
        keys = {s.name: s.key for s in look.fleet.sources.values()}
        missing = [name for name in spec.after if keys.get(name, name.lower()) not in holding]
        return Outcome(Kind.WAIT, f"after {', '.join(missing)}, not testing yet") if missing else None

    def _not_begun(self, accepted: AcceptedSpec, source: Source, why: str, now: datetime) -> Pass:
        """A test that cannot begin as approved is over before anything was sent."""
        with self.database.begin() as connection:
            inventory.fail(connection, source.key, now, why)
            journal.note(connection, now, source.key, "refused", f"{accepted.spec.origin}: {why}")
        return Pass(source.key, source.name, Outcome(Kind.REFUSED, why))

    def _advance(self, dossier: Dossier, look: Look) -> Pass:
        now, turn = self.clock.now(), self._followed(self._turn(dossier, look), dossier.accepted)
        goal = self._goal(turn.run, dossier.accepted, now)
        turn = self._turned(turn, goal, now)
        found = planner.plan(turn.run.spec, goal.kind, turn.world, with_way_back=False)
        if isinstance(found, Refusal):
            return self._came_to(turn, Outcome(Kind.STUCK, "; ".join(r.text for r in found.reasons)))
        if not found.steps:
            return self._reached(turn, goal, now)
        rows = self._leg(turn, found)
        if rows is None:
            return self._diverged(turn, found, now)
        return self._came_to(turn, _worst(self._executor.submit(turn, row) for row in rows))

    def _followed(self, turn: Turn, accepted: AcceptedSpec | None) -> Turn:
        """The turn with its run following a newer spec, where that wants the same guest (perhaps for another time)."""
        run = turn.run
        if accepted is None or not accepted.is_active or accepted.id == run.spec_id or run.direction is Direction.BACK:
            return turn
        if not _same_guest(run.spec, accepted.spec):
            return turn
        with self.database.begin() as connection:
            journal.fenced(connection, turn.lease)
            return replace(turn, run=journal.follow(connection, run, accepted, self.clock.now()))

    def _goal(self, run: Run, accepted: AcceptedSpec | None, now: datetime) -> Goal:
        if run.direction is Direction.BACK:
            return Goal(GoalKind.PROTECTED, None, False, run.reason or "taken back")
        if accepted is None or not accepted.is_active or accepted.id != run.spec_id:
            reason = accepted.reason if accepted is not None and accepted.reason else "no longer wanted"
            return Goal(GoalKind.PROTECTED, None, False, reason)
        return goal_at(run.spec, accepted.accepted_at, now, run.running_since, self.settings.test.start_within)

    def _turned(self, turn: Turn, goal: Goal, now: datetime) -> Turn:
        """The turn with its run turned back once the goal is protected: from then on it never goes forward again."""
        if goal.kind is not GoalKind.PROTECTED or turn.run.direction is Direction.BACK:
            return turn
        with self.database.begin() as connection:
            journal.fenced(connection, turn.lease)
            return replace(turn, run=journal.turn_back(connection, turn.run, goal.reason, now), rest=())

    def _leg(self, turn: Turn, found: Plan) -> tuple[StepRow, ...] | None:
        """The journal's rows of what is to be done next; None when the plan is not what was approved.

        The way back was approved with the way there, so its steps are written down as they are planned.
        """
        if not _is_rest(turn.rest, found) and turn.run.direction is Direction.BACK:
            with self.database.begin() as connection:
                journal.fenced(connection, turn.lease)
                return _first_group(journal.add_leg(connection, turn.run, found.steps, Direction.BACK))
        return _first_group(turn.rest) if _is_rest(turn.rest, found) else None

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _came_to(self, turn: Turn, outcome: Outcome) -> Pass:
        """A pass's result from the worst outcome of its steps: go on, wait, turn back, or ask a person."""
        now = self.clock.now()
        run, until = turn.run, outcome.until or now + self.settings.engine.poll
        gives_up = outcome.kind in (Kind.FAILED, Kind.REFUSED)
        if outcome.kind is Kind.DONE:
            until = now
        elif gives_up and run.direction is Direction.THERE:
            with self.database.begin() as connection:
                run, until = journal.turn_back(connection, run, outcome.why, now, failed=True), now
        elif gives_up or outcome.kind is Kind.STUCK:
            until = outcome.until or now + STUCK_AGAIN
            with self.database.begin() as connection:
                run = journal.stuck(connection, run, outcome.why, until, now)
        elif run.not_before != outcome.until or run.state is RunState.STUCK:
            with self.database.begin() as connection:
                run = journal.wait_until(connection, run, outcome.until)
        return Pass(run.vm_key, run.vm_name, outcome, run, until)

    def _reached(self, turn: Turn, goal: Goal, now: datetime) -> Pass:
        run = turn.run
        if goal.kind is GoalKind.TESTING:
            again = now + OVERDUE_AGAIN if goal.overdue else None
            with self.database.begin() as connection:
                run = journal.hold(connection, run, goal.ends_at, now, again)
                self._show(connection, run, phases.holding(run, now), now)
            return Pass(run.vm_key, run.vm_name, Outcome(Kind.DONE, "testing"), run, again or goal.ends_at)
        crashpoints.hit(crashpoints.Point.BEFORE_FINISH)
        with self.database.begin() as connection:
            journal.fenced(connection, turn.lease)
            written = [v for v in sorted(turn.world.replicas) if turn.world.written(v)]
            run = journal.finish(connection, run, written, now)
            inventory.end(connection, run.vm_key, now, run.reason or "taken back", spec_id=run.spec_id)
            self._show(connection, run, phases.FAILED if run.failed else phases.COMPLETED, now, ended=True)
            clean = legacy.CONTEXT_CLEANUP if written else legacy.CONTEXT_READY
            self.legacy.set_context(connection, run, clean, now)
        crashpoints.hit(crashpoints.Point.AFTER_FINISH)
        return Pass(run.vm_key, run.vm_name, Outcome(Kind.DONE, str(run.state)), run)

    def _diverged(self, turn: Turn, found: Plan, now: datetime) -> Pass:
        """The world changed under the run: it stops here, a safe point, and asks."""
        left = ", ".join(s.action.word for s in found.steps)
        why = f"the world changed: what is left to do is no longer the rest of the approved plan, but: {left}"
        with self.database.begin() as connection:
            run = journal.pause(connection, turn.run, why, now)
        return Pass(run.vm_key, run.vm_name, Outcome(Kind.REFUSED, why), run)

    def _show(self, connection, run: Run, phase: Phase, now: datetime, ended: bool = False) -> None:  # type: ignore[no-untyped-def]
        journal.progressed(connection, run, phase.percent)
        self.legacy.project(connection, run, phase.status, now, ended)


def _moves(run: Brief, wanted: int | None, now: datetime) -> bool:
    """Whether a run is due: not while it holds and its time is not up, nor while it waits for a person or a moment."""
    if run.not_before is not None and now < run.not_before:
        return False
    if run.state not in (RunState.HOLDING, RunState.PAUSED) or run.direction is Direction.BACK or wanted != run.spec_id:
        return True
    return run.state is RunState.HOLDING and run.expires_at is not None and now >= run.expires_at


def _same_guest(was: Spec, now: Spec) -> bool:
    """Whether two specs of a test want the same guest: on the same networks, from the same disk, protected alike."""
    wanted = [(s.state, s.networks, s.boot_disk, s.strategy) for s in (was, now)]
    return wanted[0] == wanted[1] and was.state is State.TEST_FAILOVER


_GRAVITY = (Kind.DONE, Kind.RETRY, Kind.WAIT, Kind.REFUSED, Kind.FAILED, Kind.STUCK)


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return max(outcomes, key=lambda o: _GRAVITY.index(o.kind))


def _is_rest(rows: tuple[StepRow, ...], found: Plan) -> bool:
    """Whether what is planned now is exactly what the journal has still to do."""
    return [r.action for r in rows] == [s.action for s in found.steps]


def _first_group(rows: tuple[StepRow, ...]) -> tuple[StepRow, ...]:
    """The next step, with its neighbours of the same kind where the cloud runs those side by side."""
    if not isinstance(rows[0].action, actions.TOGETHER):
        return rows[:1]
    return tuple(takewhile(lambda row: type(row.action) is type(rows[0].action), rows))
