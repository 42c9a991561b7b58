"""Domains are made, changed and deleted. `accounts` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.commands import common
from simulator.commands.accounts import domain_view
from simulator.commands.people import remove_account, root_domain
from simulator.model import Account, Plain
from simulator.refusals import Refused
from simulator.registry import ADMIN, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
ID = Param("id", "Domain", required=True)


def _path(row: Plain) -> str:
    return str(row.fields.get("path", row.name))


def _beneath(cloud: Cloud, row: Plain) -> list[Plain]:
    return [domain for domain in cloud.rows_of("Domain") if _path(domain).startswith(f"{_path(row)}/")]


def _children(cloud: Cloud, row: Plain) -> list[Plain]:
    return [domain for domain in _beneath(cloud, row) if _path(domain).rpartition("/")[0] == _path(row)]


@command(
    "createDomain", Param("name", required=True), Param("parentdomainid", "Domain"), Param("networkdomain"), roles=ADMIN
)
def create(cloud: Cloud, call: Call) -> Row:
    """A domain under another."""
    parent: Plain = call["parentdomainid"] or root_domain(cloud)
    if any(row.name == call["name"] for row in _children(cloud, parent)):
        raise Refused(431, f"Domain with name [{call['name']}] already exists for the parent with ID [{parent.n}].")
    made = Plain(cloud.new_id(), cloud.number("Domain"), "", cloud.now(), name=call["name"])
    level = int(parent.fields.get("level", 0)) + 1
    made.fields = {"path": f"{_path(parent)}/{made.name}", "level": level, "state": "Active"}
    made.fields["networkdomain"] = call["networkdomain"]
    cloud.plain["Domain"][made.id] = made
    return {"domain": domain_view(cloud, made)}


@command("updateDomain", ID, Param("name"), Param("networkdomain"), roles=ADMIN)
def update(cloud: Cloud, call: Call) -> Row:
    """Another name, which those beneath bear in their paths, or another network domain."""
    row: Plain = call["id"]
    if call.has("name"):
        if row is root_domain(cloud):
            raise Refused(431, "ROOT domain can not be edited with a new name")
        beside = (
            domain for domain in cloud.rows_of("Domain") if _path(domain).rpartition("/")[0] == _path(row).rpartition("/")[0]
        )
        if any(domain.name == call["name"] and domain is not row for domain in beside):
            raise Refused(
                431, f"Failed to update specified domain id with name '{call['name']}' since it already exists in the system"
            )
        _rename(cloud, row, call["name"])
    if call.has("networkdomain"):
        row.fields["networkdomain"] = call["networkdomain"] or None
    return {"domain": domain_view(cloud, row)}


def _rename(cloud: Cloud, row: Plain, name: str) -> None:
    before, renamed = _path(row), f"{_path(row).rpartition('/')[0]}/{name}"
    for domain in (row, *_beneath(cloud, row)):
        domain.fields["path"] = renamed + _path(domain).removeprefix(before)
    for account in _inside(cloud, before):
        account.domain = renamed + account.domain.removeprefix(before)
    row.name = name


def _inside(cloud: Cloud, path: str) -> list[Account]:
    return [row for row in cloud.accounts.values() if not row.removed and f"{row.domain}/".startswith(f"{path}/")]


@command(
    "deleteDomain",
    ID,
    Param("cleanup", "bool"),
    roles=ADMIN,
    java="org.apache.cloudstack.api.command.admin.domain.DeleteDomainCmd",
    asynchronous=True,
)
def delete(cloud: Cloud, call: Call) -> Row:
    """A domain that nobody is in goes, any other with all that is in it when `cleanup` says so."""
    row: Plain = call["id"]

    def check() -> None:
        if row is root_domain(cloud):
            raise Refused(530, "Can't delete ROOT domain")
        names = {account.name for account in _inside(cloud, _path(row))}
        if any(vm.protected for vm in cloud.vms.values() if vm.account in names and not vm.removed):
            raise Refused(431, f"Cannot delete Domain '{row.name}'. One or more Instances have delete protection enabled.")

    def finish() -> Row:
        inside, beneath = _inside(cloud, _path(row)), _beneath(cloud, row)
        if (inside or beneath) and not call["cleanup"]:
            ends = "Please make sure all users and sub domains have been removed from the domain before deleting"
            raise Refused(530, f"Delete failed on domain {common.domain_told(row)}; {ends}")
        for account in inside:
            remove_account(cloud, account)
        for domain in (*beneath, row):
            domain.removed = True
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("Domain", row.id))


@command("listDomainChildren", Param("id", "Domain"), Param("name"), roles=("admin", "domainadmin"))
def children(cloud: Cloud, call: Call) -> Row:
    """The domains right under one, or all beneath it."""
    own: Plain = call["id"] or cloud.plain["Domain"][call.account.domain_id]
    rows = _beneath(cloud, own) if call["isrecursive"] else _children(cloud, own)
    rows = [row for row in rows if call["name"] is None or call["name"].lower() in row.name.lower()]
    return page(call, "domain", common.Views(rows, lambda row: domain_view(cloud, row)))
