"""CloudStack's rows as our records: tolerant of what we do not use, strict about what we do."""

from __future__ import annotations

import pytest

from plans.observed import Capabilities, Machine, Network, Nic, Offering, Template, VmSnapshot, Volume, VolumeSnapshot, Zone
from reconciler.cloudstack import parse
from reconciler.cloudstack.errors import BadAnswer
from reconciler.cloudstack.outcomes import (
    Accepted,
    Done,
    JobFailed,
    JobPending,
    JobSucceeded,
    JobUnknown,
    Unknown,
)
from tests.reconciler.cloudstack.odd_server import envelope, error, odd_server

A, B, C = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")
VOLUME = {"id": A, "name": "v", "state": "Ready", "type": "ROOT", "size": 3221225472, "zoneid": B}
MACHINE = {"id": A, "name": "n", "displayname": "N", "state": "Stopped", "zoneid": B, "account": "dr"}
NEVER = {"details": {"deployvm": "true", "cpuNumber": "1"}}


def record(kind: parse.Kind, row: dict) -> object:
    page = parse.page(kind, {"count": 1, kind.member: [row]}, "here")
    return parse.records(kind, page.rows, "here")[0]


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        (parse.VOLUMES, VOLUME, Volume(A, "v", "Ready", "ROOT", 3221225472, B)),
        (
            parse.VOLUMES,
            {**VOLUME, "virtualmachineid": C, "deviceid": "0", "path": "p", "tags": [{"key": "k", "value": "1"}]},
            Volume(A, "v", "Ready", "ROOT", 3221225472, B, C, 0, "p", {"k": "1"}),
        ),
        (parse.VOLUMES, {**VOLUME, "state": "NeverHeardOf", "serviceofferingid": "13", "new": [1]},
         Volume(A, "v", "NeverHeardOf", "ROOT", 3221225472, B)),
        (parse.MACHINES, {**MACHINE, **NEVER}, Machine(A, "n", "N", "Stopped", B, False, account="dr")),
        (parse.MACHINES, {**MACHINE, **NEVER, "lastupdated": "2026-11-23T13:26:11+0000"},
         Machine(A, "n", "N", "Stopped", B, True, account="dr")),
        (parse.MACHINES, MACHINE, Machine(A, "n", "N", "Stopped", B, True, account="dr")),
        (parse.MACHINES, {**MACHINE, **NEVER, "state": "Starting"},
         Machine(A, "n", "N", "Starting", B, True, account="dr")),
        (
            parse.MACHINES,
            {**MACHINE, "nic": [{"id": B, "networkid": C, "isdefault": True, "ipaddress": "10.1.1.2"}]},
            Machine(A, "n", "N", "Stopped", B, True, (Nic(B, C, True, "10.1.1.2"),), account="dr"),
        ),
        (parse.SNAPSHOTS, {"id": A, "name": "s", "volumeid": B, "state": "BackedUp", "tags": []},
         VolumeSnapshot(A, "s", B, "BackedUp")),
        (parse.VM_SNAPSHOTS, {"id": A, "name": "i_VS", "displayname": "mine", "virtualmachineid": B, "state": "Error"},
         VmSnapshot(A, "mine", B, "Error")),
        (parse.NETWORKS, {"id": A, "name": "l2", "type": "L2", "state": "Allocated", "zoneid": B},
         Network(A, "l2", "L2", "Allocated", B)),
        (
            parse.NETWORKS,
            {
                "id": A, "name": "n", "type": "Isolated", "state": "Implemented", "zoneid": B, "issystem": False,
                "service": [{"name": "SourceNat"}, {"name": "Dhcp"}], "egressdefaultpolicy": True, "vpcid": C,
                "gateway": "10.1.1.1", "ip6gateway": "fd00::1", "ip4routing": "Static", "traffictype": "Guest",
                "vlan": "112", "broadcasturi": "vlan://112", "physicalnetworkid": C,
            },
            Network(
                A, "n", "Isolated", "Implemented", B, services=frozenset({"SourceNat", "Dhcp"}), egress_open=True,
                gateway="10.1.1.1", gateway6="fd00::1", routed=True, vpc_id=C, vlan="vlan://112", physical=C,
            ),
        ),
        (parse.NETWORKS, {"id": A, "type": "L2", "zoneid": B, "vlan": "7"},
         Network(A, "", "L2", "", B, vlan="vlan://7")),
        (parse.DOORS["egress"][0],
         {"id": A, "protocol": "tcp", "startport": 80, "endport": 81, "destcidrlist": "1.2.3.4/32"},
         "tcp 80-81 to 1.2.3.4/32"),
        (parse.DOORS["egress"][0], {"id": A, "protocol": "all"}, "all to everywhere"),
        (parse.DOORS["vpns"][0], {"id": A, "publicip": "192.0.2.1"}, "at 192.0.2.1"),
        (parse.DOORS["static_nats"][0], {"id": A, "ipaddress": "192.0.2.1", "isstaticnat": True}, "192.0.2.1"),
        (parse.DOORS["static_nats"][0], {"id": A, "ipaddress": "192.0.2.1", "isstaticnat": False}, None),
        (parse.DOORS["forwardings"][0], {"id": A, "protocol": "tcp", "publicport": "22", "ipaddress": "192.0.2.1"},
         "tcp 22 of 192.0.2.1"),
        (parse.DOORS["balancers"][0], {"id": A, "name": "web", "publicport": "80", "publicip": "192.0.2.1"},
         "web, 80 of 192.0.2.1"),
        (parse.ZONES, {"id": A, "name": "z", "tags": []}, Zone(A, "z")),
        (parse.TEMPLATES, {"id": A, "name": "t", "isready": True, "size": 5}, Template(A, "t", True, 5)),
        (parse.OFFERINGS, {"id": A, "name": "o", "iscustomized": "true"}, Offering(A, "o", True)),
        (parse.DISK_OFFERINGS, {"id": A, "name": "o", "cpunumber": 2, "memory": 9}, Offering(A, "o", False, 2, 9)),
        (parse.JOBS, {"jobid": A, "jobstatus": 0}, parse.PendingJob(A, None)),
        (parse.JOBS, {"jobid": A, "jobinstanceid": B}, parse.PendingJob(A, B)),
    ],
)  # fmt: skip
def test_a_row_becomes_a_record(kind, row, expected):
    assert record(kind, row) == expected


