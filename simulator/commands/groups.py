"""Groups of VMs: affinity groups, which say who may run beside whom, and instance groups, which are names for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.clock import stamp
from simulator.commands import common
from simulator.model import Account, Plain, Vm
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.affinitygroup."
AFFINITY, INSTANCE = "AffinityGroup", "InstanceGroup"
TYPES = ("host anti-affinity", "host affinity", "non-strict host anti-affinity", "non-strict host affinity")
Row = dict[str, Any]


def _named(cloud: Cloud, kind: str, account: Account, name: str) -> Plain | None:
    return next((row for row in cloud.rows_of(kind) if row.account == account.name and row.name == name), None)


def _kept(cloud: Cloud, kind: str, account: Account, name: str, **fields: Any) -> Plain:
    made = Plain(cloud.new_id(), cloud.number(kind), account.name, cloud.now(), name=name, fields=fields)
    cloud.plain.setdefault(kind, {})[made.id] = made
    return made


# --- affinity groups --------------------------------------------------------------------------------------------------


@command("listAffinityGroupTypes", roles=READERS)
def types(cloud: Cloud, call: Call) -> Row:
    """What kinds of affinity there are."""
    del cloud
    return page(call, "affinityGroupType", [{"type": kind} for kind in TYPES])


@command(
    "createAffinityGroup",
    Param("name", required=True),
    Param("type", required=True),
    Param("description"),
    *common.FOR,
    java=JAVA + "CreateAffinityGroupCmd",
    creates=True,
    by_admin=True,
)
def create(cloud: Cloud, call: Call) -> Row:
    """A new group; VMs join it while they are stopped."""
    account = common.acting_for(cloud, call)
    if call["type"] not in TYPES:
        raise Refused(431, f"Unable to create affinity group, no Affinity Group Types configured of type {call['type']}")
    if _named(cloud, AFFINITY, account, call["name"]) is not None:
        told = f"Unable to create affinity group, a group with name {call['name']} already exists."
        raise Refused(431, told)
    made = _kept(cloud, AFFINITY, account, call["name"], type=call["type"], description=call["description"])

    def finish() -> Row:
        return {"affinitygroup": shown(cloud, made)}

    return cloud.submit(call, finish, instance=("AffinityGroup", made.id), entity=made.id)


@command(
    "deleteAffinityGroup",
    Param("id", AFFINITY, owned=True),
    Param("name"),
    *common.FOR,
    java=JAVA + "DeleteAffinityGroupCmd",
    asynchronous=True,
    by_admin=True,
)
def delete(cloud: Cloud, call: Call) -> Row:
    """Delete a group; its VMs leave it."""
    row: Plain | None = call["id"]
    if row is None and call.has("name"):
        row = _named(cloud, AFFINITY, common.acting_for(cloud, call), call["name"])
        if row is None:
            raise Refused(431, f"Unable to find affinity group by name {call['name']}")
    if row is None:
        raise Refused(431, "Either the affinity group Id or group name must be specified to delete the group")

    def finish() -> Row:
        row.removed = True
        for vm in cloud.vms.values():
            vm.groups = [group for group in vm.groups if group != row.id]
        return {"success": True}

    return cloud.submit(call, finish, instance=("AffinityGroup", row.id))


@command(
    "updateVMAffinityGroup",
    Param("id", "VirtualMachine", required=True, owned=True),
    Param("affinitygroupids", "list"),
    Param("affinitygroupnames", "list"),
    java=JAVA + "UpdateVMAffinityGroupCmd",
    asynchronous=True,
    by_admin=True,
)
def change(cloud: Cloud, call: Call) -> Row:
    """A stopped VM leaves its groups and joins those that are named."""
    vm: Vm = call["id"]
    wanted = chosen(cloud, call, cloud.accounts[vm.account])

    def check() -> None:
        if vm.state != "Stopped":
            said = "make sure the virtual machine is stopped and not in an error state before updating."
            raise Refused(
                431, f"Unable update affinity groups of the virtual machine {vm.told()} in state {vm.state}; {said}"
            )

    def finish() -> Row:
        vm.groups = wanted
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


def chosen(cloud: Cloud, call: Call, account: Account) -> list[str]:
    """The ids of the groups that a call names, by id or by name."""
    ids, names = call["affinitygroupids"] or [], call["affinitygroupnames"] or []
    if ids and names:
        raise Refused(431, "affinitygroupids parameter is mutually exclusive with affinitygroupnames parameter")
    found = [cloud.plain.get(AFFINITY, {}).get(group) for group in ids]
    found += [_named(cloud, AFFINITY, account, name) for name in names]
    for wanted, row in zip([*ids, *names], found, strict=True):
        if row is None or row.removed:
            raise Refused(431, f"Unable to find affinity group by {'id' if ids else 'name'} {wanted}")
        if row.account != account.name and not call.account.is_root:
            raise Refused(531, f"Affinity Group {row.name} and Account {account.name} do not match.", 4365)
    return [row.id for row in found if row is not None]


@command(
    "listAffinityGroups",
    Param("id", AFFINITY),
    Param("name"),
    Param("type"),
    Param("virtualmachineid", "VirtualMachine"),
    roles=READERS,
)
def list_groups(cloud: Cloud, call: Call) -> Row:
    """The affinity groups that the caller sees."""
    rows = common.by_keyword(call, common.chosen(cloud, call, cloud.rows_of(AFFINITY), AFFINITY), lambda row: row.name)
    vm = call["virtualmachineid"]
    rows = [row for row in rows if call["name"] in (None, row.name) and call["type"] in (None, row.fields["type"])]
    rows = [row for row in rows if vm is None or row.id in vm.groups]
    return page(call, "affinitygroup", common.Views(rows, lambda row: shown(cloud, row)))


def shown(cloud: Cloud, row: Plain) -> Row:
    """An affinity group with its VMs."""
    members = [vm.id for vm in cloud.vms.values() if row.id in vm.groups and not vm.removed]
    told = {"id": row.id, "name": row.name, **row.fields, **views.owner(cloud, row)}
    return {**told, "virtualmachineIds": members or None}


# --- instance groups --------------------------------------------------------------------------------------------------


@command("createInstanceGroup", Param("name", required=True), *common.FOR)
def create_named(cloud: Cloud, call: Call) -> Row:
    """A name under which VMs are put together for people."""
    account = common.acting_for(cloud, call)
    if _named(cloud, INSTANCE, account, call["name"]) is not None:
        told = f"Unable to create Instance group, a group with name {call['name']} already exists for Account {account.n}"
        raise Refused(431, told)
    return {"instancegroup": named(cloud, _kept(cloud, INSTANCE, account, call["name"]))}


@command("updateInstanceGroup", Param("id", INSTANCE, required=True, owned=True), Param("name"))
def rename(cloud: Cloud, call: Call) -> Row:
    """Another name."""
    row: Plain = call["id"]
    row.name = call["name"] or row.name
    return {"instancegroup": named(cloud, row)}


@command("deleteInstanceGroup", Param("id", INSTANCE, required=True, owned=True))
def delete_named(cloud: Cloud, call: Call) -> Row:
    """Delete a group; its VMs are in none."""
    row: Plain = call["id"]
    row.removed = True
    for vm in cloud.vms.values():
        vm.group = None if vm.group == row.id else vm.group
    return {"success": True}


def put_into(cloud: Cloud, vm: Vm, name: str) -> None:
    """A VM comes into the group of that name of its account, which is made where there is none; an empty name is no group."""
    account = cloud.accounts[vm.account]
    row = (_named(cloud, INSTANCE, account, name) or _kept(cloud, INSTANCE, account, name)) if name else None
    vm.group = row.id if row else None


@command("listInstanceGroups", Param("id", INSTANCE), Param("name"), roles=READERS)
def list_named(cloud: Cloud, call: Call) -> Row:
    """The instance groups that the caller sees."""
    rows = common.by_keyword(call, common.chosen(cloud, call, cloud.rows_of(INSTANCE), INSTANCE), lambda row: row.name)
    rows = [row for row in rows if call["name"] in (None, row.name)]
    return page(call, "instancegroup", common.Views(rows, lambda row: named(cloud, row)))


def named(cloud: Cloud, row: Plain) -> Row:
    """An instance group."""
    made = {"created": stamp(row.created), "hasannotations": False}
    return {"id": row.id, "name": row.name, **made, **views.owner(cloud, row)}
