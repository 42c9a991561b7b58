"""Where a real server corrected the contract, or answered it: one test a row, named by it (A1 to A42, B1 to B8)."""

from __future__ import annotations

from typing import Any

from tests.simulator.signing import send, signed
from tests.simulator.world import CUSTOM, DISK, MASKED, NET, NOBODY, NOT_YOURS, ZONE, No, World, machine


def code(answer: Any) -> tuple[str, int]:
    """Where something was refused, and with which code."""
    assert isinstance(answer, No), answer
    return answer.at, answer.code


def details(**given: Any) -> dict[str, Any]:
    return {f"details[0].{key}": value for key, value in given.items()}


def test_A01_a_role_without_a_command_is_432_and_an_unknown_command_401(world: World) -> None:
    assert code(world.now("listHosts")) == ("call", 432)
    assert send(world, signed("listhosts")).status == 401


def test_A02_customid_of_a_user_is_531(world: World) -> None:
    assert code(world.now("deployVirtualMachine", **machine("x"), customid=NOBODY)) == ("call", 531)


def test_A03_internal_numbers_are_accepted(world: World) -> None:
    vm = world.deploy()
    assert "jobid" in world.now("startVirtualMachine", "admin", id=world.cloud.vms[vm].n)


def test_A04_an_action_on_what_is_removed_is_431_at_once(world: World) -> None:
    vm = world.deploy()
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    assert code(world.now("startVirtualMachine", id=vm)) == ("call", 431)


def test_A05_an_unknown_id_is_reported_before_a_missing_parameter(world: World) -> None:
    assert f"value={NOBODY}" in world.now("attachVolume", id=NOBODY).text


def test_A06_a_401_has_no_class_number(world: World) -> None:
    assert "cserrorcode" not in send(world, {**signed("listZones"), "signature": "x"}).json["listzonesresponse"]


def test_A07_page_0_and_minus_1_are_the_first_and_pagesize_0_only_counts(world: World) -> None:
    world.volume()
    assert [len(world.now("listVolumes", page=page, pagesize=10)["volume"]) for page in (0, -1)] == [1, 1]
    assert world.now("listVolumes", page=1, pagesize=0) == {"count": 1}


def test_A08_pages_lose_rows_that_share_a_second_and_minus_1_loses_none(world: World) -> None:
    for number in range(30):
        world.now("createVolume", name=f"v{number}", zoneid=ZONE, diskofferingid="40000000-0000-4000-8000-000000000002")
    walked = [row["id"] for page in range(1, 11) for row in world.now("listVolumes", page=page, pagesize=3)["volume"]]
    whole = [row["id"] for row in world.now("listVolumes", pagesize=-1)["volume"]]
    assert (len(walked), len(set(walked)) < 30, len(set(whole))) == (30, True, 30)


def test_A09_projectid_minus_1_leaves_the_own_things_out(world: World) -> None:
    world.deploy()
    assert world.now("listVirtualMachines", projectid=-1) == {}


def test_A10_an_unknown_id_among_ids_fails_and_a_malformed_one_vanishes(world: World) -> None:
    volume = world.volume()
    assert code(world.now("listVolumes", ids=f"{volume},{NOBODY}")) == ("call", 431)
    assert world.now("listVolumes", ids=f"{volume},xyz")["count"] == 1


def test_A11_a_foreign_volume_is_531_on_attach_and_fails_the_job_on_detach(world: World) -> None:
    vm, volume = world.running(), world.ready()
    mine = world.deploy("mine", by="other", networkids="60000000-0000-4000-8000-000000000004")
    assert code(world.now("attachVolume", "other", id=volume, virtualmachineid=mine)) == ("call", 531)
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    assert world.does("detachVolume", "other", id=volume) == No("job", 530, NOT_YOURS)


def test_A12_listNics_of_a_foreign_vm_is_530(world: World) -> None:
    assert world.now("listNics", "other", virtualmachineid=world.deploy()) == No("call", 530, NOT_YOURS)


def test_A13_vm_snapshot_jobs_name_no_instance(world: World) -> None:
    answer = world.now("createVMSnapshot", virtualmachineid=world.running())
    assert "jobinstanceid" not in world.job(answer["jobid"])
    assert "jobinstanceid" not in world.ended(answer["jobid"])


