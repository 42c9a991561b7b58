"""From a spec, a goal and a world to a plan, or to the reasons why there is none.

Called by `reconciler.loop` on every pass and by `plan` on the command line; both get the same answer from the same world.
The plan is played forward through `plans.effects` before it is handed on: every precondition holds at its turn, and at
the end nothing is left to do. A plan that does not stand this is a defect of ours and is refused, not run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from plans import actions, bubble, compare, effects, estimates, guards, placing, readiness, strategies
from plans.observed import Place, World
from plans.plan import TEST_ENDS, Amendment, Fact, Offer, Plan, ReadinessScore, Refusal, Step, Terms
from specs.goal import GoalKind
from specs.model import Spec, Strategy


def plan(spec: Spec, goal: GoalKind, world: World, *, with_way_back: bool = True) -> Plan | Refusal:
    """The ordered steps from this world to the goal, or every reason against it.

    On the way home what stands in the way of one step does not hold up those that need it not: the plan goes as far as it
    can, and says what it leaves. While nothing at all is possible, say because a disk is just being attached, it may be
    approved nevertheless, and begins when that is over. The way back belongs to every plan that is shown or approved; a
    later pass, which only looks for what is next, can do without.
    """
    against = guards.against(spec, world) if _needs_guards(goal, world) else guards.not_offered(spec)
    if goal is GoalKind.TESTING and world.guest is None and not against:
        against = guards.still_known(spec, world)
    if against:
        return Refusal(spec, world.source.name, goal, against)
    choice = strategies.choose(spec, world)
    there, after, faults = _steps(spec, goal, world, choice.strategy)
    held_up = not there and goal is GoalKind.PROTECTED and with_way_back and effects.is_moving(world)
    if faults and (goal is not GoalKind.PROTECTED or not (there or held_up)):
        return Refusal(spec, world.source.name, goal, faults)
    back: tuple[Step, ...] = ()
    if with_way_back and goal is GoalKind.TESTING:
        back, _, no_way_back = _steps(spec, GoalKind.PROTECTED, after, choice.strategy)
        if no_way_back:
            return Refusal(spec, world.source.name, goal, no_way_back)
    return Plan(
        spec=spec,
        vm=world.source.name,
        vm_key=world.source.key,
        goal=goal,
        strategy=choice.strategy,
        strategy_reason=choice.reason,
        networks=_networks(spec, world),
        facts=facts(spec, world),
        steps=there,
        way_back=back,
        extra_gib=strategies.extra_gib(choice.strategy, world),
        warnings=(*world.source.findings, *_told(spec, world), *(f"not possible yet: {f.text}" for f in faults)),
        held_up=held_up and bool(faults),
        proofs=_proofs(spec, world) if goal is GoalKind.TESTING else (),
    )


def with_readiness(found: Plan, world: World) -> Plan:
    """The plan of a test that has not begun, with what the checks of readiness say of its VM."""
    if found.goal is not GoalKind.TESTING or world.run is not None:
        return found
    checked = readiness.assess(found.spec, readiness.Kind.TEST, world)
    return replace(found, readiness=ReadinessScore(checked.score, checked.failed))


def with_offers(found: Plan, world: World) -> Plan:
    """The plan of a test that has not begun, with what each other strategy would cost, or why it is not possible."""
    if found.goal is not GoalKind.TESTING or world.run is not None:
        return found
    others = (s for s in strategies.STRATEGIES if s is not found.strategy)
    offers = (_offer(found.spec.model_copy(update={"strategy": other}), other, world) for other in others)
    return replace(found, offers=tuple(offers))


def _offer(spec: Spec, strategy: Strategy, world: World) -> Offer:
    against = strategies.objections(strategy, world)
    found = plan(spec, GoalKind.TESTING, world) if not against else None
    if isinstance(found, Plan):
        return Offer(strategy, None, found.takes_there, found.pause, found.extra_gib)
    reasons = [r.text for r in found.reasons] if isinstance(found, Refusal) else [o.text for o in against]
    return Offer(strategy, "; ".join(reasons))


def amending(found: Plan, was: Spec, running_since: datetime | None) -> Plan:
    """The plan for a test that is under way as `was` says, with what its spec changes of that."""
    old, new = Terms.of(was, running_since), Terms.of(found.spec, running_since)
    ends_at = old.ends_at.isoformat(timespec="seconds") if old.ends_at is not None else None
    amends = Amendment(old, new) if was.digest != found.spec.digest else None
    return replace(found, facts={**found.facts, TEST_ENDS: ends_at}, amends=amends)


def remainder(approved: tuple[Step, ...], now: tuple[Step, ...]) -> int | None:
    """How many approved steps are behind us when `now` is what is left of them; None when it is not a suffix."""
    behind = len(approved) - len(now)
    left = [s.action for s in now]
    return behind if behind >= 0 and [s.action for s in approved[behind:]] == left else None


def _needs_guards(goal: GoalKind, world: World) -> bool:
    """The way home is never barred; a test is, until its VM was reserved; live failover always."""
    if goal is GoalKind.TESTING:
        return world.run is None or not (world.run.reserved or world.run.placements)
    return goal is GoalKind.LIVE


def _steps(
    spec: Spec, goal: GoalKind, world: World, strategy: Strategy
) -> tuple[tuple[Step, ...], World, tuple[guards.Reason, ...]]:
    """The steps, the world after them, and why others are not among them; only on the way home there are any after such."""
    steps: list[Step] = []
    faults: list[guards.Reason] = []
    for action, because in _ordered(spec, goal, world, strategy):
        stands_in_the_way = effects.blocker(action, world)
        if stands_in_the_way is not None:
            text = f"{action.word} {label(action, world)}: {stands_in_the_way}"
            fix = f"see `failover why {world.source.name}`; mend this and plan again"
            faults.append(guards.Reason("STEP_NOT_POSSIBLE", text, fix))
            if goal is GoalKind.PROTECTED:
                continue
            break
        takes = estimates.expected(action, world)
        steps.append(Step(len(steps) + 1, action, label(action, world), because, takes))
        world = effects.after(action, world)
    left = compare.changes(spec, goal, world, strategy)
    if left and not faults:
        text = f"the plan would leave {left[0].subject} {left[0].now} instead of {left[0].wanted}"
        faults.append(guards.Reason("PLAN_INCOMPLETE", text, "report this plan: it is a defect"))
    return tuple(steps), world, tuple(faults)


def _ordered(spec: Spec, goal: GoalKind, world: World, strategy: Strategy) -> list[tuple[actions.Action, str]]:
    needed = [need for change in compare.changes(spec, goal, world, strategy) for need in change.needs]
    taken = [p.volume_id for p in world.run.placements] if world.run is not None else []
    positions = {v: n for n, v in enumerate(taken or _volumes(spec, world))}

    def key(need: tuple[actions.Action, str]) -> tuple[int, int]:
        return actions.ORDER.index(type(need[0])), positions.get(need[0].subject, 0)

    return sorted(needed, key=key)


def _volumes(spec: Spec, world: World) -> list[str | None]:
    return [d.volume_id for d in placing.in_order(world.source.disks, spec.boot_disk)]


def label(action: actions.Action, world: World) -> str:
    """The object of an action for people: names in full, ids only where there is no name."""
    if isinstance(action, actions.CreateGuest):
        return f"{action.name} {action.cpus} CPU, {action.memory_mb / 1024:g} GiB, {'UEFI' if action.uefi else 'BIOS'}"
    if isinstance(action, actions.DetachReplica):
        return f"{_replica(action.disk, action.volume_id, world)} from {action.source}{_device(action, world)}"
    if isinstance(action, actions.AttachReplica):
        return f"{action.disk} to {action.target}, device {action.device}"
    if isinstance(action, actions.AttachClone):
        return f"clone of {action.disk} to guest, device {action.device}"
    if isinstance(action, actions.DetachClone | actions.DeleteClone):
        return f"clone of {action.disk}"
    if action.subject in world.replicas:
        return getattr(action, "disk", action.subject)
    if action.subject == "context":
        return world.source.context_id or world.source.name
    if action.subject == "default-root":
        known = world.run.default_root_id if world.run is not None else None
        return "(known after create guest)" if known in (None, effects.UNKNOWN_ROOT) else str(known)[:8]
    return world.guest.name if world.guest else placing.guest_name(world)


def _replica(disk: str, volume_id: str, world: World) -> str:
    volume = world.volumes.get(volume_id)
    return f"{disk} {volume.size / guards.GIB:g} GiB" if volume else disk


def _device(action: actions.DetachReplica, world: World) -> str:
    volume = world.volumes.get(action.volume_id)
    return f", device {volume.device_id}" if volume is not None and volume.device_id is not None else ""


def _told(spec: Spec, world: World) -> tuple[str, ...]:
    """What a reader of the plan might not expect."""
    return (*_left_out(spec, world), *_shared_cards(spec, world), *_not_acted_on(spec))


def _left_out(spec: Spec, world: World) -> Iterator[str]:
    if spec.skip_validation is not None and world.run is None:
        texts = "; ".join(r.text for r in guards.left_out(spec, world)) or "nothing, for all of them passed"
        yield f"skip_validation ({spec.skip_validation.reason}) leaves out: {texts}"


def _shared_cards(spec: Spec, world: World) -> Iterator[str]:
    """Adapters that come to one network: CloudStack gives a VM one card a network."""
    sharing: dict[str, list[str]] = {}
    for card in placing.cards(spec, world):
        if card.network is not None:
            sharing.setdefault(card.network.name, []).append(f'"{card.adapter}"')
    for network, adapters in sharing.items():
        if len(adapters) > 1:
            yield f"{' and '.join(adapters)} share one card on {network}"


def _not_acted_on(spec: Spec) -> tuple[str, ...]:
    """What the spec says and this version keeps but does not act on; nobody should rely on it silently."""
    return ("notify is kept, but not acted on by this version",) if spec.notify else ()


def _networks(spec: Spec, world: World) -> tuple[str, ...]:
    cards = placing.cards(spec, world)
    return tuple(
        f'{c.network.name} ({c.network.type}) for adapter "{c.adapter}"' if c.network else f'none for "{c.adapter}"'
        for c in cards
    )


def _proofs(spec: Spec, world: World) -> tuple[str, ...]:
    """Of each network that the guest gets a card on, in their order, why nothing leads out of it."""
    used = {c.network.id: c.network for c in placing.cards(spec, world) if c.network is not None}
    return tuple(str(bubble.prove(n, world.networks, world.test_networks)) for n in used.values())


def facts(spec: Spec, world: World) -> dict[str, Fact]:
    """What the plan relied on, flat: a fresh look that differs in one of these makes the plan stale."""
    found: dict[str, Fact] = {
        "appliance.id": world.appliance.id if world.appliance else None,
        "cloud.release": world.capabilities.release,
        "guest.state": world.guest.state if world.guest else "absent",
        "replication.active": ", ".join(j.id for j in world.source.active_jobs),
        "vm.cpus": world.source.cpus,
        "vm.memory_mb": world.source.memory_mb,
        "vm.firmware": world.source.firmware,
    }
    for card in placing.cards(spec, world):
        found[f"network.{card.adapter}"] = card.network.id if card.network else "disconnected"
    for disk in world.source.disks:
        volume = world.replica(disk)
        found[f"{disk.key}.volume"] = disk.volume_id
        found[f"{disk.key}.on"] = str(world.place(disk.volume_id)) if disk.volume_id else str(Place.NOWHERE)
        found[f"{disk.key}.device"] = volume.device_id if volume else None
        found[f"{disk.key}.size"] = volume.size if volume else None
        found[f"{disk.key}.state"] = volume.state if volume else None
        found[f"{disk.key}.synced"] = disk.change_id is not None
    return found
