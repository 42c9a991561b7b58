"""Section 16 of the CloudStack contract, rule by rule: each shown on the simulated cloud or a server that answers as told.

A test's name carries its rule's number; the last test sees to it that every number has one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina

import reconciler.cloudstack
from reconciler.cloudstack.answers import MAX_DELAY
from reconciler.cloudstack.errors import InvariantViolated, LookFailed, NotAllowed
from reconciler.cloudstack.jobs import SHORTEST, JobBoard, next_poll
from reconciler.cloudstack.outcomes import (
    Accepted,
    Done,
    JobFailed,
    JobPending,
    JobSucceeded,
    JobUnknown,
    JobVanished,
    Refused,
    Unknown,
    retryable,
)
from reconciler.cloudstack.permit import UUID, Permit
from reconciler.cloudstack.retries import Patience
from reconciler.cloudstack.servers import _worth
from tests.reconciler.cloudstack import stage
from tests.reconciler.cloudstack.conftest import Hand
from tests.reconciler.cloudstack.odd_server import Reply, envelope, error, odd_server
from tests.reconciler.cloudstack.stage import (
    ALIEN,
    APPLIANCE,
    DB3,
    DEVICES,
    GUEST_NAME,
    LAN,
    OFFERING,
    TEMPLATE,
    ZONE,
    Stage,
)

RULES = range(1, 23)
SOURCES = tuple(Path(reconciler.cloudstack.__file__).parent.glob("*.py"))
JOB = stage.made("f0")
VM = stage.made("aa")
BARE = Permit("run", "test", frozenset(), frozenset(), frozenset(), VM, "guest", None, frozenset(), {})


@pytest.fixture(autouse=True)
def nobody_sleeps() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def world() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def sent(world: Stage, command: str) -> list[dict[str, str]]:
    return [dict(p) for p in world.door.sent if p["command"] == command]


def changes(world: Stage) -> list[str]:
    return [p["command"] for p in world.door.sent if p["command"] in stage.WRITES]


def strings(path: Path) -> set[str]:
    """Every text in a module's code, documentation aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    return {
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in told
    }


SAID = {text for path in SOURCES for text in strings(path)}

# --- 1 to 5 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [431, 530])
def test_rule_01_the_text_of_a_refusal_changes_nothing_about_what_it_comes_to(world, code):
    texts = ("it is already detached", "not found", "success", "please retry", "")
    came = []
    for text in texts:
        world.cloud.faults.add("refuse", "detachVolume", code=code, text=text)
        came.append(world.writer().detach(DB3[0], world.job_id()))
    assert {(r.code, r.retryable) for r in came if isinstance(r, Refused)} == {(code, code == 530)}


def test_rule_01_after_a_refusal_a_look_tells_what_is_so(world):
    world.cloud.faults.add("html", "detachVolume", code=502)
    assert isinstance(world.writer().detach(DB3[0], JOB), Unknown)
    world.clock.advance(30)
    assert world.hangs(DB3[0]) == (None, None)


def test_rule_02_every_change_that_becomes_a_job_carries_our_own_lower_case_id(world):
    for command, write in stage.WRITES.items():
        other = Stage()
        write.lead(other)
        own = other.job_id()
        write.call(other, own)
        (last,) = [p for p in sent(other, command) if p.get("customjobid", own) == own]
        assert ("customjobid" in last) is (command != "deleteVolume"), command
        assert UUID.fullmatch(last.get("customjobid", own))
        other.close()


def test_rule_02_a_bad_id_would_leave_an_orphan_and_is_not_sent(world):
    for bad in ("F" * 8 + "-0000-4000-8000-000000000000", "job-1", ""):
        with pytest.raises(InvariantViolated):
            stage.deploy(world, bad)
    assert changes(world) == []


def test_rule_02_what_a_lost_deploy_made_is_told_by_its_job_and_a_vm_snapshot_by_its_name(world):
    world.cloud.faults.add("lose-answer", "deployVirtualMachine")
    own = world.job_id()
    assert isinstance(stage.deploy(world, own), Unknown)
    result = world.settled(own)
    assert isinstance(result, JobSucceeded)
    (made,) = world.client.machines_named(GUEST_NAME)
    assert result.entity_id == made.id
    other = Stage()
    other.fill_guest()
    other.cloud.faults.add("lose-answer", "createVMSnapshot")
    own = other.job_id()
    assert isinstance(other.writer().snapshot_guest(other.guest or "", "point of run 1", own), Unknown)
    result = other.settled(own)
    assert isinstance(result, JobSucceeded)
    assert result.entity_id is None
    assert [(r.name, r.state) for r in other.client.vm_snapshots_of(other.guest or "")] == [("point of run 1", "Ready")]
    other.close()