def test_A14_a_malformed_customjobid_leaves_an_orphan(world: World) -> None:
    assert code(world.now("deployVirtualMachine", **machine("orphan"), customjobid="x")) == ("call", 431)
    assert world.now("listVirtualMachines")["virtualmachine"][0]["name"] == "orphan"


def test_A15_bios_without_mode_is_530(world: World) -> None:
    assert world.now("deployVirtualMachine", **machine("x"), boottype="BIOS") == No("call", 530, MASKED)


def test_A16_uefi_is_shown_in_its_own_spelling(world: World) -> None:
    row = world.vm(world.deploy(boottype="UEFI", bootmode="SECURE"))
    assert (row["boottype"], row["bootmode"]) == ("Uefi", "secure")


def test_A17_refusals_of_updateVirtualMachine_are_530(world: World) -> None:
    vm = world.deploy()
    given = details(cpuNumber=1, memory=256, extraconfig="x")
    assert world.now("updateVirtualMachine", id=vm, **given) == No("call", 530, MASKED)


def test_A18_details_of_a_custom_offering_need_its_sizes(world: World) -> None:
    vm = world.deploy()
    assert code(world.now("updateVirtualMachine", id=vm, **details(foo="x"))) == ("call", 530)
    assert "virtualmachine" in world.now("updateVirtualMachine", id=vm, **details(cpuNumber=1, memory=256, foo="x"))


def test_A19_after_cleanupdetails_not_even_a_root_administrator_destroys_it(world: World) -> None:
    vm = world.deploy(serviceofferingid=CUSTOM)
    world.now("updateVirtualMachine", id=vm, cleanupdetails=True)
    assert code(world.does("destroyVirtualMachine", "admin", id=vm)) == ("job", 530)


def test_A20_name_overwrites_the_display_name(world: World) -> None:
    vm = world.deploy("old", displayname="shown")
    assert world.now("updateVirtualMachine", id=vm, name="new")["virtualmachine"]["displayname"] == "new"


def test_A21_a_deploy_without_capacity_ends_in_error_without_volumes(world: World) -> None:
    world.host(resourcestate="Disabled")
    answer = world.now("deployVirtualMachine", **{**machine("x"), "startvm": True})
    assert world.ended(answer["jobid"])["jobresultcode"] == 533
    assert (world.vm(answer["id"])["state"], world.now("listVolumes", "admin", virtualmachineid=answer["id"])) == (
        "Error",
        {},
    )


def test_A22_a_forced_stop_that_fails_stays_stopping(world: World) -> None:
    vm = world.running()
    world.cloud.faults.add("host-fails", "stop")
    assert code(world.does("stopVirtualMachine", id=vm, forced=True)) == ("job", 530)
    assert world.vm(vm)["state"] == "Stopping"


def test_A23_permission_to_recover_is_asked_before_the_state(world: World) -> None:
    assert code(world.now("recoverVirtualMachine", id=world.deploy())) == ("call", 531)


def test_A24_an_invalid_mac_is_refused(world: World) -> None:
    vm = world.deploy()
    added = world.does(
        "addNicToVirtualMachine", virtualmachineid=vm, networkid="60000000-0000-4000-8000-000000000003", macaddress="xx"
    )
    assert added == No("job", 431, "Mac address is not valid: xx")


def test_A25_an_address_in_use_leaves_an_error_vm(world: World) -> None:
    taken = world.vm(world.deploy("first"))["nic"][0]["ipaddress"]
    assert world.now("deployVirtualMachine", **machine("second"), ipaddress=taken) == No("call", 530, MASKED)
    assert world.now("listVirtualMachines", name="second")["virtualmachine"][0]["state"] == "Error"


def test_A26_deleting_a_volume_that_is_attaching_is_530(world: World) -> None:
    vm, volume = world.running(), world.ready()
    world.submit("attachVolume", id=volume, virtualmachineid=vm)
    world.clock.advance(1)
    assert world.now("deleteVolume", id=volume) == No("call", 530, MASKED)


