"""What must be so before a run may begin: reasons against it, each with what to do.

Called by the planner before it plans a test. A reason is never an exception: all of them are collected and shown at once.
Rules that must hold at every single step stand in `plans.effects.blocker`; here are those that only a whole VM can break.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plans import bubble, placing, strategies
from plans.observed import Disk, Machine, Network, Place, Platform, World
from specs.model import Spec, State
from specs.values import is_uuid

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a run: a stable code, what is wrong, and what to do about it."""

    code: str
    text: str
    fix: str


PASSING = frozenset({"ACTIVE_JOBS"})
"""Codes of reasons that go away by themselves: a test that was accepted waits for them."""


FAILED_OVER = frozenset({"failed_over_test", "failed_over_live"})
"""What a VM's context is while a failover has it."""
BEGINS = frozenset({"discovered", "replicating", "ready_for_failover", "completed", "failed"})
"""What a VM's context may be before a failover, if no job of it runs."""


def reasons(spec: Spec, world: World) -> tuple[Reason, ...]:
    """Everything that stands against starting this test now, in the order in which one would mend it."""
    return tuple(reason for guard in GUARDS for reason in guard(spec, world))


SPARED = frozenset({"NEVER_SYNCED", "NOT_REPLICATED"})
"""Codes that `skip_validation` leaves out: the guest may find nothing to boot, but nothing is lost and all goes back."""


def against(spec: Spec, world: World) -> tuple[Reason, ...]:
    """The reasons for which this test is refused: all but those that its spec leaves out."""
    return tuple(r for r in reasons(spec, world) if spec.skip_validation is None or r.code not in SPARED)


def left_out(spec: Spec, world: World) -> tuple[Reason, ...]:
    """The reasons against this test that its spec leaves out."""
    return tuple(r for r in reasons(spec, world) if spec.skip_validation is not None and r.code in SPARED)


def still_known(spec: Spec, world: World) -> tuple[Reason, ...]:
    """What a test that has begun needs to know of its platform at every moment, and does not any more."""
    return tuple(_platform(spec, world))


def not_offered(spec: Spec) -> tuple[Reason, ...]:
    """What this version does not do, whatever the world is like."""
    if spec.state is State.LIVE_FAILOVER:
        return (Reason("NOT_OFFERED", "live failover is not offered by this version", "use state: test-failover"),)
    if spec.state is State.ROLLED_BACK:
        text = "rolled-back undoes a live failover, which is not offered by this version"
        return (Reason("NOT_OFFERED", text, f"to take a test back say `state: protected` in {spec.origin}"),)
    return ()


def _supported(spec: Spec, _world: World) -> Iterator[Reason]:
    yield from not_offered(spec)


def _strategy(spec: Spec, world: World) -> Iterator[Reason]:
    choice = strategies.choose(spec, world)
    for objection in strategies.objections(choice.strategy, world):
        yield Reason("STRATEGY_NOT_POSSIBLE", f"strategy {choice.strategy}: {objection.text}", objection.fix)


def _identified(_spec: Spec, world: World) -> Iterator[Reason]:
    """A VM that the database knows by a name alone may be another one tomorrow, and stand beside its own context today."""
    source = world.source
    if not is_uuid(source.key):
        fix = "let replication_jobs name its vm_context_id, or its VMware uuid in source_vm_id, and its context vmware_vm_id"
        yield Reason("VM_NOT_IDENTIFIED", f'the database knows {source.name} only as "{source.key}", not by a uuid', fix)


def _described(_spec: Spec, world: World) -> Iterator[Reason]:
    source = world.source
    if source.cpus <= 0 or source.memory_mb <= 0:
        fix = f"run discovery or one replication of {source.name}, so that its CPU and memory are recorded"
        yield Reason("VM_UNDESCRIBED", f"the database knows no CPU and memory of {source.name}", fix)
    if not source.disks:
        yield Reason("NO_DISKS", f"the database lists no disk of {source.name}", f"replicate {source.name} once")
    elif source.last_job_id is None and not source.active_jobs:
        yield Reason(
            "NOT_REPLICATED", f"no replication of {source.name} was ever completed", f"replicate {source.name} once"
        )


def _platform(_spec: Spec, world: World) -> Iterator[Reason]:
    if world.source.platform is None:
        text = "; ".join(world.source.findings) or "no active CloudStack configuration (table ossea_configs)"
        yield Reason("OSSEA_NOT_CONFIGURED", text, "leave exactly one row of ossea_configs active")
    elif world.appliance is None:
        wanted = world.source.platform.appliance_id
        fix = "correct oma_vm_id in ossea_configs, or use keys of the account that owns the appliance"
        yield Reason("APPLIANCE_NOT_FOUND", f"CloudStack shows no appliance VM {wanted}", fix)
    elif world.appliance.state not in ("Running", "Stopped"):
        text = f"the appliance {world.appliance.name} is {world.appliance.state}"
        yield Reason("APPLIANCE_NOT_READY", text, "wait until it is Running")
    else:
        yield from _catalog(world, world.source.platform, world.appliance)