@pytest.mark.parametrize("told", [{"jobresultcode": 530}, {"jobresultcode": 0}, {"jobresultcode": 0, "jobresult": {}}, {}])
def test_rule_03_a_job_that_failed_without_result_or_with_code_0_is_of_unknown_outcome(client_for, told):
    with odd_server(envelope({"jobstatus": 2, **told})) as server:
        assert isinstance(client_for(server.url).job(JOB), JobUnknown)


def test_rule_04_no_second_detach_is_sent_while_the_first_is_under_way_though_its_answer_was_lost(world):
    world.cloud.faults.add("lose-answer", "detachVolume")
    assert isinstance(world.writer().detach(DB3[0], world.job_id()), Unknown)
    again = world.writer().detach(DB3[0], world.job_id())
    assert isinstance(again, Refused)
    assert again.retryable
    assert len(sent(world, "detachVolume")) == 1


def test_rule_04_nothing_is_attached_elsewhere_before_the_detach_has_finished(world):
    world.free_root()
    assert isinstance(world.writer().detach(DB3[0], world.job_id()), Accepted)
    held = world.writer().attach(DB3[0], world.guest or "", 0, world.job_id())
    assert isinstance(held, Refused)
    world.clock.advance(60)
    assert isinstance(world.writer().attach(DB3[0], world.guest or "", 0, world.job_id()), Accepted)


def test_rule_05_a_root_gets_device_0_a_detach_names_the_volume_alone_and_a_guest_starts_only_so(world):
    world.fill_guest()
    assert [p["deviceid"] for p in sent(world, "attachVolume")] == [str(DEVICES[v]) for v in DB3]
    assert all(set(p) & {"deviceid", "virtualmachineid"} == set() for p in sent(world, "detachVolume"))
    assert {(v.id, v.type) for v in world.client.volumes_of(world.guest or "")} == {
        (DB3[0], "ROOT"),
        (DB3[1], "DATADISK"),
        (DB3[2], "DATADISK"),
    }
    with pytest.raises(InvariantViolated, match="INV-06"):
        world.writer(guest_devices={**DEVICES, DB3[1]: 2, DB3[2]: 1}).start(world.guest or "", JOB)


# --- 6 to 10 ----------------------------------------------------------------------------------------------------------


def test_rule_06_any_vm_snapshot_row_of_either_vm_blocks_attach_and_detach(world):
    world.snap_guest()
    held = world.writer().detach(DB3[0], JOB)
    assert isinstance(held, Refused)
    assert "whole (Ready)" in held.text
    other = Stage()
    other.free_replica()
    root = other.cloud.as_account("admin").call(
        "createVMSnapshot", virtualmachineid=APPLIANCE, name="by hand", snapshotmemory=True
    )
    assert root.status == 200
    held = other.writer().attach(DB3[0], APPLIANCE, 2, JOB)
    assert isinstance(held, Refused)
    assert sent(other, "attachVolume") == []
    other.close()


def test_rule_07_no_vm_is_destroyed_with_a_protected_volume_on_it_whatever_its_protection(world):
    world.deploy()
    for volume in (DB3[1], ALIEN):
        world.cloud.volumes[volume].vm, world.cloud.volumes[volume].device = world.guest, 3
        with pytest.raises(InvariantViolated, match="INV-03"):
            world.writer().destroy(world.guest or "", True, JOB)
        world.cloud.volumes[volume].vm = APPLIANCE
    assert sent(world, "destroyVirtualMachine") == []


def test_rule_08_jobs_are_asked_for_no_more_often_than_every_two_seconds(world):
    assert all((next_poll(n, polls) or SHORTEST) >= SHORTEST for n in (1, 4, 5, 1000) for polls in range(30))
    outcome = world.writer().detach(DB3[0], JOB)
    assert isinstance(outcome, Accepted)
    board, asked = JobBoard(world.client, world.clock.now), []
    world.cloud.faults.add("job-hangs", "attachVolume")
    for _ in range(8):
        before = len(world.door.sent)
        board.refresh([JOB])
        asked.append(len(world.door.sent) - before)
        world.clock.advance(0.5)
    assert asked == [1, 0, 0, 0, 1, 0, 0, 0]


