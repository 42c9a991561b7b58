"""Every check of the platform: a world in which all pass, one for each in which it fails, and what cannot be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import plans
from plans import doctor
from plans.doctor import Category, Noted, RunSeen, Seen, Service, Status
from plans.observed import (
    MARK,
    Account,
    ActiveJob,
    Capabilities,
    Estate,
    Offering,
    Template,
    VmSnapshot,
    Volume,
    VolumeSnapshot,
    Zone,
)
from simulator import registry
from specs.model import Strategy
from tests.plans import worlds
from tests.plans.worlds import APPLIANCE, GIB, PRODUCTION, TEST_NET, ZONE, volume_id

AT = datetime(2026, 11, 24, 14, tzinfo=UTC)
WORLD = worlds.world()
assert WORLD.appliance is not None
MACHINE = replace(WORLD.appliance, account="dr", domain_id="domain-1")
ABLE = Capabilities("4.22.1.0", True, True, "nfs", 10, 10, 1000, 1000, 10, 100, 100_000)
ROLE = """
queryAsyncJobResult listVolumes attachVolume detachVolume deleteVolume createVolume
listSnapshots createSnapshot revertSnapshot deleteSnapshot
listVMSnapshot createVMSnapshot revertToVMSnapshot deleteVMSnapshot
listVirtualMachines deployVirtualMachine createTags startVirtualMachine stopVirtualMachine destroyVirtualMachine
"""
COMMANDS = frozenset(ROLE.split())
PLATFORM = worlds.source().platform
assert PLATFORM is not None
TEMPLATE = Template(PLATFORM.template_id, "blank", True, 2 * GIB)
OFFERING = Offering(PLATFORM.service_offering_id, "custom", True)
PARTS = ("server", "tables", "words", "unique", "times", "sql_mode", "collated", "writable", "rights", "ours")
GOOD = Seen(
    at=AT,
    endpoint="https://cloud.example.org/client/api",
    took=timedelta(seconds=1),
    estate=Estate(AT, ABLE, {MACHINE.id: MACHINE}, WORLD.volumes, {}, {}, WORLD.networks),
    zones=(Zone(ZONE, "zone1"),),
    templates=(TEMPLATE,),
    offerings=(OFFERING,),
    disk_offerings=(Offering("d", "custom", True),),
    commands=COMMANDS,
    account=Account("dr", "domain-1"),
    sources=(worlds.source(),),
    database={name: Noted("as it should be") for name in (*PARTS, "configurations")},
    runs=(),
    source_side={name: Service(True) for name in ("appliance", "replication", "daemon")},
    possible={Strategy.CLONE: (1, "")},
)
RUN = RunSeen("run-1", "PGWINTESTBIOS", True, vm_key=worlds.source().key)


def estate(**changes: Any) -> Seen:
    assert GOOD.estate is not None
    return replace(GOOD, estate=replace(GOOD.estate, **changes))


def able(**changes: Any) -> Seen:
    return estate(capabilities=replace(ABLE, **changes))


def source(**changes: Any) -> Seen:
    return replace(GOOD, sources=(replace(worlds.source(), **changes),))


def named(**changes: Any) -> Seen:
    assert PLATFORM is not None
    return source(platform=replace(PLATFORM, **changes))


def network(**changes: Any) -> Seen:
    return estate(networks={**WORLD.networks, TEST_NET.id: replace(TEST_NET, **changes)})


def appliance(**changes: Any) -> Seen:
    return estate(machines={MACHINE.id: replace(MACHINE, **changes)})


def without(*commands: str) -> Seen:
    return replace(GOOD, commands=COMMANDS - set(commands))


def noted(name: str) -> Seen:
    return replace(GOOD, database={**GOOD.database, name: Noted("seen", "it is wrong")})


def silent(name: str) -> Seen:
    return replace(GOOD, source_side={**GOOD.source_side, name: Service(False, "no answer")})


def run(**changes: Any) -> Seen:
    return replace(GOOD, runs=(replace(RUN, **changes),), led=frozenset({RUN.vm_key}))


def marked(kind: str) -> Seen:
    """Something of a run that is over is left in CloudStack."""
    tags = {MARK: "run-1"}
    left = {
        "machines": {MACHINE.id: MACHINE, "m": replace(MACHINE, id="m", name="left", tags=tags)},
        "volumes": {**WORLD.volumes, "v": Volume("v", "left", "Ready", "DATADISK", GIB, ZONE, tags=tags)},
        "snapshots": {"s": VolumeSnapshot("s", "left", "v", "BackedUp", tags)},
    }
    return replace(estate(**{kind: left[kind]}), runs=(replace(RUN, is_open=False),))


BAD: dict[str, Seen] = {
    "connectivity.path": replace(GOOD, endpoint="https://cloud.example.org/client"),
    "connectivity.reachable": replace(GOOD, trouble="no answer", estate=None, took=None),
    "connectivity.keys": replace(GOOD, trouble="not accepted", refused=True, estate=None, took=None),
    "connectivity.quick": replace(GOOD, took=timedelta(seconds=10)),
    "connectivity.release": able(release="4.14.9"),
    "zone.exists": named(zone="nowhere"),
    "zone.appliance": replace(appliance(zone_id="z2"), zones=(Zone(ZONE, "zone1"), Zone("z2", "zone2"))),
    "template.exists": named(template_id="gone"),
    "template.ready": replace(GOOD, templates=(replace(TEMPLATE, is_ready=False),)),
    "template.small": replace(GOOD, templates=(replace(TEMPLATE, size=20 * GIB + 1),)),
    "network.tests": source(mappings=()),
    "network.usable": network(state="Setup"),
    "network.closed": network(type="Shared"),
    "network.distinct": source(mappings=tuple(replace(m, network_id=TEST_NET.id) for m in worlds.source().mappings)),
    "network.mapped": source(mappings=worlds.source().mappings[:1]),
    "service-offering.exists": named(service_offering_id=""),
    "service-offering.custom": replace(GOOD, offerings=(replace(OFFERING, is_custom=False, cpus=2, memory_mb=4096),)),
    "service-offering.large": replace(GOOD, offerings=(replace(OFFERING, is_custom=False, cpus=2, memory_mb=4095),)),
    "disk-offering.custom": replace(GOOD, disk_offerings=(Offering("d", "fixed", False),)),
    "appliance.named": source(platform=None),
    "appliance.exists": named(appliance_id="gone"),
    "appliance.running": appliance(state="Stopped"),
    "appliance.snapshots": estate(vm_snapshots={"s": VmSnapshot("s", "by hand", APPLIANCE, "Error")}),
    "limits.volumes": able(volumes_left=0),
    "limits.vms": able(vms_left=0),
    "limits.cpus": able(cpus_left=1),
    "limits.memory": able(memory_mb_left=4095),
    "limits.snapshots": able(snapshots_left=0),
    "limits.primary": able(primary_gib_left=39),
    "limits.secondary": able(secondary_gib_left=39),
    "capabilities.jobs": without("queryAsyncJobResult"),
    "capabilities.strategy": replace(GOOD, possible=dict.fromkeys(Strategy, (0, "why not"))),
    "capabilities.in-place": able(kvm_snapshot_enabled=False),
    "capabilities.storage": able(storage=""),
    "volumes.list": without("listVolumes"),
    "volumes.move": without("detachVolume"),
    "volumes.delete": without("deleteVolume"),
    "volumes.clone": without("createVolume"),
    "snapshots.make": without("createSnapshot"),
    "snapshots.revert": without("revertSnapshot"),
    "snapshots.delete": without("deleteSnapshot"),
    "snapshots.whole": without("revertToVMSnapshot"),
    "vms.make": without("createTags"),
    "vms.power": without("stopVirtualMachine"),
    "vms.destroy": without("destroyVirtualMachine"),
    "vms.expunge": able(may_expunge=False),
    "account.same": replace(GOOD, account=Account("other", "domain-1")),
    **{f"database.{name}": noted(name) for name in PARTS},
    "hygiene.vms": marked("machines"),
    "hygiene.volumes": marked("volumes"),
    "hygiene.snapshots": marked("snapshots"),
    "hygiene.replicas": estate(volumes={volume_id(0): replace(WORLD.volumes[volume_id(0)], vm_id=None)}),
    "hygiene.vm-snapshots": replace(
        estate(vm_snapshots={"s": VmSnapshot("s", "fr-1", "elsewhere", "Ready")}),
        runs=(replace(RUN, is_open=False, named=frozenset({"fr-1"})),),
    ),
    "hygiene.lost": estate(volumes={k: v for k, v in WORLD.volumes.items() if k != volume_id(0)}),
    "hygiene.remembered": source(disks=tuple(replace(d, snapshot_id="old-1") for d in worlds.source().disks)),
    "hygiene.dirty": replace(GOOD, dirty={worlds.source().key: frozenset({volume_id(0)})}),
    "hygiene.leases": replace(GOOD, idle_leases=frozenset({worlds.source().key})),
    "hygiene.configurations": replace(
        GOOD, database={**GOOD.database, "configurations": Noted("a, b", odd="2 are active: a, b")}
    ),
    "hygiene.overdue": run(expires_at=AT - timedelta(minutes=10, seconds=1)),
    "hygiene.stuck": run(is_stuck=True),
    "hygiene.led": replace(run(), led=frozenset()),
    "hygiene.contexts": source(context_id="c", context_status="failed_over_test"),
    "hygiene.jobs": source(active_jobs=(ActiveJob("job-1", "failover", "pending"),)),
    "hygiene.findings": source(findings=("something odd",)),
    "hygiene.shared": source(disks=tuple(replace(d, volume_id=volume_id(0)) for d in worlds.source(2).disks)),
    **{f"source.{name}": silent(name) for name in ("appliance", "replication", "daemon")},
}
IDS = [one.id for one in doctor.CHECKS]


def statuses(seen: Seen) -> dict[str, Status]:
    return {f.check.id: f.status for f in doctor.examine(seen)}


def test_there_are_as_many_checks_as_are_promised_each_with_its_failure() -> None:
    assert len(IDS) == len(set(IDS)) >= 35
    assert set(BAD) == set(IDS)
    assert {one.category for one in doctor.CHECKS} == set(Category)
    assert all(one.why and one.mend for one in doctor.CHECKS)


def test_where_all_is_well_nothing_is_wrong_and_everything_is_seen() -> None:
    assert set(statuses(GOOD).values()) == {Status.OK}


@pytest.mark.parametrize("ident", BAD)
def test_a_check_fails_where_it_should_as_badly_as_it_says_and_tells_what_it_saw(ident: str) -> None:
    (found,) = [f for f in doctor.examine(BAD[ident]) if f.check.id == ident]
    assert found.status == Status(found.check.severity)
    assert found.seen
    assert doctor.worst([found]) is found.status


def changing() -> list[str]:
    """The commands by which the client changes something, or asks what came of it, as its source names them."""
    folder = Path(plans.__file__).parents[1] / "reconciler" / "cloudstack"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    called = re.findall(r'"([a-z]+[A-Z][A-Za-z]+)"', text)
    return sorted({name for name in called if name in registry.COMMANDS and not name.startswith("list")})


@pytest.mark.parametrize("command", changing())
def test_a_right_that_the_account_lacks_is_told_before_it_is_needed(command: str) -> None:
    assert GOOD.commands is not None
    found = doctor.examine(replace(GOOD, commands=GOOD.commands - {command}))
    (lacking,) = [f for f in found if f.status is not Status.OK]
    assert command in lacking.seen


def test_no_right_is_asked_for_that_is_never_used() -> None:
    assert set(changing()) == {command for command in COMMANDS if not command.startswith("list")}


SCARCE: dict[str, Callable[[], Seen]] = {
    "CloudStack does not answer": lambda: Seen(at=AT, endpoint="x/api", trouble="no answer", sources=GOOD.sources),
    "the role lacks every list": lambda: replace(
        GOOD, zones=None, templates=None, offerings=None, disk_offerings=None, commands=None, account=None
    ),
    "our tables are not there": lambda: replace(GOOD, runs=None),
    "there is no VM at all": lambda: replace(GOOD, sources=(), possible={}),
    "nothing at all": lambda: Seen(at=AT, endpoint="x/api"),
}


@pytest.mark.parametrize("name", SCARCE)
def test_what_cannot_be_seen_is_neither_well_nor_wrong(name: str) -> None:
    found = statuses(SCARCE[name]())
    assert Status.HIDDEN in found.values()
    allowed = {"connectivity.reachable", "network.tests"}
    assert {i for i, s in found.items() if s in (Status.CRITICAL, Status.WARNING)} <= allowed


def test_only_what_is_asked_for_is_examined() -> None:
    found = doctor.examine(GOOD, [Category.VMS, Category.ZONE])
    assert [f.check.category for f in found] == [Category.ZONE] * 2 + [Category.VMS] * 4


@given(st.sampled_from(sorted(BAD)), st.sampled_from([f.name for f in fields(Seen) if f.default is None]))
def test_a_part_that_is_missing_besides_breaks_no_check(ident: str, part: str) -> None:
    seen = replace(BAD[ident], **{part: None})
    assert len(doctor.examine(seen)) == len(IDS)


def test_what_belongs_to_an_open_run_is_no_orphan_and_an_unknown_run_is_told_as_such() -> None:
    seen = marked("snapshots")
    assert [(kind, ident) for kind, _, ident, _ in doctor.orphans(seen)] == [("snapshot", "s")]
    assert list(doctor.orphans(replace(seen, runs=(RUN,)))) == []
    (found,) = [f for f in doctor.examine(replace(seen, runs=())) if f.check.id == "hygiene.snapshots"]
    assert "which this database does not know" in found.seen


@pytest.mark.parametrize(
    ("kind", "name"), [("volumes", "failover-clone-1"), ("vm_snapshots", "failover-point-1")], ids=["clone", "VM snapshot"]
)
def test_what_cannot_be_marked_is_known_by_the_name_that_the_journal_gave_it(kind: str, name: str) -> None:
    left = {
        "volumes": {**WORLD.volumes, "v": Volume("v", name, "Ready", "DATADISK", GIB, ZONE)},
        "vm_snapshots": {"v": VmSnapshot("v", name, "vm-x", "Ready")},
    }
    seen = estate(**{kind: left[kind]})
    over = replace(RUN, is_open=False, named=frozenset({name}))
    assert [(ident, run) for _, _, ident, run in doctor.orphans(replace(seen, runs=(over,)))] == [("v", "run-1")]
    assert list(doctor.orphans(replace(seen, runs=(replace(over, is_open=True),)))) == []
    assert list(doctor.orphans(replace(seen, runs=(replace(over, named=frozenset()),)))) == []


def test_what_lost_its_mark_is_known_by_its_id_and_what_is_removed_is_not_left() -> None:
    volumes = {**WORLD.volumes, "v": Volume("v", "left", "Ready", "DATADISK", GIB, ZONE)}
    over = (replace(RUN, is_open=False, made=frozenset({"v"})),)
    assert [row[2] for row in doctor.orphans(replace(estate(volumes=volumes), runs=over))] == ["v"]
    volumes["v"] = replace(volumes["v"], state="Expunged")
    assert list(doctor.orphans(replace(estate(volumes=volumes), runs=over))) == []


def test_runs_are_told_apart_by_the_key_of_their_vm_and_not_by_its_name() -> None:
    twin = replace(
        worlds.source(), key="4205a841-0265-f4bd-39a6-0000000000aa", context_id="c", context_status="failed_over_test"
    )
    seen = replace(run(), sources=(worlds.source(), twin))
    (found,) = [f for f in doctor.examine(seen) if f.check.id == "hygiene.contexts"]
    assert found.status is Status.WARNING, "the run is of the other one"


@pytest.mark.parametrize(
    ("ours", "theirs", "same"), [("domain-1", "domain-2", False), ("", "domain-2", True), ("domain-1", "", True)]
)
def test_an_account_of_one_name_in_another_domain_is_another_one(ours: str, theirs: str, same: bool) -> None:
    seen = replace(appliance(domain_id=theirs), account=Account("dr", ours))
    (found,) = [f for f in doctor.examine(seen) if f.check.id == "account.same"]
    assert (found.status is Status.OK) is same, found.seen


def test_the_probe_counts_vms_and_names_the_first_objection() -> None:
    found = doctor.probe([worlds.world(), worlds.world(2)])
    assert found[Strategy.VOLUME_SNAPSHOT] == (2, "")
    count, why = found[Strategy.VM_SNAPSHOT]
    assert (count, "needs storage of files" in why) == (0, True)
    assert doctor.probe([]) == {}


def test_networks_are_flagged_by_settings_too() -> None:
    seen = replace(source(mappings=()), tests=frozenset({PRODUCTION.name}))
    assert [n.id for n in seen.test_networks] == [PRODUCTION.id]
