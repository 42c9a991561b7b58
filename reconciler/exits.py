"""The ways on from a safe point: go on, take everything back, or leave it as it is; each with what it comes to.

Made by `reconciler.operations` from a fresh look, for people who are asked. Nothing here asks anybody anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plans import planner
from plans.observed import Place, World
from plans.plan import Plan, Refusal
from reconciler.store.journal import Run, StepRow
from specs.goal import GoalKind


@dataclass(frozen=True, slots=True)
class Exits:
    """The words of what is left of the approved plan; the plans of going on and of going back; what is kept meanwhile."""

    run: Run
    approved: tuple[str, ...]
    on: Plan | Refusal
    back: Plan | Refusal
    held: tuple[str, ...]

    @property
    def as_approved(self) -> bool:
        """Whether what is left to do is what was approved."""
        return isinstance(self.on, Plan) and self.approved == words(self.on)


def of(run: Run, rest: Sequence[StepRow], world: World) -> Exits:
    """The ways on for a run from the world that a look shows; `rest` are the steps that its approved plan has left."""
    on, back = (planner.plan(run.spec, kind, world) for kind in (GoalKind.TESTING, GoalKind.PROTECTED))
    return Exits(run, tuple(row.word for row in rest), on, back, tuple(_held(world)))


def words(found: Plan) -> tuple[str, ...]:
    """The steps of a plan in words."""
    return tuple(step.action.word for step in found.steps)


def _held(world: World) -> list[str]:
    run = world.run
    if run is None:
        return []
    away = [p.disk_key for p in run.placements if world.place(p.volume_id) is not Place.APPLIANCE]
    points = (*map(world.snapshot_of, run.points), world.guest_snapshot)
    made = sum(x is not None for x in (*points, *(world.clone_of(c.volume_id) for c in run.clones)))
    told = {
        "replication waits": run.reserved,
        f"{', '.join(away)} away from the appliance": bool(away),
        f"guest {world.guest.name} is {world.guest.state}" if world.guest else "": world.guest is not None,
        f"snapshots and clones of it are kept ({made})": made > 0,
    }
    return [text for text, so in told.items() if so]
