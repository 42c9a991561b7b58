"""What a real 4.22.1 management server said, replayed to our client without any server.

Every exchange of every recording whose command the product sends goes through the client: parsing, error mapping, outcomes
of jobs. What it must come to is read from the recording by these tests themselves, in plain Python. `kvm-11-dr-flow` is also
gone through as the flow that it is: variant A is `volume-snapshot`, B is `clone`, the steps 00 to 15 are `vm-snapshot`.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import stamina

from plans.observed import Machine, Volume, VolumeSnapshot
from reconciler.cloudstack import errors, parse, permit
from reconciler.cloudstack.client import Client, Seen
from reconciler.cloudstack.outcomes import (
    TRANSIENT,
    Accepted,
    Done,
    JobFailed,
    JobPending,
    JobSucceeded,
    JobUnknown,
    JobVanished,
    Refused,
    Unknown,
)
from reconciler.cloudstack.permit import Permit
from tests.conformance import records
from tests.reconciler.cloudstack import cassettes, product
from tests.reconciler.cloudstack.cassettes import URL, playing
from tests.reconciler.cloudstack.conftest import KEY, SECRET, Hand

KINDS = {k.command: k for k in vars(parse).values() if isinstance(k, parse.Kind)}
DOORS = {kind.command: kind for kind, _ in parse.DOORS.values()}
STATED = {"listVolumes", "listVirtualMachines", "listSnapshots", "listVMSnapshot"}
WANT_CODE = {401: errors.Unauthorised, 432: errors.NotAllowed}

Line = dict[str, Any]
Params = Mapping[str, Any]


@pytest.fixture(autouse=True)
def each_exchange_is_played_once() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


# --- every exchange of every recording --------------------------------------------------------------------------------


def content(line: Line) -> dict[str, Any]:
    """What is inside the one envelope."""
    (inside,) = line["body"].values()
    return inside


def rows(line: Line) -> list[dict[str, Any]]:
    return next((v for v in content(line).values() if isinstance(v, list)), [])


def check_list(client: Client, command: str, params: Params, line: Line) -> None:
    kind = KINDS.get(command) or DOORS[command]
    found = parse.page(kind, client._read(command, params), command)
    if command in DOORS:
        assert len(parse.records(kind, found.rows, command)) == len(rows(line)) == content(line).get("count", 0)
        return
    key = "jobid" if command == "listAsyncJobs" else "id"
    assert [r.id for r in parse.records(kind, found.rows, command)] == [row[key] for row in rows(line)]
    assert found.count == content(line).get("count", 0 if not content(line) else None)
    if command in STATED:
        assert [r.state for r in parse.records(kind, found.rows, command)] == [row["state"] for row in rows(line)]
    if command == "listVolumes":
        where = [(v.vm_id, v.device_id, v.size, v.type) for v in parse.records(kind, found.rows, command)]
        told = [(r.get("virtualmachineid"), r.get("deviceid"), r["size"], r["type"]) for r in rows(line)]
        assert where == told


def check_job(client: Client, _: str, params: Params, line: Line) -> None:
    told, result = content(line), client.job(str(params["jobid"]))
    match told["jobstatus"], told.get("jobresult"):
        case 0, _:
            assert result == JobPending()
        case 1, made:
            assert result == JobSucceeded(made or {}, told.get("jobinstanceid"))
        case 2, None:
            assert isinstance(result, JobUnknown)
        case 2, failure:
            code = told["jobresultcode"]
            assert result == JobFailed(code, failure.get("errortext", ""), retryable=code in TRANSIENT)


def check_account(client: Client, command: str, params: Params, line: Line) -> None:
    told, asked = content(line), client._read(command, params)
    capable = {"capability": {"cloudstackversion": "x"}} if command == "listAccounts" else asked
    accounts = asked if command == "listAccounts" else {}
    found = parse.capabilities(capable, accounts, command)
    if command == "listCapabilities":
        known = told["capability"]
        assert (found.release, found.kvm_snapshot_enabled) == (known["cloudstackversion"], known["kvmsnapshotenabled"])
    else:
        assert found.may_expunge is (told["account"][0]["accounttype"] == 1)


def check_commands(client: Client, command: str, params: Params, line: Line) -> None:
    told, (found, count) = content(line), parse.commands(client._read(command, params), command)
    assert found == {row["name"] for row in told["api"]}
    assert count == told["count"] == len(found)


def check_change(client: Client, command: str, params: Params, line: Line) -> None:
    told, outcome = content(line), client.writer(PERMIT)._send(command, params)
    if "jobid" in told:
        assert outcome == Accepted(told["jobid"], told.get("id"))
    elif str(told.get("success")).lower() == "true":
        assert outcome == Done()
    else:
        assert isinstance(outcome, Unknown)


def check_refusal(client: Client, command: str, params: Params, line: Line) -> None:
    code, text = content(line)["errorcode"], content(line).get("errortext", "")
    assert line["status"] == code
    if command in product.WRITES:
        assert client.writer(PERMIT)._send(command, params) == Refused(code, text, retryable=code in TRANSIENT)
        return
    if command == "queryAsyncJobResult" and code in (431, 531):
        assert isinstance(client.job(str(params["jobid"])), JobVanished if code == 431 else JobUnknown)
        return
    with pytest.raises(WANT_CODE.get(code, errors.LookFailed)) as failed:
        client._read(command, params)
    assert getattr(failed.value, "code", code) == code
    assert command in str(failed.value)


def checks(line: Line) -> Any:
    command = line["request"]["command"]
    if "errorcode" in content(line):
        return check_refusal
    if command == "queryAsyncJobResult":
        return check_job
    if command in ("listCapabilities", "listAccounts"):
        return check_account
    if command == "listApis":
        return check_commands
    return check_list if command in product.READS else check_change


def ours(name: str) -> list[Line]:
    """The exchanges of a recording whose command the product sends, and that our client would let out."""
    return [line for line in cassettes.exchanges(name) if line["request"]["command"] in product.SENT]


def asked_for(line: Line) -> Params:
    """The parameters, without what every request of ours holds anyhow."""
    return {k: v for k, v in line["request"]["params"].items() if k.lower() not in cassettes.OURS}


def is_sendable(line: Line) -> bool:
    """Not what our client never asks: a job by its resource, no job id, a page of no size, control characters."""
    given = asked_for(line)
    if line["request"]["command"] == "queryAsyncJobResult":
        return set(given) == {"jobid"} and permit.UUID.fullmatch(given["jobid"]) is not None
    return ("page" not in given or "pagesize" in given) and all(str(v).isprintable() for v in given.values())


@pytest.mark.parametrize("name", [n for n in cassettes.NAMES if ours(n)])
def test_every_exchange_with_a_real_server_comes_to_what_it_said(client_for, name):
    lines = [line for line in ours(name) if is_sendable(line)]
    hand = Hand()
    with playing(name) as cassette:
        client = client_for(URL, clock=hand.now, wait=hand.wait)
        for line in lines:
            checks(line)(client, line["request"]["command"], asked_for(line), line)
    assert cassette.play_count == len(lines)


def test_hardly_any_exchange_is_left_out():
    sent, left = 0, []
    for name in cassettes.NAMES:
        for line in ours(name):
            sent, left = sent + 1, [*left, f"{name}:{line['step']}"] if not is_sendable(line) else left
    assert sent > 2000
    assert len(left) < 20, left


@pytest.mark.parametrize("name", cassettes.NAMES)
def test_no_recording_holds_a_key(name):
    text = lzma.decompress((records.HERE / f"{name}.jsonl.xz").read_bytes()).decode().lower()
    assert not [w for w in ("apikey=", "signature=", "sessionkey=", KEY, SECRET) if w in text]


# --- the flow of a failover -------------------------------------------------------------------------------------------

FLOW = "kvm-11-dr-flow"
STEPS = {line["step"]: line for line in cassettes.exchanges(FLOW)}
APPLIANCE, GUEST = "dbde30dd-d8f5-44a0-9046-a88cdf4f32b7", "52c332c5-b967-458e-ba8e-da3261f06af8"
REPLICA, BLANK = "a0a97c30-2911-4ebe-9eec-d231fa1075f0", "ba335a69-ffb6-4706-89d8-3352477149d9"
POINT = "27e3b13b-bcbe-4ecd-bb4a-62d24b91dfc7"
TEST_NET, JOB = "56bea517-6ea2-4d93-a638-484fdfadb327", "00000000-0000-4000-8000-0000000000bb"
PERMIT = Permit(
    "run", "test", frozenset({REPLICA}), frozenset({REPLICA}), frozenset({APPLIANCE}), GUEST, "testvm-a", BLANK,
    frozenset({TEST_NET}), {REPLICA: 0}, {POINT: True}, points_ready=True, replication_idle=True,
)  # fmt: skip


@pytest.fixture
def client(client_for) -> Iterator[Client]:
    with playing(FLOW, cassettes.asks_for_no_less):
        yield client_for(URL)


def answer(step: str) -> dict[str, Any]:
    return content(STEPS[step])


def accepted(step: str) -> Accepted:
    return Accepted(answer(step)["jobid"], answer(step).get("id"))


def seen(*steps: str) -> Seen:
    """What the recorded lists of these steps showed, the rest of the world being empty and the guest stopped."""
    found: dict[str, dict[str, Any]] = {"listVolumes": {}, "listVMSnapshot": {}}
    for step in steps:
        kind = KINDS[STEPS[step]["request"]["command"]]
        found[kind.command] |= {r.id: r for r in parse.records(kind, rows(STEPS[step]), step)}
    guests = {g: Machine(g, "guest", "guest", "Stopped", ZONE, started=True) for g in (GUEST, FIRST_GUEST, THIRD_GUEST)}
    points = {s: VolumeSnapshot(s, "point", REPLICA, "BackedUp") for s in (POINT, FOR_CLONE)}
    return Seen(guests, found["listVolumes"], points, found["listVMSnapshot"])


ZONE = rows(STEPS["00-list-replica"])[0]["zoneid"]
OFFERING, TEMPLATE = "d4c46652-1ee1-47ce-90b1-6e86b64983f1", "19808dc1-e73e-11f1-8ad9-02fc00000001"
FIRST_GUEST, THIRD_GUEST = answer("01-deploy-test-vm-bootmode")["id"], answer("B3-deploy")["id"]
WHOLE, FOR_CLONE, CLONE = (answer(s)["id"] for s in ("05-vm-snapshot", "B1-snapshot-attached-running", "B2-create-clone"))


def test_the_replica_is_seen_where_the_real_server_had_it(client):
    looks = [client.volume(REPLICA) for _ in range(3)]
    assert [(v.type, v.state, v.vm_id, v.device_id, v.size) for v in looks if v] == [
        ("DATADISK", "Ready", APPLIANCE, 1, 3221225472),
        ("DATADISK", "Ready", None, None, 3221225472),
        ("ROOT", "Ready", FIRST_GUEST, 0, 3221225472),
    ]


def test_an_appliances_volumes_are_read_whole(client):
    root, replica = client.volumes_of(APPLIANCE)
    assert isinstance(root, Volume)
    assert (root.device_id, root.type, replica.device_id, replica.id) == (0, "ROOT", 1, REPLICA)


def test_a_running_guest_is_known_to_have_been_started(client):
    machine = client.machine(FIRST_GUEST)
    assert machine is not None
    assert (machine.name, machine.state, machine.started) == ("testvm", "Running", True)
    assert [n.network_id for n in machine.nics] == [TEST_NET]


def test_the_changes_of_a_volume_snapshot_failover_are_answered_as_the_server_did(client):
    new = client.writer(replace(PERMIT, guest_id=None))
    attached = client.writer(PERMIT, seen("A9-list-replica"))
    loose = client.writer(PERMIT, seen("A11-list-replica"))
    made = new.deploy("testvm-a", "testvm-a", ZONE, TEMPLATE, OFFERING, (TEST_NET,), 2, 512, uefi=False, job_id=JOB)
    assert made == accepted("A1-deploy")
    assert loose.delete_volume(BLANK) == Done()
    assert loose.create_snapshot(REPLICA, "pre-test", {}, JOB) == accepted("A4-volume-snapshot-detached")
    assert loose.attach(REPLICA, GUEST, 0, JOB) == accepted("A5-attach-root")
    assert attached.stop(GUEST, forced=False, job_id=JOB) == accepted("A8-stop")
    assert attached.detach(REPLICA, JOB) == accepted("03-detach-replica")
    assert loose.revert_snapshot(POINT, JOB) == accepted("A7-revert-while-running")
    assert loose.attach(REPLICA, APPLIANCE, 1, JOB) == accepted("00-attach-replica")
    assert loose.delete_snapshot(POINT, JOB) == accepted("A13-delete-snapshot")


def test_the_changes_of_a_failover_on_clones_are_answered_as_the_server_did(client):
    cloned = replace(PERMIT, guest_id=THIRD_GUEST, clones=frozenset({CLONE}), guest_devices={CLONE: 0})
    made = replace(cloned, snapshots={FOR_CLONE: True})
    writer = client.writer(made, seen("B2-list-clone"))
    assert writer.clone(FOR_CLONE, "clone", ZONE, JOB) == accepted("B2-create-clone")
    assert writer.attach(CLONE, THIRD_GUEST, 0, JOB) == accepted("B5-attach-clone-root")
    assert writer.delete_snapshot(FOR_CLONE, JOB) == accepted("B9-delete-snapshot")
    assert client.volume(CLONE) is not None


def test_the_changes_of_a_failover_under_a_vm_snapshot_are_answered_as_the_server_did(client, monkeypatch):
    monkeypatch.setattr(Client, "policies_of", lambda *_: ())  # the recorder did not ask for policies
    bare = replace(PERMIT, guest_id=FIRST_GUEST)
    kept = replace(bare, guest_snapshot_id=WHOLE)
    over = replace(kept, guest_snapshot_releasable=True)
    under = seen("05-list-replica", "05-list-vmsnapshot")
    assert client.writer(bare, seen("04-list-replica")).snapshot_guest(FIRST_GUEST, "pre-test", JOB) == accepted(
        "05-vm-snapshot"
    )
    held = client.writer(kept, under).detach(REPLICA, JOB)
    assert isinstance(held, Refused)
    assert client.writer(kept, under).revert_guest(WHOLE, JOB) == accepted("09-revert")
    assert client.writer(over, under).delete_guest_snapshot(WHOLE, JOB) == accepted("10-delete-vmsnapshot")


def test_a_vm_snapshot_is_found_by_the_name_that_we_gave_it(client):
    (row,) = client.vm_snapshots_of(FIRST_GUEST)
    assert (row.id, row.name, row.state, row.vm_id) == (WHOLE, "pre-test", "Ready", FIRST_GUEST)


def test_an_attached_blank_root_is_refused_with_the_servers_code(client):
    blank = "1fc81855-1c6e-46b3-982c-c0b5caf1688c"
    writer = client.writer(replace(PERMIT, default_root_id=blank))
    refused = writer.delete_volume(blank)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == (431, False)
    assert writer.delete_volume(blank) == Done()