def test_rule_08_the_milliseconds_of_a_429_are_waited_for_and_tries_are_spread_by_jitter(client_for):
    hand, replies = Hand(), [error(429, "please retry after [730] ms."), envelope({})]
    with odd_server(lambda _: replies.pop(0)) as server:
        client_for(server.url, clock=hand.now, wait=hand.wait).volumes()
    assert hand.waits == pytest.approx([0.73])
    assert MAX_DELAY >= 1
    assert Patience().first_wait > 0


def test_rule_09_lists_ask_for_all_and_filter_again_by_themselves(world):
    world.client.machines()
    world.client.volumes()
    assert {p["listall"] for p in world.door.sent} == {"true"}
    assert {p["pagesize"] for p in world.door.sent} == {"-1"}
    assert sent(world, "listVirtualMachines")[0]["state"] == "present"
    assert not any("projectid" in p for p in world.door.sent)
    old = Stage()
    old.cloud.release = "4.16.1.1"
    assert [m.name for m in old.client.machines_named("oma")] == [], "names are substrings up to 4.16"
    old.close()


def test_rule_09_pages_are_put_together_by_id_and_compared_with_the_count(world):
    world.cloud.in_force["default.page.size"] = 100
    template = world.cloud.volumes[ALIEN]
    for n in range(300):
        made, at = stage.made(f"9{n:05}"), template.created + timedelta(seconds=n)
        world.cloud.volumes[made] = replace(template, id=made, n=900 + n, vm=None, device=None, created=at)
    world.cloud.faults.add("refuse", "listVolumes", code=431, times=2)
    world.cloud.faults.add("lost-row", "listVolumes", nth=3, times=1)
    found = world.client.volumes()
    assert len(found) == len({v.id for v in found}) == 305


def test_rule_10_every_call_is_a_post_signed_by_version_3_for_ten_minutes_at_the_most(world):
    world.cloud.in_force["enforce.post.requests.and.timestamps"] = True
    world.make_point()
    assert {p["signatureVersion"] for p in world.door.sent} == {"3"}
    assert {c.status for c in world.cloud.trace} == {200}


# --- 11 to 15 ---------------------------------------------------------------------------------------------------------


def test_rule_11_what_the_cloud_can_do_is_asked_for_and_policies_stand_in_the_way_of_a_vm_snapshot(world):
    assert world.client.capabilities().release == "4.22.1.0"
    world.fill_guest()
    world.cloud.as_account("failover").call(
        "createSnapshotPolicy", volumeid=DB3[1], intervaltype="daily", maxsnaps=2, schedule="00:07", timezone="UTC"
    )
    assert len(world.client.policies_of(DB3[1])) == 1
    held = world.writer().snapshot_guest(world.guest or "", "whole", JOB)
    assert isinstance(held, Refused)
    assert "policy" in held.text


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        (envelope({"success": True}), lambda c: c.writer(BARE)._send("deleteVolume", {}) == Done()),
        (envelope({"success": "true"}), lambda c: c.writer(BARE)._send("deleteVolume", {}) == Done()),
        (envelope({"count": 0, "vmSnapshot": []}), lambda c: c.vm_snapshots() == ()),
        (envelope({"count": 0, "vmsnapshot": []}), lambda c: c.vm_snapshots() == ()),
        (envelope({"volume": []}), lambda c: c.volumes() == ()),
        (
            envelope({"count": 1, "volume": [{
                "id": VM, "state": "Ascended", "type": "LUNAR", "zoneid": ZONE, "serviceofferingid": "13", "new": {"x": [1]},
            }]}),
            lambda c: [v.state for v in c.volumes()] == ["Ascended"],
        ),
        (Reply(b'{"null":{"errorcode":431,"errortext":"x"}}', 431), lambda c: c.volume(VM) is None),
        (Reply(b'{"errorresponse":{"errorcode":431}}', 431), lambda c: c.volume(VM) is None),
    ],
    ids=["true", "text true", "vmSnapshot", "vmsnapshot", "no count", "unknown states and fields", "null", "errorresponse"],
)  # fmt: skip
def test_rule_12_answers_of_every_release_are_understood(client_for, reply, read):
    with odd_server(reply) as server:
        assert read(client_for(server.url))