def test_A27_resizing_with_a_memory_snapshot_is_432(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    assert code(world.does("resizeVolume", id=world.root(vm), size=9)) == ("job", 432)


def test_A28_while_one_is_being_made_a_snapshot_of_another_volume_is_accepted(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.now("createSnapshot", volumeid=data)
    world.clock.advance(0.95)
    assert code(world.now("createSnapshot", volumeid=data)) == ("call", 431)
    assert "jobid" in world.now("createSnapshot", volumeid=world.root(vm))


def test_A29_a_volume_snapshot_beside_a_file_based_vm_snapshot_is_432(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm)
    assert code(world.does("createSnapshot", volumeid=world.root(vm))) == ("job", 432)


def test_A30_members_of_a_vm_snapshot_are_never_listed(world: World) -> None:
    world.vm_snapshot(world.running())
    assert world.now("listSnapshots", "admin", listall=True) == {}


def test_A31_a_destroyed_snapshot_names_itself(world: World) -> None:
    snapshot = world.snapshot(world.ready())
    world.done("deleteSnapshot", id=snapshot)
    assert world.does("deleteSnapshot", id=snapshot).text.startswith("Snapshot [Snapshot {")


def test_A32_the_snapshot_setting_is_not_dynamic(world: World) -> None:
    world.cloud.configure("kvm.snapshot.enabled", False)
    assert "jobid" in world.now("createSnapshot", volumeid=world.root(world.running()))


def test_A33_long_tags_are_cut(world: World) -> None:
    volume = world.volume()
    world.done("createTags", resourceids=volume, resourcetype="Volume", **{"tags[0].key": "k", "tags[0].value": "v" * 300})
    assert len(world.disk(volume)["tags"][0]["value"]) == 255


def test_A34_VirtualMachine_is_no_type_of_tags_and_UserVm_is(world: World) -> None:
    vm, pair = world.deploy(), {"tags[0].key": "k", "tags[0].value": "v"}
    assert code(world.does("createTags", resourceids=vm, resourcetype="VirtualMachine", **pair)) == ("job", 431)
    assert world.does("createTags", resourceids=vm, resourcetype="UserVm", **pair) == {"success": True}


def test_A35_tags_are_or_ed_and_counted_twice(world: World) -> None:
    volume = world.volume()
    pairs = {"tags[0].key": "a", "tags[0].value": "1", "tags[1].key": "b", "tags[1].value": "2"}
    world.done("createTags", resourceids=volume, resourcetype="Volume", **pairs)
    answer = world.now("listVolumes", **pairs)
    assert (answer["count"], len(answer["volume"])) == (2, 1)


def test_A36_a_root_administrator_may_create_in_a_disabled_zone(world: World) -> None:
    world.cloud.plain["Zone"][ZONE].fields["allocationstate"] = "Disabled"
    given = {"name": "v", "zoneid": ZONE, "diskofferingid": "40000000-0000-4000-8000-000000000002"}
    assert code(world.now("createVolume", **given)) == ("call", 531)
    assert "id" in world.now("createVolume", "admin", **given)


def test_A37_the_template_is_asked_for_before_the_attachment(world: World) -> None:
    vm, volume = world.running(), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    world.pools(scope="ZONE")
    given = {**machine("x"), "volumeid": volume}
    del given["templateid"]
    assert "doesn't have a template" in world.now("deployVirtualMachine", **given).text


def test_A38_virtualmachinename_is_the_display_name(world: World) -> None:
    vm = world.running("plain", displayname="shown so")
    world.vm_snapshot(vm)
    assert world.now("listVMSnapshot")["vmSnapshot"][0]["virtualmachinename"] == "shown so"


def test_A39_the_offering_of_a_root_is_a_number(world: World) -> None:
    assert world.disk(world.root(world.deploy()))["serviceofferingid"].isdigit()


def test_A40_no_boolean_is_false_and_an_unknown_state_lists_nothing(world: World) -> None:
    assert world.vm(world.deploy(startvm="perhaps"))["state"] == "Stopped"
    assert world.now("listVirtualMachines", state="Perhaps") == {}


def test_A41_the_management_server_is_named_only_while_pending(world: World) -> None:
    job = world.submit("startVirtualMachine", id=world.deploy())
    assert ("managementserverid" in world.job(job), "managementserverid" in world.ended(job)) == (True, False)


def test_A42_a_destroy_of_a_starting_vm_waits(world: World) -> None:
    vm = world.deploy(networkids=NET)
    world.submit("startVirtualMachine", id=vm)
    world.clock.advance(1)
    assert world.done("destroyVirtualMachine", id=vm)["virtualmachine"]["state"] == "Destroyed"


# --- open points of the contract that the real server answered (table B) ----------------------------------------------


def test_B1_protection_of_a_root_does_not_survive_an_expunge(world: World) -> None:
    vm = world.deploy()
    root = world.root(vm)
    world.done("updateVolume", "admin", id=root, deleteprotection=True)
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    assert world.now("listVolumes", "admin", id=root) == {}


def test_B2_only_pending_jobs_are_listed(world: World) -> None:
    vm = world.deploy()
    job = world.submit("startVirtualMachine", id=vm)
    assert [row["jobid"] for row in world.now("listAsyncJobs")["asyncjobs"]] == [job]
    world.ended(job)
    assert world.now("listAsyncJobs") == {}


def test_B3_the_customjobid_of_a_finished_job_is_530_and_leaves_an_orphan(world: World) -> None:
    given = {"diskofferingid": DISK, "size": 1, "zoneid": ZONE, "customjobid": "11111111-1111-4111-8111-111111111111"}
    world.done("createVolume", **given, name="first")
    assert world.now("createVolume", **given, name="second") == No("call", 530, MASKED)
    assert world.now("createVolume", "admin", **given, name="third") == No("call", 530, "Entity already exists ")
    assert len(world.now("listVolumes", name="second")["volume"]) == 1


def test_B4_a_vm_with_data_disks_only_does_not_start(world: World) -> None:
    vm, data = world.rootless(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    told = f"Unable to deploy VM [{vm}] because the ROOT volume is missing."
    assert world.does("startVirtualMachine", id=vm) == No("job", 530, told)


def test_B5_an_unknown_id_is_told_in_one_sentence(world: World) -> None:
    told = (
        f"Unable to execute API command startvirtualmachine due to invalid value. Invalid parameter id value={NOBODY} "
        "due to incorrect long value format, or entity does not exist or due to incorrect parameter annotation "
        "for the field in api cmd class."
    )
    assert world.now("startVirtualMachine", id=NOBODY) == No("call", 431, told)


def test_B6_a_destroy_leaves_a_data_disk_on_its_overlay_and_brings_the_root_back_to_its_base(world: World) -> None:
    vm, data = world.running(), world.ready()
    root = world.root(vm)
    world.done("attachVolume", id=data, virtualmachineid=vm)
    base = world.disk(root)["path"]
    world.vm_snapshot(vm)
    overlay = world.disk(data)["path"]
    world.done("destroyVirtualMachine", id=vm)
    assert (world.disk(data)["path"], world.disk(root)["path"], overlay != data) == (overlay, base, True)


def test_B7_a_late_second_detach_clears_the_attachment_to_another_vm(world: World) -> None:
    first, second, volume = world.running("first"), world.deploy("second"), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=first)
    world.cloud.faults.add("late-duplicate", "detachVolume", seconds=1)
    world.cloud.faults.add("slow", "rebootVirtualMachine", seconds=60)
    early = world.submit("detachVolume", id=volume)
    world.submit("rebootVirtualMachine", id=first)
    world.clock.advance(2)
    assert world.ended(early)["jobstatus"] == 1
    world.done("attachVolume", id=volume, virtualmachineid=second)
    world.clock.advance(120)
    assert "virtualmachineid" not in world.disk(volume)


def test_B8_a_restart_ends_every_job_and_leaves_what_it_cannot_settle(world: World) -> None:
    vm, other = world.running(), world.running("other")
    jobs = [world.submit("stopVirtualMachine", id=vm), world.submit("createVMSnapshot", virtualmachineid=other)]
    world.clock.advance(1)
    world.cloud.restart()
    assert {
        (world.job(job)["jobstatus"], world.job(job)["jobresultcode"], "jobresult" in world.job(job)) for job in jobs
    } == {(2, 530, False)}
    assert world.vm(vm)["state"] == "Running"
    assert [row["state"] for row in world.now("listVMSnapshot", virtualmachineid=other)["vmSnapshot"]] == ["Error"]
