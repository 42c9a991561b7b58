"""One round over all VMs that are due: look once, then one pass for each.

Called by `daemon`, by `apply` and `end` on the command line, and by tests; all of them drive the same rounds. A pass of
one VM takes its lease, settles what is under way, asks for the goal of this moment, plans, and submits what comes next.
Nothing in a pass waits for the cloud: it hands back when to look again.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile

from plans import actions, placing, planner
from plans.observed import Capabilities, Estate, Source, World
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
from reconciler.store.journal import Direction, Lease, Run, RunState, StepRow, StepState
from specs.goal import Goal, GoalKind, goal_at
from specs.model import Spec, State

CAPABILITIES_FOR = timedelta(minutes=5)
STUCK_AGAIN = timedelta(minutes=5)
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
    _capabilities: tuple[datetime, Capabilities] | None = None

    def __post_init__(self) -> None:
        self._board = JobBoard(self.client, self.clock.now)
        self._executor = Executor(self.database, self.client, self.clock, self.settings.engine)

    # --- looking ------------------------------------------------------------------------------------------------------

    def look(self) -> Look:
        """One complete look at both sources."""
        now = self.clock.now()
        with self.database.read() as connection:
            sources = self.legacy.sources(connection)
        if self._capabilities is None or now - self._capabilities[0] > CAPABILITIES_FOR:
            self._capabilities = (now, self.client.capabilities())
        fleet = observe.fleet(sources, self.settings.networks.test)
        return Look(fleet, observe.estate(self.client, now, self._capabilities[1]))

    def world(self, source: Source, look: Look, run: Run | None) -> World:
        """The part of a look that concerns this VM, with what the journal knows."""
        with self.database.read() as connection:
            memory = Memory(
                run=journal.run_facts(connection, run) if run else None,
                attempt=run.attempt if run else journal.next_attempt(connection, source.key),
                dirty=journal.dirty(connection, source.key),
            )
        return observe.world(look.estate, look.fleet, source, memory)

    def preview(self, spec: Spec, look: Look, again: bool = False) -> Plan | Refusal:
        """The plan for a spec as if it were accepted now: what `plan` prints, and what `apply` approves.

        What was carried out before and is over wants nothing, unless it is to run `again`.
        """
        now = self.clock.now()
        source = legacy.find(look.fleet.sources.values(), name=spec.vm.name, uuid=spec.vm.uuid, vcenter=spec.vm.vcenter)
        with self.database.read() as connection:
            run = journal.unfinished_of(connection, source.key)
            newest = inventory.of(connection, source.key)
        world = self.world(source, look, run)
        if not again and newest is not None and newest.digest == spec.digest and not newest.is_active:
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
        """One pass for every VM that is due (of `only`, if given). Raises `CloudError` when no look was possible."""
        now = self.clock.now()
        due, under_way = self._due(now, only)
        if not due:
            return Round(next_at=self._next_expiry())
        self._board.refresh(job for _, _, job, _ in under_way)
        busy = self._busy(under_way, now)
        due = [key for key in due if key not in busy]
        if not due:
            return Round(next_at=now + self.settings.engine.poll)
        look = self.look()
        if len(due) == 1:
            return self._round_of((self._leased(due[0], look),))
        with ThreadPoolExecutor(max_workers=self.settings.engine.threads) as pool:
            return self._round_of(tuple(pool.map(lambda key: self._leased(key, look), due)))

    def _round_of(self, passes: tuple[Pass, ...]) -> Round:
        return Round(passes, min((p.until for p in passes if p.until), default=self._next_expiry()))

    def _busy(self, under_way: UnderWay, now: datetime) -> frozenset[str]:
        """VMs of which every job still runs, within its deadline: no look at them could tell anything new."""
        by_vm: dict[str, list[bool]] = {}
        for vm_key, _run, job, deadline in under_way:
            by_vm.setdefault(vm_key, []).append(self._board.is_pending(job) and now < deadline)
        return frozenset(vm_key for vm_key, pending in by_vm.items() if all(pending))

    def _due(self, now: datetime, only: frozenset[str] | None) -> tuple[list[str], UnderWay]:
        with self.database.read() as connection:
            runs = {r.vm_key: r for r in journal.unfinished(connection)}
            wanted = {a.vm_key: a for a in inventory.active(connection)}
            under_way = journal.jobs_under_way(connection)
        room = self.settings.engine.max_runs - sum(r.state is not RunState.HOLDING for r in runs.values())
        moving = [k for k, r in runs.items() if self._moves(r, wanted.get(k), now)]
        starting = [k for k, a in wanted.items() if k not in runs and a.spec.state is State.TEST_FAILOVER]
        chosen = [*moving, *starting[: max(0, room)]]
        return [k for k in chosen if only is None or k in only], under_way

    def _moves(self, run: Run, accepted: AcceptedSpec | None, now: datetime) -> bool:
        if run.not_before is not None and now < run.not_before:
            return False
        if run.state in (RunState.HOLDING, RunState.PAUSED):
            return self._goal(run, accepted, now).kind is not GoalKind.TESTING
        return True

    def _next_expiry(self) -> datetime | None:
        with self.database.read() as connection:
            runs = journal.unfinished(connection)
        return min((r.expires_at for r in runs if r.expires_at is not None), default=None)

    # --- a pass -------------------------------------------------------------------------------------------------------

    def _leased(self, vm_key: str, look: Look) -> Pass:
        now = self.clock.now()
        source = look.fleet.sources.get(vm_key)
        name = source.name if source else vm_key
        with self.database.begin() as connection:
            lease = journal.take(connection, vm_key, self.owner, now, self.settings.engine.lease)
        if lease is None:
            until = now + self.settings.engine.poll
            return Pass(vm_key, name, Outcome(Kind.WAIT, "another process works on this VM"), until=until)
        if source is None:
            return Pass(vm_key, name, Outcome(Kind.REFUSED, "the database no longer lists this VM"))
        try:
            return self._pass(source, lease, look)
        except journal.Fenced as overtaken:
            return Pass(vm_key, name, Outcome(Kind.WAIT, str(overtaken)), until=now + self.settings.engine.poll)

    def _pass(self, source: Source, lease: Lease, look: Look) -> Pass:
        with self.database.read() as connection:
            run = journal.unfinished_of(connection, source.key)
            under_way = journal.under_way(connection, run) if run else ()
            accepted = inventory.of(connection, source.key)
        if run is None:
            return self._begin(source, lease, accepted, look)
        turn = Turn(run, lease, self.world(source, look, run), look.fleet)
        if under_way:
            settled = self._settle(turn, under_way)
            if settled is not None:
                return settled
            with self.database.read() as connection:
                run = journal.run(connection, run.id)
            turn = replace(turn, run=run, world=self.world(source, look, run))
        return self._advance(turn, accepted)

    def _settle(self, turn: Turn, under_way: tuple[StepRow, ...]) -> Pass | None:
        """Settle what is under way; None when all of it is done and the pass may go on."""
        worst = _worst(self._executor.settle(turn, row, self._board) for row in under_way)
        if worst.kind is Kind.DONE:
            return None
        return self._came_to(turn, worst)

    def _begin(self, source: Source, lease: Lease, accepted: AcceptedSpec | None, look: Look) -> Pass:
        if accepted is None or not accepted.is_active:
            return Pass(source.key, source.name, Outcome(Kind.DONE, "nothing is wanted"))
        now = self.clock.now()
        goal = goal_at(accepted.spec, accepted.accepted_at, now, None, self.settings.test.start_within)
        if goal.kind is not GoalKind.TESTING:
            return self._not_begun(accepted, source, goal.reason, now)
        world = self.world(source, look, None)
        found = planner.plan(accepted.spec, goal.kind, world)
        if isinstance(found, Refusal):
            return self._not_begun(accepted, source, "; ".join(r.text for r in found.reasons), now)
        if accepted.plan_digest != found.digest:
            return self._not_begun(accepted, source, "the world changed since the plan was approved; plan again", now)
        with self.database.begin() as connection:
            journal.fenced(connection, lease)
            run = journal.open_run(connection, accepted, found, placing.guest_name(world), now)
            self._show(connection, run, phases.VALIDATING, now)
        crashpoints.hit(crashpoints.Point.RUN_OPENED)
        turn = Turn(run, lease, self.world(source, look, run), look.fleet)
        return self._advance(turn, accepted)

    def _not_begun(self, accepted: AcceptedSpec, source: Source, why: str, now: datetime) -> Pass:
        """A test that cannot begin as approved is over before anything was sent."""
        with self.database.begin() as connection:
            inventory.fail(connection, source.key, now, why)
            journal.note(connection, now, source.key, "refused", f"{accepted.spec.origin}: {why}")
        return Pass(source.key, source.name, Outcome(Kind.REFUSED, why))

    def _advance(self, turn: Turn, accepted: AcceptedSpec | None) -> Pass:
        now = self.clock.now()
        goal = self._goal(turn.run, accepted, now)
        turn = replace(turn, run=self._turned(turn, goal, now))
        found = planner.plan(turn.run.spec, goal.kind, turn.world)
        if isinstance(found, Refusal):
            why = "; ".join(r.text for r in found.reasons)
            return self._came_to(turn, Outcome(Kind.STUCK, why))
        if not found.steps:
            return self._reached(turn, goal, now)
        rows = self._leg(turn, found)
        if rows is None:
            return self._diverged(turn, found, now)
        return self._submit(turn, rows)

    def _goal(self, run: Run, accepted: AcceptedSpec | None, now: datetime) -> Goal:
        if run.direction is Direction.BACK:
            return Goal(GoalKind.PROTECTED, None, False, run.reason or "taken back")
        if accepted is None or not accepted.is_active or accepted.id != run.spec_id:
            reason = accepted.reason if accepted is not None and accepted.reason else "no longer wanted"
            return Goal(GoalKind.PROTECTED, None, False, reason)
        return goal_at(run.spec, accepted.accepted_at, now, run.running_since, self.settings.test.start_within)

    def _turned(self, turn: Turn, goal: Goal, now: datetime) -> Run:
        """The run, turned back once its goal is protected: from then on it never goes forward again."""
        if goal.kind is not GoalKind.PROTECTED or turn.run.direction is Direction.BACK:
            return turn.run
        with self.database.begin() as connection:
            journal.fenced(connection, turn.lease)
            return journal.turn_back(connection, turn.run, goal.reason, now)

    def _leg(self, turn: Turn, found: Plan) -> tuple[StepRow, ...] | None:
        """The journal's rows of what is to be done next; None when the plan is not what was approved.

        The way back was approved with the way there, so its steps are written down as they are planned.
        """
        run = turn.run
        with self.database.read() as connection:
            rows = journal.steps(connection, run, run.direction)
        if run.direction is Direction.BACK and not _is_rest(rows, found):
            with self.database.begin() as connection:
                journal.fenced(connection, turn.lease)
                journal.add_leg(connection, run, found.steps, Direction.BACK)
                rows = journal.steps(connection, run, run.direction)
        if not _is_rest(rows, found):
            return None
        return _first_group(rows[len(rows) - len(found.steps) :])

    def _submit(self, turn: Turn, rows: tuple[StepRow, ...]) -> Pass:
        with self.database.begin() as connection:
            self._show(connection, turn.run, phases.of_step(turn.run, rows[0].word), self.clock.now())
            if isinstance(rows[0].action, actions.Reserve):
                self.legacy.set_context(connection, turn.run, legacy.CONTEXT_RESERVED, self.clock.now())
        return self._came_to(turn, _worst(self._executor.submit(turn, row) for row in rows))

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
        else:
            with self.database.begin() as connection:
                run = journal.wait_until(connection, run, outcome.until)
        return Pass(run.vm_key, run.vm_name, outcome, run, until)

    def _reached(self, turn: Turn, goal: Goal, now: datetime) -> Pass:
        run = turn.run
        if goal.kind is GoalKind.TESTING:
            with self.database.begin() as connection:
                run = journal.hold(connection, run, goal.ends_at, now)
                self._show(connection, run, phases.holding(run, now), now)
            return Pass(run.vm_key, run.vm_name, Outcome(Kind.DONE, "testing"), run, goal.ends_at)
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


_GRAVITY = (Kind.DONE, Kind.RETRY, Kind.WAIT, Kind.REFUSED, Kind.FAILED, Kind.STUCK)


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return max(outcomes, key=lambda o: _GRAVITY.index(o.kind))


def _is_rest(rows: tuple[StepRow, ...], found: Plan) -> bool:
    """Whether what is planned now is exactly what is left of the journal's steps."""
    behind = len(rows) - len(found.steps)
    rest = rows[behind:] if behind >= 0 else ()
    fresh = all(r.state is StepState.PENDING for r in rest)
    return behind >= 0 and fresh and [r.action for r in rest] == [s.action for s in found.steps]


def _first_group(rows: tuple[StepRow, ...]) -> tuple[StepRow, ...]:
    """The next step, with its neighbours of the same kind where the cloud runs those side by side."""
    if not isinstance(rows[0].action, actions.TOGETHER):
        return rows[:1]
    return tuple(takewhile(lambda row: type(row.action) is type(rows[0].action), rows))
