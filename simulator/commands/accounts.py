"""Accounts, their users, domains, roles and limits, as lists; limits can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.clock import stamp
from simulator.commands import common
from simulator.model import GIB, Account, Plain
from simulator.refusals import Refused
from simulator.registry import ADMIN, READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
# Role of ours → kind of account, kind of role, name of the role.
ROLES = {
    "admin": (1, "Admin", "Root Admin"),
    "domainadmin": (2, "DomainAdmin", "Domain Admin"),
    "user": (0, "User", "User"),
    "viewer": (0, "User", "ReadOnlyTest"),
}
USUAL_ROLES = tuple(
    {
        "type": kind,
        "isdefault": name != "ReadOnlyTest",
        "state": "enabled",
        "id": f"00000000-0000-4000-8b01-{number:012d}",
        "name": name,
        "ispublic": True,
    }
    for number, (_, kind, name) in enumerate(ROLES.values())
)
# What is limited, by number: its name in limits and the word that lists of accounts have for it.
LIMITED: tuple[tuple[str, str], ...] = (
    ("user_vm", "vm"),
    ("public_ip", "ip"),
    ("volume", "volume"),
    ("snapshot", "snapshot"),
    ("template", "template"),
    ("project", "project"),
    ("network", "network"),
    ("vpc", "vpc"),
    ("cpu", "cpu"),
    ("memory", "memory"),
    ("primary_storage", "primarystorage"),
    ("secondary_storage", "secondarystorage"),
    ("backup", "backup"),
    ("backup_storage", "backupstorage"),
    ("bucket", "bucket"),
    ("object_storage", "objectstorage"),
    ("gpu", "gpu"),
)


def _of(cloud: Cloud, call: Call) -> list[Account]:
    """The accounts that the caller sees: its own; with `listall` those that it may act for."""
    caller: Account = call.account
    rows = sorted((row for row in cloud.accounts.values() if row.project is None), key=lambda row: row.n)
    if not (call["listall"] or call.has("name") or call.has("id") or call.has("domainid")):
        rows = [caller]
    return [row for row in rows if row is caller or caller.is_root or _is_inside(caller, row)]


def _is_inside(caller: Account, row: Account) -> bool:
    return caller.role == "domainadmin" and row.domain_id == caller.domain_id


# --- accounts and users -----------------------------------------------------------------------------------------------


@command(
    "listAccounts",
    Param("id"),
    Param("name"),
    Param("domainid", "Domain"),
    Param("state"),
    Param("accounttype", "int"),
    roles=READERS,
)
def list_accounts(cloud: Cloud, call: Call) -> Row:
    """Accounts with their limits, what they have, and their users."""
    rows = [row for row in _of(cloud, call) if _account_matches(call, row)]
    return page(call, "account", common.Views(rows, lambda row: _account(cloud, row, call.account)))


def _account_matches(call: Call, row: Account) -> bool:
    domain = call["domainid"]
    return (
        call["id"] in (None, row.id)
        and call["name"] in (None, row.name)
        and call["state"] in (None, row.state)
        and call["accounttype"] in (None, ROLES[row.role][0])
        and (domain is None or row.domain_id == domain.id)
        and (call["keyword"] is None or call["keyword"].lower() in row.name.lower())
    )


def _role(cloud: Cloud, row: Account) -> Row:
    _, kind, name = ROLES[row.role]
    known = cloud.lists.get("listRoles", USUAL_ROLES)
    return {"roleid": next((r["id"] for r in known if r["name"] == name), None), "roletype": kind, "rolename": name}


def _account(cloud: Cloud, row: Account, viewer: Account) -> Row:
    vms = [vm for vm in cloud.vms.values() if vm.account == row.name and not vm.removed]
    served = any(n.account == row.name and n.has_services and n.state == "Implemented" for n in cloud.networks.values())
    traffic = {"receivedbytes": 0, "sentbytes": 0} if served else {}
    return {
        "id": row.id,
        "name": row.name,
        "accounttype": ROLES[row.role][0],
        **_role(cloud, row),
        "domainid": row.domain_id,
        "domain": row.domain.rpartition("/")[2],
        "domainpath": row.domain,
        **traffic,
        **amounts(row.limits, common.used(cloud, row)),
        "vmstopped": sum(vm.state == "Stopped" for vm in vms),
        "vmrunning": sum(vm.state == "Running" for vm in vms),
        "state": row.state,
        "created": stamp(row.created) if row.created and not row.is_root else None,
        "user": [_user(cloud, row)],
        "isdefault": row.is_root,
        "groups": [],
        "apikeyaccess": "INHERIT" if viewer.is_root else None,
    }


def amounts(limits: dict[str, int], used: dict[str, int]) -> Row:
    """Limit, amount and rest of everything that is limited; storage in GiB."""
    told: Row = {}
    for kind, word in LIMITED:
        limit, has = limits.get(kind, -1), float(used.get(kind, 0))
        if kind in common.STORAGE:
            has /= GIB
        rest = "Unlimited" if limit < 0 else str(max(0, int(limit - has)))
        told |= {
            f"{word}limit": "Unlimited" if limit < 0 else str(limit),
            f"{word}total": has if kind == "secondary_storage" else int(has),
            f"{word}available": rest,
        }
    return told


def _user(cloud: Cloud, row: Account) -> Row:
    return {
        "id": row.user_id,
        "username": row.name,
        "firstname": row.name,
        "lastname": "x",
        "email": f"{row.name}@example.org",
        "created": stamp(row.created) if row.created else None,
        "state": row.user_state,
        "account": row.name,
        "accounttype": ROLES[row.role][0],
        "usersource": "native",
        **_role(cloud, row),
        "domainid": row.domain_id,
        "domain": row.domain.rpartition("/")[2],
        "apikey": row.api_key,
        "accountid": row.id,
        "iscallerchilddomain": False,
        "isdefault": row.is_root,
        "is2faenabled": False,
        "is2famandated": False,
    }


@command("listUsers", Param("id"), Param("username"), Param("state"), Param("name"), roles=READERS)
def list_users(cloud: Cloud, call: Call) -> Row:
    """The users; here every account has one."""
    rows = _of(cloud, call) if call.has("listall") or not call.account.is_root else [call.account]
    rows = [row for row in rows if call["id"] in (None, row.user_id) and call["username"] in (None, row.name)]
    access = {"apikeyaccess": "INHERIT"} if call.account.is_root else {}
    return page(call, "user", [{**_user(cloud, row), **access} for row in rows])


@command("getUser", Param("userapikey", required=True), roles=ADMIN)
def get_user(cloud: Cloud, call: Call) -> Row:
    """The user whose key this is. Recordings have their keys taken out: `***` is the caller's own."""
    wanted = call["userapikey"]
    row = next((a for a in cloud.accounts.values() if a.api_key == wanted), call.account if wanted == "***" else None)
    if row is None:
        raise Refused(431, "User not found for API key")
    return {"user": _user(cloud, row)}


