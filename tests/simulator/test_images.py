"""Templates and ISOs that are made, registered, shared and deleted; what is offered for download; a VM begun anew."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import CUSTOM, HOST, NOT_YOURS, TEMPLATE, WITH_PASSWORD, ZONE, No, World

SYSTEM = "00000000-0000-4000-8a02-000000000001"
URL = "https://example.org/image.qcow2"
OTHER_HOST = "70000000-0000-4000-8000-000000000002"
Row = dict[str, Any]


def registered(world: World, **params: Any) -> Row:
    given = {"name": "new", "url": URL, "format": "QCOW2", "hypervisor": "KVM", "zoneid": ZONE, "ostypeid": SYSTEM, **params}
    answer = world.now("registerTemplate", **given)
    row: Row = answer if isinstance(answer, No) else answer["template"][0]
    return row


IN_USE = "Invalid state of the volume with specified ID. It should be either detached or the VM should be in stopped state."


def iso(world: World, **params: Any) -> str:
    (row,) = world.now("registerIso", name="disc", url=URL, zoneid=ZONE, ostypeid=SYSTEM, **params)["iso"]
    world.clock.advance(60)
    return str(row["id"])


def templates(world: World, by: str = "dr", kind: str = "executable") -> list[str]:
    return [row["name"] for row in world.now("listTemplates", by, templatefilter=kind).get("template", ())]


# --- templates --------------------------------------------------------------------------------------------------------


def test_a_registered_template_is_ready_when_its_download_is_over(world: World) -> None:
    made = registered(world)
    world.clock.advance(60)
    (listed,) = world.now("listTemplates", templatefilter="self")["template"]
    assert (made["isready"], listed["id"], listed["isready"]) == (False, made["id"], True)


def test_a_template_is_seen_by_others_once_it_is_public(world: World) -> None:
    made = registered(world)
    before = templates(world, "other")
    world.now("updateTemplatePermissions", id=made["id"], ispublic=True)
    assert ("new" in before, "new" in templates(world, "other")) == (False, True)


def test_a_template_is_made_from_a_snapshot_and_deployed(world: World) -> None:
    snapshot = world.snapshot(world.ready(gib=3))
    made = world.done("createTemplate", name="copy", snapshotid=snapshot, ostypeid=SYSTEM)["template"]
    vm = world.deploy(templateid=made["id"])
    assert (made["isready"], world.disk(world.root(vm))["size"]) == (True, 3 * 1024**3)


@pytest.mark.parametrize("which", ["neither", "both", "allocated", "running"])
def test_a_template_is_made_only_from_one_thing_that_rests(world: World, which: str) -> None:
    ready, root = world.ready(), world.root(world.running())
    sources = {
        "neither": {},
        "both": {"volumeid": ready, "snapshotid": world.snapshot(ready)},
        "allocated": {"volumeid": world.volume("blank")},
        "running": {"volumeid": root},
    }
    assert world.does("createTemplate", name="copy", ostypeid=SYSTEM, **sources[which]).code == 431
    assert "copy" not in templates(world)


@pytest.mark.parametrize("params", [{"format": "ZIP"}, {"hypervisor": "VMware"}, {"url": "nonsense"}, {"zoneid": None}])
def test_a_template_that_cannot_be_is_refused(world: World, params: Row) -> None:
    given = {k: v for k, v in params.items() if v is not None}
    plain = {"name": "new", "url": URL, "format": "QCOW2", "hypervisor": "KVM", "zoneid": ZONE}
    kept = {k: v for k, v in plain.items() if k not in params}
    assert world.now("registerTemplate", **kept, **given).code == 431


def test_a_template_is_renamed_and_deleted_by_its_owner_alone(world: World) -> None:
    made = registered(world)
    assert world.now("updateTemplate", "other", id=made["id"], name="stolen") == No("call", 531, NOT_YOURS)
    assert world.now("updateTemplate", id=TEMPLATE, name="stolen") == No("call", 531, NOT_YOURS)
    assert world.now("updateTemplate", id=made["id"], name="better")["template"]["name"] == "better"
    assert world.done("deleteTemplate", id=made["id"]) == {"success": True}
    assert "better" not in templates(world)


# --- ISOs -------------------------------------------------------------------------------------------------------------


def test_an_iso_comes_into_the_drive_of_a_vm_and_out_again(world: World) -> None:
    disc, vm = iso(world), world.deploy()
    loaded = world.done("attachIso", id=disc, virtualmachineid=vm)["virtualmachine"]
    assert (loaded["isoid"], loaded["isoname"]) == (disc, "disc")
    assert world.does("deleteIso", id=disc) == No("job", 431, "Unable to delete iso, as it's used by other vms")
    world.done("detachIso", virtualmachineid=vm)
    assert world.does("detachIso", virtualmachineid=vm).text == "The specified VM has no ISO attached to it."
    assert world.done("deleteIso", id=disc) == {"success": True}
    assert world.now("listIsos") == {}


def test_an_iso_of_somebody_else_is_not_attached_unless_it_is_public(world: World) -> None:
    disc = iso(world)
    vm = world.deploy("theirs", "other", networkids=None)
    assert world.does("attachIso", "other", id=disc, virtualmachineid=vm).code == 431
    world.now("updateIsoPermissions", id=disc, ispublic=True)
    assert world.done("attachIso", "other", id=disc, virtualmachineid=vm)["virtualmachine"]["isoid"] == disc


@pytest.mark.parametrize(
    ("params", "seen"),
    [({}, 1), ({"isofilter": "self"}, 1), ({"isofilter": "featured"}, 0), ({"bootable": False}, 0), ({"name": "x"}, 0)],
)
def test_isos_are_listed_by_what_is_asked(world: World, params: Row, seen: int) -> None:
    iso(world)
    assert world.now("listIsos", **params).get("count", 0) == seen


# --- downloads --------------------------------------------------------------------------------------------------------


def test_a_volume_that_rests_is_offered_for_download(world: World) -> None:
    volume = world.ready()
    offered = world.done("extractVolume", id=volume, mode="HTTP_DOWNLOAD", zoneid=ZONE)["volume"]
    assert (offered["id"], offered["state"]) == (volume, "DOWNLOAD_URL_CREATED")


def test_a_volume_in_use_never_made_or_of_an_image_that_must_not_leave_is_not_offered(world: World) -> None:
    given = {"mode": "HTTP_DOWNLOAD", "zoneid": ZONE}
    vm = world.running()
    root = world.root(vm)
    refused = [world.does("extractVolume", id=volume, **given) for volume in (root, world.volume())]
    refused.append(world.does("extractVolume", id=world.ready(), **{**given, "mode": "PIGEON"}))
    world.done("stopVirtualMachine", id=vm)
    refused.append(world.does("extractVolume", id=root, **given))
    assert refused == [
        No("job", 530, IN_USE),
        No("job", 431, "The volume doesn't belong to a storage pool so can't extract it"),
        No("job", 431, "Please specify a valid extract Mode "),
        No("job", 530, "The volume with specified volumeId is not allowed to be extracted"),
    ]


def test_a_template_leaves_only_when_it_may_in_whatever_way(world: World) -> None:
    refused = world.does("extractTemplate", id=TEMPLATE, mode="HTTP_DOWNLOAD", zoneid=ZONE)
    offered = world.done("extractTemplate", "admin", id=TEMPLATE, mode="http_download", zoneid=ZONE)
    assert (refused.code, refused.text.endswith("as it's not extractable")) == (431, True)
    assert (offered["template"]["id"], offered["template"]["extractMode"]) == (TEMPLATE, "HTTP_DOWNLOAD")


def test_a_disc_leaves_when_it_may(world: World) -> None:
    held, free = iso(world), iso(world, isextractable=True)
    assert world.does("extractIso", id=held, mode="HTTP_DOWNLOAD").code == 431
    assert world.done("extractIso", id=free, mode="HTTP_DOWNLOAD")["iso"]["id"] == free


# --- a VM begun anew --------------------------------------------------------------------------------------------------


def test_a_restored_vm_has_a_blank_root_and_keeps_its_data(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    before = world.root(vm)
    shown = world.done("restoreVirtualMachine", virtualmachineid=vm)["virtualmachine"]
    after = world.root(vm)
    assert (shown["state"], after == before, before in world.cloud.truth()["volumes"]) == ("Running", False, False)
    assert world.disk(data)["virtualmachineid"] == vm


def test_a_vm_with_snapshots_or_without_a_root_is_not_restored(world: World) -> None:
    bare, vm = world.rootless(), world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    refused = [world.does("restoreVirtualMachine", virtualmachineid=one) for one in (bare, vm)]
    assert [no.code for no in refused] == [431, 431]


def test_a_password_is_for_stopped_vms_whose_template_takes_one(world: World) -> None:
    plain, able = world.deploy(), world.deploy("able", templateid=WITH_PASSWORD)
    assert world.done("resetPasswordForVirtualMachine", id=able)["virtualmachine"]["password"]
    world.done("startVirtualMachine", id=able)
    assert [world.does("resetPasswordForVirtualMachine", id=vm).code for vm in (plain, able)] == [431, 431]


def test_user_data_is_told_as_it_was_given(world: World) -> None:
    vm = world.deploy(userdata="aGVsbG8=")
    told = world.now("getVirtualMachineUserData", virtualmachineid=vm)
    assert told == {"virtualmachineuserdata": {"virtualmachineid": vm, "userdata": "aGVsbG8="}}


def test_a_running_vm_is_migrated_by_administrators_to_another_host() -> None:
    hosts = [{"id": each, "name": each[-1], "type": "Routing", "state": "Up"} for each in (HOST, OTHER_HOST)]
    world = World(sections={"hosts": hosts})
    vm = world.deploy(serviceofferingid=CUSTOM)
    stopped = world.does("migrateVirtualMachine", "admin", virtualmachineid=vm)
    world.done("startVirtualMachine", id=vm)
    moved = world.done("migrateVirtualMachine", "admin", virtualmachineid=vm)["virtualmachine"]["hostid"]
    there = world.does("migrateVirtualMachine", "admin", virtualmachineid=vm, hostid=moved)
    assert (stopped.code, moved, there.code) == (431, OTHER_HOST, 431)
    assert world.now("migrateVirtualMachine", virtualmachineid=vm).code == 432
