"""Worlds in the middle of a run, made step by step by `plans.effects` from the plan of a case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plans import actions, effects, planner
from plans.observed import Volume, World
from plans.plan import Plan
from specs.goal import GoalKind
from specs.model import Strategy
from tests.plans import worlds

CLOUDS = {
    Strategy.VOLUME_SNAPSHOT: worlds.CAPABLE,
    Strategy.CLONE: replace(worlds.CAPABLE, kvm_snapshot_enabled=True),
    Strategy.VM_SNAPSHOT: replace(worlds.CAPABLE, storage="nfs"),
}


def plan(strategy: Strategy, world: World, goal: GoalKind = GoalKind.TESTING) -> Plan:
    """The plan of a test by that strategy, or of its way back."""
    found = planner.plan(worlds.spec(strategy=strategy), goal, world)
    assert isinstance(found, Plan), found
    return found


def before(kind: type[actions.Action], strategy: Strategy = Strategy.VOLUME_SNAPSHOT, disks: int = 2) -> World:
    """The world just before the first step of that kind, there or back."""
    world = worlds.world(disks, capabilities=CLOUDS[strategy])
    planned = plan(strategy, world)
    for step in (*planned.steps, *planned.way_back):
        if isinstance(step.action, kind):
            return world
        world = effects.after(step.action, world)
    raise LookupError(f"no {kind.word} in a test by {strategy}")


def first(kind: type[actions.Action], strategy: Strategy = Strategy.VOLUME_SNAPSHOT, disks: int = 2) -> Any:
    """The first action of that kind in such a test."""
    planned = plan(strategy, worlds.world(disks, capabilities=CLOUDS[strategy]))
    return next(s.action for s in (*planned.steps, *planned.way_back) if isinstance(s.action, kind))


def in_test(strategy: Strategy = Strategy.VOLUME_SNAPSHOT, disks: int = 2) -> World:
    """The guest runs."""
    world = worlds.world(disks, capabilities=CLOUDS[strategy])
    for step in plan(strategy, world).steps:
        world = effects.after(step.action, world)
    return world


def with_volume(world: World, volume_id: str, **changes: Any) -> World:
    """That volume is otherwise."""
    return replace(world, volumes={**world.volumes, volume_id: replace(world.volumes[volume_id], **changes)})


def without_volume(world: World, volume_id: str) -> World:
    """That volume is not there."""
    return replace(world, volumes={k: v for k, v in world.volumes.items() if k != volume_id})


def with_snapshots(world: World, **changes: Any) -> World:
    """All volume snapshots are otherwise."""
    return replace(world, snapshots={k: replace(s, **changes) for k, s in world.snapshots.items()})


def with_row(world: World, **changes: Any) -> World:
    """All VM snapshots are otherwise."""
    return replace(world, vm_snapshots={k: replace(s, **changes) for k, s in world.vm_snapshots.items()})


def with_guest(world: World, **changes: Any) -> World:
    """The guest is otherwise."""
    assert world.guest is not None
    return replace(world, guest=replace(world.guest, **changes))


def with_run(world: World, **changes: Any) -> World:
    """The journal says otherwise."""
    assert world.run is not None
    return replace(world, run=replace(world.run, **changes))


def with_appliance(world: World, **changes: Any) -> World:
    """The appliance is otherwise."""
    assert world.appliance is not None
    return replace(world, appliance=replace(world.appliance, **changes))


def with_another(world: World, vm_id: str, device: int, ident: str = "another") -> World:
    """Another volume hangs on that machine, at that device."""
    found = Volume(ident, ident, "Ready", "DATADISK", 1, worlds.ZONE, vm_id, device)
    return replace(world, volumes={**world.volumes, ident: found})