@pytest.mark.parametrize(
    ("kind", "row", "field"),
    [
        (parse.VOLUMES, {**VOLUME, "id": "17"}, "id"),
        (parse.VOLUMES, {**VOLUME, "virtualmachineid": 17}, "virtualmachineid"),
        (parse.VOLUMES, {**VOLUME, "deviceid": True}, "deviceid"),
        (parse.VOLUMES, {**VOLUME, "deviceid": "first"}, "deviceid"),
        (parse.VOLUMES, {**VOLUME, "size": "large"}, "size"),
        (parse.VOLUMES, {k: v for k, v in VOLUME.items() if k != "state"}, "state"),
        (parse.VOLUMES, {**VOLUME, "tags": {"k": "v"}}, "tags"),
        (parse.MACHINES, {**MACHINE, "nic": "none"}, "nic"),
        (parse.MACHINES, {**MACHINE, "details": "none"}, "details"),
        (parse.SNAPSHOTS, {"id": A, "state": "BackedUp"}, "volumeid"),
    ],
)
def test_a_wrong_type_in_a_used_field_names_the_field_and_not_its_content(kind, row, field):
    with pytest.raises(BadAnswer, match=field) as wrong:
        record(kind, row)
    assert "first" not in str(wrong.value)
    assert "large" not in str(wrong.value)


@pytest.mark.parametrize(
    ("content", "rows", "count"),
    [
        ({}, 0, 0),
        ({"count": 2}, 0, 2),
        ({"count": 1, "vmSnapshot": [{}]}, 1, 1),
        ({"count": 1, "vmsnapshot": [{}]}, 1, 1),
        ({"vmSnapshot": [{}]}, 1, None),
    ],
)
def test_every_shape_of_a_page_is_understood(content, rows, count):
    page = parse.page(parse.VM_SNAPSHOTS, content, "here")
    assert (len(page.rows), page.count) == (rows, count)


@pytest.mark.parametrize("content", [{"volume": {}}, {"volume": [1]}, {"count": "2"}, {"count": True, "volume": []}])
def test_what_is_no_list_is_a_bad_answer(content):
    with pytest.raises(BadAnswer):
        parse.page(parse.VOLUMES, content, "here")


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ({"jobid": A}, Accepted(A)),
        ({"id": B, "jobid": A}, Accepted(A, B)),
        ({"success": True}, Done()),
        ({"success": "true"}, Done()),
        ({"success": False}, Unknown("here answered neither with a job nor with success")),
        ({}, Unknown("here answered neither with a job nor with success")),
    ],
)
def test_an_answer_to_a_change_becomes_an_outcome(content, outcome):
    assert parse.outcome(content, "here") == outcome


