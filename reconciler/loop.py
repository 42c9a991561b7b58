"""One round over all VMs that are due: look once, then one pass for each.

Called by `daemon`, by `apply` and `end` on the command line, and by tests; all of them drive the same rounds. A pass of
one VM takes its lease, settles what is under way, asks for the goal of this moment, plans, and submits what comes next.
Nothing in a pass waits for the cloud: it hands back when to look again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from plans import actions, planner
from plans.observed import Capabilities, Estate, Source, World
from plans.plan import Plan, Refusal
from reconciler import crashpoints, observe
from reconciler.clock import Clock
from reconciler.cloudstack.client import Client
from reconciler.cloudstack.jobs import JobBoard
from reconciler.execute import Executor, Kind, Outcome
from reconciler.observe import Fleet, Memory
from reconciler.settings import Settings
from reconciler.store import inventory, journal, legacy
from reconciler.store.database import Database
from reconciler.store.inventory import AcceptedSpec
from reconciler.store.journal import Direction, Run, RunState, StepRow, StepState
from specs.goal import Goal, GoalKind, goal_at
from specs.model import Spec

CAPABILITIES_FOR = timedelta(minutes=5)
STUCK_AGAIN = timedelta(minutes=5)
TOGETHER = (actions.SnapshotReplica, actions.RevertReplica, actions.DeleteSnapshot)


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
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._board = JobBoard(self.client, self.clock.now)
        self._executor = Executor(self.database, self.client, self.clock, self.settings.engine)

    # --- looking ------------------------------------------------------------------------------------------------------

    def fleet(self) -> Fleet:
        """What the database says of all replicated VMs, now."""
        with self.database.begin() as connection:
            sources = self.legacy.sources(connection)
        return observe.fleet(sources, self.settings.networks.test)

    def look(self) -> Estate:
        """Everything CloudStack shows, complete, now."""
        now = self.clock.now()
        if self._capabilities is None or now - self._capabilities[0] > CAPABILITIES_FOR:
            self._capabilities = (now, self.client.capabilities())
        return observe.estate(self.client, now, self._capabilities[1])

    def world(self, source: Source, estate: Estate, fleet: Fleet, run: Run | None) -> World:
        """The part of a look that concerns this VM, with what the journal knows."""
        with self.database.begin() as connection:
            memory = Memory(
                run=journal.run_facts(connection, run) if run else None,
                attempt=run.attempt if run else journal.next_attempt(connection, source.key),
                dirty=journal.dirty(connection, source.key),
            )
        return observe.world(estate, fleet, source, memory)

    def preview(self, spec: Spec, fleet: Fleet, estate: Estate) -> Plan | Refusal:
        """The plan for a spec as if it were accepted now: what `plan` prints, and what `apply` approves."""
        now = self.clock.now()
        source = legacy.find(fleet.sources.values(), name=spec.vm.name, uuid=spec.vm.uuid, vcenter=spec.vm.vcenter)
        with self.database.begin() as connection:
            run = journal.unfinished_of(connection, source.key)
        goal = goal_at(spec, now, now, run.running_since if run else None, self.settings.test.start_within)
        return planner.plan(spec, goal.kind, self.world(source, estate, fleet, run))

    # --- a round ------------------------------------------------------------------------------------------------------

    def round(self, only: frozenset[str] | None = None) -> Round:
        """One pass for every VM that is due (of `only`, if given). Raises `CloudError` when no look was possible."""
        now = self.clock.now()
        due = self._due(now, only)
        if not due:
            return Round(next_at=self._next_expiry())
        fleet = self.fleet()
        self._board.refresh(self._outstanding(due))
        estate = self.look()
        with ThreadPoolExecutor(max_workers=self.settings.engine.threads) as pool:
            passes = tuple(pool.map(lambda key: self._leased(key, fleet, estate), due))
        return Round(passes, min((p.until for p in passes if p.until), default=self._next_expiry()))

    def _due(self, now: datetime, only: frozenset[str] | None) -> list[str]:
        with self.database.begin() as connection:
            runs = {r.vm_key: r for r in journal.unfinished(connection)}
            wanted = inventory.active(connection)
        room = self.settings.engine.max_runs - sum(r.state is not RunState.HOLDING for r in runs.values())
        moving = [k for k, r in runs.items() if self._moves(r, wanted, now)]
        starting = [a.vm_key for a in wanted if a.vm_key not in runs and a.spec.state == "test-failover"]
        chosen = [*moving, *starting[: max(0, room)]]
        return [k for k in dict.fromkeys(chosen) if only is None or k in only]

    def _moves(self, run: Run, wanted: Iterable[AcceptedSpec], now: datetime) -> bool:
        if run.not_before is not None and now < run.not_before:
            return False
        if run.state is not RunState.HOLDING:
            return run.state is not RunState.PAUSED or run.direction is Direction.BACK
        accepted = next((a for a in wanted if a.vm_key == run.vm_key), None)
        return self._goal(run, accepted, now).kind is not GoalKind.TESTING

    def _next_expiry(self) -> datetime | None:
        with self.database.begin() as connection:
            runs = journal.unfinished(connection)
        return min((r.expires_at for r in runs if r.expires_at is not None), default=None)

    def _outstanding(self, due: list[str]) -> frozenset[str]:
        with self.database.begin() as connection:
            return journal.jobs_under_way(connection, due)

    # --- a pass -------------------------------------------------------------------------------------------------------

    def _leased(self, vm_key: str, fleet: Fleet, estate: Estate) -> Pass:
        now = self.clock.now()
        source = fleet.sources.get(vm_key)
        name = source.name if source else vm_key
        with self.database.begin() as connection:
            lease = journal.take(connection, vm_key, self.owner, now, self.settings.engine.lease)
        if lease is None:
            until = now + self.settings.engine.lease / 4
            return Pass(vm_key, name, Outcome(Kind.WAIT, "another process works on this VM"), until=until)
        if source is None:
            return Pass(vm_key, name, Outcome(Kind.REFUSED, "the database no longer lists this VM"))
        return self._pass(source, lease.fence, fleet, estate)

    def _pass(self, source: Source, fence: int, fleet: Fleet, estate: Estate) -> Pass:
        run = self._settled_run(source, fence, fleet, estate)
        if isinstance(run, Pass):
            return run
        with self.database.begin() as connection:
            accepted = inventory.of(connection, source.key)
        if run is None:
            return self._begin(source, fence, accepted, fleet, estate)
        return self._advance(source, run, accepted, fleet, estate)

    def _settled_run(self, source: Source, fence: int, fleet: Fleet, estate: Estate) -> Run | Pass | None:
        """The run in hand once nothing of it is under way, or the pass that says what is still being waited for."""
        with self.database.begin() as connection:
            run = journal.adopt(connection, source.key, fence)
            under_way = journal.under_way(connection, run) if run else ()
        if run is None or not under_way:
            return run
        world = self.world(source, estate, fleet, run)
        outcomes = [self._executor.settle(run, row, world, self._board) for row in under_way]
        worst = max(outcomes, key=lambda o: _GRAVITY.index(o.kind))
        if worst.kind in (Kind.FAILED, Kind.STUCK):
            return self._failed(source, run, worst)
        if worst.kind is not Kind.DONE:
            return self._seen(source, run, worst)
        with self.database.begin() as connection:
            return journal.run(connection, run.id)

    def _begin(
        self, source: Source, fence: int, accepted: AcceptedSpec | None, fleet: Fleet, estate: Estate
    ) -> Pass:
        if accepted is None or not accepted.is_active:
            return Pass(source.key, source.name, Outcome(Kind.DONE, "nothing is wanted"))
        now = self.clock.now()
        goal = goal_at(accepted.spec, accepted.accepted_at, now, None, self.settings.test.start_within)
        found = planner.plan(accepted.spec, goal.kind, self.world(source, estate, fleet, None))
        if goal.kind is GoalKind.PROTECTED or isinstance(found, Refusal):
            return self._not_begun(source, accepted, goal, found, now)
        if accepted.plan_digest is not None and accepted.plan_digest != found.digest:
            return self._stale(source, accepted, now)
        with self.database.begin() as connection:
            run = journal.open_run(connection, accepted, found, fence, now)
            self.legacy.project(connection, run, "validating", now)
        crashpoints.hit(crashpoints.Point.RUN_OPENED)
        return self._advance(source, run, accepted, fleet, estate)

    def _not_begun(
        self, source: Source, accepted: AcceptedSpec, goal: Goal, found: Plan | Refusal, now: datetime
    ) -> Pass:
        reasons = "; ".join(r.text for r in found.reasons) if isinstance(found, Refusal) else goal.reason
        with self.database.begin() as connection:
            if goal.kind is GoalKind.PROTECTED and accepted.spec.state == "test-failover":
                inventory.end(connection, source.key, now, "the clock", goal.reason)
            journal.note(connection, now, source.key, "refused", reasons)
        again = now + self.settings.engine.poll * 5 if isinstance(found, Refusal) else None
        return Pass(source.key, source.name, Outcome(Kind.REFUSED, reasons), until=again)

    def _stale(self, source: Source, accepted: AcceptedSpec, now: datetime) -> Pass:
        why = f"the approved plan {accepted.plan_digest} no longer fits the world; plan and apply again"
        with self.database.begin() as connection:
            inventory.fail(connection, source.key, now, why)
        return Pass(source.key, source.name, Outcome(Kind.REFUSED, why))

    def _advance(
        self, source: Source, run: Run, accepted: AcceptedSpec | None, fleet: Fleet, estate: Estate
    ) -> Pass:
        now = self.clock.now()
        goal = self._goal(run, accepted, now)
        run = self._turned(run, goal, now)
        world = self.world(source, estate, fleet, run)
        found = planner.plan(run.spec, goal.kind, world)
        if isinstance(found, Refusal):
            return self._held_up(source, run, found, now)
        if not found.steps:
            return self._reached(source, run, goal, world, now)
        rows = self._leg(run, found, now)
        if rows is None:
            return self._diverged(source, run, found, now)
        return self._submit(source, run, rows, world, fleet)

    def _goal(self, run: Run, accepted: AcceptedSpec | None, now: datetime) -> Goal:
        if run.direction is Direction.BACK:
            return Goal(GoalKind.PROTECTED, None, False, run.reason or "taken back")
        if accepted is None or not accepted.is_active or accepted.id != run.spec_id:
            reason = accepted.reason if accepted is not None and accepted.reason else "no longer wanted"
            return Goal(GoalKind.PROTECTED, None, False, reason)
        return goal_at(run.spec, accepted.accepted_at, now, run.running_since, self.settings.test.start_within)

    def _turned(self, run: Run, goal: Goal, now: datetime) -> Run:
        """The run, turned back once its goal is protected: from then on it never goes forward again."""
        if goal.kind is not GoalKind.PROTECTED or run.direction is Direction.BACK:
            return run
        with self.database.begin() as connection:
            return journal.turn_back(connection, run, goal.reason, now)

    def _leg(self, run: Run, found: Plan, now: datetime) -> tuple[StepRow, ...] | None:
        """The journal's rows of what is to be done next; None when the plan is not what was approved."""
        with self.database.begin() as connection:
            rows = journal.steps(connection, run, run.direction)
            if run.direction is Direction.BACK and not _is_rest(rows, found):
                journal.add_leg(connection, run, found.steps, Direction.BACK, now)
                rows = journal.steps(connection, run, run.direction)
        if not _is_rest(rows, found):
            return None
        return _first_group(rows[len(rows) - len(found.steps) :])

    def _submit(
        self, source: Source, run: Run, rows: tuple[StepRow, ...], world: World, fleet: Fleet
    ) -> Pass:
        outcomes = []
        for row in rows:
            with self.database.begin() as connection:
                self.legacy.project_step(connection, run, row.word, self.clock.now())
            outcomes.append(self._executor.submit(run, row, world, fleet))
        worst = max(outcomes, key=lambda o: _GRAVITY.index(o.kind))
        if worst.kind in (Kind.FAILED, Kind.STUCK):
            return self._failed(source, run, worst)
        return self._seen(source, run, worst)

    def _seen(self, source: Source, run: Run, outcome: Outcome) -> Pass:
        now = self.clock.now()
        with self.database.begin() as connection:
            run = journal.run(connection, run.id)
        soon = now if outcome.kind is Kind.DONE else now + self.settings.engine.poll
        return Pass(source.key, source.name, outcome, run, outcome.until or soon)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _reached(self, source: Source, run: Run, goal: Goal, world: World, now: datetime) -> Pass:
        if goal.kind is GoalKind.TESTING:
            with self.database.begin() as connection:
                run = journal.hold(connection, run, goal.ends_at, now)
                self.legacy.project(connection, run, "executing", now)
            return Pass(source.key, source.name, Outcome(Kind.DONE, "testing"), run, goal.ends_at)
        crashpoints.hit(crashpoints.Point.BEFORE_FINISH)
        with self.database.begin() as connection:
            run = journal.finish_back(connection, run, [v for v in world.replicas if world.written(v)], now)
            inventory.end(connection, source.key, now, "the engine", run.reason or "taken back", spec_id=run.spec_id)
            self.legacy.project(connection, run, "failed" if run.failed else "completed", now)
        crashpoints.hit(crashpoints.Point.AFTER_FINISH)
        return Pass(source.key, source.name, Outcome(Kind.DONE, str(run.state)), run)

    def _failed(self, source: Source, run: Run, outcome: Outcome) -> Pass:
        """A step that cannot be done: on the way there the run turns back; on the way back it needs a person."""
        now = self.clock.now()
        with self.database.begin() as connection:
            if outcome.kind is Kind.FAILED and run.direction is Direction.THERE:
                run = journal.turn_back(connection, run, outcome.why, now, failed=True)
                return Pass(source.key, source.name, outcome, run, now)
            until = outcome.until or now + STUCK_AGAIN
            run = journal.stuck(connection, run, outcome.why, until, now)
        return Pass(source.key, source.name, outcome, run, until)

    def _held_up(self, source: Source, run: Run, refusal: Refusal, now: datetime) -> Pass:
        why = "; ".join(r.text for r in refusal.reasons)
        return self._failed(source, run, Outcome(Kind.STUCK, why, until=now + self.settings.engine.poll * 5))

    def _diverged(self, source: Source, run: Run, found: Plan, now: datetime) -> Pass:
        """The world changed under the run: it stops here, a safe point, and asks."""
        left = ", ".join(s.action.word for s in found.steps)
        why = f"the world changed: what is left to do is no longer the rest of the approved plan, but: {left}"
        with self.database.begin() as connection:
            run = journal.pause(connection, run, why, now)
        return Pass(source.key, source.name, Outcome(Kind.REFUSED, why), run)


_GRAVITY = (Kind.DONE, Kind.RETRY, Kind.WAIT, Kind.REFUSED, Kind.FAILED, Kind.STUCK)


def _is_rest(rows: tuple[StepRow, ...], found: Plan) -> bool:
    behind = len(rows) - len(found.steps)
    rest = rows[behind:] if behind >= 0 else ()
    fresh = all(r.state is StepState.PENDING for r in rest)
    return behind >= 0 and fresh and [r.action for r in rest] == [s.action for s in found.steps]


def _first_group(rows: tuple[StepRow, ...]) -> tuple[StepRow, ...]:
    """The next step, with its neighbours of the same kind where the cloud runs those side by side."""
    if not isinstance(rows[0].action, TOGETHER):
        return rows[:1]
    return tuple(takewhile(lambda row: type(row.action) is type(rows[0].action), rows))
