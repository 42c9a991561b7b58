"""What an operator can ask for, once: plan, apply, drive, end, status, why, history.

Called by the command line (and later by API and page); each is a few lines over engine and store and returns values that
`reconciler.cli` prints. Every change goes through a plan: `approve` writes down that a plan may run, `drive` runs rounds
until there is nothing left to wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from plans.actions import CreateGuest
from plans.guards import Reason
from plans.observed import Source, World
from plans.plan import Difference, Plan, Refusal, differences
from reconciler import crashpoints, exits
from reconciler.cloudstack.errors import CloudError
from reconciler.exits import Exits
from reconciler.loop import Engine, Pass, Round, same_guest
from reconciler.store import inventory, journal, legacy
from reconciler.store.database import Connection, DatabaseBusy, DatabaseUnreachable, StoreError
from reconciler.store.inventory import Accepted, AcceptedSpec
from reconciler.store.journal import Direction, Dossier, Event, Run, RunState, StepRow
from reconciler.verdicts import Judged, Verdict
from reconciler.wiring import Connected
from specs.goal import goal_at
from specs.model import Spec

UNREACHABLE_FOR = timedelta(minutes=15)
SHORTEST = timedelta(milliseconds=50)


Found = Plan | Refusal


def plan_all(
    connected: Connected, specs: Sequence[Spec], again: bool = False, beside: Sequence[Spec] = ()
) -> tuple[Found, ...]:
    """A plan or a refusal for every spec, all from one look.

    A test that was carried out before wants nothing more, unless it is to run `again`. A VM that the database does not
    know, or knows more than once, is a refusal like any other, and so is one that two specs mean, of these or of those
    that stand `beside` them. Of plans whose guests would have one name the first stands.
    """
    engine = connected.engine
    look = engine.look_to_plan()
    meant = {spec.origin: _meant(spec, look.fleet.sources.values()) for spec in (*specs, *beside)}
    places: dict[str, list[str]] = {}
    for origin, found in meant.items():
        if isinstance(found, Source):
            places.setdefault(found.key, []).append(str(origin))

    promised: set[str] = set()

    def answer(spec: Spec) -> Found:
        found = meant[spec.origin]
        if isinstance(found, Source) and len(places[found.key]) > 1:
            text = f"{found.name} ({found.key}) is meant by {' and '.join(places[found.key])}"
            found = Reason("VM_WANTED_TWICE", text, "keep one of these specs")
        if isinstance(found, Reason):
            return Refusal(spec, str(spec.vm), goal_at(spec, look.estate.looked_at, look.estate.looked_at).kind, (found,))
        made = engine.preview(spec, look, again, frozenset(promised))
        promised.update(_guest_names(made))
        return made

    return tuple(map(answer, specs))


def _guest_names(found: Found) -> Iterable[str]:
    """The host names that a plan takes."""
    steps = found.steps if isinstance(found, Plan) else ()
    return (step.action.name for step in steps if isinstance(step.action, CreateGuest))


def _meant(spec: Spec, sources: Iterable[Source]) -> Source | Reason:
    """The VM that a spec means, or why that cannot be told."""
    fix = f"correct `vm` in {spec.origin}"
    try:
        return legacy.find(sources, name=spec.vm.name, uuid=spec.vm.uuid, vcenter=spec.vm.vcenter)
    except legacy.UnknownVm as unknown:
        return Reason("VM_NOT_FOUND", str(unknown), fix)
    except legacy.AmbiguousVm as ambiguous:
        return Reason("VM_AMBIGUOUS", str(ambiguous), fix)


def stale(connected: Connected, plan: Plan) -> tuple[Difference, ...]:
    """What changed in the world since this plan was made; empty when it may run as it is."""
    (now,) = plan_all(connected, (plan.spec,), again=True)
    return differences(plan, now)


def changes_anything(connected: Connected, plan: Plan) -> bool:
    """Whether approving this plan changes anything: it is not empty, or a run is under way that is not where it belongs."""
    if not plan.is_empty:
        return True
    found = connected.engine.dossier(plan.vm_key)
    if found.run is None or found.accepted is None or not found.accepted.is_active:
        return False
    return found.accepted.digest != plan.spec.digest or found.run.state is not RunState.HOLDING


def approve(connected: Connected, plan: Plan, by: str, again: bool = False) -> Accepted:
    """Write down that this plan may run. The same spec once more changes nothing, unless `again`.

    A run for this guest that was paused, by a person or because the world is no longer as its plan saw it, goes on with this
    plan; one that is stuck looks again at once.
    """
    now = connected.engine.clock.now()

    def write(connection: Connection) -> Accepted:
        accepted = inventory.accept(connection, plan, now=now, by=by, again=again)
        run = journal.unfinished_of(connection, plan.vm_key)
        if run is not None and run.state is RunState.PAUSED and _is_for(run, accepted.record):
            followed = run if run.spec_id == accepted.record.id else journal.follow(connection, run, accepted.record, now)
            journal.resume(connection, followed, plan, by, now)
        elif run is not None and run.state is RunState.STUCK:
            journal.wake(connection, run, now)
        if accepted.new and plan.spec.skip_validation is not None:
            journal.note(connection, now, plan.vm_key, "left-out", _left_out(plan, by))
        return accepted

    accepted = connected.database.written(write, looks=True)
    crashpoints.hit(crashpoints.Point.ACCEPTED)
    return accepted


def _left_out(plan: Plan, by: str) -> str:
    """Who accepted a spec that leaves out checks, why, and what these checks said."""
    reason = plan.spec.skip_validation.reason if plan.spec.skip_validation is not None else ""
    failed = "; ".join(plan.readiness.failed) if plan.readiness is not None else ""
    return f"{by} accepted {plan.spec.origin} with skip_validation, because {reason}: {failed or 'no check had failed'}"


def _is_for(run: Run, accepted: AcceptedSpec) -> bool:
    """Whether a run on its way there makes the guest that this spec wants."""
    return run.direction is Direction.THERE and accepted.is_active and same_guest(run.spec, accepted.spec)


def approved_plan(connected: Connected, run: Run) -> Plan | None:
    """The plan that this run carries out."""
    with connected.database.read() as connection:
        return inventory.plan_of(connection, run.vm_key, run.plan_digest)


def resolve(connected: Connected, name: str) -> Source:
    """The replicated VM with this name or uuid. Raises UnknownVm or AmbiguousVm."""
    with connected.database.read() as connection:
        sources = {s.key: s for s in connected.engine.legacy.sources(connection)}
    if name.lower() in sources:
        return sources[name.lower()]
    return legacy.find(sources.values(), name=name)


def end(connected: Connected, vm_key: str, by: str) -> Run | None:
    """Say that this VM's test is over. Returns the run that is to be taken back, or None when there is none."""
    now = connected.engine.clock.now()

    def write(connection: Connection) -> Run | None:
        inventory.end(connection, vm_key, now, f"ended by {by}")
        run = journal.unfinished_of(connection, vm_key)
        return journal.wake(connection, run, now) if run else None

    return connected.database.written(write, looks=True)


