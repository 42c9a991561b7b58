"""Which VMs are ready for a failover: one look at both sources, judged by `plans.readiness`.

Called by `failover ready`, and now and then by a daemon, which keeps what changed. Judging reads only. When CloudStack does
not answer, the checks that need it fail with that reason; what the database alone can tell is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from plans import planner, readiness
from plans.observed import Capabilities, Estate, Source
from plans.plan import Plan
from plans.readiness import Fresh, Kind, Readiness
from reconciler import observe
from reconciler.cloudstack.errors import CloudError
from reconciler.loop import Look
from reconciler.source.reach import Reach, SourceSide, reachable
from reconciler.store import assessments, journal
from reconciler.store.assessments import Assessment
from reconciler.store.database import Connection
from reconciler.wiring import Connected
from specs.goal import GoalKind
from specs.model import Origin, Spec, State
from specs.values import VmRef

ASKED = timedelta(minutes=30)
"""How long the test lasts that is asked about; readiness does not depend on it."""
ESTIMATED = 200
"""Up to how many VMs it is told how long each would take."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """The readiness of a VM, and how long it would take until its test runs.

    None where it is not ready for one, and where more than `ESTIMATED` VMs were asked about: that takes a plan of each.
    """

    readiness: Readiness
    takes: timedelta | None


def of(
    connected: Connected, kind: Kind, keys: Iterable[str] | None = None, side: SourceSide | None = None
) -> tuple[Assessed, ...]:
    """The readiness of these VMs (all, if none is named), by name. The source side is asked for live failovers only."""
    look, unseen = looked(connected)
    wanted = set(look.fleet.sources if keys is None else keys)
    sources = sorted((s for s in look.fleet.sources.values() if s.key in wanted), key=lambda s: (s.name.lower(), s.key))
    with connected.database.read() as connection:
        known = journal.dossiers(connection, [s.key for s in sources])
    away = unreached(side) if kind is Kind.LIVE else ()
    fresh = Fresh(connected.engine.clock.now(), connected.settings.readiness.sync_age)
    few = kind is Kind.TEST and len(sources) <= ESTIMATED
    found = []
    for source in sources:
        spec, world = asked(source), connected.engine.world(source, look, known[source.key])
        judged = readiness.assess(spec, kind, world, unseen=unseen, source_side=away, fresh=fresh)
        plan = planner.plan(spec, GoalKind.TESTING, world) if few and judged.is_ready else None
        found.append(Assessed(judged, plan.takes_there if isinstance(plan, Plan) else None))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Change:
    """A VM whose readiness is not what it was when it was last judged."""

    vm: str
    was: Assessment | None
    now: Assessment

    @property
    def is_worse(self) -> bool:
        """Whether it lost something: readiness, or some of its score."""
        return self.was is not None and (self.was.is_ready, self.was.score) > (self.now.is_ready, self.now.score)

    @property
    def text(self) -> str:
        """The change as a sentence."""
        ready = "ready" if self.now.is_ready else "not ready"
        before = "" if self.was is None else f", was {'ready' if self.was.is_ready else 'not ready'} with {self.was.score:g}"
        why = f": {'; '.join(self.now.failed)}" if self.now.failed else ""
        return f"{ready} for {self.now.kind}, score {self.now.score:g}{before}{why}"


def record(connected: Connected, kind: Kind, found: Iterable[Assessed]) -> tuple[Change, ...]:
    """Keep what changed since each VM was last judged, with an event where it got worse; what changed.

    A VM that could not be judged, because CloudStack did not answer, is none that changed.
    """
    now = connected.engine.clock.now()
    judged = {r.readiness.vm_key: r.readiness for r in found if not _is_blind(r.readiness)}

    def write(connection: Connection) -> tuple[Change, ...]:
        before = assessments.newest(connection, kind)
        pairs = ((one.vm, before.get(key), _assessment(one, now)) for key, one in judged.items())
        changed = tuple(Change(vm, was, is_now) for vm, was, is_now in pairs if was is None or not was.is_like(is_now))
        assessments.add(connection, [change.now for change in changed])
        for change in changed:
            if change.is_worse:
                journal.note(connection, now, change.now.vm_key, "readiness", change.text)
        return changed

    return connected.database.written(write, looks=True)


def history(connected: Connected, kind: Kind, vm_key: str, limit: int) -> tuple[Assessment, ...]:
    """How ready a VM was, newest first."""
    with connected.database.read() as connection:
        return assessments.of(connection, vm_key, kind, limit)


def _is_blind(found: Readiness) -> bool:
    return any(r.code == readiness.NOT_CHECKED for c in (*found.checks, *found.extended) for r in c.reasons)


def _assessment(found: Readiness, now: datetime) -> Assessment:
    return Assessment(found.vm_key, str(found.kind), now, found.score, found.is_ready, found.failed)


def asked(source: Source) -> Spec:
    """The plainest spec of a test of this VM. Its key is taken as it is: that it may be no uuid is a reason of its own."""
    return _PLAINEST.model_copy(update={"vm": VmRef.model_construct(uuid=source.key)})


_PLAINEST = Spec(
    vm=VmRef(uuid="00000000-0000-0000-0000-000000000000"),
    state=State.TEST_FAILOVER,
    duration=ASKED,
    origin=Origin(file="the spec"),
)


def looked(connected: Connected) -> tuple[Look, str | None]:
    """One look, and why CloudStack could not be read; then the look holds the database's half only."""
    engine = connected.engine
    try:
        return engine.look_to_plan(), None
    except CloudError as fault:
        with connected.database.read() as connection:
            sources = engine.legacy.sources(connection)
        empty = Estate(engine.clock.now(), Capabilities(), {}, {}, {}, {}, {})
        return Look(observe.fleet(sources, connected.settings.networks.test), empty), str(fault)


def unreached(side: SourceSide | None) -> tuple[str, ...]:
    """What a live failover needs of the source side and does not get: one sentence each."""
    if side is None:
        return ("the source side is not configured",)
    told = {Reach.NOT_CONFIGURED: "is not configured", Reach.FAILS: "does not answer"}
    return tuple(
        f"the {found.service} of the source side {told[found.reach]}"
        + (f": {found.reason}" if found.reach is Reach.FAILS else "")
        for found in reachable(side)
        if found.reach is not Reach.ANSWERS and found.service != "daemon"
    )
