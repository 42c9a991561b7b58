"""What is read of the replication tables, the same in every generation of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from plans import guards
from plans.observed import ActiveJob, PastFailover, Source
from reconciler.store import joining, legacy, rows
from reconciler.store.database import Database
from tests.mariadb import Server
from tests.plans import worlds
from tests.reconciler.store import generations, vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.vms import GOOD, Vm, uuid, volume

PG, DB3 = "4205a841-0265-f4bd-39a6-39fd92196f53", "4205a841-0265-f4bd-39a6-39fd921900d3"
BY_JOB = tuple(g for g in generations.ALL if g != "g3")
Fleet = dict[str, Source]


@pytest.fixture(scope="session", params=generations.ALL)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """All sample VMs by key, as one generation tells of them; read once."""
    if request.param.endswith("on SQLite"):
        return _read(request.param, f"sqlite:///{tmp_path_factory.mktemp('fleet') / 'replication.db'}")
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name:
        return _read(request.param, server.url(name))


def _read(generation: str, url: str) -> Fleet:
    generations.fill(url, generation, vms.rows())
    with closed(Database(url)) as database:
        return read(database)


@contextmanager
def closed(database: Database) -> Iterator[Database]:
    yield database
    database.engine.dispose()


def read(database: Database) -> Fleet:
    adopted = legacy.adopt(database)
    with database.read() as connection:
        return {source.key: source for source in adopted.sources(connection)}


@dataclass(frozen=True)
class Case:
    """A VM, the codes of the reasons against testing it (some only where contexts are kept), and what else is seen."""

    number: int
    codes: tuple[str, ...] = ()
    shows: dict[str, Any] = field(default_factory=dict)
    finding: str | None = None
    in_context: tuple[str, ...] = ()


CASES = (
    Case(3, ("VOLUME_MISSING",), {"volumes": (volume(3, 2000), None, volume(3, 2002))}),
    Case(
        4,
        (),
        {"volumes": (volume(4, 2000, 1),), "changes": ("52 a1/2",), "last_job_id": vms.job(4, 1), "active_jobs": ()},
        "the last sync of disk-2000 failed",
    ),
    Case(5, ("NEVER_SYNCED",), {"changes": (None,)}),
    Case(6, (), {"changes": ("5/1",)}),
    Case(7, ("NEVER_SYNCED",), {"changes": (GOOD, None)}),
    Case(8, ("NETWORK_MAPPING_MISSING",), {"adapters": ("VM Network", "Legacy Network")}),
    Case(9, ("NETWORK_MAPPING_MISSING",)),
    Case(10, ("ACTIVE_JOBS",), {"active_jobs": (ActiveJob(vms.job(10, 1), "replication", "replicating", 42),)}),
    Case(11, ("ACTIVE_JOBS",), {"active_jobs": (ActiveJob(vms.job(11, 1), "replication", "ready_for_sync", 0),)}),
    Case(12, ("ACTIVE_JOBS",), {"active_jobs": (ActiveJob("stuck-1", "failover", "pending"),)}),
    *(Case(number) for number in (13, 14, 16, 17, 18, 19)),
    Case(15, in_context=("FAILED_OVER",)),
    Case(20, ("BOOT_DISK_AMBIGUOUS",), {"firmware": "uefi", "keys": ("disk-2000", "disk-31000"), "units": (1, 0)}),
    Case(
        21,
        ("VM_UNDESCRIBED", "NOT_REPLICATED", "VOLUME_MISSING", "NO_NETWORK"),
        {"name": "discovered-only", "last_job_id": None},
    ),
    Case(22, ("VM_UNDESCRIBED",), {"cpus": 0, "memory_mb": 0}),
    *(Case(vm.number, (), {"name": vm.name}) for vm in vms.VMS if 230 <= vm.number < 260),
    Case(260, (), {"vcenter": "vcenter.example.org"}),
    Case(261, (), {"vcenter": "vcenter2.example.org"}),
    Case(27, ("VOLUME_SHARED",), {"volumes": (volume(27), volume(27))}),
    Case(28, (), {"keys": tuple(f"disk-{n}" for n in range(2000, 2016)), "units": tuple(range(16))}),
    Case(29, ("NO_NETWORK",), {"adapters": ()}, "network_config of this VM is not readable"),
    Case(30, (), {"adapters": ("VM Network",)}, "under the name name-keyed instead of its uuid"),
    Case(101, ("ACTIVE_JOBS",), {"active_jobs": (ActiveJob("web-1", "failover", "cleanup"),)}, "under the name WEB01"),
    Case(102, ("NETWORK_MAPPING_MISSING",), {"active_jobs": (), "mappings": ()}),
    Case(103, ("NO_NETWORK",), {"adapters": ()}),
    Case(106, ("NEVER_SYNCED",), {"changes": (None,)}),
    Case(107, (), {"changes": (GOOD,), "last_job_id": vms.job(107, 1)}),
)


def shown(source: Source, what: str) -> Any:
    by_disk = {"volumes": "volume_id", "changes": "change_id", "keys": "key", "units": "unit_number"}
    if what in by_disk:
        return tuple(getattr(disk, by_disk[what]) for disk in source.disks)
    return getattr(source, what)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.number))
def test_a_sample_vm_is_read_as_what_it_is(fleet: Fleet, case: Case) -> None:
    source = fleet[uuid(case.number)]
    assert {what: shown(source, what) for what in case.shows} == case.shows
    assert [finding for finding in source.findings if case.finding is None or case.finding not in finding] == []
    assert bool(source.findings) is (case.finding is not None)
    codes = (*case.codes, *(case.in_context if source.context_id else ()))
    assert tuple(dict.fromkeys(reason.code for reason in reasons(source))) == codes


def reasons(source: Source) -> tuple[guards.Reason, ...]:
    """What stands against a test of this VM, if the cloud has every volume where it belongs."""
    held = {d.volume_id: d for d in source.disks if d.volume_id}
    world = worlds.world(source=replace(source, disks=tuple(held.values())))
    return guards.reasons(worlds.spec(), replace(world, source=source))


def test_every_sample_vm_has_its_case() -> None:
    assert {case.number for case in CASES} == {vm.number for vm in vms.VMS}


def test_the_product_s_own_sample_is_read_the_same_everywhere(fleet: Fleet) -> None:
    pg, db3 = fleet[PG], fleet[DB3]
    assert (pg.name, pg.vcenter, pg.cpus, pg.memory_mb, pg.os_type) == (
        "PGWINTESTBIOS",
        "vcenter.example.org",
        2,
        4096,
        "windows2019srv_64",
    )
    assert shown(pg, "volumes") == ("e915ef05-ddf5-48d5-8352-a01300609717",)
    assert shown(pg, "changes") == ("52 3c ec 11 9e 2c 4c 3d-87 4a c3 4e 85 f2 ea 95/5",)
    assert pg.platform is not None
    assert (pg.platform.config, pg.platform.appliance_id) == ("primary-ossea", worlds.APPLIANCE)
    assert (db3.cpus, db3.memory_mb, db3.adapters) == (8, 32768, ("App Net", "DB Net"))
    assert [(d.key, d.size_gb) for d in db3.disks] == [("disk-2000", 40), ("disk-2001", 200), ("disk-2002", 500)]
    assert len(set(shown(db3, "changes"))) == 3


def test_all_generations_tell_the_same_fleet(fleet: Fleet, furnish: Furnish) -> None:
    """Except for contexts, which only one has, for production mappings, which G1 has no room for, for full syncs of
    volumes that were replaced, which G3 does not tell apart, for times of syncs, which G1 has for a whole job, for
    snapshots of volumes, which it does not remember, and for when a job was shown, which is the moment of this test."""
    assert {k: plain(s) for k, s in fleet.items()} == {k: plain(s) for k, s in reference(furnish).items()}


def plain(source: Source) -> Source:
    tests = tuple(sorted((m for m in source.mappings if m.is_test), key=lambda m: m.source))
    disks = tuple(replace(disk, full_sync=None, synced_at=None, snapshot_id=None) for disk in source.disks)
    last = replace(source.last_failover, created_at=None) if source.last_failover is not None else None
    return replace(source, disks=disks, mappings=tests, last_failover=last, context_id=None, context_status=None)


def reference(furnish: Furnish) -> Fleet:
    return read(furnish("embedded on SQLite", vms.rows()))


# --- which VM is meant ------------------------------------------------------------------------------------------------


def test_a_name_that_two_vms_bear_is_no_identity(fleet: Fleet) -> None:
    with pytest.raises(legacy.AmbiguousVm, match=r"not one VM but 2: .* on vcenter\.example\.org, .* vcenter2") as caught:
        legacy.find(fleet.values(), name="twin")
    assert uuid(260) in str(caught.value)
    assert str(caught.value).endswith("say its uuid, or in a spec `vm: {name: twin, vcenter: …}`")
    assert legacy.find(fleet.values(), name="twin", vcenter="vcenter2.example.org").key == uuid(261)
    assert legacy.find(fleet.values(), uuid=uuid(260).upper()).key == uuid(260)


def test_names_that_differ_in_case_are_two_vms(fleet: Fleet) -> None:
    assert legacy.find(fleet.values(), name="WEB01").key == uuid(101)
    assert legacy.find(fleet.values(), name="web01").key == uuid(102)


@pytest.mark.parametrize("asked", ["Web01", "web01 ", "web-multi-jobs", "nothing-like-it"])
def test_a_name_that_nobody_bears_is_unknown_and_the_closest_are_told(fleet: Fleet, asked: str) -> None:
    with pytest.raises(legacy.UnknownVm, match="no replicated VM") as caught:
        legacy.find(fleet.values(), name=asked)
    assert ("did you mean" in str(caught.value)) is (asked != "nothing-like-it")


# --- traps that only some generations can have ------------------------------------------------------------------------


def one(furnish: Furnish, generation: str, made: generations.Rows, number: int) -> Source:
    return read(furnish(generation, made))[uuid(number)]


@pytest.mark.parametrize("generation", BY_JOB)
def test_a_record_of_null_gives_way_to_an_older_one_that_names_networks(furnish: Furnish, generation: str) -> None:
    assert one(furnish, generation, vms.rows(*vms.JOBS), 104).adapters == ("VM Network",)


@pytest.mark.parametrize("generation", BY_JOB)
def test_a_change_id_says_nothing_of_another_volume(furnish: Furnish, generation: str) -> None:
    source = one(furnish, generation, vms.rows(*vms.JOBS), 105)
    assert shown(source, "volumes") == (volume(105, 2000, 1),)
    assert shown(source, "changes") == (None,)


def test_a_status_that_was_lost_to_an_enumeration_counts_as_active(furnish: Furnish) -> None:
    database = furnish("g3", vms.rows())
    with database.begin() as connection:
        connection.execute(sa.text("SET SESSION sql_mode = ''"))
        connection.execute(sa.text("UPDATE failover_jobs SET status = 'executing' WHERE job_id = 'done-1'"))
        assert connection.execute(sa.text("SELECT status FROM failover_jobs WHERE job_id = 'done-1'")).scalar() == ""
        connection.execute(sa.text("SET SESSION sql_mode = DEFAULT"))
    assert read(database)[uuid(6)].active_jobs == (ActiveJob("done-1", "failover", "unknown"),)


def test_contexts_are_read_where_there_are_any(furnish: Furnish) -> None:
    source = one(furnish, "g3", vms.rows(), 6)
    assert (source.context_status, source.context_id) == ("ready_for_failover", "ctx-short-changeid-6")


# --- the rules of joining, on rows without any database -----------------------------------------------------------------


def joined(made: generations.Rows) -> Fleet:
    """What is made of rows, which have every column that is read, though it be empty."""
    kinds = dict(zip(rows.TABLES, (f.name for f in dataclasses.fields(rows.Rows)), strict=True))
    complete: dict[str, Any] = {
        kinds[name]: [as_read(rows.TABLES[name], row) for row in found] for name, found in made.items()
    }
    return {source.key: source for source in joining.sources(rows.Rows(**complete))}


def as_read(kind: type[Any], row: Mapping[str, Any]) -> Any:
    """A row as it is read: every column that is asked for, as text."""
    return kind(*(rows._text(row.get(name)) for name in kind._fields))


def told(made: generations.Rows, number: int) -> Source:
    return joined(made)[uuid(number)]


@pytest.mark.parametrize("stored", ["1", "0"])
def test_several_active_configurations_are_none_unless_the_volumes_name_one(stored: str) -> None:
    made = vms.rows()
    second = {**made["ossea_configs"][0], "id": 2, "name": "second-ossea"}
    made = {**made, "ossea_configs": [*made["ossea_configs"], second]}
    if stored == "0":
        made = {**made, "ossea_volumes": [{**v, "ossea_config_id": None} for v in made["ossea_volumes"]]}
    source = told(made, 6)
    if stored == "1":
        assert source.platform is not None
        assert source.platform.config == "primary-ossea"
    else:
        assert source.platform is None
        assert source.findings[0].endswith("there are: primary-ossea, second-ossea")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"is_active": False}, "there are: none"),
        ({"id": 9}, "some volumes belong to another CloudStack configuration"),
    ],
    ids=["no active row", "volumes of another row"],
)
def test_a_configuration_that_does_not_fit_is_told(change: dict[str, Any], expected: str) -> None:
    made = vms.changed(vms.rows(), "ossea_configs", {"id": 1}, **change)
    assert told(made, 6).findings[0].endswith(expected)


FULL_SYNCS = {
    "the job says so": ({}, "initial", True),
    "the job says so otherwise": ({}, "Full", True),
    "the job is of another kind": ({}, "incremental", False),
    "the history says so": ({"sync_type": "full"}, "incremental", True),
    "the history says otherwise": ({"sync_type": "incremental"}, "initial", False),
    "it failed": ({"sync_success": False}, "initial", False),
    "it gave no ChangeID": ({"change_id": ""}, "initial", False),
}


@pytest.mark.parametrize("case", FULL_SYNCS)
def test_a_full_sync_is_told_by_the_history_or_else_by_its_job(case: str) -> None:
    entry, kind, full = FULL_SYNCS[case]
    made = vms.changed(vms.rows(Vm(53, "synced")), "replication_jobs", {"id": vms.job(53)}, replication_type=kind)
    made = vms.changed(made, "cbt_history", {"job_id": vms.job(53)}, **entry)
    (disk,) = told(made, 53).disks
    assert (disk.full_sync == made["cbt_history"][-1]["id"]) is full


def test_mappings_under_a_name_that_several_bear_are_not_used() -> None:
    made = vms.rows(Vm(260, "twin", mapped_as="twin"), Vm(261, "twin", vcenter="other", mapped=()))
    fleet = joined(made)
    for source in (fleet[uuid(260)], fleet[uuid(261)]):
        assert source.mappings == ()
        assert source.findings == ("network mappings under the name twin are not used: several VMs bear it",)


def test_mappings_under_the_uuid_go_before_those_under_the_name() -> None:
    made = vms.rows(Vm(30, "name-keyed", mapped_as="name-keyed"), Vm(31, "other", mapped=()))
    own = {
        **made["network_mappings"][-1],
        "vm_id": uuid(30).upper(),
        "destination_network_id": "own",
        "is_test_network": True,
    }
    made["network_mappings"] = [*made["network_mappings"], own]
    source = told(made, 30)
    assert [(m.network_id, m.is_test) for m in source.mappings] == [("own", True), (vms.PRODUCTION[0], False)]


SPEC_ROWS = {
    "the newest": ({"created_at": "2025-08-02 00:00:00", "unit_number": 5}, {"created_at": "2025-08-01 00:00:00"}),
    "of equally new the lowest unit": ({"unit_number": 1}, {"unit_number": 2}),
    "then the lowest disk key, as a number": ({"disk_id": "disk-2000"}, {"disk_id": "disk-16000"}),
}


@pytest.mark.parametrize("rule", SPEC_ROWS)
@pytest.mark.parametrize("winner_first", [True, False])
def test_of_several_descriptions_of_a_vm_one_counts(rule: str, winner_first: bool) -> None:
    made = vms.rows(Vm(50, "described-twice"))
    base = {**made["vm_disks"][-1], "created_at": "2025-08-01 00:00:00.250", "unit_number": 0, "ossea_volume_id": None}
    wins, loses = SPEC_ROWS[rule]
    both = [{**base, **wins, "cpu_count": 7, "memory_mb": 7}, {**base, **loses, "cpu_count": 3, "memory_mb": 3}]
    ordered = both if winner_first else both[::-1]
    disks = [{**row, "id": 5000 + n} for n, row in enumerate(ordered)]
    source = told({**made, "vm_disks": [*made["vm_disks"][:-1], *disks]}, 50)
    assert (source.cpus, source.memory_mb) == (7, 7)


NETWORKS = {
    '{"adapters":[{"network":"A"},{"network":"B"}]}': ("A", "B"),
    '{"adapters":[{"network":"A"},{"network":"A"}]}': ("A", "A"),
    '{"networks":[{"network_name":"A","adapter_type":"e1000"}]}': ("A",),
    '[{"network_name":"A"}]': ("A",),
    '["A","B"]': ("A", "B"),
    '{"adapters":[{"network":""}]}': (),
    '{"adapters":null}': (),
    "null": (),
    "[]": (),
    "{}": (),
    "": (),
}
UNREADABLE = (
    '"VM Network"',
    "[" * 60_000,
    '{"adapters":"VM Network"}',
    "{",
    '{"adapters":[null]}',
    '{"adapters":7}',
    "7",
    "VM Network",
)


@pytest.mark.parametrize("text", [*NETWORKS, *UNREADABLE], ids=lambda text: text[:40])
def test_adapters_are_read_from_every_shape_that_was_ever_written(text: str) -> None:
    source = told(vms.rows(Vm(51, "shaped", adapters=(text,))), 51)
    assert source.adapters == NETWORKS.get(text, ())
    assert (source.findings == ()) is (text in NETWORKS)


@pytest.mark.parametrize(
    ("stored", "firmware"),
    [
        ('{"firmware":"efi"}', "uefi"),
        ('{"firmware":"EFI"}', "uefi"),
        ("efi", "uefi"),
        ('{"firmware":"bios"}', "bios"),
        ("null", "bios"),
        ("{", "bios"),
        ("[" * 60_000, "bios"),
        (None, "bios"),
    ],
)
def test_firmware_is_bios_unless_it_says_efi(stored: str | None, firmware: str) -> None:
    made = vms.rows(Vm(52, "firm"))
    made["vm_disks"][-1]["bios_setup"] = stored
    assert told(made, 52).firmware == firmware


ROWS_OF_JOBS = {  # which jobs there are, and which of them had the second disk
    "the newest completed job had it no more": (("completed", "completed"), {0}, {"disk-2001"}),
    "the newest completed job has it": (("completed", "completed"), {1}, set()),
    "a later job that failed had it again": (("completed", "completed", "failed"), {0, 2}, set()),
    "only a job that failed has it no more": (("completed", "failed"), {0}, set()),
    "there is one job": (("completed",), {0}, set()),
}


@pytest.mark.parametrize("case", ROWS_OF_JOBS)
def test_a_disk_that_the_newest_completed_job_had_no_more_is_left_behind(case: str) -> None:
    jobs, had, expected = ROWS_OF_JOBS[case]
    made = vms.rows(Vm(55, "shrunk", disks=(2000, 2001), jobs=jobs, rows=range(len(jobs))))
    without = {vms.job(55, which) for which in range(len(jobs)) if which not in had}
    made["vm_disks"] = [d for d in made["vm_disks"] if d["disk_id"] != "disk-2001" or d["job_id"] not in without]
    disks = told(made, 55).disks
    assert [d.key for d in disks] == ["disk-2000", "disk-2001"], "its volume is protected all the same"
    assert {d.key for d in disks if d.is_left_behind} == expected


@pytest.mark.parametrize("text", ["abc", "", "1e400", "nan", "12,5"])
def test_what_is_no_number_spoils_nobody(text: str) -> None:
    made = vms.changed(
        vms.rows(Vm(56, "odd"), Vm(57, "even")), "vm_disks", {"display_name": "odd"}, size_gb=text, unit_number=text
    )
    made = vms.changed(made, "replication_jobs", {"source_vm_name": "odd"}, progress_percent=text, status="running")
    odd, even = told(made, 56), told(made, 57)
    assert (odd.disks[0].size_gb, odd.disks[0].unit_number) == (0, 0)
    assert (odd.active_jobs[0].status, odd.active_jobs[0].progress) == ("running", None)
    assert even.disks[0].size_gb == 40


def test_the_latest_failover_is_of_this_vm_and_kind_and_of_one_moment_the_last() -> None:
    noon, one = "2025-08-02 12:00:00", {"status": "completed", "source_vm_name": "web"}
    past: list[dict[str, Any]] = [
        {**one, "id": 3, "job_id": "c", "job_type": "test", "created_at": noon},
        {**one, "id": 4, "job_id": "d", "job_type": "test", "created_at": noon},
        {**one, "id": 9, "job_id": "x", "job_type": "test", "created_at": "2025-08-01 12:00:00"},
        {**one, "id": 5, "job_id": "e", "job_type": "live", "created_at": "2025-08-02 12:00:01"},
    ]
    read = [as_read(rows.FailoverRow, row) for row in past]
    for order in (read, read[::-1]):
        assert [joining.latest_failover(order, kind).id for kind in (None, "test", "live")] == ["e", "d", "e"]  # type: ignore[union-attr]
    assert joining.latest_failover([]) is None
    made = vms.rows(Vm(53, "web"), Vm(54, "db"))
    made["failover_jobs"] = [
        {**row, "vm_id": vm} for row, vm in zip(past, (uuid(53).upper(), uuid(54), "web-x", "elsewhere"), strict=True)
    ]
    assert told(made, 53).last_failover == PastFailover("c", "test", "completed", datetime(2025, 8, 2, 12, tzinfo=UTC))


@pytest.mark.parametrize("generation", ["embedded on SQLite", "g1", "g3"])
def test_reading_many_vms_takes_as_many_queries_as_reading_one(furnish: Furnish, generation: str) -> None:
    database = furnish(generation, vms.rows())
    adopted, said = legacy.adopt(database), list[str]()
    sa.event.listen(database.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    with database.read() as connection:
        assert len(adopted.sources(connection)) == len(vms.VMS) + 2
    assert len([text for text in said if text.startswith("SELECT")]) <= len(legacy.READ) + 1
