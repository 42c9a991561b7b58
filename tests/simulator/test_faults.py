"""Faults by rule: each kind, what sets it off, and that nothing is left to luck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from simulator import serve
from simulator.faults import HOST_WORK, KINDS, ConnectionCut
from tests.simulator.signing import expiring, send, signed
from tests.simulator.world import MASKED, START, ZONE, No, World

VOLUME = {"name": "v", "zoneid": ZONE, "diskofferingid": "40000000-0000-4000-8000-000000000002"}
WAIT = 10.0


def volumes(world: World) -> int:
    return int(world.now("listVolumes", "admin", listall=True).get("count", 0))


# --- what sets a fault off ----------------------------------------------------------------------------------------------


def test_it_strikes_from_the_nth_matching_call_so_many_times(world: World) -> None:
    world.cloud.faults.add("refuse", "listZones", nth=2, times=2, code=503, text="busy")
    answers = [world.now("listZones") for _ in range(5)]
    assert [isinstance(answer, No) for answer in answers] == [False, True, True, False, False]
    assert answers[1] == No("call", 503, "busy")
    assert not isinstance(world.now("listVolumes"), No)


def test_it_strikes_the_object_it_names(world: World) -> None:
    first, second = world.volume("a"), world.volume("b")
    world.cloud.faults.add("refuse", "listVolumes", object=second)
    assert (isinstance(world.now("listVolumes", id=first), No), isinstance(world.now("listVolumes", id=second), No)) == (
        False,
        True,
    )


def test_it_strikes_the_account_it_names(world: World) -> None:
    world.cloud.faults.add("refuse", account="other")
    assert (isinstance(world.now("listZones"), No), isinstance(world.now("listZones", "other"), No)) == (False, True)


def test_it_strikes_not_before_its_time(world: World) -> None:
    world.cloud.faults.add("refuse", "listZones", after=60)
    assert not isinstance(world.now("listZones"), No)
    world.clock.advance(60)
    assert isinstance(world.now("listZones"), No)


def test_chance_is_drawn_from_the_seed(world: World) -> None:
    def drawn(seed: int) -> list[bool]:
        fault = world.cloud.faults.add("refuse", "listZones", times=1000, chance=0.5, seed=seed)
        answers = [isinstance(world.now("listZones"), No) for _ in range(40)]
        world.cloud.faults.remove(fault)
        return answers

    assert drawn(1) == drawn(1) != drawn(2)
    assert 8 < sum(drawn(3)) < 32


def test_faults_come_from_a_file_too() -> None:
    world = World(sections={"faults": [{"kind": "refuse", "command": "listZones", "code": 429}]})
    assert world.now("listZones").code == 429


@pytest.mark.parametrize("more", [{"kind": "no-such"}, {"kind": "refuse", "colour": "red"}], ids=["kind", "field"])
def test_an_unknown_kind_or_field_is_refused_with_what_there_is(world: World, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"refuse|times"):
        world.cloud.faults.add(**more)


def test_every_kind_is_described() -> None:
    assert all(text.strip() for text in KINDS.values())
    assert {"start", "stop", "attach", "detach", "vmsnapshot", "merge"} <= set(HOST_WORK)


# --- the call -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 429, 431, 503, 530])
def test_refuse_answers_with_a_code_and_does_nothing(world: World, code: int) -> None:
    world.cloud.faults.add("refuse", "createVolume", code=code)
    reply = world.cloud.as_account("dr").call("createVolume", **VOLUME)
    inner = reply.json["createvolumeresponse"]
    assert (reply.status, inner["errorcode"], "cserrorcode" in inner, volumes(world)) == (code, code, code != 401, 0)


def test_drop_cuts_before_and_lose_answer_after(world: World) -> None:
    caller = world.cloud.as_account("dr")
    world.cloud.faults.add("drop", "createVolume")
    with pytest.raises(ConnectionCut):
        caller.call("createVolume", **VOLUME)
    assert volumes(world) == 0
    world.cloud.faults.add("lose-answer", "createVolume")
    with pytest.raises(ConnectionCut):
        caller.call("createVolume", **VOLUME)
    assert volumes(world) == 1


@pytest.mark.parametrize(
    ("kind", "status", "body"), [("empty-body", 200, b""), ("html", 502, b"<html>")], ids=["empty-body", "html"]
)
def test_what_comes_back_is_no_answer_though_it_was_done(world: World, kind: str, status: int, body: bytes) -> None:
    world.cloud.faults.add(kind, "createVolume", code=502)
    reply = world.cloud.as_account("dr").call("createVolume", **VOLUME)
    assert (reply.status, reply.body[:6], volumes(world)) == (status, body, 1)


def test_half_an_answer_is_a_broken_connection_over_http(world: World) -> None:
    world.cloud.faults.add("half-answer", "listZones")
    with serve(world.cloud) as server:
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(server.url, params=signed("listZones"), timeout=WAIT)
        assert requests.get(server.url, params=signed("listZones"), timeout=WAIT).status_code == 200


def test_a_slow_answer_is_slow_over_http(world: World) -> None:
    world.cloud.faults.add("slow-answer", "listZones", seconds=0.3)
    with serve(world.cloud) as server, pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(server.url, params=signed("listZones"), timeout=0.1)


def test_a_clock_ahead_lets_requests_expire(world: World) -> None:
    request = signed("listZones", **expiring(START, minutes=10))
    assert send(world, request).status == 200
    world.cloud.faults.add("clock-ahead", seconds=900)
    assert send(world, request).status == 401
    assert send(world, request).status == 200


def test_a_stale_list_is_as_it_was_at_the_first_matching_call(world: World) -> None:
    world.cloud.faults.add("stale-list", "listVolumes", times=1)
    assert volumes(world) == 0
    world.volume()
    assert (volumes(world), volumes(world)) == (0, 1)


@pytest.mark.parametrize(("kind", "whole"), [("lost-row", 5), ("repeated-row", 5)], ids=["lost-row", "repeated-row"])
def test_a_row_slips_from_one_page_to_another(world: World, kind: str, whole: int) -> None:
    for index in range(6):
        world.volume(f"v{index}")
    world.cloud.faults.add(kind, "listVolumes", nth=2)
    pages = [world.now("listVolumes", page=page, pagesize=2) for page in (1, 2, 3)]
    rows = [row["id"] for page in pages for row in page["volume"]]
    assert {page["count"] for page in pages} == {6}
    assert len(set(rows)) == whole


# --- the job ------------------------------------------------------------------------------------------------------------


def _ended(world: World, kind: str, **more: Any) -> tuple[dict[str, Any], str]:
    vm = world.deploy()
    world.cloud.faults.add(kind, "startVirtualMachine", **more)
    return world.ended(world.submit("startVirtualMachine", id=vm)), vm


@pytest.mark.parametrize(
    ("kind", "more", "outcome", "state"),
    [
        ("job-fails", {"code": 533, "text": "no room"}, (2, 533, {"errorcode": 533, "errortext": "no room"}), "Stopped"),
        ("job-no-result", {}, (2, 530, None), "Stopped"),
        ("job-no-result", {"effect": True}, (2, 530, None), "Running"),
        ("job-no-effect", {}, (1, 0, {"success": True}), "Stopped"),
        ("job-stuck", {}, (2, 530, None), "Starting"),
    ],
    ids=["job-fails", "job-no-result", "job-no-result-effect", "job-no-effect", "job-stuck"],
)
def test_how_a_job_ends(world: World, kind: str, more: dict[str, Any], outcome: tuple[Any, ...], state: str) -> None:
    job, vm = _ended(world, kind, **more)
    assert (job["jobstatus"], job["jobresultcode"], job.get("jobresult")) == outcome
    assert world.vm(vm)["state"] == state


def test_a_job_with_code_0_ends_at_once_and_has_its_effect_later(world: World) -> None:
    job, vm = _ended(world, "job-code-0")
    assert (job["jobstatus"], job["jobresultcode"], "jobresult" in job) == (2, 0, False)
    world.clock.advance(60)
    assert world.vm(vm)["state"] == "Running"


def test_a_purged_job_is_forgotten_and_has_its_effect(world: World) -> None:
    vm = world.deploy()
    world.cloud.faults.add("job-purged", "startVirtualMachine")
    job = world.submit("startVirtualMachine", id=vm)
    world.clock.advance(60)
    assert (world.now("queryAsyncJobResult", jobid=job).code, world.vm(vm)["state"]) == (431, "Running")


def test_a_hanging_job_stays_pending(world: World) -> None:
    vm = world.deploy()
    world.cloud.faults.add("job-hangs", "stopVirtualMachine")
    job = world.submit("stopVirtualMachine", id=vm)
    world.clock.advance(600)
    assert world.job(job)["jobstatus"] == 0


def test_a_slow_job_takes_longer(world: World) -> None:
    vm = world.deploy()
    world.cloud.faults.add("slow", "startVirtualMachine", seconds=10)
    job = world.submit("startVirtualMachine", id=vm)
    world.clock.advance(11)
    assert world.job(job)["jobstatus"] == 0
    world.clock.advance(2)
    assert world.job(job)["jobstatus"] == 1


def test_a_late_duplicate_arrives_once_more(world: World) -> None:
    vm, other, volume = world.running(), world.deploy("other"), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    world.cloud.faults.add("late-duplicate", "detachVolume", seconds=30)
    world.done("detachVolume", id=volume)
    world.done("attachVolume", id=volume, virtualmachineid=other)
    world.clock.advance(40)
    assert "virtualmachineid" not in world.disk(volume)


# --- others -------------------------------------------------------------------------------------------------------------


def _starts(world: World, vm: str) -> dict[str, Any]:
    return {"do": {"command": "startVirtualMachine", "id": vm}}


def _powers_off(world: World, vm: str) -> dict[str, Any]:
    return {"do": {"power-off": vm}}


@pytest.mark.parametrize(
    ("what", "running", "state"),
    [(_starts, False, "Running"), (_powers_off, True, "Stopped")],
    ids=["starts-a-vm", "powers-off"],
)
def test_a_human_interferes_before_a_call(
    world: World, what: Callable[[World, str], dict[str, Any]], running: bool, state: str
) -> None:
    vm = world.running() if running else world.deploy()
    world.cloud.faults.add("human", "listZones", **what(world, vm))
    world.now("listZones")
    world.clock.advance(10)
    assert world.vm(vm)["state"] == state


def test_a_human_interferes_at_a_time(world: World) -> None:
    volume = world.ready()
    world.cloud.faults.add(
        "human", after=60, by="dr", do={"command": "createSnapshot", "volumeid": volume, "name": "policy"}
    )
    assert world.now("listSnapshots") == {}
    world.clock.advance(70)
    rows = world.now("listSnapshots")["snapshot"]
    assert [(row["name"], row["account"]) for row in rows] == [("policy", "dr")]


def test_a_human_attaches_the_volume_elsewhere_just_before(world: World) -> None:
    mine, theirs, volume = world.deploy("mine"), world.deploy("theirs"), world.ready()
    taken = {"command": "attachVolume", "id": volume, "virtualmachineid": theirs}
    world.cloud.faults.add("human", "attachVolume", do=taken, by="dr")
    assert isinstance(world.does("attachVolume", id=volume, virtualmachineid=mine), No)
    world.clock.advance(10)
    assert world.disk(volume)["virtualmachineid"] == theirs


def test_a_human_removes_a_tag(world: World) -> None:
    vm = world.deploy()
    tag = {"resourceids": vm, "resourcetype": "UserVm", "tags[0].key": "run", "tags[0].value": "7"}
    world.done("createTags", **tag)
    gone = {"command": "deleteTags", "resourceids": vm, "resourcetype": "UserVm", "tags[0].key": "run"}
    world.cloud.faults.add("human", after=60, do=gone)
    world.clock.advance(70)
    assert world.vm(vm)["tags"] == []


@pytest.mark.parametrize("state", ["Allocated", "Creating", "Reverting", "Expunging", "Error"])
def test_a_row_of_a_vm_snapshot_is_stuck_in_any_state_and_blocks(world: World, state: str) -> None:
    vm, volume = world.running(), world.ready()
    row = world.vm_snapshot(vm)
    world.cloud.faults.add("edit", "listVMSnapshot", do={"id": row, "state": state})
    assert world.now("listVMSnapshot")["vmSnapshot"][0]["state"] == state
    assert isinstance(world.does("attachVolume", id=volume, virtualmachineid=vm), No)


def test_a_hand_in_the_database_moves_a_volume(world: World) -> None:
    volume = world.ready()
    world.cloud.faults.add("edit", after=30, do={"id": volume, "path": "elsewhere"})
    world.clock.advance(31)
    assert world.disk(volume)["path"] == "elsewhere"


@pytest.mark.parametrize("do", [{}, {"id": "x"}, {"path": "elsewhere"}], ids=str)
def test_an_edit_names_a_row_and_a_column(world: World, do: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs `do`"):
        world.cloud.faults.add("edit", do=do)


def test_what_a_human_does_is_struck_by_no_fault(world: World) -> None:
    vm = world.deploy()
    world.cloud.faults.add("refuse", "startVirtualMachine")
    world.cloud.faults.add("human", "listZones", do={"command": "startVirtualMachine", "id": vm})
    world.now("listZones")
    world.clock.advance(10)
    assert world.vm(vm)["state"] == "Running"
    assert world.does("startVirtualMachine", id=vm).text in ("simulated fault", MASKED)


def test_a_restart_in_the_middle(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    world.cloud.faults.add("restart", "listZones")
    world.now("listZones")
    told = world.job(job)
    assert (told["jobstatus"], told["jobresultcode"], "jobresult" in told) == (2, 530, False)


def test_a_host_can_be_slow_for_a_kind_of_work(world: World) -> None:
    vm = world.deploy()
    world.cloud.faults.add("host-slow", "start", seconds=20)
    job = world.submit("startVirtualMachine", id=vm)
    world.clock.advance(15)
    assert (world.job(job)["jobstatus"], world.vm(vm)["state"]) == (0, "Starting")
    assert world.ended(job)["jobstatus"] == 1
