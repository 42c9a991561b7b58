"""A VM begun anew: its root made from the template again, another password, another host.

For the neighbours of a failover: nothing of it touches a data disk.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common, deploying, vms
from simulator.model import Plain, Vm
from simulator.refusals import Refused
from simulator.registry import ADMIN, command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.vm."
Row = dict[str, Any]


@command(
    "restoreVirtualMachine",
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    Param("templateid", "Template"),
    Param("expunge", "bool"),
    java=JAVA + "RestoreVMCmd",
    asynchronous=True,
    by_admin=True,
)
def restore(cloud: Cloud, call: Call) -> Row:
    """The root is thrown away and made from the template again; a VM that runs is stopped for it and started again."""
    vm: Vm = call["virtualmachineid"]
    template: Plain | None = call["templateid"] or cloud.plain.get("Template", {}).get(vm.template or "")

    def check() -> None:
        if vm.state not in ("Running", "Stopped"):
            told = f"Vm {vm.told()} currently in {vm.state} state, restore vm can only execute when VM in Running or Stopped"
            raise Refused(530, told)
        if cloud.snapshot_rows(vm):
            raise Refused(431, "Unable to restore VM, please remove VM snapshots before restoring VM")
        if not any(disk.device == 0 for disk in cloud.attached(vm)):
            raise Refused(431, f"There is no root volume for {vm.told()}")
        if template is None or template.removed:
            raise Refused(431, f"Cannot find template/ISO for the specified volumeid and vm: {vm.told()}")

    def finish() -> Row:
        running = vm.state == "Running"
        if running:
            vms.halt(cloud, vm)
        _new_root(cloud, vm, template)
        if running:
            vms.launch(cloud, call, vm)
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


def _new_root(cloud: Cloud, vm: Vm, template: Plain | None) -> None:
    old = next(disk for disk in cloud.attached(vm) if disk.device == 0)
    cloud.take_off(old)
    old.state, old.removed = "Expunged", True
    made = deploying.disk(cloud, vm, old.name, old.size)
    vm.template = template.id if template else None
    made.template, made.offering, made.created = vm.template, old.offering, cloud.now()
    cloud.hang(made, vm, 0)


@command(
    "resetPasswordForVirtualMachine",
    Param("id", "VirtualMachine", required=True, owned=True),
    java=JAVA + "ResetVMPasswordCmd",
    asynchronous=True,
    by_admin=True,
)
def reset_password(cloud: Cloud, call: Call) -> Row:
    """Another password for a stopped VM whose template can take one; the job's result tells it once."""
    vm: Vm = call["id"]

    def check() -> None:
        template = cloud.plain.get("Template", {}).get(vm.template or "")
        if template is None or not template.fields.get("passwordenabled"):
            said = "the template is not password enabled"
            raise Refused(431, f"Fail to reset password for the virtual machine {vm.id}, {said}")
        if vm.state != "Stopped":
            raise Refused(431, f"Vm {vm.told()} should be stopped to do password reset")

    def finish() -> Row:
        shown = views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))
        return {"virtualmachine": {**shown, "password": hashlib.sha256(cloud.new_id().encode()).hexdigest()[:6]}}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


@command("getVirtualMachineUserData", Param("virtualmachineid", "VirtualMachine", required=True, owned=True))
def user_data(cloud: Cloud, call: Call) -> Row:
    """What a VM was given to read when it starts, as it was given."""
    del cloud
    vm: Vm = call["virtualmachineid"]
    return {"virtualmachineuserdata": {"virtualmachineid": vm.id, "userdata": vm.user_data}}


@command(
    "migrateVirtualMachine",
    Param("virtualmachineid", "VirtualMachine", required=True),
    Param("hostid", "Host"),
    roles=ADMIN,
    java="org.apache.cloudstack.api.command.admin.vm.MigrateVMCmd",
    asynchronous=True,
)
def migrate(cloud: Cloud, call: Call) -> Row:
    """A running VM goes to another host."""
    vm: Vm = call["virtualmachineid"]
    others = [host for host in common.hosts(cloud) if host.id != vm.host and host.fields.get("state", "Up") == "Up"]
    host: Plain | None = call["hostid"] or next(iter(others), None)

    def check() -> None:
        if vm.state != "Running":
            raise Refused(431, f"VM is not Running, unable to migrate the vm {vm.told()}")
        if host is None or host not in common.hosts(cloud):
            raise Refused(431, "Unable to find the host to migrate the VM to")
        if host.id == vm.host:
            raise Refused(431, f"Cannot migrate VM, VM is already present on this host, {vm.told()}")

    def finish() -> Row:
        if host is not None:
            vm.host = vm.last_host = host.id
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))
