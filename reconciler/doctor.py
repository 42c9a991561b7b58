"""Gathers what `plans.doctor` judges: CloudStack, the database, our journal, the source side; each part by itself.

Called by `failover doctor`. It reads only; a part that fails or is not allowed is not seen, and the checks say so. What it
may mend is our own tables, and nothing in CloudStack: what is left over there is shown with what would remove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from plans import doctor
from plans.doctor import Noted, RunSeen, Seen, Service
from plans.observed import Source, World
from reconciler import observe
from reconciler.clock import Clock
from reconciler.cloudstack.client import Client
from reconciler.cloudstack.errors import CloudError, NotAllowed, Unauthorised
from reconciler.loop import Look
from reconciler.settings import Settings
from reconciler.source.reach import Reach, SourceSide, reachable
from reconciler.store import journal, retention, upkeep
from reconciler.store.database import DatabaseMissing, ProgramTooOld, SchemaUnknown, StoreError
from reconciler.store.journal import RunState
from reconciler.wiring import Connected

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Platform:
    """What is looked at beside the database."""

    settings: Settings
    clock: Clock
    client: Client
    side: SourceSide


def looked(connected: Connected, side: SourceSide) -> Seen:
    """Everything that can be seen now."""
    engine = connected.engine
    with connected.database.read() as connection:
        sources = engine.legacy.sources(connection)
    platform = Platform(connected.settings, engine.clock, engine.client, side)
    with_cloud, look = _cloud(platform, _begun(platform, _database(connected)), sources)
    return _journal(connected, with_cloud, look)


def blind(platform: Platform, fault: StoreError) -> Seen:
    """What can be seen while the database cannot be used, for this reason."""
    part = {SchemaUnknown: "tables", DatabaseMissing: "tables", ProgramTooOld: "ours"}.get(type(fault), "server")
    seen, _ = _cloud(platform, _begun(platform, {part: Noted("cannot be used", str(fault))}), ())
    return replace(seen, sources=None)


def _begun(platform: Platform, database: Mapping[str, Noted]) -> Seen:
    return Seen(
        at=platform.clock.now(),
        endpoint=platform.settings.cloudstack.endpoint,
        tests=frozenset(platform.settings.networks.test),
        database=database,
        source_side=_source_side(platform.side),
    )


def _database(connected: Connected) -> Mapping[str, Noted]:
    """What was looked at, by name; of several lines of one name those that are wrong, else all."""
    found: dict[str, Noted] = {}
    for one in upkeep.check(connected.database):
        last = found.get(one.what)
        texts = [n for n in (last, Noted(one.seen, one.wrong, one.odd)) if n is not None]
        wrong, odd = (
            "; ".join(t for t in told if t is not None) for told in zip(*((n.wrong, n.odd) for n in texts), strict=True)
        )
        found[one.what] = Noted("; ".join(n.seen for n in texts), wrong or None, odd or None)
    return found


def _source_side(side: SourceSide) -> Mapping[str, Service]:
    said = {Reach.ANSWERS: True, Reach.FAILS: False, Reach.NOT_CONFIGURED: None}
    return {str(one.service): Service(said[one.reach], one.reason) for one in reachable(side)}


def _cloud(platform: Platform, seen: Seen, sources: tuple[Source, ...]) -> tuple[Seen, Look | None]:
    """What CloudStack shows; where it does not answer at all, why, and nothing else."""
    client, clock, settings = platform.client, platform.clock, platform.settings
    began = clock.now()
    fleet = observe.fleet(sources, settings.networks.test)
    try:
        client.capabilities()
        took = clock.now() - began
        standing = observe.standing(client, began, settings.cloudstack.storage, fleet.flagged)
        look = Look(fleet, observe.estate(client, began, standing))
    except CloudError as fault:
        blind = replace(seen, trouble=str(fault), refused=isinstance(fault, Unauthorised), sources=sources)
        return blind, None
    found = replace(
        seen,
        took=took,
        estate=look.estate,
        sources=tuple(look.fleet.sources.values()),
        zones=_allowed(client.zones),
        templates=_allowed(client.templates),
        offerings=_allowed(client.offerings),
        disk_offerings=_allowed(client.disk_offerings),
        commands=_allowed(client.commands),
        account=_allowed(client.account),
    )
    return found, look


def _allowed(read: Callable[[], T]) -> T | None:
    """What a read found, or None where the account's role does not have it, or the list did not become complete."""
    try:
        return read()
    except (NotAllowed, Unauthorised, CloudError):
        return None


