"""What stands against a test: each reason by its code, and what makes it go away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plans import guards, readiness
from plans.observed import ActiveJob, Catalog, Disk, Offering, Platform, RunFacts, Template, VmSnapshot, World, Zone
from specs.model import SkipValidation, Spec, State, Strategy
from tests.plans import worlds
from tests.plans.worlds import APPLIANCE, GIB, PRODUCTION, TEST_NET, ZONE, volume_id


def codes(world: World, spec: Spec | None = None) -> list[str]:
    return [reason.code for reason in guards.reasons(spec or worlds.spec(), world)]


def texts(world: World, spec: Spec | None = None) -> str:
    return " | ".join(reason.text for reason in guards.reasons(spec or worlds.spec(), world))


def described(disks: int = 2, **changes: object) -> World:
    """A world whose database says something else."""
    return worlds.world(disks, source=replace(worlds.source(disks), **changes))


def with_disk(number: int, **changes: object) -> World:
    """Two disks, one of which the database describes otherwise; what CloudStack shows stays as it was."""
    world = worlds.world(2)
    disks = [replace(d, **changes) if n == number else d for n, d in enumerate(world.source.disks)]
    return replace(world, source=replace(world.source, disks=tuple(disks)))


def with_volume(number: int, **changes: object) -> World:
    world = worlds.world(2)
    found = replace(world.volumes[volume_id(number)], **changes)
    return replace(world, volumes={**world.volumes, found.id: found})


def with_appliance(**changes: object) -> World:
    world = worlds.world(2)
    assert world.appliance is not None
    return replace(world, appliance=replace(world.appliance, **changes))


PLATFORM = Platform("primary-ossea", "home", "template-1", "offering-1", APPLIANCE)


def shown(**changes: object) -> World:
    """A VM whose configuration names its zone by name, and what CloudStack shows of what it names."""
    whole = Catalog(
        (Zone(ZONE, "home"), Zone("zone-2", "away")),
        (Template("template-1", "seed", is_ready=True),),
        (Offering("offering-1", "custom", is_custom=True),),
    )
    return replace(described(platform=PLATFORM), catalog=replace(whole, **changes))


def test_nothing_stands_against_the_seeds_own_vm() -> None:
    assert codes(worlds.world()) == []
    assert codes(worlds.world(2)) == []


REFUSED: dict[str, tuple[World, Spec, list[str]]] = {
    "live failover": (worlds.world(), worlds.spec(state=State.LIVE_FAILOVER), ["NOT_OFFERED"]),
    "a strategy that the cloud does not allow": (
        worlds.world(), worlds.spec(strategy=Strategy.VM_SNAPSHOT), ["STRATEGY_NOT_POSSIBLE"]
    ),
    "no CPU": (described(cpus=0), worlds.spec(), ["VM_UNDESCRIBED"]),
    "no memory": (described(memory_mb=0), worlds.spec(), ["VM_UNDESCRIBED"]),
    "no disk": (described(0), worlds.spec(), ["NO_DISKS"]),
    "no platform": (described(platform=None), worlds.spec(), ["OSSEA_NOT_CONFIGURED"]),
    "no appliance": (replace(described(0), appliance=None), worlds.spec(), ["NO_DISKS", "APPLIANCE_NOT_FOUND"]),
    "an appliance on its way": (with_appliance(state="Starting"), worlds.spec(), ["APPLIANCE_NOT_READY"]),
    "a name instead of a uuid": (described(key="WEB01"), worlds.spec(), ["VM_NOT_IDENTIFIED"]),
    "no replication that was completed": (described(last_job_id=None), worlds.spec(), ["NOT_REPLICATED"]),
    "a template that is not shown": (shown(templates=()), worlds.spec(), ["PLATFORM_NOT_VALID"]),
    "a template that is not ready": (
        shown(templates=(Template(PLATFORM.template_id, "seed", is_ready=False),)), worlds.spec(), ["PLATFORM_NOT_VALID"]
    ),
    "no template named": (
        replace(shown(), source=replace(worlds.source(), platform=replace(PLATFORM, template_id=""))),
        worlds.spec(), ["PLATFORM_NOT_VALID"],
    ),
    "a service offering that is not shown": (
        shown(offerings=(Offering("other", PLATFORM.service_offering_id, is_custom=True),)),
        worlds.spec(), ["PLATFORM_NOT_VALID"],
    ),
    "a zone that is not the appliance's": (
        shown(zones=(Zone(ZONE, "elsewhere"), Zone("zone-2", "home"))), worlds.spec(), ["PLATFORM_NOT_VALID"],
    ),
    "a disk without a volume": (with_disk(1, volume_id=None), worlds.spec(), ["VOLUME_MISSING"]),
    "a volume that is not there": (with_disk(1, volume_id="nowhere"), worlds.spec(), ["VOLUME_NOT_FOUND"]),
    "one volume for two disks": (with_disk(1, volume_id=volume_id(0), size_gb=40), worlds.spec(), ["VOLUME_SHARED"]),
    "a volume that another VM claims": (
        replace(worlds.world(), claimed_volumes={volume_id(0): "ERP"}), worlds.spec(), ["VOLUME_SHARED"]
    ),
    "a volume that hangs nowhere": (with_volume(1, vm_id=None, device_id=None), worlds.spec(), ["VOLUME_NOT_AVAILABLE"]),
    "a volume that hangs elsewhere": (with_volume(1, vm_id="vm-x"), worlds.spec(), ["VOLUME_NOT_AVAILABLE"]),
    "the appliance's own root": (with_volume(1, device_id=0), worlds.spec(), ["VOLUME_IS_ROOT"]),
    "a volume without a device": (with_volume(1, device_id=None), worlds.spec(), ["VOLUME_IS_ROOT"]),
    "a volume that is not Ready": (with_volume(1, state="Uploading"), worlds.spec(), ["VOLUME_NOT_AVAILABLE"]),
    "a volume smaller than its disk": (with_volume(1, size=41 * GIB - 1), worlds.spec(), ["VOLUME_TOO_SMALL"]),
    "a disk that was never synced": (with_disk(1, change_id=None), worlds.spec(), ["NEVER_SYNCED"]),
    "a replica that an earlier test wrote to": (
        worlds.world(dirty=frozenset({volume_id(0)})), worlds.spec(), ["REPLICA_DIRTY"]
    ),
    "a disk that the last replication had no more": (
        with_disk(1, is_left_behind=True), worlds.spec(), ["DISK_LEFT_BEHIND"]
    ),
    "a volume that another VM claims, and that is not shown": (
        replace(with_disk(1, volume_id="nowhere"), claimed_volumes={"nowhere": "ERP"}),
        worlds.spec(), ["VOLUME_SHARED", "VOLUME_NOT_FOUND"],
    ),
    "a VM snapshot on the appliance": (
        replace(worlds.world(), vm_snapshots={"s": VmSnapshot("s", "by hand", APPLIANCE, "Error")}),
        worlds.spec(), ["APPLIANCE_SNAPSHOT"],
    ),
    "a boot disk that is not clear": (
        with_disk(1, key="disk-31000"), worlds.spec(), ["BOOT_DISK_AMBIGUOUS"]
    ),
    "more disks than a guest holds": (worlds.world(34), worlds.spec(), ["TOO_MANY_DISKS"]),
    "an adapter without a test network": (described(mappings=()), worlds.spec(), ["NETWORK_MAPPING_MISSING"]),
    "a production network": (
        worlds.world(), worlds.spec(networks={"VM Network": PRODUCTION.name}), ["NETWORK_MAPPING_MISSING"]
    ),
    "an adapter that the VM does not have": (
        worlds.world(), worlds.spec(networks={"Other": TEST_NET.name}), ["UNKNOWN_ADAPTER"]
    ),
    "every adapter disconnected": (worlds.world(), worlds.spec(networks={"VM Network": "disconnected"}), ["NO_NETWORK"]),
    "no adapter at all": (described(adapters=()), worlds.spec(), ["NO_NETWORK"]),
    "a name that is taken": (worlds.world(names_taken=frozenset({"pgwintestbios-test"})), worlds.spec(), ["NAME_TAKEN"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_has_its_code_and_says_what_to_do(what: str) -> None:
    world, spec, wanted = REFUSED[what]
    found = guards.reasons(spec, world)
    assert [reason.code for reason in found] == wanted
    assert all(reason.text and reason.fix for reason in found)


ALLOWED: dict[str, World] = {
    "a catalog in which everything is shown": shown(),
    "a catalog of which the account is shown nothing": shown(zones=None, templates=None, offerings=None),
    "a zone of the appliance that is not shown": shown(zones=()),
    "one CPU and one MB": described(cpus=1, memory_mb=1),
    "a stopped appliance": with_appliance(state="Stopped"),
    "a volume of just the size of its disk": with_volume(1, size=41 * GIB),
    "a volume that another VM claims, but not ours": replace(worlds.world(), claimed_volumes={"else": "ERP"}),
    "a VM snapshot of some other VM": replace(
        worlds.world(), vm_snapshots={"s": VmSnapshot("s", "by hand", "vm-x", "Ready")}
    ),
    "thirty-three disks": worlds.world(33),
    "a name that another VM has": worlds.world(names_taken=frozenset({"other-test"})),
    "the name is taken, but the next try has another": worlds.world(
        names_taken=frozenset({"pgwintestbios-test"}), attempt=2
    ),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_is_just_within_its_rule_is_allowed(what: str) -> None:
    assert codes(ALLOWED[what]) == []


def test_a_disk_without_a_volume_was_not_synced_either_but_that_is_said_once() -> None:
    assert codes(with_disk(1, volume_id=None, change_id=None)) == ["VOLUME_MISSING"]


def test_a_stopped_appliance_is_ready_and_a_missing_one_blocks_no_snapshot_row() -> None:
    row = VmSnapshot("s", "by hand", APPLIANCE, "Ready")
    assert "APPLIANCE_SNAPSHOT" not in codes(replace(worlds.world(), appliance=None, vm_snapshots={"s": row}))


def test_every_job_of_the_replication_system_is_a_reason_of_its_own_that_passes() -> None:
    jobs = (ActiveJob("job-1", "replication", "running", 41.6), ActiveJob("job-2", "failover", "queued"))
    found = guards.reasons(worlds.spec(), described(active_jobs=jobs))
    assert [r.code for r in found] == ["ACTIVE_JOBS", "ACTIVE_JOBS"]
    assert {r.code for r in found} == guards.PASSING
    assert [r.text for r in found] == ["replication job job-1 is running, 42 %", "failover job job-2 is queued"]


@pytest.mark.parametrize(("status", "code"), [
    ("failed_over_test", "FAILED_OVER"), ("failed_over_live", "FAILED_OVER"), ("cleanup_required", "CLEANUP_REQUIRED"),
    ("replicating", "ACTIVE_JOBS"), ("ready_for_failover", None), ("discovered", None), (None, None),
    ("unknown", "CONTEXT_NOT_KNOWN"), ("paused_by_hand", "CONTEXT_NOT_KNOWN"),
])  # fmt: skip
def test_what_the_replication_system_says_of_the_vm_counts(status: str | None, code: str | None) -> None:
    assert codes(described(context_status=status)) == ([code] if code else [])


def test_a_vm_that_replicates_with_a_job_is_told_once() -> None:
    busy = (ActiveJob("job-1", "replication", "running"),)
    found = guards.reasons(worlds.spec(), described(context_status="replicating", active_jobs=busy))
    assert [r.text for r in found] == ["replication job job-1 is running"]


def test_a_first_replication_that_works_is_told_as_that_alone() -> None:
    busy = (ActiveJob("job-1", "replication", "running"),)
    assert codes(described(last_job_id=None, active_jobs=busy)) == ["ACTIVE_JOBS"]


def test_the_disks_of_one_volume_are_named_and_the_others_are_not() -> None:
    world = worlds.world(3)
    first, second, third = world.source.disks
    disks = (first, replace(second, volume_id=first.volume_id, size_gb=40), third)
    told = texts(replace(world, source=replace(world.source, disks=disks)))
    assert told == f"disk-2000, disk-2001 point to one volume {volume_id(0)}"


def test_where_a_lost_replica_hangs_is_said() -> None:
    assert "attached to nothing" in texts(with_volume(1, vm_id=None, device_id=None))
    assert "attached to VM vm-x" in texts(with_volume(1, vm_id="vm-x"))


def test_all_reasons_are_told_at_once_in_the_order_in_which_one_would_mend_them() -> None:
    disks = (Disk("disk-2000", 40, 0, None), Disk("disk-31000", 40, 0, volume_id(0)))
    world = worlds.world(
        source=replace(worlds.source(), cpus=0, context_status="cleanup_required", mappings=()),
        dirty=frozenset({volume_id(0)}),
        names_taken=frozenset({"pgwintestbios-test"}),
    )
    world = replace(world, source=replace(world.source, disks=disks))
    assert codes(world) == [
        *("VM_UNDESCRIBED", "CLEANUP_REQUIRED", "VOLUME_MISSING", "NEVER_SYNCED", "REPLICA_DIRTY"),
        *("BOOT_DISK_AMBIGUOUS", "NETWORK_MAPPING_MISSING", "NAME_TAKEN"),
    ]


ALWAYS = {"V-02", "V-05", "V-06"}


def test_what_a_spec_may_leave_out_is_never_active_jobs_volumes_or_the_rollback_point() -> None:
    kept = {code for rule in readiness.RULES if rule.id in ALWAYS for code in rule.codes}
    assert not guards.SPARED & kept
    assert {code for rule in readiness.RULES for code in rule.codes} >= guards.SPARED


@pytest.mark.parametrize("name", REFUSED)
def test_leaving_out_checks_leaves_out_those_that_are_spared_and_no_other(name: str) -> None:
    world, spec, expected = REFUSED[name]
    skipping = spec.model_copy(update={"skip_validation": SkipValidation(reason="a drill")})
    assert [r.code for r in guards.against(spec, world)] == expected
    assert [r.code for r in guards.against(skipping, world)] == [c for c in expected if c not in guards.SPARED]
    assert [r.code for r in guards.left_out(skipping, world)] == [c for c in expected if c in guards.SPARED]
    assert guards.left_out(spec, world) == ()


def test_a_missing_network_is_not_told_twice() -> None:
    two = replace(worlds.source(), adapters=("VM Network", "Backup"))
    assert codes(worlds.world(source=two)) == ["NETWORK_MAPPING_MISSING"]
    cut = worlds.spec(networks={"VM Network": "disconnected", "Backup": "disconnected"})
    assert codes(worlds.world(source=two), cut) == ["NO_NETWORK"]
    half = worlds.spec(networks={"Backup": "disconnected"})
    assert codes(worlds.world(source=two), half) == []


def test_the_adapters_that_a_vm_has_are_named_beside_the_one_that_it_has_not() -> None:
    spec = worlds.spec(networks={"Other": TEST_NET.name, "Another": TEST_NET.name})
    found = [r.text for r in guards.reasons(spec, worlds.world())]
    assert found == [
        'the VM has no adapter on "Another"; it has: "VM Network"',
        'the VM has no adapter on "Other"; it has: "VM Network"',
    ]
    assert "it has: none" in texts(described(adapters=()), spec)


def test_of_a_test_that_has_begun_only_its_platform_is_asked_again() -> None:
    begun = replace(described(platform=None, cpus=0), run=RunFacts("run-1", "guest", reserved=True))
    assert [r.code for r in guards.still_known(worlds.spec(), begun)] == ["OSSEA_NOT_CONFIGURED"]
    assert guards.still_known(worlds.spec(), described(cpus=0)) == ()


def test_what_was_found_about_the_platform_is_the_reason_if_there_is_any() -> None:
    assert (
        texts(described(platform=None, findings=("two rows are active", "one is old"))) == "two rows are active; one is old"
    )
    assert "no active CloudStack configuration" in texts(described(platform=None))
