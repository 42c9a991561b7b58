"""One round over all VMs that are due: look once, then one pass for each.

Called by `daemon`, by `apply` and `end` on the command line, and by tests; all of them drive the same rounds. A pass of
one VM takes its lease, settles what is under way, asks for the goal of this moment, plans, and submits what comes next.
Nothing in a pass waits for the cloud: it hands back when to look again. The passes of a round go in step, so that what
they write is written together, a few transactions a round, and only what is sent to the cloud is sent from threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TypeVar

from plans import actions, estimates, guards, placing, planner
from plans.observed import Estate, Machine, Source, World
from plans.plan import Plan, Refusal
from reconciler import crashpoints, execute, observe, phases, verdicts
from reconciler.clock import Clock
from reconciler.cloudstack.client import Client, Fresh
from reconciler.cloudstack.errors import CloudError
from reconciler.cloudstack.jobs import JobBoard
from reconciler.execute import Batch, Executor, Kind, Outcome, Turn
from reconciler.observe import Fleet, Memory
from reconciler.phases import Phase
from reconciler.settings import Settings
from reconciler.store import durations, inventory, journal, legacy
from reconciler.store.database import Connection, Database, StoreError, ValueRefused
from reconciler.store.inventory import AcceptedSpec
from reconciler.store.journal import Brief, Direction, Dossier, Lease, Run, RunState, StepRow, StepState
from reconciler.verdicts import Judged, NotStuck, Verdict
from specs.goal import Goal, GoalKind, goal_at
from specs.model import Spec, State, Strategy

log = logging.getLogger(__name__)
KNOWN_FOR = timedelta(minutes=1)
SEEN_FOR = timedelta(seconds=15)
STUCK_AGAIN = timedelta(minutes=5)
OVERDUE_AGAIN = timedelta(minutes=10)
EVER = datetime.min.replace(tzinfo=UTC)
PATIENCE = 0.1
"""So many seconds one thread works alone, as far as the last items tell: less is not worth another thread."""
SHORTEST = 0.0001
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
    """All passes of one round, when the next one is due, and whether nothing moved by itself when it began."""

    passes: tuple[Pass, ...] = ()
    next_at: datetime | None = None
    resting: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What all passes of one round share: the fleet of the database and the estate of the cloud.

    It is `whole` when nothing of the estate was taken over from the look before.
    """

    fleet: Fleet
    estate: Estate
    whole: bool = True
    paces: estimates.Paces = field(default_factory=dict)


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
    _pool: ThreadPoolExecutor = field(init=False)
    _known: tuple[Fleet, observe.Standing] | None = None
    _paces: estimates.Paces = field(default_factory=dict)
    _seen: Estate | None = None
    _read_at: dict[observe.Kind, datetime] = field(default_factory=dict)
    _kept: datetime | None = None
    _tried: dict[str, datetime] = field(default_factory=dict)
    _overwritten: frozenset[str] = frozenset()
    _watched: datetime | None = None
    _took: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._board = JobBoard(self.client, self.clock.now)
        self._executor = Executor(self.client, self.clock, self.settings.engine, self.legacy)
        self._pool = ThreadPoolExecutor(self.settings.engine.threads, thread_name_prefix="cloud")

    # --- looking ------------------------------------------------------------------------------------------------------

    def look(self, anew: bool = True, changed: frozenset[observe.Kind] = observe.EVERYTHING) -> Look:
        """One complete look at both sources.

        `anew` also reads what a run relies on only when it begins (the fleet, networks, capabilities); otherwise that may
        be up to a minute old. Of the cloud's lists those that are not named as `changed` may be some seconds old.
        """
        now, took = self.clock.now(), None
        if anew or self._known is None or now - self._known[1].since > KNOWN_FOR:
            with self.database.read() as connection:
                sources, took = self.legacy.sources(connection), durations.newest(connection)
            fleet = observe.fleet(sources, self.settings.networks.test)
            self._known = (fleet, observe.standing(self.client, now, self.settings.cloudstack.storage, fleet.flagged))
        fleet, standing = self._known
        old = {kind for kind in observe.Kind if now - self._read_at.get(kind, standing.since) > SEEN_FOR}
        read = observe.EVERYTHING if anew or self._seen is None else changed | old
        self._seen = observe.estate(self.client, now, standing, self._seen, read)
        self._read_at |= dict.fromkeys(read, now)
        if took is not None:
            self._paces = estimates.paces(took, {v.id: v.size for v in self._seen.volumes.values()})
        return Look(fleet, self._seen, read == observe.EVERYTHING, self._paces)

    def look_to_plan(self) -> Look:
        """A complete look, and what guests can be made of."""
        look = self.look()
        return replace(look, estate=replace(look.estate, catalog=observe.catalog(self.client)))

    def world(self, source: Source, look: Look, dossier: Dossier) -> World:
        """The part of a look that concerns this VM, with what the journal knows."""
        memory = Memory(run=dossier.facts, attempt=dossier.attempt, dirty=source.unsynced_since(dossier.dirty))
        return observe.world(look.estate, look.fleet, source, memory)

    def dossier(self, vm_key: str) -> Dossier:
        """What journal and inventory know of one VM."""
        with self.database.read() as connection:
            return journal.dossiers(connection, [vm_key])[vm_key]

    def preview(self, spec: Spec, look: Look, again: bool = False, promised: frozenset[str] = frozenset()) -> Plan | Refusal:
        """The plan for a spec as if it were accepted now: what `plan` prints, and what `apply` approves.

        What was carried out before and is over wants nothing, unless it is to run `again`. `promised` are guest names that
        plans beside this one will take.
        """
        now = self.clock.now()
        source = legacy.find(look.fleet.sources.values(), name=spec.vm.name, uuid=spec.vm.uuid, vcenter=spec.vm.vcenter)
        dossier = self.dossier(source.key)
        with self.database.read() as connection:
            promised |= journal.guest_names(connection, source.key)
        run, newest, world = dossier.run, dossier.accepted, _without(promised, self.world(source, look, dossier))
        if not again and newest is not None and newest.digest == spec.digest and newest.is_over:
            found = planner.plan(spec, GoalKind.PROTECTED, world)
            note = f"carried out before, {newest.state} {newest.ended_at:%Y-%m-%d %H:%M} UTC; --again runs it once more"
            return replace(found, warnings=(*found.warnings, note)) if isinstance(found, Plan) else found
        goal = goal_at(spec, now, now, run.running_since if run else None, self.settings.test.start_within)
        against = _otherwise_engaged(run, spec) if goal.kind is GoalKind.TESTING else None
        if against is not None:
            return Refusal(spec, source.name, goal.kind, (against,))
        found = planner.plan(spec, goal.kind, world)
        if isinstance(found, Plan) and goal.kind is GoalKind.TESTING and run is not None:
            return planner.amending(found, run.spec, run.running_since)
        return planner.with_readiness(planner.with_offers(found, world), world) if isinstance(found, Plan) else found

    def at_rest(self, keys: frozenset[str]) -> bool:
        """Whether nothing of these VMs moves by itself any more: holding, ended, or waiting for a person."""
        return self._due(self.clock.now(), keys).resting

    def let_go(self) -> None:
        """Give back all leases, so that another process need not wait for them to lapse (where that cannot be, it waits)."""
        with suppress(StoreError):
            self.database.written(lambda connection: journal.give_back(connection, self.owner, self.clock.now()), looks=True)

    def resolve(self, run_id: str, seq: int, verdict: Verdict, by: str) -> Judged:
        """Take a person's word for a step that is stuck, if a fresh look agrees with it; then its run is due at once.

        It needs no lease, so that it works beside a process that leads the VM: the step moves only if it is stuck still.
        Raises `NotStuck` and `CloudError`.
        """
        run, row, found = self._stuck_step(run_id, seq)
        job = self.client.job(row.custom_job_id or "")
        look = self.look()
        if run.vm_key not in look.fleet.sources:
            raise NotStuck(f"the replication system's database no longer lists {run.vm_name}: nothing can be looked at")
        turn, now = self._turn(found, look), self.clock.now()
        judged = Judged(run, row, verdict, turn.world, job, verdicts.against(row.action, turn.world, job, verdict))
        if judged.against is not None:
            return judged
        outcome = verdicts.outcome(row, turn.world, job, verdict, by, now)

        def settle(connection: Connection) -> Run:
            self._executor.record(connection, [Batch(turn, (row,), (outcome,))])
            return journal.wake(connection, run, now)

        try:
            return replace(judged, run=self.database.written(settle))
        except (journal.Fenced, LookupError):
            raise NotStuck(f"step {seq} of run {run_id} was settled meanwhile") from None

    def _stuck_step(self, run_id: str, seq: int) -> tuple[Run, StepRow, Dossier]:
        with self.database.read() as connection:
            try:
                run = journal.run(connection, run_id)
            except LookupError:
                raise NotStuck(f"there is no run {run_id}: `failover history` lists them") from None
            row = journal.step(connection, run, seq)
            found = journal.dossiers(connection, [run.vm_key])[run.vm_key]
        if row is None:
            raise NotStuck(f"run {run_id} has no step {seq}: `failover why {run.vm_name}` names the step that is stuck")
        if run.state in journal.ENDED or row.state is not StepState.STUCK:
            state = f"its run is {run.state}" if run.state in journal.ENDED else f"it is {row.state}"
            text = f"step {seq} of run {run_id}, {row.word}, is not stuck, {state}: nobody need say what became of it"
            raise NotStuck(f"{text}; `failover why {run.vm_name}` tells what it waits for")
        return run, row, found

    # --- a round ------------------------------------------------------------------------------------------------------

    def round(self, only: frozenset[str] | None = None, *, begin: bool = True) -> Round:
        """One pass for every VM that is due (of `only`, if given). Raises `CloudError` when no look was possible.

        Jobs first, then the look: what a job did is seen by a look that began after it ended. With `begin` False, what is
        under way is settled and nothing else is begun; the round is `resting` when nothing was under way any more.
        """
        now = self.clock.now()
        due = self._due(now, only) if begin else self._due(now, only).settling(only)
        if not due.keys:
            return Round(next_at=due.expiry, resting=due.resting)
        self._tried.update(dict.fromkeys(due.beginning.intersection(due.keys), now))
        self._board.refresh(job for _, _, job, _ in due.under_way)
        busy = self._busy(due.under_way, now)
        self._keep(busy, now)
        keys = [key for key in due.keys if key not in busy]
        if not keys:
            return Round(next_at=now + self.settings.engine.poll)
        passes = self._passes(keys, anew=not due.beginning.isdisjoint(keys), begin=begin)
        later = () if due.expiry is None or due.expiry <= now else (due.expiry,)
        return Round(passes, min((*(p.until for p in passes if p.until), *later), default=None))

    def _passes(self, due: list[str], *, anew: bool, begin: bool) -> tuple[Pass, ...]:
        """Settle what is under way for all, read the journal again, then let each go on (unless nothing may `begin`)."""
        mine, changed, stopped = self._leased(due)
        look = self.look(anew, changed)
        if not mine.keys() <= look.fleet.sources.keys():  # said of nobody from a fleet that may be a minute old
            look = self.look()
        stopped += [self._unlisted(d) for key, d in mine.items() if key not in look.fleet.sources]
        held = {key: d for key, d in mine.items() if key in look.fleet.sources}
        settled = self._settled([d for d in held.values() if d.under_way], look)
        if not begin:
            return (*stopped, *settled.values())
        with self.database.read() as connection:
            again = journal.refreshed(connection, {key: d for key, d in held.items() if key not in settled})
        return (*stopped, *settled.values(), *self._gone_on(again, look))

    def _settled(self, dossiers: list[Dossier], look: Look) -> dict[str, Pass]:
        """Settle what is under way; a pass for every VM of which not all of it is done, so that it may not go on."""
        batches = [Batch(self._turn(d, look), d.under_way) for d in dossiers]
        _hit(crashpoints.Point.BEFORE_SETTLE, batches)
        looked_at = self._each("look", lambda batch: self._executor.look_at(batch, self._board), batches)
        came_to = self._together(looked_at, _lease_of, self._settle)
        _hit(crashpoints.Point.AFTER_SETTLE, batches)
        return {p.vm_key: p for p in came_to if p is not None}

    def _settle(self, connection: Connection, batches: Sequence[Batch]) -> list[Pass | None]:
        worst = map(_worst, self._executor.record(connection, batches))
        return [
            None if outcome.kind is Kind.DONE else self._came_to(connection, batch.turn, outcome)
            for batch, outcome in zip(batches, worst, strict=True)
        ]

    def _gone_on(self, dossiers: dict[str, Dossier], look: Look) -> Iterator[Pass]:
        """Decide for each VM what comes next, then send the steps whose turn it is."""

        def write(connection: Connection, items: Sequence[Dossier]) -> list[Pass | _Ready]:
            return [self._decide(connection, dossier, look) for dossier in items]

        decided = self._together(list(dossiers.values()), lambda d: _held(d.lease), write)
        for one in decided:
            if isinstance(one, _Ready) and dossiers[one.turn.run.vm_key].run is None:
                crashpoints.hit(crashpoints.Point.RUN_OPENED)
            if isinstance(one, Pass):
                if one.run is not None and one.run.state in journal.ENDED:
                    crashpoints.hit(crashpoints.Point.AFTER_FINISH)
                yield one
        yield from self._submitted([one for one in decided if isinstance(one, _Ready)])

    def _decide(self, connection: Connection, dossier: Dossier, look: Look) -> Pass | _Ready:
        """What comes next for one VM: nothing (a pass), or steps whose turn it is."""
        if dossier.run is not None and dossier.vm_key in self._overwritten:
            return self._reserved_again(connection, dossier.run)
        if dossier.run is None:
            begun = self._begin(connection, dossier, look)
            if isinstance(begun, Pass):
                return begun
            dossier = begun
        return self._advance(connection, dossier, look)

    def _reserved_again(self, connection: Connection, run: Run) -> Pass:
        """A pass that only puts the context of a reserved VM right; whatever else is due comes in the next round."""
        now = self.clock.now()
        self._overwritten -= {run.vm_key}
        if run.reserved:
            self.legacy.reserve_again(connection, run, now)
        return Pass(run.vm_key, run.vm_name, Outcome(Kind.DONE, "its context was looked after"), run, now)

    def _submitted(self, ready: list[_Ready]) -> Iterator[Pass]:
        """Write the intents of all, send them, write down what came of them."""

        def intend(connection: Connection, items: Sequence[Batch]) -> list[Pass | Batch]:
            frozen = journal.frozen(connection)
            written = iter(self._executor.intend(connection, [b for b in items if b.turn.run.id not in frozen]))
            stands = Outcome(Kind.DONE, "frozen a moment ago")
            return [self._came_to(connection, b.turn, stands) if b.turn.run.id in frozen else next(written) for b in items]

        intended = self._together([Batch(one.turn, one.rows) for one in ready], _lease_of, intend)
        yield from (one for one in intended if isinstance(one, Pass))
        batches = [one for one in intended if isinstance(one, Batch)]
        _hit(crashpoints.Point.AFTER_INTENT, batches)
        fresh = self._fresh(batches)
        sent = self._each("send", lambda batch: self._executor.send(batch, fresh), batches)
        refused = {one.turn.run.id: one.refused for one in ready}

        def write(connection: Connection, items: Sequence[Batch]) -> list[Pass]:
            recorded = zip(items, self._executor.record(connection, items), strict=True)
            worst = ((batch.turn, _worst((*came, *refused[batch.turn.run.id]))) for batch, came in recorded)
            return [self._came_to(connection, turn, outcome) for turn, outcome in worst]

        came_to = self._together(sent, _lease_of, write)
        _hit(crashpoints.Point.AFTER_RECORD, batches)
        yield from came_to

    def _fresh(self, batches: list[Batch]) -> Fresh | None:
        """What the writer must know of this very moment, read once for all guests that go; None if none does, or unseen.

        In this order: what ends between the two reads shows in the second.
        """
        if not any(isinstance(row.action, actions.DestroyGuest) for batch in batches for row in batch.rows):
            return None
        try:
            return Fresh(self.client.busy(), self.client.volumes())
        except CloudError:
            return None

    def _together(
        self, items: list[T], lease: Callable[[T], Lease], write: Callable[[Connection, Sequence[T]], Sequence[R]]
    ) -> list[R | Pass]:
        """Write for all in one transaction; a pass stands for an item for which that was not possible."""
        written = journal.together(self.database, items, lease, write)
        return [
            self._unwritten(lease(item), found) if isinstance(found, Exception) else found
            for item, found in zip(items, written, strict=True)
        ]

    def _unwritten(self, lease: Lease, fault: Exception) -> Pass:
        """A VM that another process works on, that has a value no column takes, or shows a defect: it stops nobody else."""
        now, vm_key = self.clock.now(), lease.vm_key
        if isinstance(fault, journal.Fenced):
            return Pass(vm_key, vm_key, Outcome(Kind.WAIT, str(fault)), until=now + self.settings.engine.poll)
        if isinstance(fault, ValueRefused):
            why = str(fault)
        else:
            log.error("a defect, met with %s", vm_key, exc_info=fault)
            why = f"a defect of this program, please report it: {type(fault).__name__} {fault}"

        def stop(connection: Connection, _: Sequence[Lease]) -> list[Pass]:
            run = journal.unfinished_of(connection, vm_key)
            if run is None and isinstance(fault, ValueRefused):
                inventory.fail(connection, vm_key, now, why)
                journal.note(connection, now, vm_key, "refused", why)
                return [Pass(vm_key, vm_key, Outcome(Kind.REFUSED, why))]
            run = journal.stuck(connection, run, why, now + STUCK_AGAIN, now) if run is not None else None
            return [Pass(vm_key, run.vm_name if run else vm_key, Outcome(Kind.STUCK, why), run, now + STUCK_AGAIN)]

        (stopped,) = journal.together(self.database, [lease], lambda held: held, stop)
        if isinstance(stopped, journal.Fenced):
            return self._unwritten(lease, stopped)
        if isinstance(stopped, Exception):
            raise stopped
        return stopped

    def _each(self, what: str, work: Callable[[T], R], items: list[T]) -> list[R]:
        """Work on all items, in a few threads where the last such work took long; each takes a run of neighbours."""

        def worked(run: list[T]) -> tuple[list[R], float]:
            began = time.monotonic()
            return [work(item) for item in run], (time.monotonic() - began) / len(run)

        share = max(1, int(PATIENCE / self._took.get(what, PATIENCE)), -(-len(items) // self.settings.engine.threads))
        runs = [items[n : n + share] for n in range(0, len(items), share)]
        parts = list(map(worked, runs)) if len(runs) < 2 else list(self._pool.map(worked, runs))
        self._took[what] = max([SHORTEST, *(took for _, took in parts)])
        return [done for part, _ in parts for done in part]

    def _busy(self, under_way: UnderWay, now: datetime) -> frozenset[str]:
        """VMs of which every job still runs, within its deadline: no look at them could tell anything new."""
        by_vm: dict[str, list[bool]] = {}
        for vm_key, _run, job, deadline in under_way:
            by_vm.setdefault(vm_key, []).append(self._board.is_pending(job) and now < deadline)
        return frozenset(vm_key for vm_key, pending in by_vm.items() if all(pending))

    def _keep(self, busy: frozenset[str], now: datetime) -> None:
        """Renew our leases of VMs whose jobs run on, now and then: everybody can see that they are led."""
        lease = self.settings.engine.lease
        if busy and (self._kept is None or now >= self._kept + lease / 4):
            self._kept = now
            self.database.written(lambda connection: journal.keep(connection, busy, self.owner, now + lease), looks=True)

    def _due(self, now: datetime, only: frozenset[str] | None) -> _Due:
        with self.database.read() as connection:
            runs = {b.vm_key: b for b in journal.briefs(connection)}
            wanted = dict(inventory.wanted(connection))
            under_way = journal.jobs_under_way(connection) if runs else ()
            overwritten = self._watch(connection, runs.values(), now)
        room = self.settings.engine.max_runs - sum(b.state is not RunState.HOLDING for b in runs.values())
        busy = {vm_key for vm_key, *_ in under_way}
        moving = [k for k, b in runs.items() if k in overwritten or _moves(b, wanted.get(k), now, k in busy)]
        self._tried = {k: at for k, at in self._tried.items() if k in wanted}
        # who was tried and has to wait stands behind those whose turn never came, so that it takes nobody's place
        starting = sorted((k for k in wanted if k not in runs), key=lambda k: self._tried.get(k, EVER))
        chosen = [k for k in (*moving, *starting[: max(0, room)]) if only is None or k in only]
        expiry = min((m for b in runs.values() if (m := _next_due(b)) is not None), default=None)
        watched = runs.keys() | wanted.keys() if only is None else only
        resting = all(_rests(runs.get(k), wanted.get(k), now, k in busy) for k in watched)
        return _Due(chosen, frozenset(starting), under_way, expiry, resting)

    def _watch(self, connection: Connection, runs: Iterable[Brief], now: datetime) -> frozenset[str]:
        """VMs that a run has reserved and whose context somebody else wrote into; looked for once a minute."""
        if self._watched is None or now - self._watched >= KNOWN_FOR:
            self._watched = now
            self._overwritten = self.legacy.overwritten(connection, [b.vm_key for b in runs if b.reserved])
        return self._overwritten

    # --- a pass -------------------------------------------------------------------------------------------------------

    def _leased(self, due: list[str]) -> tuple[dict[str, Dossier], frozenset[observe.Kind], list[Pass]]:
        """The dossiers of the VMs whose lease we hold now, which lists may have changed for them, a pass for each other VM.

        Where we are the first to look after another process, or nothing of ours is under way, anything may have changed.
        """
        now, limits = self.clock.now(), self.settings.engine
        with self.database.read() as connection:
            found = journal.dossiers(connection, due)
        taken = {
            k: d.lease for k, d in found.items() if d.lease is not None and d.lease.is_fresh(self.owner, now, limits.lease)
        }
        if len(taken) < len(found):
            lacking = found.keys() - taken.keys()
            taken |= self.database.written(lambda c: journal.take_all(c, lacking, self.owner, now, limits.lease))
        held = {k: replace(d, lease=taken[k]) for k, d in found.items() if k in taken}
        alone = all(
            d.lease is not None and d.lease.owner == self.owner and d.under_way for k, d in found.items() if k in taken
        )
        touched = observe.changed_by(row.action for d in held.values() for row in d.under_way)
        stopped = [self._waits(found[key], now + limits.poll) for key in found.keys() - held.keys()]
        starts = any(d.rest and isinstance(d.rest[0].action, actions.StartGuest) for d in held.values())
        return held, touched if alone and not starts else observe.EVERYTHING, stopped

    def _waits(self, dossier: Dossier, until: datetime) -> Pass:
        why = Outcome(Kind.WAIT, "another process works on this VM")
        return Pass(dossier.vm_key, dossier.run.vm_name if dossier.run else dossier.vm_key, why, until=until)

    def _unlisted(self, dossier: Dossier) -> Pass:
        """A VM that the database of the replication system does not list: without what it knew, nothing is safe to do."""
        now, why = self.clock.now(), "the replication system's database no longer lists this VM"
        until = now + STUCK_AGAIN

        def write(connection: Connection, _: Sequence[Dossier]) -> list[Pass]:
            if dossier.run is None:
                inventory.fail(connection, dossier.vm_key, now, why)
                journal.note(connection, now, dossier.vm_key, "refused", why)
                return [Pass(dossier.vm_key, dossier.vm_key, Outcome(Kind.REFUSED, why))]
            run = journal.stuck(connection, dossier.run, why, until, now)
            return [Pass(run.vm_key, run.vm_name, Outcome(Kind.STUCK, why), run, until)]

        return self._together([dossier], lambda d: _held(d.lease), write)[0]

    def _turn(self, dossier: Dossier, look: Look) -> Turn:
        source = look.fleet.sources[dossier.vm_key]
        if dossier.run is None or dossier.lease is None:
            raise LookupError(f"{dossier.vm_key} has no run under our lease")
        return Turn(dossier.run, dossier.lease, self.world(source, look, dossier), look.fleet, dossier.rest, look.paces)

    def _begin(self, connection: Connection, dossier: Dossier, look: Look) -> Pass | Dossier:
        """Open a run for what is wanted: the dossier with its run, or a pass when it cannot begin (yet)."""
        source, accepted = look.fleet.sources[dossier.vm_key], dossier.accepted
        if accepted is None or not accepted.is_active:
            return Pass(source.key, source.name, Outcome(Kind.DONE, "nothing is wanted"))
        now = self.clock.now()
        goal = goal_at(accepted.spec, accepted.accepted_at, now, None, self.settings.test.start_within)
        if goal.kind is not GoalKind.TESTING:
            return self._nothing_to_begin(connection, accepted, source, goal.reason)
        world = self.world(source, look, dossier)
        waits = self._waits_for(connection, accepted.spec, look) or _waits_for_name(connection, world)
        if waits is not None:
            return Pass(source.key, source.name, waits, until=now + self.settings.engine.poll)
        found = planner.plan(accepted.spec, goal.kind, world)
        if isinstance(found, Refusal):
            why = "; ".join(r.text for r in found.reasons)
            if all(r.code in guards.PASSING for r in found.reasons):
                waits = Outcome(Kind.WAIT, why)
                return Pass(source.key, source.name, waits, until=now + self.settings.engine.poll)
            return self._not_begun(connection, accepted, source, why)
        if accepted.plan_digest != found.digest:
            return self._not_begun(connection, accepted, source, "the world changed since the plan was approved; plan again")
        if journal.moving(connection) >= self.settings.engine.max_runs:  # another process was quicker
            waits = Outcome(Kind.WAIT, f"{self.settings.engine.max_runs} runs are under way; engine.max_runs allows no more")
            return Pass(source.key, source.name, waits, until=now + self.settings.engine.poll)
        run, rows = journal.open_run(connection, accepted, found, placing.guest_name(world), now)
        self._show(connection, run, phases.VALIDATING, now)
        return replace(dossier, run=run, attempt=run.attempt, facts=journal.fresh(run), rest=rows)

    def _nothing_to_begin(self, connection: Connection, accepted: AcceptedSpec, source: Source, why: str) -> Pass:
        """Protected is wanted, and there is no run: it is so. A test that did not start in time is over, too."""
        if accepted.spec.state is State.TEST_FAILOVER:
            return self._not_begun(connection, accepted, source, why)
        inventory.end(connection, source.key, self.clock.now(), why)
        return Pass(source.key, source.name, Outcome(Kind.DONE, why))

    def _waits_for(self, connection: Connection, spec: Spec, look: Look) -> Outcome | None:
        """What `after:` makes this VM wait for: every VM named there must be testing."""
        if not spec.after:
            return None
        holding = {b.vm_key for b in journal.briefs(connection) if b.state is RunState.HOLDING}
        keys = {s.name: s.key for s in look.fleet.sources.values()}
        missing = [name for name in spec.after if keys.get(name, name.lower()) not in holding]
        return Outcome(Kind.WAIT, f"after {', '.join(missing)}, not testing yet") if missing else None

    def _not_begun(self, connection: Connection, accepted: AcceptedSpec, source: Source, why: str) -> Pass:
        """A test that cannot begin as approved is over before anything was sent."""
        now = self.clock.now()
        inventory.fail(connection, source.key, now, why)
        journal.note(connection, now, source.key, "refused", f"{accepted.spec.origin}: {why}")
        return Pass(source.key, source.name, Outcome(Kind.REFUSED, why))

    def _advance(self, connection: Connection, dossier: Dossier, look: Look) -> Pass | _Ready:
        now, turn = self.clock.now(), self._followed(connection, self._turn(dossier, look), dossier.accepted)
        turn = self._noticed(connection, turn, now)
        if _is_frozen(turn.run, dossier.accepted):
            return self._came_to(connection, turn, Outcome(Kind.DONE, turn.run.reason or "frozen"))
        goal = self._goal(turn.run, dossier.accepted, now)
        turn = self._turned(connection, turn, goal, now)
        found = planner.plan(turn.run.spec, goal.kind, turn.world, with_way_back=False)
        if isinstance(found, Refusal):
            return self._came_to(connection, turn, Outcome(Kind.STUCK, "; ".join(r.text for r in found.reasons)))
        if not found.steps:
            return self._reached(connection, turn, goal, now)
        rows = self._leg(connection, self._skipped(connection, turn, found), found)
        if rows is None:
            return self._diverged(connection, turn, found, self._begin_by(dossier.accepted), now)
        if isinstance(rows[0].action, actions.StartGuest) and not look.whole:
            # From here on the replicas may be written: rollback points and cards must be there now, not a moment ago.
            self._seen = None
            return self._came_to(connection, turn, Outcome(Kind.WAIT, "looking at everything once more", until=now))
        if execute.takes_turns(rows[0].action, turn.world) and _copies(turn.world.appliance, look.estate):
            why = "the appliance's turn: another snapshot of it is being copied"
            return self._came_to(connection, turn, Outcome(Kind.WAIT, why, until=now + self.settings.engine.poll))
        allowed, refused = self._executor.allowed(turn, rows)
        return _Ready(turn, allowed, refused) if allowed else self._came_to(connection, turn, _worst(refused))

    def _followed(self, connection: Connection, turn: Turn, accepted: AcceptedSpec | None) -> Turn:
        """The turn with its run following a newer spec, where that wants the same guest (perhaps for another time)."""
        run = turn.run
        if accepted is None or not accepted.is_active or accepted.id == run.spec_id or run.direction is Direction.BACK:
            return turn
        if not same_guest(run.spec, accepted.spec):
            return turn
        return replace(turn, run=journal.follow(connection, run, accepted, self.clock.now()))

    def _noticed(self, connection: Connection, turn: Turn, now: datetime) -> Turn:
        """The turn with what the look shows of its guest and no step of ours brought about.

        A test ends when somebody else removed its guest, or started it before we did: its replicas count as written.
        """
        facts, learned = turn.world.run, execute.noticed(turn.world, now)
        if learned and facts is not None:
            journal.learn(connection, turn.run, learned, now)
            world = replace(turn.world, run=replace(facts, **learned))
            turn = replace(turn, run=replace(turn.run, **learned), world=world)
        vanished = turn.world.guest_vanished
        if turn.run.direction is Direction.BACK or not (vanished or "start_sent" in learned):
            return turn
        why = f"somebody else {'removed' if vanished else 'started'} the guest: its replicas count as written"
        return replace(turn, run=journal.turn_back(connection, turn.run, why, now, failed=True), rest=())

    def _goal(self, run: Run, accepted: AcceptedSpec | None, now: datetime) -> Goal:
        if run.direction is Direction.BACK:
            return Goal(GoalKind.PROTECTED, None, False, run.reason or "taken back")
        if accepted is None or not accepted.is_active or accepted.id != run.spec_id:
            reason = accepted.reason if accepted is not None and accepted.reason else "no longer wanted"
            return Goal(GoalKind.PROTECTED, None, False, reason)
        return goal_at(run.spec, accepted.accepted_at, now, run.running_since, self.settings.test.start_within)

    def _turned(self, connection: Connection, turn: Turn, goal: Goal, now: datetime) -> Turn:
        """The turn with its run turned back once the goal is protected: from then on it never goes forward again."""
        if goal.kind is not GoalKind.PROTECTED or turn.run.direction is Direction.BACK:
            return turn
        held_up = f"; it was held up: {turn.run.reason}" if turn.run.state is RunState.STUCK and turn.run.reason else ""
        return replace(turn, run=journal.turn_back(connection, turn.run, f"{goal.reason}{held_up}", now), rest=())

    def _skipped(self, connection: Connection, turn: Turn, found: Plan) -> Turn:
        """The turn without the steps in front that are not planned any more because a look shows them to be done."""
        ahead, rest = _split(turn.rest, len(found.steps))
        if not ahead or not _is_rest(rest, found) or not all(row.action.achieved(turn.world) for row in ahead):
            return turn
        self._executor.skip(connection, turn, ahead)
        return replace(turn, rest=rest)

    def _leg(self, connection: Connection, turn: Turn, found: Plan) -> tuple[StepRow, ...] | None:
        """The journal's rows of what is to be done next; None when the plan is not what was approved.

        The way back was approved with the way there, so its steps are written down as they are planned.
        """
        if _is_rest(turn.rest, found):
            return _first_group(turn.rest)
        if turn.run.direction is Direction.BACK:
            return _first_group(journal.add_leg(connection, turn.run, found.steps, Direction.BACK))
        if self.settings.engine.repeat_approved and self._repeats(connection, turn.run, found):
            event = f"the world changed; what is left are approved steps: {_words(found)}"
            journal.event(connection, self.clock.now(), turn.run, None, "repeats", event)
            return _first_group(journal.add_leg(connection, turn.run, found.steps, Direction.THERE))
        return None

    def _repeats(self, connection: Connection, run: Run, found: Plan) -> bool:
        """Whether a plan has no step that was not approved for this run: then nothing is risked that was not risked before.

        To delete a VM snapshot that failed counts as approved with making it. Only so many times: where somebody undoes what
        we do, a person is to see it.
        """
        approved, legs = journal.approved(connection, run)
        known = approved | {actions.DeleteGuestSnapshot()}
        return legs <= self.settings.engine.attempts and known.issuperset(s.action for s in found.steps)

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _came_to(self, connection: Connection, turn: Turn, outcome: Outcome) -> Pass:
        """A pass's result from the worst outcome of its steps: go on, wait, turn back, or ask a person."""
        now = self.clock.now()
        run = turn.run
        until: datetime | None = outcome.until or now + self.settings.engine.poll
        gives_up = outcome.kind in (Kind.FAILED, Kind.REFUSED)
        if gives_up or outcome.kind is Kind.STUCK or run.not_before != outcome.until:
            run = self._as_frozen(connection, run)
        if run.state is RunState.PAUSED:  # whatever comes of what was under way, a person says how it goes on
            until = None if outcome.kind is Kind.DONE or gives_up else until
        elif outcome.kind is Kind.DONE:
            until = now
        elif gives_up and run.direction is Direction.THERE:
            run, until = journal.turn_back(connection, run, outcome.why, now, failed=True), now
        elif gives_up or outcome.kind is Kind.STUCK:
            until = now + STUCK_AGAIN if gives_up or outcome.until is None else outcome.until
            run = journal.stuck(connection, run, outcome.why, until, now)
        elif run.not_before != outcome.until or run.state is RunState.STUCK:
            run = journal.wait_until(connection, run, outcome.until)
        return Pass(run.vm_key, run.vm_name, outcome, run, until)

    def _as_frozen(self, connection: Connection, run: Run) -> Run:
        """The run, which a person may have frozen since this pass read it: what is written then must not undo that."""
        return replace(run, state=RunState.PAUSED, not_before=None) if run.id in journal.frozen(connection) else run

    def _reached(self, connection: Connection, turn: Turn, goal: Goal, now: datetime) -> Pass:
        run = turn.run
        done, _ = _split(turn.rest, 0)
        self._executor.skip(connection, turn, [row for row in done if row.action.achieved(turn.world)])
        if goal.kind is GoalKind.TESTING:
            if goal.ends_at is None:  # it ran, though nobody saw it: its time counts from now
                journal.learn(connection, run, {"running_since": now}, now)
                run = replace(run, running_since=now)
                goal = replace(goal, ends_at=now + (run.spec.duration or timedelta()))
            again = now + OVERDUE_AGAIN if goal.overdue else None
            run = journal.hold(connection, run, goal.ends_at, now, again)
            self._show(connection, run, phases.holding(run, now), now)
            return Pass(run.vm_key, run.vm_name, Outcome(Kind.DONE, "testing"), run, again or goal.ends_at)
        crashpoints.hit(crashpoints.Point.BEFORE_FINISH)
        written = {v: mark for v, mark in _full_syncs(turn.world).items() if turn.world.written(v)}
        run = journal.finish(connection, run, written, now)
        inventory.end(connection, run.vm_key, now, run.reason or "taken back", spec_id=run.spec_id)
        self._show(connection, run, phases.FAILED if run.failed else phases.COMPLETED, now, ended=True)
        resumed = run.strategy is Strategy.CLONE and journal.has_done(connection, run, actions.Resume.word)
        if written or not resumed:  # with clones the context was given back as soon as they were made
            clean = legacy.CONTEXT_CLEANUP if written else legacy.CONTEXT_READY
            self.legacy.set_context(connection, run, clean, now)
        return Pass(run.vm_key, run.vm_name, Outcome(Kind.DONE, str(run.state)), run)

    def _begin_by(self, accepted: AcceptedSpec | None) -> datetime | None:
        """Until when a test has to have begun: one that asked in vain until then is taken back."""
        return None if accepted is None else accepted.accepted_at + self.settings.test.start_within

    def _diverged(self, connection: Connection, turn: Turn, found: Plan, until: datetime | None, now: datetime) -> Pass:
        """The world changed under the run: it stops here, a safe point, and asks, until its test can no longer begin."""
        why = f"the world changed: what is left to do is no longer the rest of the approved plan, but: {_words(found)}"
        run = journal.pause(connection, turn.run, why, until, now)
        return Pass(run.vm_key, run.vm_name, Outcome(Kind.REFUSED, why), run, until)

    def _show(self, connection: Connection, run: Run, phase: Phase, now: datetime, ended: bool = False) -> None:
        journal.progressed(connection, {run.id: phase.percent})
        self.legacy.project(connection, [(run, phase.status)], now, ended)


@dataclass(frozen=True, slots=True)
class _Due:
    """Which VMs are due, which only begin, which jobs are under way, when the next test ends, and whether nothing moves."""

    keys: list[str]
    beginning: frozenset[str]
    under_way: UnderWay
    expiry: datetime | None
    resting: bool

    def settling(self, only: frozenset[str] | None) -> _Due:
        """The same, but only for VMs with something under way."""
        moving = {vm_key for vm_key, *_ in self.under_way if only is None or vm_key in only}
        return replace(self, keys=[k for k in self.keys if k in moving], beginning=frozenset(), resting=not moving)


@dataclass(frozen=True, slots=True)
class _Ready:
    """The steps of a VM whose turn it is, and the refusals of those beside them that are not legal now."""

    turn: Turn
    rows: tuple[StepRow, ...]
    refused: tuple[Outcome, ...] = ()


def _without(names: frozenset[str], world: World) -> World:
    """The world in which these host names are taken, too."""
    return replace(world, names_taken=world.names_taken | names)


def _waits_for_name(connection: Connection, world: World) -> Outcome | None:
    """A guest whose name the run of another VM has taken is made when that run is over."""
    name = placing.guest_name(world)
    if name not in journal.guest_names(connection, world.source.key):
        return None
    return Outcome(Kind.WAIT, f"the guest of another test is called {name}; it waits until that is over")


def _full_syncs(world: World) -> dict[str, int | None]:
    """The replicas that the run had, and those that the VM has now, each with its newest full sync."""
    had = {p.volume_id: None for p in world.run.placements} if world.run is not None else {}
    return {**had, **{d.volume_id: d.full_sync for d in world.source.disks if d.volume_id}}


def _held(lease: Lease | None) -> Lease:
    if lease is None:
        raise LookupError("a pass without a lease")
    return lease


def _lease_of(batch: Batch) -> Lease:
    return batch.turn.lease


def _hit(point: crashpoints.Point, batches: Iterable[Batch]) -> None:
    for _ in (row for batch in batches for row in batch.rows):
        crashpoints.hit(point)


def _rests(run: Brief | None, wanted: int | None, now: datetime, busy: bool) -> bool:
    """Whether nothing of this VM moves by itself any more: holding, ended, or waiting for a person."""
    if run is None:
        return wanted is None
    if run.state is RunState.STUCK and run.not_before is not None and now < run.not_before:
        return True
    if run.direction is Direction.THERE and wanted != run.spec_id:
        return False
    return run.state in (RunState.HOLDING, RunState.STUCK) or (run.state is RunState.PAUSED and not busy)


def _moves(run: Brief, wanted: int | None, now: datetime, busy: bool) -> bool:
    """Whether a run is due: not while it holds and its time is not up, nor while it waits for a person or a moment.

    A run that a person froze while a step of it was `busy` is due until that is settled.
    """
    if run.not_before is not None and now < run.not_before:
        return False
    if run.state not in (RunState.HOLDING, RunState.PAUSED) or run.direction is Direction.BACK or wanted != run.spec_id:
        return True
    until = run.expires_at if run.state is RunState.HOLDING else run.not_before
    return (until is not None and now >= until) or (busy and run.state is RunState.PAUSED)


def _next_due(run: Brief) -> datetime | None:
    """When a run is due by the clock alone: at the moment it waits for, or when its test is over."""
    if run.not_before is not None:
        return run.not_before
    return run.expires_at if run.state is RunState.HOLDING else None


def _is_frozen(run: Run, accepted: AcceptedSpec | None) -> bool:
    """Whether a person had the run stop, and its test is still wanted: then no moment makes it go on by itself.

    Once its guest runs there is nothing left to stop: the test has begun, and ends by its time.
    """
    wanted = accepted is not None and accepted.is_active and accepted.id == run.spec_id
    return wanted and run.state is RunState.PAUSED and run.not_before is None and run.running_since is None


def _otherwise_engaged(run: Run | None, spec: Spec) -> guards.Reason | None:
    """Why a test cannot begin beside the run that its VM has: it is being taken back, or its guest is another one."""
    if run is None:
        return None
    if run.direction is Direction.BACK:
        return guards.Reason("TAKEN_BACK", f"run {run.id} is being taken back", "plan again when that is over")
    if same_guest(run.spec, spec):
        return None
    text = f"run {run.id} tests this VM with other networks, another boot disk or another strategy"
    return guards.Reason("TESTED_OTHERWISE", text, f"`failover end {run.vm_name}`, and plan again when that is over")


def same_guest(was: Spec, now: Spec) -> bool:
    """Whether two specs of a test want the same guest: on the same networks, from the same disk, protected alike."""
    wanted = [(s.state, s.networks, s.boot_disk, s.strategy) for s in (was, now)]
    return wanted[0] == wanted[1] and was.state is State.TEST_FAILOVER


_GRAVITY = (Kind.DONE, Kind.RETRY, Kind.WAIT, Kind.REFUSED, Kind.FAILED, Kind.STUCK)


def _copies(machine: Machine | None, estate: Estate) -> bool:
    """Whether a snapshot of one of this machine's disks is being copied."""
    disks = estate.volumes_on.get(machine.id, ()) if machine is not None else ()
    return any(s.state == "BackingUp" for v in disks for s in estate.snapshots_of.get(v.id, ()))


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return max(outcomes, key=lambda o: _GRAVITY.index(o.kind))


def _words(found: Plan) -> str:
    return ", ".join(s.action.word for s in found.steps)


def _is_rest(rows: tuple[StepRow, ...], found: Plan) -> bool:
    """Whether what is planned now is exactly what the journal has still to do."""
    return [r.action for r in rows] == [s.action for s in found.steps]


def _split(rows: tuple[StepRow, ...], last: int) -> tuple[tuple[StepRow, ...], tuple[StepRow, ...]]:
    """The rows before the last so many, and those."""
    return rows[: len(rows) - last], rows[max(0, len(rows) - last) :]


def _first_group(rows: tuple[StepRow, ...]) -> tuple[StepRow, ...]:
    """The next step, with its neighbours of the same kind where the cloud runs those side by side."""
    if not isinstance(rows[0].action, actions.TOGETHER):
        return rows[:1]
    return tuple(takewhile(lambda row: type(row.action) is type(rows[0].action), rows))