def test_rule_13_a_guest_is_made_stopped_under_its_host_name_which_stays_taken_until_it_is_expunged(world):
    world.deploy()
    (asked,) = sent(world, "deployVirtualMachine")
    assert (asked["startvm"], asked["name"]) == ("false", GUEST_NAME)
    world.done(world.writer().destroy(world.guest or "", False, world.job_id()))
    gone, world.guest = world.guest, None
    taken = stage.deploy(world, world.job_id())
    assert isinstance(taken, Refused)
    assert not taken.retryable
    assert gone
    with pytest.raises(InvariantViolated, match="no host name"):
        world.writer(guest_name="9lives").deploy(
            "9lives", "x", ZONE, TEMPLATE, OFFERING, (stage.TEST_NET,), 1, 512, uefi=False, job_id=JOB
        )


def test_rule_14_what_may_pass_is_worth_another_try_and_a_plain_no_is_not(world):
    assert [c for c in (429, 503, 530, 533, 534) if not retryable(c)] == []
    assert [c for c in (400, 430, 431, 432, 531, 532, 535, 536, 537) if retryable(c)] == []
    world.cloud.faults.add("refuse", "listNetworks", code=432)
    with pytest.raises(NotAllowed, match="role"):
        world.client.networks()
    assert len(sent(world, "listNetworks")) == 1
    assert _worth is not None


IDS: list[Callable[[Stage, str], Any]] = [
    lambda s, bad: s.client.machine(bad),
    lambda s, bad: s.client.volume(bad),
    lambda s, bad: s.client.volumes_of(bad),
    lambda s, bad: s.client.snapshot(bad),
    lambda s, bad: s.client.snapshots_of(bad),
    lambda s, bad: s.client.vm_snapshots_of(bad),
    lambda s, bad: s.client.policies_of(bad),
    lambda s, bad: s.client.job(bad),
    lambda s, bad: s.writer(guest_id=bad).start(bad, JOB),
    lambda s, bad: s.writer(guest_id=bad).stop(bad, False, JOB),
    lambda s, bad: s.writer(guest_id=bad).destroy(bad, True, JOB),
    lambda s, bad: s.writer(replicas=frozenset({bad})).detach(bad, JOB),
    lambda s, bad: s.writer(replicas=frozenset({bad})).attach(bad, APPLIANCE, 5, JOB),
    lambda s, bad: s.writer().attach(DB3[0], bad, 0, JOB),
    lambda s, bad: s.writer(default_root_id=bad).delete_volume(bad),
    lambda s, bad: s.writer(replicas=frozenset({bad})).create_snapshot(bad, "p", {}, JOB),
    lambda s, bad: s.writer(snapshots={bad: True}).revert_snapshot(bad, JOB),
    lambda s, bad: s.writer(snapshots={bad: True}).delete_snapshot(bad, JOB),
    lambda s, bad: s.writer(snapshots={bad: True}).clone(bad, "c", ZONE, JOB),
    lambda s, bad: s.writer(guest_snapshot_id=bad).revert_guest(bad, JOB),
    lambda s, bad: s.writer(guest_snapshot_id=bad).delete_guest_snapshot(bad, JOB),
    lambda s, bad: s.writer(guest_id=bad).snapshot_guest(bad, "w", JOB),
    lambda s, bad: s.writer(guest_id=bad).tag("UserVm", bad, {"k": "v"}, JOB),
]


@pytest.mark.parametrize("bad", ["1", "-1", "", "all", f"{VM},{VM}", VM + "0"])
@pytest.mark.parametrize("call", IDS)
def test_rule_15_nothing_that_is_no_uuid_is_sent_as_an_id(world, call, bad):
    with pytest.raises(InvariantViolated):
        call(world, bad)
    assert world.door.sent == []


# --- 16 to 22 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uefi", "kind"), [(True, "UEFI"), (False, "BIOS")])
def test_rule_16_boot_type_and_mode_go_together_booleans_are_words_and_no_id_is_of_our_choosing(world, uefi, kind):
    world.writer().deploy(GUEST_NAME, "x", ZONE, TEMPLATE, OFFERING, (stage.TEST_NET,), 2, 512, uefi=uefi, job_id=JOB)
    (asked,) = sent(world, "deployVirtualMachine")
    assert (asked["boottype"], asked["bootmode"], asked["startvm"]) == (kind, "LEGACY", "false")
    assert "customid" not in SAID


