"""Which VMs are ready for a failover: one look at both sources, judged by `plans.readiness`.

Called by `failover ready`. It reads only. When CloudStack does not answer, the checks that need it fail with that reason;
what the database alone can tell is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from plans import planner, readiness
from plans.observed import Capabilities, Estate, Source, World
from plans.plan import Plan
from plans.readiness import Fresh, Kind, Readiness
from reconciler import observe
from reconciler.cloudstack.errors import CloudError
from reconciler.loop import Look
from reconciler.source.reach import Reach, SourceSide, reachable
from reconciler.store import journal
from reconciler.wiring import Connected
from specs.goal import GoalKind
from specs.model import Origin, Spec, State
from specs.values import VmRef

ASKED = timedelta(minutes=30)
"""How long the test lasts that is asked about; readiness does not depend on it."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """The readiness of a VM, and how long it would take until its test runs; None where it is not ready for one."""

    readiness: Readiness
    takes: timedelta | None


def of(
    connected: Connected, kind: Kind, keys: Iterable[str] | None = None, side: SourceSide | None = None
) -> tuple[Assessed, ...]:
    """The readiness of these VMs (all, if none is named), by name. The source side is asked for live failovers only."""
    look, unseen = _looked(connected)
    wanted = set(look.fleet.sources if keys is None else keys)
    sources = sorted((s for s in look.fleet.sources.values() if s.key in wanted), key=lambda s: (s.name.lower(), s.key))
    with connected.database.read() as connection:
        known = journal.dossiers(connection, [s.key for s in sources])
    away = unreached(side) if kind is Kind.LIVE else ()
    fresh = Fresh(connected.engine.clock.now(), connected.settings.readiness.sync_age)
    worlds = ((s, connected.engine.world(s, look, known[s.key])) for s in sources)
    return tuple(_assessed(kind, source, world, unseen, away, fresh) for source, world in worlds)


def _assessed(kind: Kind, source: Source, world: World, unseen: str | None, away: Sequence[str], fresh: Fresh) -> Assessed:
    spec = _asked(source)
    found = readiness.assess(spec, kind, world, unseen=unseen, source_side=away, fresh=fresh)
    is_test = kind is Kind.TEST and found.is_ready
    plan = planner.plan(spec, GoalKind.TESTING, world) if is_test else None
    return Assessed(found, plan.takes_there if isinstance(plan, Plan) else None)


def _asked(source: Source) -> Spec:
    """The plainest spec of a test of this VM."""
    return Spec(vm=VmRef(uuid=source.key), state=State.TEST_FAILOVER, duration=ASKED, origin=Origin(file="the spec"))


def _looked(connected: Connected) -> tuple[Look, str | None]:
    """One look, and why CloudStack could not be read; then the look holds the database's half only."""
    engine = connected.engine
    try:
        return engine.look(), None
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