def _journal(connected: Connected, seen: Seen, look: Look | None) -> Seen:
    """Runs, leases, and what each strategy would need of each VM; nothing of it where our tables are not there."""
    now = connected.engine.clock.now()
    try:
        with connected.database.read() as connection:
            known = (*journal.history(connection, None, MOST_RUNS), *journal.unfinished(connection))
            rows = {run.id: run for run in known}
            dossiers = journal.dossiers(connection, [s.key for s in seen.sources or ()])
            made = retention.made(connection, list(rows))
    except StoreError:
        return seen
    led = frozenset(k for k, d in dossiers.items() if d.lease is not None and d.lease.expires_at > now)
    wanted = frozenset(
        k for k, d in dossiers.items() if d.run is not None or (d.accepted is not None and d.accepted.is_active)
    )
    return replace(
        seen,
        runs=tuple(
            RunSeen(
                run.id,
                run.vm_name,
                run.state not in journal.ENDED,
                run.state is RunState.STUCK,
                run.expires_at,
                run.vm_key,
                made[run.id].ids,
                made[run.id].names,
            )
            for run in rows.values()
        ),
        led=led,
        idle_leases=led - wanted,
        dirty={s.key: s.unsynced_since(dossiers[s.key].dirty) for s in seen.sources or ()},
        possible=doctor.probe(_worlds(look)) if look is not None else {},
    )


MOST_RUNS = 10_000


def _worlds(look: Look) -> list[World]:
    """Every VM as it would be before a run."""
    return [observe.world(look.estate, look.fleet, source, observe.Memory()) for source in look.fleet.sources.values()]


@dataclass(frozen=True, slots=True)
class Removal:
    """Something of ours that is left over, and the call that would remove it; it is shown, never made here."""

    kind: str
    name: str
    id: str
    run: str
    known: bool

    @property
    def text(self) -> str:
        """The call, as a person makes it."""
        calls = {
            "vm": f"destroyVirtualMachine id={self.id} expunge=true",
            "volume": f"deleteVolume id={self.id}",
            "snapshot": f"deleteSnapshot id={self.id}",
            "vm-snapshot": f"deleteVMSnapshot vmsnapshotid={self.id}",
        }
        whose = "" if self.known else ", a run that this database does not know: see whose it is first"
        return f"{calls[self.kind]}   # {self.name}, of {self.run}{whose}"


def removals(seen: Seen) -> tuple[Removal, ...]:
    """What would remove that which is left over; nothing of it where a replica hangs on it, or is it."""
    replicas = {d.volume_id for s in seen.sources or () for d in s.disks if d.volume_id}
    known = {run.id for run in seen.runs or ()}
    volumes = seen.estate.volumes_on if seen.estate is not None else {}
    return tuple(
        Removal(kind, name, ident, run, run in known)
        for kind, name, ident, run in doctor.orphans(seen)
        if ident not in replicas and not {v.id for v in volumes.get(ident, ())} & replicas
    )


@dataclass(frozen=True, slots=True)
class Fix:
    """Something that `--fix` does."""

    id: str
    text: str
    work: Callable[[Connected], str]


@dataclass(frozen=True, slots=True)
class Fixed:
    """What came of a fix."""

    id: str
    done: bool
    text: str


def carry_out(connected: Connected, wanted: Iterable[Fix]) -> tuple[Fixed, ...]:
    """Do what was shown, one after the other; one that fails stops none of the others."""
    return tuple(_fixed(connected, one) for one in wanted)


def _fixed(connected: Connected, one: Fix) -> Fixed:
    try:
        return Fixed(one.id, True, one.work(connected))
    except StoreError as fault:
        return Fixed(one.id, False, str(fault))


def fixes(seen: Seen) -> tuple[Fix, ...]:
    """What can be mended by itself, without a decision of a person: our own tables."""
    ours = seen.database.get("ours")
    needed = ours is not None and ours.wrong is not None
    return (
        (Fix("database.ours", "make or upgrade our own tables, as `failover db upgrade` does", _upgrade),) if needed else ()
    )


def _upgrade(connected: Connected) -> str:
    return "done" if upkeep.upgrade(connected.database) else "it was done already"