def _catalog(world: World, platform: Platform, appliance: Machine) -> Iterator[Reason]:
    """What the configuration names and no guest can be made of; a list that is not shown tells nothing."""
    known, where = world.catalog, f"in the row {platform.config} of ossea_configs"
    if known is None:
        return
    homes = [z for z in known.zones or () if z.id == appliance.zone_id]
    if platform.zone and homes and platform.zone not in (homes[0].id, homes[0].name):
        text = f"the zone {platform.zone} is not that of the appliance, {homes[0].name}, which no replica can leave"
        yield Reason("PLATFORM_NOT_VALID", text, f"correct `zone` {where}")
    templates = {t.id: t for t in known.templates or ()}
    if known.templates is not None and platform.template_id not in templates:
        text = f"CloudStack shows no template {platform.template_id or '(none is named)'}"
        yield Reason("PLATFORM_NOT_VALID", text, f"correct `template_id` {where}")
    elif known.templates is not None and not templates[platform.template_id].is_ready:
        text = f"the template {templates[platform.template_id].name} is not ready"
        yield Reason("PLATFORM_NOT_VALID", text, "wait for its download, or name another one")
    if known.offerings is not None and platform.service_offering_id not in {o.id for o in known.offerings}:
        text = f"CloudStack shows no service offering {platform.service_offering_id or '(none is named)'}"
        yield Reason("PLATFORM_NOT_VALID", text, f"correct `service_offering_id` {where}")


def _idle(_spec: Spec, world: World) -> Iterator[Reason]:
    for job in world.source.active_jobs:
        progress = f", {job.progress:.0f} %" if job.progress is not None else ""
        fix = f"wait for it or cancel it; `failover why {world.source.name}` follows it"
        yield Reason("ACTIVE_JOBS", f"{job.kind} job {job.id} is {job.status}{progress}", fix)


def _context(_spec: Spec, world: World) -> Iterator[Reason]:
    """What the replication system itself has written down of the VM, where it does so."""
    name, status = world.source.name, world.source.context_status
    if status in FAILED_OVER:
        text = f"the replication system has {name} as {status}, and no run of ours did that"
        fix = f"take that failover back with the tool that began it; if it is over, correct the context of {name}"
        yield Reason("FAILED_OVER", text, fix)
    elif status == "cleanup_required":
        yield Reason(
            "CLEANUP_REQUIRED", f"the replication system says that {name} needs a clean-up", f"run a full sync of {name}"
        )
    elif status is not None and status not in BEGINS:
        text = f"the context of {name} has the status {status}, which says nothing of whether it may be failed over"
        fix = f"see what became of {name}, and correct current_status in vm_replication_contexts"
        yield Reason("CONTEXT_NOT_KNOWN", text, fix)
    elif status == "replicating" and not world.source.active_jobs:
        text = f"the replication system says that it replicates {name}, though it lists no job"
        yield Reason("ACTIVE_JOBS", text, f"wait for it; if nothing runs, correct the context of {name}")


def _disks(_spec: Spec, world: World) -> Iterator[Reason]:
    for disk in world.source.disks:
        yield from _disk(disk, world)
    shared = Counter(d.volume_id for d in world.source.disks if d.volume_id)
    for volume_id, uses in shared.items():
        if uses > 1:
            keys = ", ".join(d.key for d in world.source.disks if d.volume_id == volume_id)
            fix = "repair vm_disks.ossea_volume_id; one of these disks was overwritten and needs a full sync"
            yield Reason("VOLUME_SHARED", f"{keys} point to one volume {volume_id}", fix)


def _disk(disk: Disk, world: World) -> Iterator[Reason]:
    volume = world.replica(disk)
    if disk.volume_id is None:
        yield Reason("VOLUME_MISSING", f"{disk.key} has no volume in the database", "finish its first replication")
        return
    if disk.volume_id in world.claimed_volumes:
        other = world.claimed_volumes[disk.volume_id]
        fix = "repair vm_disks; one of the two was overwritten and needs a full sync"
        yield Reason("VOLUME_SHARED", f"{disk.key}'s volume {disk.volume_id} also belongs to {other}", fix)
    if volume is None:
        fix = "check the account of the API keys and `ossea_volumes`; the replica may have been deleted"
        yield Reason("VOLUME_NOT_FOUND", f"CloudStack shows no volume {disk.volume_id} of {disk.key}", fix)
        return
    place = world.place(volume.id)
    if place is not Place.APPLIANCE:
        where = "attached to nothing" if place is Place.NOWHERE else f"attached to VM {volume.vm_id}"
        fix = "attach it to the appliance again, or let the tool that moved it finish"
        yield Reason("VOLUME_NOT_AVAILABLE", f"{disk.key} ({volume.name}) is {where}, not on the appliance", fix)
    elif volume.device_id in (0, None):
        fix = "correct vm_disks: the appliance's own root is never touched"
        yield Reason("VOLUME_IS_ROOT", f"{disk.key} points to the appliance's own root disk", fix)
    if volume.state != "Ready":
        yield Reason("VOLUME_NOT_AVAILABLE", f"{disk.key} is {volume.state}, not Ready", "wait until it is Ready")
    if volume.size < disk.size_gb * GIB:
        text = f"{disk.key} has {disk.size_gb} GiB, its volume only {volume.size / GIB:.0f} GiB"
        yield Reason("VOLUME_TOO_SMALL", text, "resize the volume and run a full sync")