@pytest.mark.parametrize(
    "tags",
    [{"k": "v" * 256}, {"k" * 256: "v"}, {"k": ""}, {"": "v"}, {"Run": "1", "run": "2"}],
    ids=["v", "k", "no v", "no k", "case"],
)
def test_rule_17_no_tag_is_sent_that_would_be_cut_refused_or_taken_for_another(world, tags):
    world.deploy()
    with pytest.raises(InvariantViolated, match="CS-TAG"):
        world.writer().tag("UserVm", world.guest or "", tags, JOB)
    with pytest.raises(InvariantViolated, match="CS-TAG"):
        world.writer().tag("VirtualMachine", world.guest or "", {"k": "v"}, JOB)
    assert sent(world, "createTags") == []
    assert not any(re.match(r"tags\[", text) for text in SAID), "lists are never filtered by tags"


def test_rule_18_details_are_written_once_whole_and_never_cleaned_up(world):
    stage.deploy(world, JOB)
    (asked,) = sent(world, "deployVirtualMachine")
    assert (asked["details[0].cpuNumber"], asked["details[0].memory"]) == ("2", "512")
    assert {"name", "displayname"} <= set(asked)
    assert not {"cleanupdetails", "updateVirtualMachine"} & SAID


def test_rule_19_what_a_failed_deploy_left_is_found_by_name_may_go_and_never_starts(world):
    world.cloud.faults.add("host-fails", "start")
    world.cloud.vms[APPLIANCE].state = "Running"
    outcome = stage.deploy(world, JOB)
    assert isinstance(outcome, Accepted)
    world.clock.advance(60)
    world.cloud.vms[outcome.entity_id or ""].state = "Error"
    (left,) = world.client.machines_named(GUEST_NAME)
    world.guest = left.id
    with pytest.raises(InvariantViolated):
        world.writer().start(left.id, world.job_id())
    world.done(world.writer().destroy(left.id, True, world.job_id()))
    assert world.client.machines_named(GUEST_NAME) == ()


def test_rule_20_no_vm_snapshot_is_made_beside_a_volume_snapshot_nor_the_other_way_round(world):
    world.fill_guest()
    outcome = world.writer().create_snapshot(DB3[1], "p", {}, world.job_id())
    assert isinstance(outcome, Accepted)
    held = world.writer().snapshot_guest(world.guest or "", "whole", world.job_id())
    assert isinstance(held, Refused)
    assert held.retryable
    other = Stage()
    other.snap_guest()
    held = other.writer().create_snapshot(DB3[1], "p", {}, other.job_id())
    assert isinstance(held, Refused)
    other.close()


def test_rule_21_a_forced_stop_that_failed_leaves_stopping_and_a_plain_one_clears_it(world):
    world.run_guest()
    world.cloud.faults.add("host-fails", "stop")
    forced = world.writer().stop(world.guest or "", True, own := world.job_id())
    assert isinstance(forced, Accepted)
    assert isinstance(world.settled(own), JobFailed)
    assert world.state() == "Stopping"
    world.done(world.writer().stop(world.guest or "", False, world.job_id()))
    assert world.state() == "Stopped"


def test_rule_22_snapshots_of_running_vms_are_possible_where_capabilities_say_so_and_no_job_is_known_by_its_resource(world):
    assert world.client.capabilities().kvm_snapshot_enabled is False
    world.cloud.configure("kvm.snapshot.enabled", True)
    world.cloud.restart()
    assert world.client.capabilities().kvm_snapshot_enabled is True
    assert not {"resourceid", "resourcetype", "managementserverid", "listConfigurations"} & SAID


# --- all of them ------------------------------------------------------------------------------------------------------


def test_every_rule_has_a_test_by_its_number():
    numbers = {int(found[1]) for name in globals() if (found := re.match(r"test_rule_(\d\d)_", name))}
    assert numbers == set(RULES)
    assert isinstance(JobPending(), JobPending)
    assert JobVanished() == JobVanished()
    assert issubclass(LookFailed, Exception)
    assert LAN
