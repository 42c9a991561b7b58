"""The wire, rule by rule (CS-WIR): credentials, parameters, envelopes, pages, who may see what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.signing import expiring, send, signature, signed
from tests.simulator.world import FOR_DR, MASKED, NOBODY, NOT_YOURS, No, World, machine

UNSIGNED = "unable to verify user credentials and/or request signature"
UNKNOWN = (
    "Unable to execute API command {} due to invalid value. Invalid parameter {} value={} due to "
    "incorrect long value format, "
    "or entity does not exist or due to incorrect parameter annotation for the field in api cmd class."
)
ENFORCE = "enforce.post.requests.and.timestamps"


# --- credentials ------------------------------------------------------------------------------------------------------


def _broken(how: str) -> dict[str, str]:
    good = signed("listZones")
    return {
        "signature": {**good, "signature": good["signature"][::-1]},
        "value": {**good, "name": "x"},
        "key": {**good, "apikey": "nobody"},
        "none": {k: v for k, v in good.items() if k != "signature"},
    }[how]


@pytest.mark.parametrize("how", ["signature", "value", "key", "none"], ids=lambda h: f"CS-WIR-01-CS-WIR-21-{h}")
def test_a_401_has_neither_class_number_nor_description(world: World, how: str) -> None:
    reply = send(world, _broken(how))
    assert reply.status == 401
    assert reply.json == {"listzonesresponse": {"uuidList": [], "errorcode": 401, "errortext": UNSIGNED}}
    assert "X-Description" not in reply.headers


@pytest.mark.parametrize("state", ["disabled", "locked"])
@pytest.mark.parametrize("whose", ["account", "user"], ids=["CS-WIR-01-account", "CS-WIR-01-user"])
def test_a_disabled_or_locked_account_or_user_is_401(world: World, whose: str, state: str) -> None:
    assert send(world, signed("listZones")).status == 200
    account = world.cloud.accounts["dr"]
    (account if whose == "account" else account.users[0]).state = state
    assert send(world, signed("listZones")).status == 401


def test_CS_WIR_01_a_tilde_is_escaped_and_a_star_is_not(world: World) -> None:
    assert send(world, signed("listZones", name="a~b*c d+e/ä")).status == 200


def test_CS_WIR_02_a_command_that_the_role_lacks_is_432(world: World) -> None:
    user = world.cloud.accounts["dr"].user_id
    reply = world.cloud.as_account("dr").call("listHosts")
    assert reply.status == 432
    said = f"The API [listHosts] does not exist or is not available for the account for user id [{user}]."
    assert reply.json == {"errorresponse": {"uuidList": [], "errorcode": 432, "cserrorcode": 9999, "errortext": said}}
    assert world.now("deployVirtualMachine", "viewer", **machine("x")).code == 432


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param(expiring(minutes=10), 200, id="CS-WIR-03-ahead"),
        pytest.param(expiring(days=3650), 200, id="CS-WIR-03-far-ahead"),
        pytest.param(expiring(minutes=-1), 401, id="CS-WIR-03-past"),
        pytest.param({"signatureversion": "3"}, 401, id="CS-WIR-03-missing"),
        pytest.param({"expires": expiring(minutes=-1)["expires"]}, 200, id="CS-WIR-03-without-version"),
    ],
)
def test_signature_version_3_needs_an_expires_that_has_not_passed(world: World, given: dict[str, str], status: int) -> None:
    assert send(world, signed("listZones", **given)).status == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({}, 401, id="CS-WIR-04-no-version"),
        pytest.param(expiring(minutes=16), 401, id="CS-WIR-04-too-far"),
        pytest.param(expiring(minutes=14), 200, id="CS-WIR-04"),
    ],
)
def test_with_enforcement_expires_is_at_most_15_minutes_away(given: dict[str, str], status: int) -> None:
    world = World(settings={ENFORCE: True})
    assert send(world, signed("listZones", **given)).status == status


def test_CS_WIR_05_with_enforcement_a_change_of_state_by_get_is_400() -> None:
    world = World(settings={ENFORCE: True})
    request = signed("deleteVolume", id=NOBODY, **expiring(minutes=5))
    reply = send(world, request, "GET")
    said = "State changing command deleteVolume needs to be sent using POST request"
    assert (reply.status, next(iter(reply.json.values()))["errortext"]) == (400, said)
    assert send(world, request, "POST").status == 431


@pytest.mark.parametrize(
    ("command", "envelope"),
    [("noSuchCommand", "errorresponse"), ("LISTZONES", "errorresponse"), ("", "errorresponse"), (None, "null")],
    ids=["CS-WIR-06-unknown", "CS-WIR-06-case", "CS-WIR-06-empty", "CS-WIR-06-absent"],
)
def test_an_unknown_command_is_401_and_the_envelope_tells_which(world: World, command: str | None, envelope: str) -> None:
    reply = send(world, signed(command))
    assert reply.status == 401
    assert reply.json == {envelope: {"uuidList": [], "errorcode": 401, "errortext": UNSIGNED}}


# --- parameters -------------------------------------------------------------------------------------------------------


def test_CS_WIR_07_a_missing_parameter_is_431(world: World) -> None:
    said = "Unable to execute API command attachvolume due to missing parameter id"
    assert world.now("attachVolume", virtualmachineid=world.deploy()) == No("call", 431, said)


def test_CS_WIR_07_parameters_are_resolved_one_by_one(world: World) -> None:
    said = UNKNOWN.format("attachvolume", "id", NOBODY)
    assert world.now("attachVolume", id=NOBODY) == No("call", 431, said)


@pytest.mark.parametrize("value", [NOBODY, "not-an-id", "12x"], ids=lambda v: f"CS-WIR-08-{v[:5]}")
def test_an_id_that_never_existed_or_is_none_is_431(world: World, value: str) -> None:
    said = UNKNOWN.format("startvirtualmachine", "id", value)
    assert world.now("startVirtualMachine", id=value) == No("call", 431, said)
    assert world.now("listVolumes", id=value) == No("call", 431, UNKNOWN.format("listvolumes", "id", value))


def test_CS_WIR_09_the_id_of_something_removed_lists_as_nothing(world: World) -> None:
    volume = world.ready()
    world.now("deleteVolume", id=volume)
    assert world.raw("listVolumes", id=volume) == {"listvolumesresponse": {}}


def test_CS_WIR_10_an_empty_list_is_an_empty_object(world: World) -> None:
    assert world.raw("listVolumes") == {"listvolumesresponse": {}}


def _several(world: World, number: int) -> None:
    for index in range(number):
        world.volume(f"v{index}")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"page": 1}, '"pagesize" parameter is required when "page" is specified'),
        ({"pagesize": 5}, '"page" parameter is required when "pagesize" is specified'),
        ({"page": 1, "pagesize": 501}, "Page size can't exceed max allowed page size value: 500"),
        ({"page": 1, "pagesize": -1}, "Can't specify page parameter when pagesize is -1 (Unlimited)"),
    ],
    ids=["CS-WIR-11-size", "CS-WIR-11-page", "CS-WIR-11-most", "CS-WIR-11-unlimited"],
)
def test_page_and_pagesize_belong_together(world: World, params: dict[str, Any], said: str) -> None:
    assert world.now("listVolumes", **params) == No("call", 431, said)


@pytest.mark.parametrize(
    ("params", "rows"),
    [
        ({"page": 1, "pagesize": 2}, 2),
        ({"page": 2, "pagesize": 2}, 1),
        ({"page": 0, "pagesize": 2}, 2),
        ({"page": -1, "pagesize": 2}, 2),
        ({"page": 3, "pagesize": 2}, None),
        ({"page": 1, "pagesize": 0}, None),
    ],
    ids=lambda v: f"CS-WIR-11-{v['page']}-{v['pagesize']}" if isinstance(v, dict) else None,
)
def test_pages_of_three(world: World, params: dict[str, Any], rows: int | None) -> None:
    _several(world, 3)
    answer = world.now("listVolumes", **params)
    assert (answer["count"], len(answer["volume"]) if "volume" in answer else None) == (3, rows)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"page": "", "pagesize": " "}, 3),
        ({"page": "+1", "pagesize": "2"}, 2),
        ({"page": 2**31, "pagesize": 2}, "Unable to execute API command listvolumes due to invalid value 2147483648"),
        ({"page": "1.5", "pagesize": 2}, "Unable to execute API command listvolumes due to invalid value 1.5"),
        ({"page": 1, "pagesize": -2}, MASKED),
    ],
)
def test_numbers_of_pages_are_whole_and_fit(world: World, params: dict[str, Any], told: Any) -> None:
    _several(world, 3)
    answer = world.now("listVolumes", **params)
    found = (answer.text or "")[: len(told)] if isinstance(answer, No) else len(answer["volume"])
    assert found == told, answer


def _many(world: World, number: int) -> None:
    row = world.cloud.volumes[world.volume()]
    for index in range(number - 1):
        copy = type(row)(
            f"00000000-0000-4000-9000-{index:012}", 1000 + index, "dr", row.created, name=f"m{index}", zone=row.zone
        )
        world.cloud.volumes[copy.id] = copy


def test_CS_WIR_12_a_list_without_pages_is_cut_at_500_and_its_count_is_not(world: World) -> None:
    _many(world, 510)
    answer = world.now("listVolumes")
    assert (answer["count"], len(answer["volume"])) == (510, 500)


@pytest.mark.parametrize("by", ["dr", "admin"], ids=["CS-WIR-23-user", "CS-WIR-23-admin"])
def test_pagesize_minus_1_lists_everything(world: World, by: str) -> None:
    _many(world, 510)
    answer = world.now("listVolumes", by, pagesize=-1, listall=True)
    assert (answer["count"], len(answer["volume"])) == (510, 510)


def test_CS_WIR_22_page_walks_repeat_and_lose_rows_that_share_one_second(world: World) -> None:
    _many(world, 120)
    seen = [row["id"] for page in range(1, 13) for row in world.now("listVolumes", page=page, pagesize=10)["volume"]]
    assert (len(seen), len(set(seen)) < 120) == (120, True)


def test_CS_WIR_22_rows_of_different_seconds_hold_still(world: World) -> None:
    _several(world, 12)
    seen = [row["id"] for page in range(1, 5) for row in world.now("listVolumes", page=page, pagesize=3)["volume"]]
    assert (len(seen), len(set(seen))) == (12, 12)


def test_the_limit_is_told_while_it_is_on() -> None:
    world = World(settings={"api.throttling.enabled": True, "api.throttling.max": 7})
    told = world.now("listCapabilities")["capability"]
    assert (told["apilimitinterval"], told["apilimitmax"]) == (1, 7)
    assert "apilimitmax" not in World().now("listCapabilities")["capability"]


def test_CS_WIR_13_too_many_calls_a_second_are_429_and_root_administrators_exempt() -> None:
    world = World(settings={"api.throttling.enabled": True})
    answers = [world.now("listZones") for _ in range(26)]
    assert not any(isinstance(answer, No) for answer in answers[:25])
    refused = answers[25]
    assert refused.code == 429
    assert refused.text.startswith("The given user has reached his/her account api limit, please retry after [")
    assert refused.text.endswith("] ms.")
    assert not any(isinstance(world.now("listZones", "admin"), No) for _ in range(40))
    world.clock.advance(1)
    assert not isinstance(world.now("listZones"), No)


def test_CS_WIR_14_an_unexpected_fault_is_530_its_text_masked_for_all_but_root_administrators(world: World) -> None:
    params = {**machine("x"), "boottype": "BIOS"}
    assert world.now("deployVirtualMachine", **params) == No("call", 530, MASKED)
    assert world.now("deployVirtualMachine", "admin", **params, **FOR_DR).text != MASKED


def _nulls(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_nulls(v) for v in inner)


def test_CS_WIR_15_what_has_no_value_is_left_out_never_null(world: World) -> None:
    world.running()
    world.volume()
    for command in (
        "listVirtualMachines",
        "listVolumes",
        "listNetworks",
        "listZones",
        "listServiceOfferings",
        "listCapabilities",
    ):
        assert not _nulls(world.now(command))


def test_CS_WIR_16_control_characters_in_a_value_are_431(world: World) -> None:
    said = "Received value containing illegal ASCII non-printable characters for parameter name"
    assert world.now("listVolumes", name="a\x07b") == No("call", 431, said)


def test_CS_WIR_17_a_tenant_sees_neither_path_nor_pool_nor_hypervisor(world: World) -> None:
    volume = world.ready()
    hidden = {"path", "storage", "storageid", "storagetype", "hypervisor", "clusterid"}
    assert not hidden & world.disk(volume, "dr").keys()
    assert {"path", "storage", "storageid", "storagetype", "hypervisor"} <= world.disk(volume, "admin").keys()


def test_CS_WIR_18_an_internal_number_is_taken_where_an_id_belongs(world: World) -> None:
    vm = world.deploy("guest")
    number = world.cloud.vms[vm].n
    assert world.now("listVirtualMachines", id=number)["virtualmachine"][0]["id"] == vm
    assert (
        world.now("updateVirtualMachine", id=number, displayname="by number")["virtualmachine"]["displayname"] == "by number"
    )
    assert world.now("startVirtualMachine", "other", id=number) == No("call", 531, NOT_YOURS)
    assert world.now("startVirtualMachine", id=-1) == No(
        "call", 431, "Unable to find UUID for id [-1] of type [VirtualMachine]"
    )


@pytest.mark.parametrize("kind", ["VirtualMachine", "Volume", "VMSnapshot", "Nic"], ids=lambda k: f"CS-WIR-19-{k}")
def test_an_action_on_something_removed_is_431(world: World, kind: str) -> None:
    vm, volume = world.running(), world.ready()
    row = world.vm_snapshot(vm)
    card = world.cloud.vms[vm].nics[0]
    world.now("deleteVolume", id=volume)
    world.done("deleteVMSnapshot", vmsnapshotid=row)
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    command, params, number = {
        "VirtualMachine": ("startVirtualMachine", {"id": vm}, world.cloud.vms[vm].n),
        "Volume": ("deleteVolume", {"id": volume}, world.cloud.volumes[volume].n),
        "VMSnapshot": ("deleteVMSnapshot", {"vmsnapshotid": row}, world.cloud.vm_snapshots[row].n),
        "Nic": ("removeNicFromVirtualMachine", {"nicid": card.id, "virtualmachineid": world.deploy("second")}, card.n),
    }[kind]
    assert world.now(command, **params) == No("call", 431, f"Unable to find UUID for id [{number}] of type [{kind}]")


def test_CS_WIR_19_recovering_says_it_otherwise(world: World) -> None:
    vm = world.deploy()
    number = world.cloud.vms[vm].n
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    said = f"Unable to find an Instance with id {number}"
    assert world.now("recoverVirtualMachine", "admin", id=vm) == No("call", 431, said)


def test_CS_WIR_20_an_empty_id_is_431(world: World) -> None:
    answer = world.raw("startVirtualMachine", id="")["startvirtualmachineresponse"]
    assert (answer["errorcode"], answer["cserrorcode"]) == (431, 4350)
    assert answer["errortext"] == "Invalid value provided for API arg: id"


def test_CS_WIR_24_projectid_minus_1_without_listall_leaves_the_own_things_out(world: World) -> None:
    world.deploy()
    assert world.now("listVirtualMachines", projectid=-1) == {}
    assert world.now("listVirtualMachines", projectid=-1, listall=True)["count"] == 1


def test_CS_WIR_25_ids(world: World) -> None:
    first, second = world.volume("a"), world.volume("b")
    assert world.now("listVolumes", ids=f"{first},{second}")["count"] == 2
    assert world.now("listVolumes", ids=f"{first},not-an-id")["count"] == 1
    assert world.now("listVolumes", ids=f"{first},{NOBODY}").code == 431
    said = "Specify either id or ids but not both parameters"
    assert world.now("listVolumes", id=first, ids=second) == No("call", 431, said)


def test_CS_WIR_26_a_strange_boolean_is_false_and_a_strange_state_lists_nothing(world: World) -> None:
    vm = world.deploy(startvm="maybe")
    assert world.vm(vm)["state"] == "Stopped"
    assert world.now("listVirtualMachines", state="Bogus") == {}
    assert world.now("listVolumes", type="Bogus") == {}
    assert world.now("listNetworks", type="Bogus") == No("call", 431, "Unexpected Guest type : Bogus")


FOREIGN = [
    ("startVirtualMachine", "vm", "id", {}),
    ("stopVirtualMachine", "vm", "id", {}),
    ("destroyVirtualMachine", "vm", "id", {}),
    ("updateVirtualMachine", "vm", "id", {"displayname": "x"}),
    ("createVMSnapshot", "vm", "virtualmachineid", {}),
    ("addNicToVirtualMachine", "vm", "virtualmachineid", {"networkid": "60000000-0000-4000-8000-000000000004"}),
    ("deleteVolume", "volume", "id", {}),
    ("resizeVolume", "volume", "id", {"size": 9}),
    ("createSnapshot", "volume", "volumeid", {}),
    ("revertSnapshot", "snapshot", "id", {}),
    ("deleteSnapshot", "snapshot", "id", {}),
    ("revertToVMSnapshot", "row", "vmsnapshotid", {}),
    ("deleteVMSnapshot", "row", "vmsnapshotid", {}),
]


@pytest.mark.parametrize(("command", "kind", "name", "more"), FOREIGN, ids=[f"CS-WIR-27-{row[0]}" for row in FOREIGN])
def test_what_belongs_to_somebody_else_is_531(
    world: World, command: str, kind: str, name: str, more: dict[str, Any]
) -> None:
    vm = world.running()
    volume = world.ready()
    things = {"vm": vm, "volume": volume, "snapshot": world.snapshot(volume), "row": world.vm_snapshot(vm)}
    assert world.now(command, "other", **{name: things[kind], **more}) == No("call", 531, NOT_YOURS)
    assert world.now("listVolumes", "other", id=volume) == {}


def test_CS_WIR_28_listNics_of_somebody_elses_vm_is_530_with_the_plain_text(world: World) -> None:
    assert world.now("listNics", "other", virtualmachineid=world.deploy()) == No("call", 530, NOT_YOURS)


# --- besides ----------------------------------------------------------------------------------------------------------


def test_a_domain_administrator_sees_his_domain_only(world: World) -> None:
    world.deploy()
    assert world.now("listVirtualMachines", "domadmin", listall=True) == {}


def test_an_answer_that_is_not_asked_for_as_json_is_xml(world: World) -> None:
    request = {k: v for k, v in signed("listZones").items() if k not in ("response", "signature")}

    reply = send(world, {**request, "signature": signature(request, "dr-secret")})
    assert reply.headers["Content-Type"].startswith("text/xml")
    assert reply.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?><listzonesresponse cloud-stack-version="4.22.1.0">')


def test_commands_and_parameters_can_be_found_out(world: World) -> None:
    names = {row["name"] for row in world.now("listApis", pagesize=-1)["api"]}
    assert {"deployVirtualMachine", "attachVolume"} <= names
    assert "listHosts" not in names
    one = world.now("listApis", name="deployVirtualMachine")["api"][0]
    assert {"templateid", "volumeid"} <= {row["name"] for row in one["params"]}
    assert world.now("listApis", name="listHosts").code == 530


@pytest.mark.parametrize(("release", "known"), [("4.20.3.0", False), ("4.21.0.0", True)])
def test_a_parameter_is_listed_from_the_release_that_has_it(release: str, known: bool) -> None:
    one = World(release=release).now("listApis", name="deployVirtualMachine")["api"][0]
    assert ("volumeid" in {row["name"] for row in one["params"]}) is known
