"""Projects: things that several accounts hold together. A project has an account of its own, which owns what is made in it.

`common` asks here whose account a `projectid` means. Without that parameter nobody is shown what belongs to a project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.clock import stamp
from simulator.commands import accounts, common, vms
from simulator.model import Account, Entity, Plain
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
PROJECT = "Project"
JAVA = "org.apache.cloudstack.api.command.user.project."
OWNERS = ("account", "userid", "accountid", "domainid")


def _of(cloud: Cloud, account: Account) -> list[Plain]:
    """The projects that an account is in; root administrators are in all of them."""
    return [row for row in cloud.rows_of(PROJECT) if account.is_root or account.name in row.fields["members"]]


def _named(cloud: Cloud, name: str, domain_id: str) -> Plain | None:
    return next((row for row in cloud.rows_of(PROJECT) if (row.name, row.fields["domain"]) == (name, domain_id)), None)


def _refuse_a_second(cloud: Cloud, name: str, owner: Account) -> None:
    if _named(cloud, name, owner.domain_id) is not None:
        raise Refused(431, f"Project with name {name} already exists in domain id=1")


@command(
    "createProject",
    Param("name", required=True),
    Param("displaytext"),
    *(Param(name) for name in OWNERS),
    java=JAVA + "CreateProjectCmd",
    creates=True,
)
def create(cloud: Cloud, call: Call) -> Row:
    """A project, and the account that owns what is made in it."""
    if call.has("account") != call.has("domainid"):
        raise Refused(431, "Account name and domain id must be specified together")
    owner = common.acting_for(cloud, call)
    _refuse_a_second(cloud, call["name"], owner)
    made = Plain(cloud.new_id(), cloud.number(PROJECT), "", cloud.now(), name=call["name"])
    made.account = f"PrjAcct-{made.name}-1"
    text = call["displaytext"] or made.name
    made.fields = {"members": [owner.name], "displaytext": text, "state": "Active", "domain": owner.domain_id}
    number = cloud.number("Account")
    account = Account(cloud.new_id(), number, made.account, "project", owner.domain_id, domain=owner.domain)
    account.created, account.project = cloud.now(), made.id
    cloud.accounts[made.account] = account
    cloud.plain.setdefault(PROJECT, {})[made.id] = made

    def finish() -> Row:
        return {"project": _shown(cloud, made)}

    return cloud.submit(call, finish, entity=made.id)


def _shown(cloud: Cloud, row: Plain) -> Row:
    account = cloud.accounts[row.account]
    return {
        "id": row.id,
        "name": row.name,
        "displaytext": row.fields["displaytext"],
        "domainid": account.domain_id,
        "domain": account.domain.rpartition("/")[2],
        "owner": [{"account": name} for name in row.fields["members"][:1]],
        "projectaccountname": row.account,
        **accounts.amounts(account.limits, common.used(cloud, account)),
        "state": row.fields["state"],
        "tags": views.tags(cloud, row, PROJECT),
        "created": stamp(row.created),
    }


@command(
    "listProjects",
    Param("id", PROJECT),
    Param("name"),
    Param("displaytext"),
    Param("state"),
    Param("tags", "map"),
    Param("username"),
    Param("details", "list"),
    roles=READERS,
)
def listed(cloud: Cloud, call: Call) -> Row:
    """The projects of the caller or of the account named; root administrators see all with `listall` or an id."""
    everything = (call["listall"] or call.has("id")) and not call.has("account")
    who = common.acting_for(cloud, call)
    rows = [row for row in _of(cloud, call.account) if everything or who.name in row.fields["members"]]
    rows = [row for row in rows if call["id"] in (None, row) and call["name"] in (None, row.name)]
    rows = [row for row in rows if call["displaytext"] in (None, row.fields["displaytext"])]
    rows = [row for row in rows if call["state"] in (None, row.fields["state"])]
    rows = common.by_keyword(call, rows, lambda row: f"{row.name} {row.fields['displaytext']}")
    return page(call, "project", common.Views(rows, lambda row: _shown(cloud, row)))


ID = Param("id", PROJECT, required=True)


def _owned(cloud: Cloud, call: Call) -> Plain:
    """The project that is to be changed: by its owner, or by a root administrator."""
    row: Plain = call["id"]
    if row not in _of(cloud, call.account):
        raise refuse("CS-WIR-27")
    return row


@command(
    "updateProject",
    ID,
    Param("displaytext"),
    Param("name", since="4.19"),
    Param("account"),
    java=JAVA + "UpdateProjectCmd",
    asynchronous=True,
)
def update(cloud: Cloud, call: Call) -> Row:
    """Another name, another text."""
    row = _owned(cloud, call)

    def finish() -> Row:
        if call.has("name") and call["name"] != row.name:
            _refuse_a_second(cloud, call["name"], cloud.accounts[row.account])
            row.name = call["name"]
        row.fields["displaytext"] = call["displaytext"] or row.fields["displaytext"]
        return {"project": _shown(cloud, row)}

    return cloud.submit(call, finish)


@command("suspendProject", ID, java=JAVA + "SuspendProjectCmd", asynchronous=True)
def suspend(cloud: Cloud, call: Call) -> Row:
    """Nothing can be made in it any more, and its VMs stop."""
    row = _owned(cloud, call)

    def finish() -> Row:
        row.fields["state"] = "Suspended"
        for vm in cloud.vms.values():
            if vm.account == row.account and vm.state == "Running":
                vms.halt(cloud, vm)
        return {"project": _shown(cloud, row)}

    return cloud.submit(call, finish)


@command("activateProject", ID, java=JAVA + "ActivateProjectCmd", asynchronous=True)
def activate(cloud: Cloud, call: Call) -> Row:
    """Something can be made in it again; its VMs stay stopped."""
    row = _owned(cloud, call)

    def finish() -> Row:
        row.fields["state"] = "Active"
        return {"project": _shown(cloud, row)}

    return cloud.submit(call, finish)


@command("deleteProject", ID, Param("cleanup", "bool", since="4.16"), java=JAVA + "DeleteProjectCmd", asynchronous=True)
def delete(cloud: Cloud, call: Call) -> Row:
    """It goes when nothing is left in it, or with all that is."""
    row = _owned(cloud, call)

    def finish() -> Row:
        left = _left(cloud, row)
        for kind, found in left.items():
            if found and not call["cleanup"]:
                raise Refused(530, f"Can't delete the project yet because it has {len(found)} {kind} to clean up")
        for entity in (row, *(entity for found in left.values() for entity in found)):
            entity.removed = True
        return {"success": True}

    return cloud.submit(call, finish)


def _left(cloud: Cloud, row: Plain) -> dict[str, list[Entity]]:
    """What a project still has, in the order in which the server looks for it."""
    tables = {
        "VirtualMachineTemplate": cloud.rows_of("Template"),
        "VMSnapshot": cloud.vm_snapshots.values(),
        "VirtualMachine": cloud.vms.values(),
        "Volume": cloud.volumes.values(),
        "Network": cloud.networks.values(),
    }
    return {kind: [e for e in rows if e.account == row.account and not e.removed] for kind, rows in tables.items()}
