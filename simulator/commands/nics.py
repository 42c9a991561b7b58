"""Network cards of VMs: add, remove, choose the default, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import addresses, common, deploying
from simulator.model import Network, Nic, Vm
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.vm."
VM = Param("virtualmachineid", "VirtualMachine", required=True, owned=True)
CARD = Param("nicid", "Nic", required=True)
ATTACHABLE = ("Running", "Stopped")


def _shown(cloud: Cloud, vm: Vm, call: Call) -> dict[str, Any]:
    row = views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id), wanted=("nics",))
    return {"virtualmachine": row}


def _check_snapshots(cloud: Cloud, vm: Vm, what: str) -> None:
    """CS-NIC-01."""
    if cloud.snapshot_rows(vm):
        raise refuse("CS-NIC-01", cloud.wording, what=what)


def _own(vm: Vm) -> list[Nic]:
    return [card for card in vm.nics if not card.removed]


@command(
    "addNicToVirtualMachine",
    Param("networkid", "Network", required=True),
    VM,
    Param("ipaddress"),
    Param("macaddress"),
    java=JAVA + "AddNicToVMCmd",
    asynchronous=True,
    by_admin=True,
)
def add(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Give a VM one more card."""
    vm: Vm = call["virtualmachineid"]
    network: Network = call["networkid"]

    def finish() -> dict[str, Any]:
        _check_host_name(cloud, vm, network)
        if vm.state == "Running":
            addresses.implement(cloud, network)
        device = next(n for n in range(len(vm.nics) + 1) if n not in {c.device for c in _own(vm)})
        made = deploying.card(cloud, network, device, call["ipaddress"], call["macaddress"])
        made.is_default = not _own(vm)
        vm.nics.append(made)
        return _shown(cloud, vm, call)

    def check() -> None:
        _check_snapshots(cloud, vm, "added to")
        if not cloud.may_act_on(call.account, network):
            raise Refused(530, f"Unable to use network with id= {network.id}, permission denied")
        deploying.check_mac(call["macaddress"])
        if any(card.network == network.id for card in _own(vm)):
            raise refuse("CS-NIC-02", instance=vm.instance, network=network.id)
        _check_mac_is_free(cloud, call["macaddress"], network)
        if network.zone != vm.zone:
            zones = {"zone": _zone(cloud, vm.zone), "other": _zone(cloud, network.zone)}
            raise refuse("CS-NIC-10", vm=vm.told(), network=_told(network), **zones)
        if vm.state not in ATTACHABLE:
            raise refuse("CS-NIC-09", vm=vm.told(), zone=_zone_number(cloud, vm))

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


def _check_mac_is_free(cloud: Cloud, mac: str | None, network: Network) -> None:
    cards = (card for vm in cloud.vms.values() for card in _own(vm))
    if mac is not None and any(card.network == network.id and card.mac == mac.lower() for card in cards):
        raise refuse("CS-NIC-05", network=network.id)


def _check_host_name(cloud: Cloud, vm: Vm, network: Network) -> None:
    try:
        deploying.check_name(cloud, vm.name, [network], own=vm)
    except Refused:
        raise refuse("CS-NIC-07", cloud.wording, network=network.name, name=vm.name) from None


@command("removeNicFromVirtualMachine", CARD, VM, java=JAVA + "RemoveNicFromVMCmd", asynchronous=True)
def remove(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Take a card away, but not the default one."""
    vm: Vm = call["virtualmachineid"]
    card: Nic = call["nicid"]

    def check() -> None:
        _check_snapshots(cloud, vm, "removed from")
        _check_owner(vm, card, cloud)
        if card.is_default:
            network = cloud.networks[card.network]
            raise refuse("CS-NIC-03", cloud.wording, vm=vm.told(), network=_told(network))
        if vm.state not in ATTACHABLE:
            told = {"vm": vm.told(), "network": _told(cloud.networks[card.network]), "zone": _zone_number(cloud, vm)}
            raise refuse("CS-NIC-09b", cloud.wording, **told)

    def finish() -> dict[str, Any]:
        card.removed = True
        return _shown(cloud, vm, call)

    return cloud.submit(call, finish, check=check, queue=vm.id)


@command("updateDefaultNicForVirtualMachine", CARD, VM, java=JAVA + "UpdateDefaultNicForVMCmd", asynchronous=True)
def choose_default(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another card becomes the default one; the two change their places."""
    vm: Vm = call["virtualmachineid"]
    card: Nic = call["nicid"]

    def check() -> None:
        _check_snapshots(cloud, vm, "updated for")
        _check_owner(vm, card, cloud, "CS-NIC-08b")
        if card.is_default:
            raise refuse("CS-NIC-04", cloud.wording)
        if vm.state not in ATTACHABLE:
            raise refuse("CS-NIC-09c", vm=vm.told())

    def finish() -> dict[str, Any]:
        before = next(c for c in _own(vm) if c.is_default)
        before.is_default, card.is_default = False, True
        before.device, card.device = card.device, before.device
        vm.nics.sort(key=lambda c: c.device)
        return _shown(cloud, vm, call)

    return cloud.submit(call, finish, check=check, queue=vm.id)


def _check_owner(vm: Vm, card: Nic, cloud: Cloud, rule: str = "CS-NIC-08") -> None:
    if card in vm.nics:
        return
    holder = next(v for v in cloud.vms.values() if card in v.nics)
    uri = f'"vlan:\\/\\/{cloud.networks[card.network].vlan}"' if card.vlan else "null"
    ip = "null" if card.ip is None else f'"{card.ip}"'
    plain = f'"deviceId":{card.device},"iPv4Address":{ip},"id":{card.n},"instanceId":{holder.n},"reservationId":null,"uuid":"{card.id}"'
    raise refuse(rule, card=f'Nic {{"broadcastUri":{uri},{plain}}}', vm=vm.told())


def _zone(cloud: Cloud, zone_id: str) -> str:
    zone = cloud.plain["Zone"][zone_id]
    return f'Zone {{"id": "{zone.n}", "name": "{zone.name}", "uuid": "{zone.id}"}}'


def _zone_number(cloud: Cloud, vm: Vm) -> int:
    return cloud.plain["Zone"][vm.zone].n


def _told(network: Network) -> str:
    return f'Network {{"id": {network.n}, "name": "{network.name}", "uuid": "{network.id}", "networkofferingid": 10}}'


@command(
    "listNics",
    Param("virtualmachineid", "VirtualMachine", required=True),
    Param("nicid", "Nic"),
    Param("networkid", "Network"),
    roles=READERS,
)
def list_nics(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The cards of one VM."""
    vm: Vm = call["virtualmachineid"]
    if vm.removed:
        raise refuse("CS-WIR-28b")
    if not cloud.may_act_on(call.account, vm):
        raise refuse("CS-WIR-28")
    cards = [c for c in _own(vm) if call["nicid"] in (None, c)]
    cards = [c for c in cards if call["networkid"] is None or c.network == call["networkid"].id]
    rows = [{k: v for k, v in views.nic(cloud, c).items() if k != "secondaryip" or c.further} for c in cards]
    return page(call, "nic", [{**row, "virtualmachineid": vm.id} for row in rows])
