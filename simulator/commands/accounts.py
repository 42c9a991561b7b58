"""Accounts, their users, domains, roles and limits, as lists; limits can be changed. What changes the others: `people`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.clock import stamp
from simulator.commands import common
from simulator.model import GIB, Account, Plain, User
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
    rows = sorted((row for row in cloud.accounts.values() if row.project is None and not row.removed), key=lambda row: row.n)
    if not (call["listall"] or call.has("name") or call.has("id") or call.has("domainid")):
        rows = [caller]
    return [row for row in rows if may_manage(caller, row)]


def may_manage(caller: Account, row: Account) -> bool:
    """Whether a caller sees an account and may change it: its own, its domain's, or any."""
    return row is caller or caller.is_root or (caller.role == "domainadmin" and row.domain_id == caller.domain_id)


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
    return page(call, "account", common.Views(rows, lambda row: account_view(cloud, row, call.account)))


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


def account_view(cloud: Cloud, row: Account, viewer: Account) -> Row:
    """An account with its limits, what it has, and its users."""
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
        "networkdomain": row.network_domain,
        "user": [user_view(cloud, row, user) for user in row.users if not user.removed],
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


def user_view(cloud: Cloud, row: Account, user: User) -> Row:
    """A user of an account."""
    return {
        "id": user.id,
        "username": user.name,
        "firstname": user.first_name,
        "lastname": user.last_name,
        "email": user.email,
        "created": stamp(user.created) if user.created else None,
        "state": user.state,
        "timezone": user.timezone,
        "account": row.name,
        "accounttype": ROLES[row.role][0],
        "usersource": "native",
        **_role(cloud, row),
        "domainid": row.domain_id,
        "domain": row.domain.rpartition("/")[2],
        "apikey": user.api_key,
        "accountid": row.id,
        "iscallerchilddomain": False,
        "isdefault": row.is_root,
        "is2faenabled": False,
        "is2famandated": False,
    }


@command("listUsers", Param("id"), Param("username"), Param("state"), Param("name"), roles=READERS)
def list_users(cloud: Cloud, call: Call) -> Row:
    """The users of the accounts that the caller sees."""
    rows = [row for row in _of(cloud, call) if call["account"] in (None, row.name)]
    rows = [row for row in rows if call["domainid"] is None or row.domain_id == call["domainid"].id]
    users = [(row, user) for row in rows for user in row.users if not user.removed and _user_matches(call, user)]
    access = {"apikeyaccess": "INHERIT"} if call.account.is_root else {}
    return page(call, "user", [{**user_view(cloud, row, user), **access} for row, user in users])


def _user_matches(call: Call, user: User) -> bool:
    word, said = (call["keyword"] or "").lower(), f"{user.name} {user.first_name} {user.last_name} {user.email}"
    return (
        call["id"] in (None, user.id)
        and call["username"] in (None, user.name)
        and call["state"] in (None, user.state)
        and word in said.lower()
    )


@command("getUser", Param("userapikey", required=True), roles=ADMIN)
def get_user(cloud: Cloud, call: Call) -> Row:
    """The user whose key this is. Recordings have their keys taken out: `***` is the caller's own."""
    wanted = call["userapikey"]
    everybody = ((row, user) for row in cloud.accounts.values() for user in row.users)
    named = ((row, user) for row, user in everybody if user.api_key == wanted)
    found = (call.account, call.user) if wanted == "***" else next(named, None)
    if found is None:
        raise Refused(431, "User not found for API key")
    return {"user": user_view(cloud, *found)}


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
    return page(call, "domain", common.Views(rows, lambda row: domain_view(cloud, row)))


def domain_view(cloud: Cloud, row: Plain) -> Row:
    """A domain with what its accounts have."""
    path = str(row.fields.get("path", row.name))
    parent = next((d for d in cloud.rows_of("Domain") if path.rpartition("/")[0] == d.fields.get("path")), None)
    inside = [a for a in cloud.accounts.values() if f"{a.domain}/".startswith(f"{path}/") and not a.removed]
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
        "networkdomain": row.fields.get("networkdomain"),
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