def _synced(_spec: Spec, world: World) -> Iterator[Reason]:
    for disk in world.source.disks:
        if disk.volume_id and not disk.change_id:
            yield Reason("NEVER_SYNCED", f"{disk.key} has no successful sync", f"replicate {world.source.name} once")
        if disk.volume_id in world.dirty:
            text = f"{disk.key} was written by an earlier test and not reverted"
            yield Reason("REPLICA_DIRTY", text, f"run a full sync of {world.source.name}")


def _left_behind(_spec: Spec, world: World) -> Iterator[Reason]:
    for disk in world.source.disks:
        if disk.is_left_behind:
            text = f"{disk.key} was not part of the last replication of {world.source.name} that was completed"
            fix = f"if {world.source.name} has that disk no more, remove its rows from vm_disks; if it has, replicate once"
            yield Reason("DISK_LEFT_BEHIND", text, fix)


def _blocking_rows(_spec: Spec, world: World) -> Iterator[Reason]:
    appliance = world.appliance
    for row in world.vm_snapshots.values():
        if appliance is not None and row.vm_id == appliance.id:
            text = f"VM snapshot {row.name} ({row.state}) on the appliance blocks every detach"
            yield Reason("APPLIANCE_SNAPSHOT", text, f"delete VM snapshot {row.id} of {appliance.name}")


def _boot_disk(spec: Spec, world: World) -> Iterator[Reason]:
    if not world.source.disks:
        return
    try:
        ordered = placing.in_order(world.source.disks, spec.boot_disk)
    except placing.Ambiguous as unclear:
        fix = f"say which one boots: `boot_disk: {world.source.disks[0].key}` in {spec.origin}"
        yield Reason("BOOT_DISK_AMBIGUOUS", f"the boot disk is not clear: {unclear}", fix)
        return
    if len(ordered) > placing.MAX_DATA_DISKS + 1:
        text = f"{len(ordered)} disks; a KVM guest holds one root and {placing.MAX_DATA_DISKS} data disks"
        yield Reason("TOO_MANY_DISKS", text, "this VM cannot be failed over as it is")


def _networks(spec: Spec, world: World) -> Iterator[Reason]:
    for card in placing.cards(spec, world):
        if card.problem is not None:
            map_it = f"map it to a test network (`failover network suggest {world.source.name}` names those that fit)"
            fix = f"{map_it}, or say `networks: {{{card.adapter}: disconnected}}` in {spec.origin}"
            yield Reason("NETWORK_MAPPING_MISSING", card.problem, fix)
        elif card.network is not None:
            yield from _outwards(card.adapter, card.network, world)
    for name in sorted(set(spec.networks) - set(world.source.adapters)):
        known = ", ".join(f'"{a}"' for a in world.source.adapters) or "none"
        fix = f"correct `networks` in {spec.origin}"
        yield Reason("UNKNOWN_ADAPTER", f'the VM has no adapter on "{name}"; it has: {known}', fix)
    if not any(card.network for card in placing.cards(spec, world)) and not _has_network_problem(spec, world):
        fix = f"connect at least one adapter to a test network in {spec.origin}"
        if not world.source.adapters:
            fix = f"run discovery of {world.source.name}, so that the networks of its adapters are recorded"
        yield Reason("NO_NETWORK", "the guest would have no network at all, and CloudStack would choose one", fix)


def _outwards(adapter: str, network: Network, world: World) -> Iterator[Reason]:
    """Every path that leads from a guest on this network to what is outside (INV-08)."""
    for path in bubble.prove(network, world.networks, world.test_networks).drawn(adapter):
        fix = "close this path, or map the adapter to a network without one, say of layer 2"
        yield Reason("NETWORK_NOT_CLOSED", f"a path leads out of the test: {path}", fix)


def _has_network_problem(spec: Spec, world: World) -> bool:
    return any(card.problem for card in placing.cards(spec, world))


def _name_free(_spec: Spec, world: World) -> Iterator[Reason]:
    name = placing.guest_name(world)
    if name in world.names_taken:
        fix = "end that test, or rename or expunge that VM, then plan again"
        yield Reason("NAME_TAKEN", f"the name {name} is taken, by a VM in CloudStack or by the test of another VM", fix)


Guard = Callable[[Spec, World], Iterator[Reason]]
GUARDS: tuple[Guard, ...] = (
    _supported,
    _strategy,
    _identified,
    _described,
    _platform,
    _idle,
    _context,
    _disks,
    _synced,
    _blocking_rows,
    _left_behind,
    _boot_disk,
    _networks,
    _name_free,
)
