"""Lists of what is not worked with here: a fresh server tells them, and clients ask for them on their way."""

from __future__ import annotations

import pytest

from simulator.commands import ELSEWHERE
from simulator.registry import COMMANDS
from tests.simulator.world import No, World

EMPTY = (
    *("listVPCs", "listPrivateGateways", "listStaticRoutes", "listNetworkACLs", "listVpnGateways", "listVpnConnections"),
    *("listVpnCustomerGateways", "listVpnUsers", "listRemoteAccessVpns", "listUserData", "listSslCerts"),
    *("listAutoScaleVmGroups", "listProjectInvitations", "listBackupOfferings", "listBackups"),
)


def test_the_region_of_a_server_that_stands_alone(world: World) -> None:
    (region,) = world.now("listRegions")["region"]
    assert region == {
        "id": 1,
        "name": "Local",
        "endpoint": "http://localhost:8080/client/",
        "gslbserviceenabled": True,
        "portableipserviceenabled": False,
    }
    assert (world.now("listRegions", id=1)["count"], world.now("listRegions", id=2)) == (1, {})


def test_offerings_of_vpcs_are_told_by_name(world: World) -> None:
    (offering,) = world.now("listVPCOfferings", name="Default VPC offering")["vpcoffering"]
    assert (offering["isdefault"], offering["state"]) == (True, "Enabled")
    assert world.now("listVPCOfferings", "other", id=offering["id"])["vpcoffering"] == [offering]


@pytest.mark.parametrize("command", EMPTY)
def test_of_what_nobody_made_there_is_none(world: World, command: str) -> None:
    assert world.now(command, listall=True) == {}


@pytest.mark.parametrize("command", ["listStorageTags", "listHostTags", "listHosts", "listPods", "listClusters"])
def test_what_stands_under_the_machines_is_for_administrators(world: World, command: str) -> None:
    refused = world.now(command)
    assert isinstance(refused, No)
    assert refused.code == 432
    assert not isinstance(world.now(command, "admin"), No)


@pytest.mark.parametrize("command", sorted(ELSEWHERE))
def test_a_command_that_is_elsewhere_is_not_here_too(world: World, command: str) -> None:
    assert command not in COMMANDS
    refused = world.now(command, "admin")
    assert isinstance(refused, No)
    assert refused.code == 432
