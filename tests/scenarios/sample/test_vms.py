"""Each of the sample VMs, by name: what a plan for it says, or why there is none; in three generations of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from plans import actions
from plans.observed import Place
from plans.plan import Plan, Refusal
from tests.mariadb import Server
from tests.scenarios.house import Drill
from tests.scenarios.sample import house

GENERATIONS = ("embedded on SQLite", "g1", "g3")
LONG = next(vm.name for vm in house.BY_NUMBER.values() if len(vm.name) > 63)


@dataclass(frozen=True)
class Planned:
    """A plan: the host name of the guest, the disks in the order of the devices they get, and what the plan warns of."""

    guest: str
    disks: tuple[str, ...] = ("disk-2000",)
    warning: str | None = None
    uefi: bool = False


@dataclass(frozen=True)
class Refused:
    """No plan: the codes of the reasons, and words in which they say what is wrong or what to do."""

    codes: tuple[str, ...]
    words: str


SKIP = "skip_validation: {reason: a drill}\n"
THREE = ("disk-2000", "disk-2001", "disk-2002")
EXPECTED: dict[tuple[str, str], Planned | Refused] = {
    ("PGWINTESTBIOS", ""): Planned("pgwintestbios-test"),
    ("lnx-db3", ""): Planned("lnx-db3-test", THREE),
    ("lnx-db3-gap", ""): Refused(("VOLUME_MISSING",), "disk-2001 has no volume"),
    ("web-multi-job", ""): Planned("web-multi-job-test", warning="the last sync of disk-2000 failed"),
    ("no-changeid", ""): Refused(("NEVER_SYNCED",), "disk-2000 has no successful sync"),
    ("short-changeid", ""): Planned("short-changeid-test"),
    ("no-changeid", SKIP): Planned("no-changeid-test", warning="leaves out: disk-2000 has no successful sync"),
    ("partial-cbt", ""): Refused(("NEVER_SYNCED",), "disk-2001 has no successful sync"),
    ("legacy-net", ""): Refused(("NETWORK_MAPPING_MISSING",), 'adapter "Legacy Network" has no test network'),
    ("legacy-net", "networks: {Legacy Network: disconnected}\n"): Planned("legacy-net-test"),
    ("legacy-net", "networks: {Legacy Network: test-network-db}\n"): Planned("legacy-net-test"),
    ("legacy-net", "networks: {Legacy Network: network-dmz-456}\n"): Refused(("NETWORK_MAPPING_MISSING",), "not flagged"),
    ("no-testnet", ""): Refused(("NETWORK_MAPPING_MISSING",), 'adapter "VM Network" has no test network'),
    ("busy-sync", ""): Refused(("ACTIVE_JOBS",), "is replicating, 42 %"),
    ("odd-state", ""): Refused(("ACTIVE_JOBS",), "is ready_for_sync"),
    ("stuck-pending", ""): Refused(("ACTIVE_JOBS",), "failover job stuck-1 is pending"),
    ("test-running", ""): Planned("test-running-test"),
    ("test-overdue", ""): Planned("test-overdue-test", THREE[:2]),
    ("half-moved", ""): Planned("half-moved-test", THREE),
    ("snap-left", ""): Planned("snap-left-test"),
    ("drifted", ""): Refused(("VOLUME_NOT_AVAILABLE",), "attached to nothing"),
    ("dirty-copy", ""): Planned("dirty-copy-test"),
    ("nvme-boot", ""): Refused(("BOOT_DISK_AMBIGUOUS",), "disk-2000 (SCSI), disk-31000 (NVMe)"),
    ("nvme-boot", "boot_disk: disk-31000\n"): Planned("nvme-boot-test", ("disk-31000", "disk-2000"), uefi=True),
    ("nvme-boot", "boot_disk: disk-4711\n"): Refused(("BOOT_DISK_AMBIGUOUS",), "boot_disk disk-4711 is none of"),
    ("discovered-only", ""): Refused(
        ("VM_UNDESCRIBED", "NOT_REPLICATED", "VOLUME_MISSING", "NO_NETWORK"), "run discovery or one replication"
    ),
    ("spec-zero", ""): Refused(("VM_UNDESCRIBED",), "knows no CPU and memory of spec-zero"),
    ("My_VM@2025", ""): Planned("my-vm-2025-test"),
    ("123 Server", ""): Planned("vm-123-server-test"),
    ("Finance DB (prod)", ""): Planned("finance-db-prod-test"),
    ("Büro-Server 7", ""): Planned("b-ro-server-7-test"),
    ("___", ""): Planned("test-vm-test"),
    (LONG, ""): Planned("a-very-long-name-a-very-long-name-a-very-long-name-a-very-test"),
    ("WEB.01", ""): Planned("web-01-test"),
    ("web-01", ""): Planned("web-01-test"),
    ("app1", ""): Planned("app1-test"),
    ("app10", ""): Planned("app10-test"),
    ("twin", ""): Refused(("VM_AMBIGUOUS",), "not one VM but 2"),
    ("twin on vcenter2.example.org", ""): Planned("twin-test"),
    ("shared-vol", ""): Refused(("VOLUME_SHARED",), "disk-2000, disk-2001 point to one volume"),
    ("big-64", ""): Planned("big-64-test", tuple(f"disk-{n}" for n in range(2000, 2016))),
    ("bad-json", ""): Refused(("NO_NETWORK",), "run discovery of bad-json"),
    ("name-keyed", ""): Planned("name-keyed-test", warning="stored under the name name-keyed instead of its uuid"),
}


@pytest.fixture(scope="module", params=GENERATIONS)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """A house of all sample VMs; nothing is done in it."""
    folder = tmp_path_factory.mktemp("sample")
    if request.param.endswith("on SQLite"):
        with house.a_house(folder) as made:
            yield made
        return
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name, house.a_house_over(server.url(name), request.param, folder) as made:
        yield made


@pytest.mark.parametrize(("vm", "more"), EXPECTED, ids=[f"{vm} {more}".strip() for vm, more in EXPECTED])
def test_a_sample_vm_is_planned_or_refused_as_what_it_is(fleet: Drill, vm: str, more: str) -> None:
    found, expected = fleet.planned(house.spec(vm, more)), EXPECTED[vm, more]
    if isinstance(expected, Refused):
        assert isinstance(found, Refusal), found
        assert tuple(dict.fromkeys(reason.code for reason in found.reasons)) == expected.codes
        assert any(expected.words in f"{reason.text} {reason.fix}" for reason in found.reasons), found.reasons
        assert all(reason.fix and "live" not in reason.fix for reason in found.reasons)
        return
    assert isinstance(found, Plan), found.reasons
    (create,) = (s.action for s in found.steps if isinstance(s.action, actions.CreateGuest))
    assert (create.name, create.uefi) == (expected.guest, expected.uefi)
    assert lent(found) == expected.disks
    assert [w for w in found.warnings if expected.warning is None or expected.warning not in w] == []
    assert bool(found.warnings) is (expected.warning is not None)


def lent(plan: Plan) -> tuple[str, ...]:
    """The disks that go to the guest, in the order in which they go; their devices are 0, 1, 2, 4 and on."""
    attached = [s.action for s in plan.steps if isinstance(s.action, actions.AttachReplica)]
    assert all(a.target is Place.GUEST for a in attached)
    assert [a.device for a in attached] == [n for n in range(len(attached) + 1) if n != 3][: len(attached)]
    return tuple(a.disk for a in attached)


def test_every_sample_vm_is_expected(fleet: Drill) -> None:
    assert {vm for vm, _ in EXPECTED} | {"live-done"} == set(fleet.keys)


def test_no_plan_changed_anything(fleet: Drill) -> None:
    assert fleet.attempted() == []
    assert fleet.rows("select id from fr_specs union all select id from fr_runs") == []
