"""Guest networks: delete. They are listed in `catalogue`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.model import Network
from simulator.refusals import Refused
from simulator.registry import command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud


@command(
    "deleteNetwork",
    Param("id", "Network", required=True, owned=True),
    Param("forced", "bool"),
    java="org.apache.cloudstack.api.command.user.network.DeleteNetworkCmd",
    asynchronous=True,
)
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Delete a network that no VM has a card in any more; of one that is in use the server says only that it failed."""
    network: Network = call["id"]

    def finish() -> dict[str, Any]:
        if any(card.network == network.id and not card.removed for vm in cloud.vms.values() for card in vm.nics):
            raise Refused(530, "Failed to delete network")
        network.removed, network.state = True, "Destroy"
        return {"success": True}

    return cloud.submit(call, finish, instance=("Network", network.id))
