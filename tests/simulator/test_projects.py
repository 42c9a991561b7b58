"""Projects: what several accounts hold together, which nobody is shown who does not ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import DISK, ZONE, No, World, machine

LISTS = {
    "listVirtualMachines": "virtualmachine",
    "listVolumes": "volume",
    "listNetworks": "network",
    "listSSHKeyPairs": "sshkeypair",
}
KEYS = {"id", "name", "displaytext", "domainid", "domain", "owner", "projectaccountname", "state", "tags", "created"}


@pytest.fixture
def project(world: World) -> str:
    return str(world.done("createProject", name="webs")["project"]["id"])


def furnished(world: World, project: str) -> dict[str, str]:
    """Something of everything in a project: the ids by list."""
    network = world.now("createNetwork", name="inner", zoneid=ZONE, networkofferingid=_offering(world), projectid=project)
    vm = world.done("deployVirtualMachine", **{**machine("web"), "networkids": network["network"]["id"]}, projectid=project)
    world.now("createSSHKeyPair", name="ours", projectid=project)
    return {"listVirtualMachines": vm["virtualmachine"]["id"], "listNetworks": network["network"]["id"]}


def _offering(world: World) -> str:
    rows = world.now("listNetworkOfferings")["networkoffering"]
    return str(next(row["id"] for row in rows if row["guestiptype"] == "Isolated"))


def names(world: World, command: str, by: str = "dr", **params: Any) -> list[str]:
    return [row["name"] for row in world.now(command, by, **params).get(LISTS[command], ())]


def test_a_project_has_an_account_of_its_own_which_no_list_of_accounts_shows(world: World, project: str) -> None:
    (row,) = world.now("listProjects")["project"]
    assert row.keys() > KEYS
    assert (row["projectaccountname"], row["owner"], row["state"]) == ("PrjAcct-webs-1", [{"account": "dr"}], "Active")
    shown = {account["name"] for account in world.now("listAccounts", "admin", listall=True)["account"]}
    assert "PrjAcct-webs-1" not in shown


def test_what_is_made_in_a_project_tells_the_project_and_no_account(world: World, project: str) -> None:
    vm = furnished(world, project)["listVirtualMachines"]
    (row,) = world.now("listVirtualMachines", id=vm, projectid=project)["virtualmachine"]
    assert (row["projectid"], row["project"]) == (project, "webs")
    assert "account" not in row


@pytest.mark.parametrize("command", LISTS)
def test_it_is_listed_for_who_asks_for_the_project_and_for_nobody_else(world: World, project: str, command: str) -> None:
    before = names(world, command, listall=True)
    furnished(world, project)
    assert names(world, command, listall=True) == before
    inside = names(world, command, projectid=project)
    assert inside
    assert not set(inside) & set(before)


def test_all_projects_together_are_asked_for_by_minus_one(world: World, project: str) -> None:
    own = world.deploy("own")
    vm = furnished(world, project)["listVirtualMachines"]
    rows = world.now("listVirtualMachines", projectid=-1, listall=True)["virtualmachine"]
    assert {own, vm} == {row["id"] for row in rows}


def test_a_stranger_sees_no_project_and_does_nothing_in_it(world: World, project: str) -> None:
    vm = furnished(world, project)["listVirtualMachines"]
    assert world.now("listProjects", "other") == {}
    for command, params in (
        ("listVirtualMachines", {"projectid": project}),
        ("createVolume", {"projectid": project, "name": "x", "zoneid": ZONE, "diskofferingid": DISK, "size": 1}),
        ("startVirtualMachine", {"id": vm}),
        ("deleteProject", {"id": project}),
    ):
        refused = world.now(command, "other", **params)
        assert isinstance(refused, No)
        assert (refused.code, refused.text) == (531, "Caller does not have permission to operate with provided resource.")


def test_a_root_administrator_sees_all_projects_when_he_asks_for_all(world: World, project: str) -> None:
    assert world.now("listProjects", "admin") == {}
    assert [row["id"] for row in world.now("listProjects", "admin", listall=True)["project"]] == [project]


def test_a_second_of_the_same_name_is_refused(world: World, project: str) -> None:
    assert world.now("createProject", name="webs") == No("call", 431, "Project with name webs already exists in domain id=1")


def test_a_suspended_project_takes_nothing_in_and_its_vms_stop(world: World, project: str) -> None:
    vm = furnished(world, project)["listVirtualMachines"]
    world.done("startVirtualMachine", id=vm)
    assert world.done("suspendProject", id=project)["project"]["state"] == "Suspended"
    assert world.vm(vm)["state"] == "Stopped"
    refused = world.now("createVolume", name="x", zoneid=ZONE, diskofferingid=DISK, size=1, projectid=project)
    assert isinstance(refused, No)
    assert refused.code == 531
    assert world.done("activateProject", id=project)["project"]["state"] == "Active"
    assert isinstance(
        world.submit("createVolume", name="x", zoneid=ZONE, diskofferingid=DISK, size=1, projectid=project), str
    )


def test_a_project_is_deleted_empty_or_with_all_that_is_in_it(world: World, project: str) -> None:
    furnished(world, project)
    refused = world.does("deleteProject", id=project)
    assert refused == No("job", 530, "Can't delete the project yet because it has 1 VirtualMachine to clean up")
    world.done("deleteProject", id=project, cleanup=True)
    assert world.now("listProjects") == {}
    assert names(world, "listVolumes", "admin", projectid=-1, listall=True) == []
    world.done("deleteProject", id=world.done("createProject", name="webs")["project"]["id"])
    assert world.now("listProjects") == {}


def test_a_project_is_renamed_and_tagged(world: World, project: str) -> None:
    assert world.done("updateProject", id=project, name="sites", displaytext="all")["project"]["displaytext"] == "all"
    world.done("createTags", resourceids=project, resourcetype="Project", **{"tags[0].key": "a", "tags[0].value": "b"})
    (row,) = world.now("listProjects", name="sites")["project"]
    assert [(tag["key"], tag["value"], tag["resourcetype"]) for tag in row["tags"]] == [("a", "b", "Project")]


def test_an_administrator_asks_for_the_projects_of_an_account(world: World, project: str) -> None:
    domain = world.now("listProjects")["project"][0]["domainid"]
    found = {by: world.now("listProjects", "admin", account=by, domainid=domain) for by in ("dr", "other")}
    assert ([row["id"] for row in found["dr"]["project"]], found["other"]) == ([project], {})
