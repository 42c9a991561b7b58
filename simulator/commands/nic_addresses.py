"""Addresses of a network card: further ones beside its own, and another one of its own.

`addresses` leads public addresses on to any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common, deploying
from simulator.model import Nic, Vm
from simulator.refusals import Refused
from simulator.registry import command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

CARD = Param("nicid", "Nic", required=True)
JAVA = "org.apache.cloudstack.api.command.user.vm."
Row = dict[str, Any]


def _holder(cloud: Cloud, call: Call, card: Nic) -> Vm:
    """The VM that has the card, if the caller may work with it."""
    vm = next((vm for vm in cloud.vms.values() if card in vm.nics and not card.removed), None)
    if vm is None:
        raise Refused(431, f"There is no nic with id {card.n}")
    if not cloud.may_act_on(call.account, vm):
        raise Refused(531, "Caller does not have permission to operate with provided resource.", 4365)
    return vm


def _check_service(cloud: Cloud, card: Nic) -> None:
    network = cloud.networks[card.network]
    if not network.has_services:
        raise Refused(431, f"The network of nic {card.id} gives no addresses")


@command("addIpToNic", CARD, Param("ipaddress"), java=JAVA + "AddIpToVmNicCmd", creates=True)
def add(cloud: Cloud, call: Call) -> Row:
    """One more address in the card's network: the one asked for, or the next that is free."""
    card: Nic = call["nicid"]
    vm = _holder(cloud, call, card)
    _check_service(cloud, card)
    try:
        address = deploying.free_address(cloud, cloud.networks[card.network], call["ipaddress"])
    except Refused:
        raise Refused(431, f"Allocating ip to guest nic {card.id} failed, please choose another ip") from None
    made = cloud.new_id()
    card.further[made] = address

    def finish() -> Row:
        place = {"networkid": card.network, "nicid": card.id, "virtualmachineid": vm.id}
        return {"nicsecondaryip": {"id": made, "ipaddress": address, **place}}

    return cloud.submit(call, finish, instance=("NicSecondaryIp", made), entity=made)


@command("removeIpFromNic", Param("id", required=True), java=JAVA + "RemoveIpFromVmNicCmd", asynchronous=True)
def remove(cloud: Cloud, call: Call) -> Row:
    """Take a further address away, unless a public address or a rule leads to it."""
    cards = (card for vm in cloud.vms.values() for card in vm.nics)
    card = next((card for card in cards if call["id"] in card.further), None)
    if card is None:
        raise Refused(431, "Invalid value provided for API arg: id")
    vm = _holder(cloud, call, card)
    address = card.further[call["id"]]

    def check() -> None:
        if any(row.vm == vm.id and row.vm_ip == address for row in cloud.addresses.values()):
            raise Refused(431, f"Can' remove the ip {address}is associated with static NAT rule public IP address id")
        rules = (rule for rule in cloud.rules.values() if rule.vm == vm.id and not rule.removed)
        if any(rule.vm_ip == address for rule in rules):
            raise Refused(431, f"Can' remove the ip {address} is associate with a port forwarding rule")

    def finish() -> Row:
        card.further.pop(call["id"], None)
        return {"success": True}

    return cloud.submit(call, finish, check=check)


@command("updateVmNicIp", CARD, Param("ipaddress"), java=JAVA + "UpdateVmNicIpCmd", asynchronous=True)
def change(cloud: Cloud, call: Call) -> Row:
    """Another address of a stopped VM's card."""
    card: Nic = call["nicid"]
    vm = _holder(cloud, call, card)

    def check() -> None:
        if vm.state != "Stopped":
            raise Refused(431, f"The VM is not Stopped, please stop it before update Vm nic Ip: {vm.id}")
        _check_service(cloud, card)

    def finish() -> Row:
        try:
            card.ip = deploying.free_address(cloud, cloud.networks[card.network], call["ipaddress"])
        except Refused:
            raise Refused(431, "Allocating ip to guest nic failed, please choose another ip") from None
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))