# --- domains, roles ---------------------------------------------------------------------------------------------------


@command(
    "listDomains",
    Param("id", "Domain"),
    Param("name"),
    Param("level", "int"),
    roles=("admin", "domainadmin"),
)
def list_domains(cloud: Cloud, call: Call) -> Row:
    """Domains with their limits and what their accounts have."""
    caller: Account = call.account
    rows = [row for row in cloud.rows_of("Domain") if caller.is_root or row.id == caller.domain_id]
    rows = [row for row in rows if call["id"] in (None, row) and call["name"] in (None, row.name)]
    rows = [row for row in rows if call["level"] in (None, row.fields.get("level"))]
    return page(call, "domain", common.Views(rows, lambda row: _domain(cloud, row)))


def _domain(cloud: Cloud, row: Plain) -> Row:
    path = str(row.fields.get("path", row.name))
    parent = next((d for d in cloud.rows_of("Domain") if path.rpartition("/")[0] == d.fields.get("path")), None)
    inside = [a for a in cloud.accounts.values() if f"{a.domain}/".startswith(f"{path}/")]
    used: dict[str, int] = {}
    for account in inside:
        for kind, amount in common.used(cloud, account).items():
            used[kind] = used.get(kind, 0) + amount
    return {
        "id": row.id,
        "name": row.name,
        "level": row.fields.get("level", 0),
        "parentdomainid": parent.id if parent else None,
        "parentdomainname": parent.name if parent else None,
        "haschild": any(str(d.fields.get("path", "")).startswith(f"{path}/") for d in cloud.rows_of("Domain")),
        "path": path,
        "state": row.fields.get("state", "Active"),
        "created": stamp(row.created) if parent else None,
        **amounts({}, used),
        "hasannotations": False,
    }


@command("listRoles", Param("id"), Param("name"), Param("type"), roles=ADMIN)
def list_roles(cloud: Cloud, call: Call) -> Row:
    """Roles."""
    rows = [dict(row) for row in cloud.lists.get("listRoles", USUAL_ROLES)]
    rows = [row for row in rows if all(call[name] in (None, row[name]) for name in ("id", "name", "type"))]
    return page(call, "role", rows)


# --- limits -----------------------------------------------------------------------------------------------------------

KIND = Param("resourcetype", "int")


@command("listResourceLimits", KIND, Param("id"), Param("resourcetypename"), *common.FOR, roles=READERS)
def list_limits(cloud: Cloud, call: Call) -> Row:
    """The limits of one account; -1 is none."""
    account = common.acting_for(cloud, call)
    rows = [_limit(account, number) for number in range(len(LIMITED))]
    rows = [row for row in rows if call["resourcetype"] in (None, int(row["resourcetype"]))]
    rows = [row for row in rows if call["resourcetypename"] in (None, row["resourcetypename"])]
    return page(call, "resourcelimit", rows)


def _limit(account: Account, number: int) -> Row:
    kind = LIMITED[number][0]
    owner = {"account": account.name, "domainid": account.domain_id}
    path = {"domain": account.domain.rpartition("/")[2], "domainpath": account.domain}
    return {
        **owner,
        **path,
        "resourcetype": str(number),
        "resourcetypename": kind,
        "max": account.limits.get(kind, -1),
    }


@command(
    "updateResourceLimit",
    Param("resourcetype", "int", required=True),
    Param("max", "long"),
    *common.FOR,
    roles=("admin", "domainadmin"),
)
def update_limit(cloud: Cloud, call: Call) -> Row:
    """Another limit for an account."""
    number = call["resourcetype"]
    if not 0 <= number < len(LIMITED):
        raise Refused(431, "Please specify a valid resource type.")
    account = common.acting_for(cloud, call)
    account.limits[LIMITED[number][0]] = -1 if call["max"] is None else max(-1, call["max"])
    return {"resourcelimit": _limit(account, number)}