@pytest.mark.parametrize(
    ("content", "result"),
    [
        ({"jobstatus": 0}, JobPending()),
        ({"jobstatus": 1, "jobresult": {"success": True}}, JobSucceeded({"success": True})),
        ({"jobstatus": 1, "jobresultcode": 0, "jobinstanceid": A}, JobSucceeded({}, A)),
        ({"jobstatus": 2, "jobresultcode": 431, "jobresult": {"errorcode": 431, "errortext": "no"}},
         JobFailed(431, "no", retryable=False)),
        ({"jobstatus": 2, "jobresultcode": 530, "jobresult": {"errorcode": 530}}, JobFailed(530, "", retryable=True)),
        ({"jobstatus": 2, "jobresultcode": 533, "jobresult": {"errortext": "full"}}, JobFailed(533, "full", True)),
        ({"jobstatus": 2, "jobresultcode": 530},
         JobUnknown("the job ended without a verdict (status 2, code 530)", closed=True)),
        ({"jobstatus": 2, "jobresultcode": 0, "jobresult": {}},
         JobUnknown("the job ended without a verdict (status 2, code 0)")),
        ({"jobstatus": 9, "jobresult": {}}, JobUnknown("the job ended without a verdict (status 9, code 0)")),
    ],
)  # fmt: skip
def test_a_job_without_result_has_no_verdict(content, result):
    assert parse.job(content, "here") == result


@pytest.mark.parametrize(
    ("capability", "accounts", "expected"),
    [
        ({"cloudstackversion": "4.22.1.0", "kvmsnapshotenabled": True, "allowuserexpungerecovervm": False}, [],
         Capabilities("4.22.1.0", kvm_snapshot_enabled=True, may_expunge=False)),
        ({"cloudstackversion": "4.20.3.0", "allowuserexpungerecovervm": True}, [],
         Capabilities("4.20.3.0", may_expunge=True)),
        ({"kvmsnapshotenabled": "false"}, [{"accounttype": 1}], Capabilities("", may_expunge=True)),
        ({}, [{"accounttype": 0, "volumeavailable": "7", "snapshotavailable": "Unlimited", "primarystorageavailable": "-3",
               "secondarystorageavailable": 12.5}],
         Capabilities("", volumes_left=7, primary_gib_left=0, secondary_gib_left=12)),
        ({}, [{"accounttype": 0, "volumeavailable": "7"}, {"accounttype": 0, "volumeavailable": "9"}], Capabilities("")),
    ],
)  # fmt: skip
def test_capabilities_say_what_this_account_may_do_and_has_left(capability, accounts, expected):
    assert parse.capabilities({"capability": capability}, {"account": accounts}, "here") == expected


@pytest.mark.parametrize(("kind", "expected"), [(0, False), (1, True), (2, True), (5, False)])
def test_an_account_is_an_administrators_by_its_type(kind, expected):
    accounts = {"count": 1, "account": [{"id": A, "accounttype": kind}]}
    assert parse.capabilities({"capability": {}}, accounts, "here").may_expunge is expected


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        (envelope({"count": 1, "account": [{"accounttype": 1}]}), True),
        (envelope({"count": 1, "account": [{"accounttype": 0}]}), False),
        (error(432), False),
        (error(401), False),
    ],
)
def test_an_account_that_may_not_see_itself_is_no_administrator(client_for, accounts, expected):
    def answer(asked):
        allowed = {"capability": {"cloudstackversion": "4.20.1.0", "allowuserexpungerecovervm": False}}
        return envelope(allowed) if asked["command"] == "listCapabilities" else accounts

    with odd_server(answer) as server:
        assert client_for(server.url).capabilities() == Capabilities("4.20.1.0", may_expunge=expected)
    assert server.commands() == ["listCapabilities", "listAccounts"]


@pytest.mark.parametrize(
    ("command", "shown", "believed"),
    [
        ("snapshot.RevertSnapshotCmd", {"snapshot": {"id": A, "state": "BackedUp"}}, True),
        ("snapshot.RevertSnapshotCmd", {"success": True}, False),
        ("snapshot.RevertSnapshotCmd", None, False),
        ("vmsnapshot.RevertToVMSnapshotCmd", {"virtualmachine": {"id": A}}, True),
        ("vmsnapshot.RevertToVMSnapshotCmd", {"success": True}, False),
        ("volume.AttachVolumeCmd", {"success": True}, True),
        ("", None, True),
    ],
)
def test_a_revert_that_does_not_show_what_it_reverted_is_not_believed_and_may_be_repeated(command, shown, believed):
    told = {"jobstatus": 1, "cmd": f"org.apache.cloudstack.api.command.user.{command}"} | (
        {"jobresult": shown} if shown else {}
    )
    result = parse.job(told, "here")
    assert isinstance(result, JobSucceeded if believed else JobUnknown)
    assert believed or result.closed
