"""What an operator can ask for, once: plan, apply, drive, end, status, why, history.

Called by the command line (and later by API and page); each is a few lines over engine and store and returns values that
`reconciler.cli` prints. Every change goes through a plan: `approve` writes down that a plan may run, `drive` runs rounds
until there is nothing left to wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from plans.observed import Source
from plans.plan import Difference, Plan, Refusal, differences
from reconciler import crashpoints
from reconciler.cloudstack.errors import CloudError
from reconciler.loop import Engine, Pass, Round
from reconciler.store import inventory, journal, legacy
from reconciler.store.inventory import Accepted, AcceptedSpec
from reconciler.store.journal import Event, Run, StepRow
from reconciler.wiring import Connected
from specs.model import Spec

UNREACHABLE_FOR = timedelta(minutes=15)
SHORTEST = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A spec whose VM the database does not know, or knows more than once."""

    spec: Spec
    fault: Exception


Found = Plan | Refusal | Unresolved


def plan_all(connected: Connected, specs: Iterable[Spec], again: bool = False) -> tuple[Found, ...]:
    """A plan, a refusal or an unresolved name for every spec, all from one look.

    A test that was carried out before wants nothing more, unless it is to run `again`.
    """
    engine = connected.engine
    look = engine.look()
    found: list[Found] = []
    for spec in specs:
        try:
            found.append(engine.preview(spec, look, again))
        except (legacy.UnknownVm, legacy.AmbiguousVm) as fault:
            found.append(Unresolved(spec, fault))
    return tuple(found)


def stale(connected: Connected, plan: Plan) -> tuple[Difference, ...]:
    """What changed in the world since this plan was made; empty when it may run as it is."""
    (now,) = plan_all(connected, (plan.spec,), again=True)
    if isinstance(now, Unresolved):
        raise now.fault
    return differences(plan, now)


def changes_opinion(connected: Connected, plan: Plan) -> bool:
    """Whether accepting this plan changes anything: it has steps, or a run is under way that another spec wanted."""
    if plan.steps:
        return True
    found = connected.engine.dossier(plan.vm_key)
    active = found.accepted if found.accepted is not None and found.accepted.is_active else None
    return found.run is not None and active is not None and active.digest != plan.spec.digest


def approve(connected: Connected, plan: Plan, by: str, again: bool = False) -> Accepted:
    """Write down that this plan may run. The same spec once more changes nothing, unless `again`."""
    now = connected.engine.clock.now()
    with connected.database.begin() as connection:
        accepted = inventory.accept(connection, plan, now=now, by=by, again=again)
    crashpoints.hit(crashpoints.Point.ACCEPTED)
    return accepted


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
    with connected.database.begin() as connection:
        inventory.end(connection, vm_key, now, f"ended by {by}")
        run = journal.unfinished_of(connection, vm_key)
        return journal.wake(connection, run, now) if run else None


def drive(
    engine: Engine,
    keys: frozenset[str],
    watch: Callable[[Pass], None],
    stop: threading.Event,
    lost: Callable[[CloudError], None] | None = None,
) -> None:
    """Run rounds until every one of these VMs is at rest, or `stop` is set, which takes effect between two steps.

    Raises `CloudError` when CloudStack could not be read for a quarter of an hour.
    """
    try:
        _rounds(engine, keys, watch, stop, lost)
    finally:
        engine.let_go()


def _rounds(
    engine: Engine,
    keys: frozenset[str],
    watch: Callable[[Pass], None],
    stop: threading.Event,
    lost: Callable[[CloudError], None] | None,
) -> None:
    since: datetime | None = None
    while not stop.is_set():
        try:
            done = engine.round(keys)
            since = None
        except CloudError as fault:
            now = engine.clock.now()
            since = since or now
            if now - since >= UNREACHABLE_FOR:
                raise
            if lost is not None:
                lost(fault)
            done = Round(next_at=now + engine.settings.engine.poll)
        for seen in done.passes:
            watch(seen)
        if done.resting:
            return
        engine.clock.wait(_pause(engine, done), stop)


def _pause(engine: Engine, done: Round) -> timedelta:
    if done.next_at is None:
        return engine.settings.engine.poll
    return min(max(done.next_at - engine.clock.now(), SHORTEST), engine.settings.engine.poll)


@dataclass(frozen=True, slots=True)
class Standing:
    """One VM's line in `status`: what is wanted, the run in hand with its steps, the last run."""

    vm_key: str
    vm: str
    wanted: AcceptedSpec | None
    run: Run | None
    steps: tuple[StepRow, ...]
    last: Run | None


def status(connected: Connected) -> tuple[Standing, ...]:
    """Every VM that is wanted, running, or ran before; from the database alone."""
    with connected.database.read() as connection:
        sources = connected.engine.legacy.sources(connection)
        runs = {r.vm_key: r for r in journal.unfinished(connection)}
        wanted = {a.vm_key: a for a in inventory.active(connection)}
        last = journal.latest(connection)
        rows = [
            Standing(
                source.key,
                source.name,
                wanted.get(source.key),
                runs.get(source.key),
                journal.steps(connection, runs[source.key], runs[source.key].direction) if source.key in runs else (),
                last.get(source.key),
            )
            for source in sources
        ]
    return tuple(sorted(rows, key=lambda r: (r.run is None, r.wanted is None, r.vm)))


@dataclass(frozen=True, slots=True)
class Story:
    """Everything `why` tells of one VM, newest first."""

    standing: Standing
    events: tuple[Event, ...]
    source: Source


def why(connected: Connected, name: str, limit: int = 40) -> Story:
    """The story of one VM. Raises UnknownVm or AmbiguousVm."""
    source = resolve(connected, name)
    standing = next(s for s in status(connected) if s.vm_key == source.key)
    with connected.database.read() as connection:
        events = journal.events(connection, source.key, limit)
    return Story(standing, events, source)


def history(connected: Connected, name: str | None, limit: int = 20) -> Sequence[Run]:
    """Past and present runs, newest first; of one VM or of all."""
    key = resolve(connected, name).key if name else None
    with connected.database.read() as connection:
        return journal.history(connection, key, limit)
