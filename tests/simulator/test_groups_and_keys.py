"""What accounts have beside machines: key pairs, affinity groups, instance groups."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import FOREIGN, L2, MASKED, NOBODY, No, World, machine

KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDX somebody"
FINGERPRINT = "10:7d:2b:2d:55:ec:6a:79:0e:a0:11:dc:6c:a8:90:0e"
Row = dict[str, Any]


def _machine(name: str, **more: Any) -> Row:
    return {**machine(name), **more}


def pairs(world: World, by: str = "dr") -> list[str]:
    return [row["name"] for row in world.now("listSSHKeyPairs", by).get("sshkeypair", ())]


def affinity(world: World, name: str = "apart") -> str:
    made = world.done("createAffinityGroup", name=name, type="host anti-affinity")
    return str(made["affinitygroup"]["id"])


# --- key pairs --------------------------------------------------------------------------------------------------------


def test_a_created_pair_shows_its_private_half_once(world: World) -> None:
    made = world.now("createSSHKeyPair", name="mine")["keypair"]
    (listed,) = world.now("listSSHKeyPairs")["sshkeypair"]
    assert made["privatekey"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert {**listed, "privatekey": made["privatekey"]} == made


def test_a_registered_pair_is_found_by_its_fingerprint(world: World) -> None:
    made = world.now("registerSSHKeyPair", name="mine", publickey=KEY)["keypair"]
    (listed,) = world.now("listSSHKeyPairs", fingerprint=made["fingerprint"])["sshkeypair"]
    assert (made["fingerprint"], listed) == (FINGERPRINT, made)
    assert world.now("listSSHKeyPairs", fingerprint="00:00") == {}


@pytest.mark.parametrize(
    ("command", "params", "text"),
    [
        ("createSSHKeyPair", {"name": "mine"}, "A key pair with name 'mine' already exists."),
        (
            "registerSSHKeyPair",
            {"name": "twin", "publickey": KEY},
            f"A key pair with key '{KEY}' already exists for this account.",
        ),
        ("registerSSHKeyPair", {"name": "bad", "publickey": "no key"}, "Public key is invalid"),
        ("registerSSHKeyPair", {"name": "bad", "publickey": "ssh-rsa !!!!"}, "Public key is invalid"),
        ("deleteSSHKeyPair", {"name": "x"}, "A key pair with name 'x' does not exist for account dr in specified domain id"),
    ],
)
def test_what_is_wrong_with_a_pair_is_refused(world: World, command: str, params: Row, text: str) -> None:
    world.now("registerSSHKeyPair", name="mine", publickey=KEY)
    assert world.now(command, **params) == No("call", 431, text)


def test_pairs_are_their_accounts_own(world: World) -> None:
    world.now("createSSHKeyPair", name="mine")
    assert (pairs(world), pairs(world, "other")) == (["mine"], [])
    assert isinstance(world.now("deleteSSHKeyPair", "other", name="mine"), No)
    world.now("deleteSSHKeyPair", name="mine")
    assert pairs(world) == []


def test_a_vm_is_made_with_a_pair_that_exists(world: World) -> None:
    world.now("createSSHKeyPair", name="mine")
    assert world.vm(world.deploy("keyed", keypair="mine"))["keypairs"] == "mine"
    unknown = world.now("deployVirtualMachine", **_machine("other", keypair="none"))
    assert unknown == No("call", 431, "A key pair with name 'none' was not found.")


def test_a_stopped_vm_gets_another_pair_a_running_one_does_not(world: World) -> None:
    world.now("createSSHKeyPair", name="mine")
    vm = world.deploy()
    assert world.done("resetSSHKeyForVirtualMachine", id=vm, keypair="mine")["virtualmachine"]["keypairs"] == "mine"
    world.done("startVirtualMachine", id=vm)
    assert world.does("resetSSHKeyForVirtualMachine", id=vm, keypair="mine").code == 431


# --- affinity groups --------------------------------------------------------------------------------------------------


def test_a_vm_joins_groups_while_it_is_stopped(world: World) -> None:
    group, vm = affinity(world), world.deploy()
    joined = world.done("updateVMAffinityGroup", id=vm, affinitygroupids=group)["virtualmachine"]
    assert [row["name"] for row in joined["affinitygroup"]] == ["apart"]
    assert world.now("listAffinityGroups", virtualmachineid=vm)["affinitygroup"][0]["virtualmachineIds"] == [vm]
    world.done("startVirtualMachine", id=vm)
    assert world.does("updateVMAffinityGroup", id=vm, affinitygroupids=group).code == 431


def test_a_vm_is_deployed_into_a_group_and_leaves_it_when_the_group_goes(world: World) -> None:
    affinity(world)
    vm = world.deploy(affinitygroupnames="apart")
    assert [row["name"] for row in world.vm(vm)["affinitygroup"]] == ["apart"]
    world.done("deleteAffinityGroup", name="apart")
    assert (world.vm(vm)["affinitygroup"], world.now("listAffinityGroups")) == ([], {})


@pytest.mark.parametrize(
    ("command", "params", "text"),
    [
        (
            "createAffinityGroup",
            {"name": "apart", "type": "host affinity"},
            "Unable to create affinity group, a group with name apart already exists.",
        ),
        (
            "createAffinityGroup",
            {"name": "x", "type": "love"},
            "Unable to create affinity group, no Affinity Group Types configured of type love",
        ),
        ("deleteAffinityGroup", {}, "Either the affinity group Id or group name must be specified to delete the group"),
        ("deleteAffinityGroup", {"name": "x"}, "Unable to find affinity group by name x"),
    ],
)
def test_what_is_wrong_with_an_affinity_group_is_refused(world: World, command: str, params: Row, text: str) -> None:
    affinity(world)
    assert world.does(command, **params) == No("call", 431, text)


def test_a_deploy_into_a_foreign_or_unknown_group_is_refused(world: World) -> None:
    group = affinity(world)
    foreign = world.now("deployVirtualMachine", "other", **_machine("x", affinitygroupids=group, networkids=FOREIGN))
    unknown = world.now("deployVirtualMachine", **_machine("x", affinitygroupids=NOBODY))
    assert (foreign.code, unknown.code) == (531, 431)


# --- instance groups --------------------------------------------------------------------------------------------------


def test_a_vm_comes_into_a_group_by_its_name_and_out_again(world: World) -> None:
    vm = world.deploy(group="web")
    (group,) = world.now("listInstanceGroups")["instancegroup"]
    assert (world.vm(vm)["group"], world.vm(vm)["groupid"]) == ("web", group["id"])
    world.now("updateVirtualMachine", id=vm, group="db")
    assert world.vm(vm)["group"] == "db"
    world.now("updateVirtualMachine", id=vm, group="")
    assert "group" not in world.vm(vm)


def test_a_group_is_made_renamed_and_deleted_with_its_vms_left_in_none(world: World) -> None:
    made = world.now("createInstanceGroup", name="web")["instancegroup"]
    vm = world.deploy(group="web")
    assert world.now("createInstanceGroup", name="web").code == 431
    assert world.now("updateInstanceGroup", id=made["id"], name="www")["instancegroup"]["name"] == "www"
    assert world.now("deleteInstanceGroup", "other", id=made["id"]).code == 531
    assert world.now("deleteInstanceGroup", id=made["id"]) == {"success": True}
    assert "group" not in world.vm(vm)


def test_refusals_of_keys_on_networks_without_services_stay_as_they_were(world: World) -> None:
    world.now("createSSHKeyPair", name="mine")
    refused = world.now("deployVirtualMachine", **_machine("x", networkids=L2, keypair="mine"))
    assert refused.text != MASKED
    assert refused.code == 431