class NotToFreeze(Exception):
    """There is no run that could be frozen; the message says why, and what to do instead."""


def freeze(connected: Connected, vm_key: str, by: str) -> Run:
    """Have the run of this VM stop at its next safe point and stay there until a person says how it goes on.

    What is under way is settled, nothing else is begun, and no time limit takes it back. Raises `NotToFreeze`.
    """
    now = connected.engine.clock.now()

    def write(connection: Connection) -> Run:
        dossier = journal.dossiers(connection, [vm_key])[vm_key]
        run, accepted = dossier.run, dossier.accepted
        if run is None:
            raise NotToFreeze("no test is under way; nothing to freeze")
        if run.direction is Direction.BACK:
            raise NotToFreeze(
                f"run {run.id} is on its way back, which is never stopped for good; Ctrl-C stops who drives it"
            )
        if run.state is RunState.HOLDING:
            raise NotToFreeze(f"the test of {run.vm_name} runs; a spec with a longer `for:` keeps it longer")
        if accepted is None or not _is_for(run, accepted):
            raise NotToFreeze(f"the test of {run.vm_name} is no longer wanted: run {run.id} is about to be taken back")
        return journal.pause(connection, run, f"frozen by {by}", None, now)

    return connected.database.written(write, looks=True)


def paused(connected: Connected) -> frozenset[str]:
    """The keys of the VMs whose run waits at a safe point for a person."""
    with connected.database.read() as connection:
        return frozenset(b.vm_key for b in journal.briefs(connection) if b.state is RunState.PAUSED)


def exits_of(connected: Connected, vm_key: str) -> Exits | None:
    """The ways on for a VM whose run is on its way there, from a fresh look; None where it is not. Raises `CloudError`."""
    engine, dossier = connected.engine, connected.engine.dossier(vm_key)
    run = dossier.run
    if run is None or run.direction is Direction.BACK or run.state is RunState.HOLDING:
        return None
    look = engine.look()
    source = look.fleet.sources.get(vm_key)
    return exits.of(run, dossier.rest, engine.world(source, look, dossier)) if source is not None else None


def settle(connected: Connected, run_id: str, seq: int, verdict: Verdict, by: str) -> Judged:
    """Say of a step that is stuck that it is done or undone; taken only if a fresh look agrees.

    Raises `NotStuck` and `CloudError`.
    """
    return connected.engine.resolve(run_id, seq, verdict, by)


@dataclass(frozen=True, slots=True)
class Halt:
    """How a person stops a drive: at the next safe point, or at once, with what is under way left to whoever comes next."""

    safely: threading.Event = field(default_factory=threading.Event)
    at_once: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> bool:
        """Whether either was asked for."""
        return self.safely.is_set() or self.at_once.is_set()


