"""What of the history may go: old runs of which nothing is left in CloudStack, with the specs and events nobody needs.

Called by `failover db prune`. It plans first, from one look at both sources, and removes only what was planned; a run
with something still there stays, for its rows alone know what that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from plans.observed import MARK, Estate
from reconciler.settings import Retention
from reconciler.store import journal, retention
from reconciler.store.database import Connection
from reconciler.store.retention import AT_ONCE, Ended, Removed
from reconciler.wiring import Connected

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """A run that is old enough to go and stays, and why."""

    run: Ended
    why: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """What would go: runs, accepted specs by their ids, and how many events of no run; and what stays nevertheless."""

    at: datetime
    runs: tuple[Ended, ...]
    specs: tuple[int, ...]
    events: int
    kept: tuple[Kept, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would go."""
        return not self.runs and not self.specs and not self.events


def plan(connected: Connected, *, failed: bool) -> Pruning:
    """What may go by the settings' `retention`; runs that failed only where that is asked. Raises `CloudError`."""
    keep, now = connected.settings.retention, connected.engine.clock.now()
    estate = connected.engine.look().estate
    with connected.database.read() as connection:
        ages = [age for age in (keep.tests, keep.live) if age]
        old = retention.ended(connection, now - min(ages)) if ages else ()
        gone, kept = chosen(old, keep, now, estate, failed=failed)
        specs = retention.old_specs(connection, now - keep.events, (run.id for run in gone))
        return Pruning(now, gone, specs, retention.old_events(connection, now - keep.events), kept)


def chosen(
    old: Iterable[Ended], keep: Retention, now: datetime, estate: Estate, *, failed: bool
) -> tuple[tuple[Ended, ...], tuple[Kept, ...]]:
    """Which of these runs go, and which are old enough and stay."""
    there = left(estate)
    gone, kept = [], []
    for run in old:
        age = keep.tests if run.kind == "test" else keep.live
        if not age or run.finished_at >= now - age:
            continue
        why = _against(run, there, failed)
        kept.append(Kept(run, why)) if why else gone.append(run)
    return tuple(gone), tuple(kept)


@dataclass(frozen=True, slots=True)
class Left:
    """What is in CloudStack, to be asked after: ids, names, and runs that something is marked with."""

    ids: frozenset[str]
    machines: frozenset[str]
    unmarked: frozenset[str]
    runs: frozenset[str]


def left(estate: Estate) -> Left:
    """Everything of an estate that a run may have made."""
    parts = (estate.machines, estate.volumes, estate.snapshots, estate.vm_snapshots)
    tagged = (*estate.machines.values(), *estate.volumes.values(), *estate.snapshots.values())
    marks = (getattr(one, "tags", {}).get(MARK) for one in tagged)
    unmarked = frozenset(v.name for v in estate.volumes.values()) | frozenset(s.name for s in estate.vm_snapshots.values())
    return Left(frozenset(i for part in parts for i in part), estate.names, unmarked, frozenset(m for m in marks if m))


def _against(run: Ended, there: Left, failed: bool) -> str | None:
    """Why this run stays, or None."""
    if found := (run.made.ids & there.ids) | (run.made.names & there.unmarked):
        return f"{min(found)} is still in CloudStack"
    if run.guest_name in there.machines:
        return f"a VM {run.guest_name} is still in CloudStack"
    if run.id in there.runs:
        return "something in CloudStack is still marked with it"
    if run.dirty:
        return "replicas that it left written await a full sync"
    return "it failed; --failed removes such runs, too" if run.failed and not failed else None


def carry_out(connected: Connected, wanted: Pruning, by: str) -> Removed:
    """Remove what was planned and is over still, some runs at a time, each with everything of its own or not at all."""
    database, keep = connected.database, connected.settings.retention
    runs = sum(_remove(connected, some, wanted.at, by) for some in _slices(wanted.runs))
    specs = sum(database.written(partial(retention.remove_specs, ids=some), looks=True) for some in _slices(wanted.specs))
    older = wanted.at - keep.events
    events = database.written(partial(retention.remove_events, before=older), looks=True) if wanted.events else 0
    return Removed(runs, specs, events)


def _remove(connected: Connected, some: Sequence[Ended], now: datetime, by: str) -> int:
    def work(connection: Connection) -> int:
        count = retention.remove_runs(connection, [run.id for run in some])
        for vm_key, number in Counter(run.vm_key for run in some).items():
            newest = max(run.finished_at for run in some if run.vm_key == vm_key)
            noun = "run" if number == 1 else "runs"
            text = f"{number} {noun} of the past, until {newest:%Y-%m-%d}, removed from the history by {by}"
            journal.note(connection, now, vm_key, "pruned", text)
        return count

    return connected.database.written(work, looks=True)


def _slices(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[at : at + AT_ONCE] for at in range(0, len(rows), AT_ONCE))
