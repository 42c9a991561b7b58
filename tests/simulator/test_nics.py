"""Network cards, rule by rule (CS-NIC)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import FOREIGN, L2, NET, NET_B, No, World

SNAPSHOTS = {
    "addNicToVirtualMachine": ("added to", {"networkid": NET_B}),
    "removeNicFromVirtualMachine": ("removed from", {}),
    "updateDefaultNicForVirtualMachine": ("updated for", {}),
}


def cards(world: World, vm: str) -> list[dict[str, Any]]:
    """The cards of a VM as listNics shows them."""
    rows: list[dict[str, Any]] = world.now("listNics", virtualmachineid=vm)["nic"]
    return rows


def add(world: World, vm: str, network: str = NET_B, **params: Any) -> Any:
    return world.does("addNicToVirtualMachine", virtualmachineid=vm, networkid=network, **params)


@pytest.mark.parametrize("wording", ["W1", "W2"])
@pytest.mark.parametrize("command", list(SNAPSHOTS), ids=lambda c: f"CS-NIC-01-{c}")
def test_none_of_it_with_a_vm_snapshot(command: str, wording: str) -> None:
    world = World(wording=wording)
    vm = world.running()
    world.vm_snapshot(vm)
    what, params = SNAPSHOTS[command]
    params = params or {"nicid": cards(world, vm)[0]["id"]}
    said = f"NIC cannot be {what} " + ("VM with VM Snapshots" if wording == "W1" else "Instance with Instance Snapshots")
    assert world.does(command, virtualmachineid=vm, **params) == No("job", 431, said)


def test_CS_NIC_02_a_network_once_only(world: World) -> None:
    vm = world.deploy()
    said = f"A NIC already exists for VM:{world.cloud.vms[vm].instance} in network: {NET}"
    assert add(world, vm, NET) == No("job", 530, said)


def test_CS_NIC_03_the_default_card_stays(world: World) -> None:
    vm = world.deploy()
    refused = world.does("removeNicFromVirtualMachine", virtualmachineid=vm, nicid=cards(world, vm)[0]["id"])
    assert (refused.at, refused.code) == ("job", 431)
    assert refused.text.startswith("Unable to remove ")
    assert refused.text.endswith(" is default.")


@pytest.mark.parametrize(
    ("wording", "word"), [pytest.param("W1", "nic", id="CS-NIC-04-W1"), pytest.param("W2", "NIC", id="CS-NIC-04-W2")]
)
def test_what_is_the_default_cannot_become_it(wording: str, word: str) -> None:
    world = World(wording=wording)
    vm = world.deploy()
    said = f"refusing to set default {word} because chosen {word} is already the default"
    answer = world.does("updateDefaultNicForVirtualMachine", virtualmachineid=vm, nicid=cards(world, vm)[0]["id"])
    assert answer == No("job", 530, said)


def test_CS_NIC_05_a_mac_address_once_in_a_network(world: World) -> None:
    first, second = world.deploy("first"), world.deploy("second", networkids=L2)
    taken = cards(world, first)[0]["macaddress"]
    said = f"A NIC with this MAC address exists for network: {NET}"
    assert add(world, second, NET, macaddress=taken) == No("job", 530, said)


def test_CS_NIC_06_an_invalid_mac_address_fails_the_job(world: World) -> None:
    assert add(world, world.deploy(), macaddress="xx") == No("job", 431, "Mac address is not valid: xx")


def test_a_card_is_added_made_the_default_and_the_old_one_removed(world: World) -> None:
    vm = world.deploy()
    assert len(world.done("addNicToVirtualMachine", virtualmachineid=vm, networkid=NET_B)["virtualmachine"]["nic"]) == 2
    old, new = (card["id"] for card in cards(world, vm))
    world.done("updateDefaultNicForVirtualMachine", virtualmachineid=vm, nicid=new)
    world.done("removeNicFromVirtualMachine", virtualmachineid=vm, nicid=old)
    assert [(card["networkid"], card["isdefault"]) for card in cards(world, vm)] == [(NET_B, True)]
    number = next(card.n for card in world.cloud.vms[vm].nics if card.id == old)
    answer = world.now("removeNicFromVirtualMachine", virtualmachineid=vm, nicid=old)
    assert answer == No("call", 431, f"Unable to find UUID for id [{number}] of type [Nic]")


def test_a_foreign_network_fails_in_the_job(world: World) -> None:
    assert add(world, world.deploy(), FOREIGN).code == 530