def drive(
    engine: Engine,
    keys: frozenset[str],
    watch: Callable[[Pass], None],
    halt: Halt,
    lost: Callable[[CloudError | StoreError], None] | None = None,
) -> None:
    """Run rounds until every one of these VMs is at rest, or a person halts it.

    A safe point is reached when no step of these VMs is under way: what was sent has been looked at, and nothing else was
    begun. Raises `CloudError` when CloudStack could not be read for a quarter of an hour, `StoreError` so for the database.
    """
    try:
        _rounds(engine, keys, watch, halt, lost)
    finally:
        engine.let_go()


def _rounds(
    engine: Engine,
    keys: frozenset[str],
    watch: Callable[[Pass], None],
    halt: Halt,
    lost: Callable[[CloudError | StoreError], None] | None,
) -> None:
    since: datetime | None = None
    while not halt.at_once.is_set():
        stopping = halt.safely.is_set()
        try:
            done = engine.round(keys, begin=not stopping)
            for seen in done.passes:
                watch(seen)
            since = None
        except (CloudError, DatabaseBusy, DatabaseUnreachable) as fault:
            now = engine.clock.now()
            since = since or now
            if now - since >= UNREACHABLE_FOR:
                raise
            if lost is not None:
                lost(fault)
            done = Round(next_at=now + engine.settings.engine.poll)
        if done.resting:
            return
        engine.clock.wait(_pause(engine, done), halt.at_once if stopping else halt.safely)


def _pause(engine: Engine, done: Round) -> timedelta:
    if done.next_at is None:
        return engine.settings.engine.poll
    return min(max(done.next_at - engine.clock.now(), SHORTEST), engine.settings.engine.poll)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one VM without a look: what journal and inventory hold, the steps in hand, the last run."""

    source: Source
    dossier: Dossier
    steps: tuple[StepRow, ...]
    last: Run | None

    @property
    def vm(self) -> str:
        """Its name."""
        return self.source.name

    @property
    def run(self) -> Run | None:
        """The run in hand."""
        return self.dossier.run

    @property
    def newest(self) -> AcceptedSpec | None:
        """The spec that was accepted last, whatever became of it."""
        return self.dossier.accepted

    @property
    def wanted(self) -> AcceptedSpec | None:
        """The spec that is wanted now."""
        return self.newest if self.newest is not None and self.newest.is_active else None


def status(connected: Connected) -> tuple[Standing, ...]:
    """Every replicated VM, those with a run first, then those with a spec; from the database alone."""
    with connected.database.read() as connection:
        sources = connected.engine.legacy.sources(connection)
        dossiers = journal.dossiers(connection, [s.key for s in sources])
        last = journal.latest(connection)
        rows = [
            Standing(source, found, _steps(connection, found.run), last.get(source.key))
            for source, found in ((s, dossiers[s.key]) for s in sources)
        ]
    return tuple(sorted(rows, key=lambda r: (r.run is None, r.wanted is None, r.vm)))


def _steps(connection: Connection, run: Run | None) -> tuple[StepRow, ...]:
    return journal.steps(connection, run, run.direction) if run is not None else ()


def steps(connected: Connected, run: Run) -> tuple[StepRow, ...]:
    """The steps of this run in the direction that it goes."""
    with connected.database.read() as connection:
        return _steps(connection, run)


def worlds(connected: Connected, runs: Iterable[Run]) -> dict[str, World]:
    """What one fresh look shows of the VMs of these runs, by key, with what the journal knows of the run, ended or not.

    A VM that the database no longer lists is left out. Raises `CloudError`.
    """
    engine, found = connected.engine, tuple(runs)
    look = engine.look()
    with connected.database.read() as connection:
        facts = {run.vm_key: journal.run_facts(connection, run) for run in found}
        dossiers = journal.dossiers(connection, list(facts))
    return {
        key: engine.world(look.fleet.sources[key], look, replace(dossiers[key], facts=facts[key]))
        for key in facts
        if key in look.fleet.sources
    }


@dataclass(frozen=True, slots=True)
class Story:
    """Everything `why` tells of one VM, newest first; `others` are the VMs that share the engine with it."""

    standing: Standing
    others: tuple[Standing, ...]
    plan: Plan | None
    events: tuple[Event, ...]


def why(connected: Connected, name: str, limit: int = 40) -> Story:
    """The story of one VM. Raises UnknownVm or AmbiguousVm."""
    source = resolve(connected, name)
    rows = status(connected)
    standing = next(s for s in rows if s.source.key == source.key)
    with connected.database.read() as connection:
        events = journal.events(connection, source.key, limit)
    plan = approved_plan(connected, standing.run) if standing.run is not None else None
    return Story(standing, rows, plan, events)


def history(connected: Connected, name: str | None, limit: int = 20) -> Sequence[Run]:
    """Past and present runs, newest first; of one VM or of all."""
    key = resolve(connected, name).key if name else None
    with connected.database.read() as connection:
        return journal.history(connection, key, limit)
