"""Security groups of accounts with their rules. Each account has one from the beginning, which is called default.

They are kept and listed; in zones without security groups, as here, no VM is in one.
"""

from __future__ import annotations

import ipaddress
import uuid
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import Account, Plain
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.securitygroup."
KIND, DEFAULT = "SecurityGroup", "default"
HIGHEST_PORT = 65535
Row = dict[str, Any]


def _of(cloud: Cloud, account: Account) -> list[Plain]:
    """The groups of an account; the first one is there from the beginning."""
    rows = cloud.plain.setdefault(KIND, {})
    first = str(uuid.uuid5(uuid.NAMESPACE_OID, f"security-group/{account.id}"))
    if first not in rows:
        told = "Default Security Group"
        rows[first] = _new(cloud, account, DEFAULT, told, first)
    return [row for row in cloud.rows_of(KIND) if row.account == account.name]


def _new(cloud: Cloud, account: Account, name: str, description: str | None, row_id: str) -> Plain:
    fields: Row = {"description": description, "ingressrule": [], "egressrule": []}
    return Plain(row_id, cloud.number(KIND), account.name, cloud.now(), name=name, fields=fields)


@command("createSecurityGroup", Param("name", required=True), Param("description"), *common.FOR)
def create(cloud: Cloud, call: Call) -> Row:
    """A new group without rules."""
    account = common.acting_for(cloud, call)
    if any(row.name == call["name"] for row in _of(cloud, account)):
        said = f"Unable to create security group, a group with name {call['name']} already exists."
        raise Refused(431, said)
    made = _new(cloud, account, call["name"], call["description"], cloud.new_id())
    cloud.plain[KIND][made.id] = made
    return {"securitygroup": shown(cloud, made)}


@command("deleteSecurityGroup", Param("id", KIND, owned=True), Param("name"), *common.FOR)
def delete(cloud: Cloud, call: Call) -> Row:
    """Delete a group, but not the default one."""
    row = call["id"] or _named(cloud, common.acting_for(cloud, call), call["name"])
    if row.name == DEFAULT:
        raise Refused(431, "The network group default is reserved")
    row.removed = True
    return {"success": True}


def _named(cloud: Cloud, account: Account, name: str | None) -> Plain:
    row = next((row for row in _of(cloud, account) if row.name == name), None)
    if row is None:
        raise Refused(431, f"Unable to find security group: {name}; failed to find group.")
    return row


@command("listSecurityGroups", Param("id", KIND), Param("securitygroupname"), Param("virtualmachineid"), roles=READERS)
def list_groups(cloud: Cloud, call: Call) -> Row:
    """The groups that the caller sees."""
    _of(cloud, common.acting_for(cloud, call))
    rows = common.by_keyword(call, common.chosen(cloud, call, cloud.rows_of(KIND), KIND), lambda row: row.name)
    rows = [row for row in rows if call["securitygroupname"] in (None, row.name) and not call.has("virtualmachineid")]
    return page(call, "securitygroup", common.Views(rows, lambda row: shown(cloud, row)))


def shown(cloud: Cloud, row: Plain) -> Row:
    """A group with its rules."""
    members: Row = {"virtualmachinecount": 0, "virtualmachineids": [], "tags": [], "hasannotations": False}
    return {"id": row.id, "name": row.name, **row.fields, **views.owner(cloud, row), **members}


# --- rules ------------------------------------------------------------------------------------------------------------


def _adding(direction: str) -> None:
    key = f"{direction.lower()}rule"

    @command(
        f"authorizeSecurityGroup{direction}",
        Param("securitygroupid", KIND, owned=True),
        Param("securitygroupname"),
        Param("protocol"),
        *(Param(name, "int") for name in ("startport", "endport", "icmptype", "icmpcode")),
        Param("cidrlist", "list"),
        *common.FOR,
        java=f"{JAVA}AuthorizeSecurityGroup{direction}Cmd",
        asynchronous=True,
    )
    def add(cloud: Cloud, call: Call) -> Row:
        row = call["securitygroupid"] or _named(cloud, common.acting_for(cloud, call), call["securitygroupname"])
        told = _rule(call)
        made = [{"ruleid": cloud.new_id(), **told, "cidr": cidr, "tags": []} for cidr in _cidrs(call)]

        def finish() -> Row:
            row.fields[key] = [*row.fields[key], *made]
            return {"securitygroup": {**shown(cloud, row), key: made}}

        return cloud.submit(call, finish, instance=(KIND, row.id))


def _rule(call: Call) -> Row:
    protocol = (call["protocol"] or "all").lower()
    if protocol == "icmp":
        return {"protocol": protocol, "icmptype": call["icmptype"] or 0, "icmpcode": call["icmpcode"] or 0}
    if protocol not in ("tcp", "udp"):
        return {"protocol": protocol}
    first, last = call["startport"], call["endport"]
    if first is None or last is None or not 0 <= first <= last <= HIGHEST_PORT:
        raise Refused(431, f"Invalid port numbers {first} - {last} for protocol {protocol}")
    return {"protocol": protocol, "startport": first, "endport": last}


def _cidrs(call: Call) -> list[str]:
    given = call["cidrlist"] or ["0.0.0.0/0"]
    for cidr in given:
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            raise Refused(431, f"Invalid cidr {cidr}") from None
    return list(given)


def _revoking(direction: str) -> None:
    key = f"{direction.lower()}rule"

    @command(
        f"revokeSecurityGroup{direction}",
        Param("id", required=True),
        java=f"{JAVA}RevokeSecurityGroup{direction}Cmd",
        asynchronous=True,
    )
    def revoke(cloud: Cloud, call: Call) -> Row:
        rows = [row for row in cloud.rows_of(KIND) if cloud.may_act_on(call.account, row)]
        group = next((row for row in rows if any(rule["ruleid"] == call["id"] for rule in row.fields[key])), None)
        if group is None:
            raise Refused(431, f"Unable to find security rule with id {call['id']}")

        def finish() -> Row:
            group.fields[key] = [rule for rule in group.fields[key] if rule["ruleid"] != call["id"]]
            return {"success": True}

        return cloud.submit(call, finish)


for _direction in ("Ingress", "Egress"):
    _adding(_direction)
    _revoking(_direction)
