"""Jobs, rule by rule (CS-JOB): what is asked at once, what in the job, who waits for whom, and what is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import MASKED, NOBODY, No, World, machine

OWN = "aaaaaaaa-0000-4000-8000-00000000000{}"
CREATING: dict[str, dict[str, Any]] = {
    "createVolume": {
        "name": "v",
        "zoneid": machine("x")["zoneid"],
        "diskofferingid": "40000000-0000-4000-8000-000000000002",
    },
    "deployVirtualMachine": machine("guest"),
}
UNKNOWN = (
    "Unable to execute API command queryasyncjobresult due to invalid value. Invalid parameter "
    "jobid value={} due to incorrect long value "
    "format, or entity does not exist or due to incorrect parameter annotation for the field in api cmd class."
)


def volumes(world: World) -> int:
    return int(world.now("listVolumes", "admin", listall=True).get("count", 0))


# --- how jobs are taken and end ---------------------------------------------------------------------------------------


def test_CS_JOB_01_an_accepted_command_answers_with_a_job(world: World) -> None:
    vm = world.deploy()
    assert world.now("startVirtualMachine", id=vm).keys() == {"jobid"}


def test_CS_JOB_01_a_creating_one_answers_with_its_entity_too(world: World) -> None:
    answer = world.now("createVolume", **CREATING["createVolume"])
    assert answer.keys() == {"id", "jobid"}
    assert world.disk(answer["id"])["jobstatus"] == 0
    assert world.job(answer["jobid"])["jobstatus"] == 0


def test_CS_JOB_02_a_wrong_parameter_found_in_a_job_fails_it_with_431(world: World) -> None:
    assert world.does("detachVolume", id=world.ready()).code == 431


def test_CS_JOB_03_an_api_fault_in_a_job_fails_it_with_its_own_code(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm)
    assert world.does("createSnapshot", volumeid=world.root(vm)).code == 432


def test_CS_JOB_04_any_other_fault_in_a_job_fails_it_with_530(world: World) -> None:
    assert world.does("startVirtualMachine", id=world.rootless()).code == 530


def test_CS_JOB_05_only_pending_jobs_are_listed(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    assert [row["jobid"] for row in world.now("listAsyncJobs")["asyncjobs"]] == [job]
    assert world.now("listAsyncJobs", "other") == {}
    world.ended(job)
    assert world.now("listAsyncJobs") == {}


def test_CS_JOB_06_an_ended_job_can_be_asked_for_during_a_day(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    world.clock.advance(23 * 3600)
    told = world.job(job)
    assert (told["jobstatus"], told["jobresultcode"], told["jobresulttype"]) == (1, 0, "object")
    assert told["jobresult"]["virtualmachine"]["state"] == "Running"


def test_CS_JOB_07_an_unknown_job_is_431(world: World) -> None:
    assert world.now("queryAsyncJobResult", jobid=NOBODY) == No("call", 431, UNKNOWN.format(NOBODY))


def test_CS_JOB_07_an_ended_job_is_purged_after_a_day(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    world.clock.advance(25 * 3600)
    assert world.now("queryAsyncJobResult", jobid=job) == No("call", 431, UNKNOWN.format(job))


def test_CS_JOB_08_somebody_elses_job_is_531(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    refused = world.now("queryAsyncJobResult", "other", jobid=job)
    assert refused.code == 531
    assert "is not authorized to see job id=" in refused.text
    assert world.now("queryAsyncJobResult", "admin", jobid=job)["jobid"] == job


# --- an id of one's own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["not-a-uuid", OWN.format(1).upper()], ids=["CS-JOB-09-malformed", "CS-JOB-09-upper"])
@pytest.mark.parametrize("command", ["createVolume", "deployVirtualMachine"])
def test_a_malformed_customjobid_is_431_and_leaves_what_was_created(world: World, command: str, wanted: str) -> None:
    said = f"UUID: {wanted} doesn't follow the UUID format"
    assert world.now(command, **CREATING[command], customjobid=wanted) == No("call", 431, said)
    assert volumes(world) == 1
    assert world.now("listAsyncJobs") == {}


def test_CS_JOB_09_other_commands_leave_nothing(world: World) -> None:
    vm = world.deploy()
    assert world.now("startVirtualMachine", id=vm, customjobid="x").code == 431
    world.clock.advance(60)
    assert world.vm(vm)["state"] == "Stopped"


def test_CS_JOB_10_the_customjobid_of_a_pending_job_is_431(world: World) -> None:
    world.now("startVirtualMachine", id=world.deploy(), customjobid=OWN.format(1))
    said = f"UUID: {OWN.format(1)} already exists so can't create/update with custom id"
    before = volumes(world)
    assert world.now("createVolume", **CREATING["createVolume"], customjobid=OWN.format(1)) == No("call", 431, said)
    assert volumes(world) == before + 1
    assert world.job(OWN.format(1))["jobstatus"] == 0


def test_CS_JOB_11_the_customjobid_of_an_ended_job_is_530_and_masked(world: World) -> None:
    world.ended(world.submit("startVirtualMachine", id=world.deploy(), customjobid=OWN.format(1)))
    before = volumes(world)
    assert world.now("createVolume", **CREATING["createVolume"], customjobid=OWN.format(1)) == No("call", 530, MASKED)
    told = world.now("createVolume", "admin", **CREATING["createVolume"], customjobid=OWN.format(1))
    assert told == No("call", 530, "Entity already exists ")
    assert volumes(world) == before + 2


def test_CS_JOB_11_after_a_purge_the_id_is_free_again(world: World) -> None:
    world.submit("startVirtualMachine", id=world.deploy(), customjobid=OWN.format(1))
    world.clock.advance(25 * 3600)
    assert world.now("createVolume", **CREATING["createVolume"], customjobid=OWN.format(1))["jobid"] == OWN.format(1)


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_CS_JOB_12_a_restart_ends_all_jobs_without_result(world: World) -> None:
    vm = world.deploy()
    jobs = [world.submit("startVirtualMachine", id=vm), world.submit("stopVirtualMachine", id=vm)]
    world.clock.advance(1)
    world.cloud.restart()
    for job in jobs:
        told = world.job(job)
        assert (told["jobstatus"], told["jobresultcode"], "jobresult" in told, "completed" in told) == (2, 530, False, True)
    world.clock.advance(60)
    assert world.vm(vm)["state"] == "Stopped"


@pytest.mark.parametrize(
    ("command", "kind", "after"),
    [
        pytest.param("startVirtualMachine", "stopped", "Stopped", id="CS-JOB-12-Starting"),
        pytest.param("stopVirtualMachine", "running", "Running", id="CS-JOB-12-Stopping"),
    ],
)
def test_a_vm_falls_back_at_a_restart(world: World, command: str, kind: str, after: str) -> None:
    vm = world.running() if kind == "running" else world.deploy()
    world.submit(command, id=vm)
    world.clock.advance(1)
    world.cloud.restart()
    assert world.vm(vm)["state"] == after


def test_CS_JOB_12_attaching_and_detaching_fall_back_too(world: World) -> None:
    vm, new, attached = world.running(), world.volume("new"), world.ready("attached")
    world.done("attachVolume", id=attached, virtualmachineid=vm)
    world.submit("attachVolume", id=new, virtualmachineid=vm)
    world.clock.advance(1)
    world.cloud.restart()
    world.submit("detachVolume", id=attached)
    world.clock.advance(1)
    world.cloud.restart()
    assert (world.disk(new)["state"], "virtualmachineid" in world.disk(new)) == ("Allocated", False)
    assert world.disk(attached)["virtualmachineid"] == vm


@pytest.mark.parametrize(
    ("command", "after"),
    [
        pytest.param("createVMSnapshot", "Error", id="CS-JOB-12-creating"),
        pytest.param("revertToVMSnapshot", "Reverting", id="CS-JOB-12-reverting"),
        pytest.param("deleteVMSnapshot", "Expunging", id="CS-JOB-12-deleting"),
    ],
)
def test_what_a_vm_snapshot_is_after_a_restart(world: World, command: str, after: str) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    if command == "createVMSnapshot":
        world.now(command, virtualmachineid=vm)
    else:
        world.submit(command, vmsnapshotid=world.vm_snapshot(vm))
    world.clock.advance(1)
    world.cloud.restart()
    assert [row["state"] for row in world.now("listVMSnapshot")["vmSnapshot"]] == [after]
    assert world.disk(world.root(vm))["state"] == "Ready"


def test_CS_JOB_12_before_4_20_3_a_creating_row_stays_for_ever() -> None:
    world = World(release="4.21.0.0")
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    world.now("createVMSnapshot", virtualmachineid=vm)
    world.clock.advance(1)
    world.cloud.restart()
    assert [row["state"] for row in world.now("listVMSnapshot")["vmSnapshot"]] == ["Creating"]


def test_CS_JOB_12_a_queued_volume_snapshot_is_gone(world: World) -> None:
    vm = world.running()
    world.submit("rebootVirtualMachine", id=vm)
    world.now("createSnapshot", volumeid=world.root(vm))
    world.clock.advance(0.5)
    world.cloud.restart()
    assert world.now("listSnapshots") == {}


def test_CS_JOB_13_a_job_that_blocked_too_long_ends_with_code_0_and_its_work_goes_on(world: World) -> None:
    vm = world.deploy()
    world.cloud.faults.add("slow", "startVirtualMachine", seconds=2 * 3600)
    job = world.submit("startVirtualMachine", id=vm)
    world.submit("stopVirtualMachine", id=vm)
    world.clock.advance(3601)
    told = world.job(job)
    assert (told["jobstatus"], told["jobresultcode"], "jobresult" in told) == (2, 0, False)
    assert world.vm(vm)["state"] == "Starting"
    world.clock.advance(3700)
    assert world.vm(vm)["state"] == "Running"


# --- who waits for whom -----------------------------------------------------------------------------------------------


def test_CS_JOB_14_two_operations_on_one_vm_the_second_waits(world: World) -> None:
    vm = world.deploy()
    start, stop = world.submit("startVirtualMachine", id=vm), world.submit("stopVirtualMachine", id=vm)
    world.clock.advance(2.1)
    assert (world.job(start)["jobstatus"], world.job(stop)["jobstatus"]) == (1, 0)
    assert world.ended(stop)["jobresult"]["virtualmachine"]["state"] == "Stopped"


def test_CS_JOB_14_what_is_checked_is_checked_at_submission(world: World) -> None:
    vm, volume = world.running(), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    world.submit("rebootVirtualMachine", id=vm)
    first, second = world.submit("detachVolume", id=volume), world.submit("detachVolume", id=volume)
    assert [world.ended(job)["jobstatus"] for job in (first, second)] == [1, 1]


def test_different_vms_run_side_by_side(world: World) -> None:
    jobs = [world.submit("startVirtualMachine", id=world.deploy(f"vm{n}")) for n in range(3)]
    world.clock.advance(2.1)
    assert [world.job(job)["jobstatus"] for job in jobs] == [1, 1, 1]


def test_slots_bound_how_many_jobs_run_at_once() -> None:
    world = World(slots=1)
    vms = [world.deploy(f"vm{n}") for n in range(3)]
    jobs = [world.submit("startVirtualMachine", id=vm) for vm in vms]
    world.clock.advance(4.5)
    assert [world.job(job)["jobstatus"] for job in jobs] == [1, 1, 0]


def test_CS_JOB_15_a_start_during_a_start_joins_it(world: World) -> None:
    vm = world.deploy()
    first, second = world.submit("startVirtualMachine", id=vm), world.submit("startVirtualMachine", id=vm)
    ended = [world.ended(job) for job in (first, second)]
    assert [job["jobstatus"] for job in ended] == [1, 1]
    assert [job["jobresult"]["virtualmachine"]["state"] for job in ended] == ["Running", "Running"]


def test_CS_JOB_15_and_so_does_a_stop(world: World) -> None:
    vm = world.running()
    jobs = [world.submit("stopVirtualMachine", id=vm) for _ in range(2)]
    assert [world.ended(job)["jobresult"]["virtualmachine"]["state"] for job in jobs] == ["Stopped", "Stopped"]


def test_CS_JOB_16_a_late_second_detach_clears_whatever_attachment_there_is_by_then(world: World) -> None:
    first, second, volume = world.running("first"), world.deploy("second"), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=first)
    early = world.submit("detachVolume", id=volume)
    world.submit("rebootVirtualMachine", id=first)
    late = world.submit("detachVolume", id=volume)
    world.ended(early)
    world.cloud.faults.add("slow", "rebootVirtualMachine", seconds=30)
    world.done("attachVolume", id=volume, virtualmachineid=second)
    assert world.disk(volume)["virtualmachineid"] == second
    assert world.ended(late)["jobstatus"] == 1
    assert "virtualmachineid" not in world.disk(volume)


# --- maintenance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["dr", "admin"], ids=["CS-JOB-17-user", "CS-JOB-17-admin"])
def test_in_maintenance_no_job_is_taken_and_nothing_is_left_behind(world: World, by: str) -> None:
    vm, before = world.deploy(), volumes(world)
    world.cloud.maintenance = True
    said = "Maintenance or Shutdown has been initiated on this management server. Can not accept new jobs"
    assert world.now("startVirtualMachine", by, id=vm) == No("call", 503, said)
    assert world.now("createVolume", by, **CREATING["createVolume"]) == No("call", 503, said)
    assert volumes(world) == before
    assert world.now("updateVirtualMachine", id=vm, displayname="still").keys() == {"virtualmachine"}
    world.cloud.maintenance = False
    world.done("startVirtualMachine", by, id=vm)


def test_CS_JOB_17_older_releases_say_it_after_the_entity_was_made() -> None:
    world = World(release="4.20.3.0")
    world.cloud.maintenance = True
    assert world.now("createVolume", **CREATING["createVolume"]) == No("call", 530, MASKED)
    assert volumes(world) == 1


# --- what a job tells -------------------------------------------------------------------------------------------------


def _jobs(world: World) -> dict[str, tuple[str, str | None, str | None]]:
    """Kind of job → job id, type, and the id it should name."""
    vm, volume = world.running(), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    row = world.now("createVMSnapshot", virtualmachineid=vm)
    world.ended(row["jobid"])
    world.done("deleteVMSnapshot", vmsnapshotid=row["id"])
    snapshot = world.now("createSnapshot", volumeid=volume)
    world.ended(snapshot["jobid"])
    tags = {"resourceids": volume, "resourcetype": "Volume", "tags[0].key": "k", "tags[0].value": "v"}
    card = world.now("listNics", virtualmachineid=vm)["nic"][0]["id"]
    return {
        "createVMSnapshot": (row["jobid"], "VmSnapshot", None),
        "createSnapshot": (snapshot["jobid"], "Snapshot", snapshot["id"]),
        "stop": (world.submit("stopVirtualMachine", id=vm), "VirtualMachine", vm),
        "detach": (world.submit("detachVolume", id=volume), "Volume", volume),
        "tags": (world.submit("createTags", **tags), None, None),
        "nic": (world.submit("updateDefaultNicForVirtualMachine", virtualmachineid=vm, nicid=card), None, None),
    }


@pytest.mark.parametrize(
    "kind",
    ["createVMSnapshot", "createSnapshot", "stop", "detach", "tags", "nic"],
    ids=lambda k: f"CS-JOB-18-{k}",
)
def test_which_jobs_name_the_instance_they_work_on(world: World, kind: str) -> None:
    job, instance, entity = _jobs(world)[kind]
    told = world.job(job)
    assert (told.get("jobinstancetype"), told.get("jobinstanceid")) == (instance, entity)


def test_CS_JOB_19_the_management_server_is_named_only_while_the_job_is_pending(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    keys = {"managementserverid", "managementservername"}
    assert keys <= world.job(job).keys()
    assert not keys & world.ended(job).keys()


def test_CS_JOB_20_a_job_found_by_its_resource_is_the_newest_to_the_second(world: World) -> None:
    vm = world.deploy()
    start = world.submit("startVirtualMachine", id=vm)
    world.submit("stopVirtualMachine", id=vm)
    assert world.now("queryAsyncJobResult", resourceid=vm, resourcetype="VirtualMachine")["jobid"] == start
    world.clock.advance(10)
    stop = world.submit("stopVirtualMachine", id=vm)
    assert world.now("queryAsyncJobResult", resourceid=vm, resourcetype="VirtualMachine")["jobid"] == stop


def test_CS_JOB_20_unknown_resources_and_types_are_431(world: World) -> None:
    refused = world.now("queryAsyncJobResult", resourceid=NOBODY, resourcetype="VirtualMachine")
    assert (refused.code, refused.text) == (431, "Invalid resourceid")
    refused = world.now("queryAsyncJobResult", resourceid=world.deploy(), resourcetype="Bogus")
    assert (refused.code, refused.text) == (431, "Invalid resourcetype")
