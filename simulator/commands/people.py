"""Who may call: accounts and users are made, changed, disabled, locked, enabled and deleted; keys are given out.

`accounts` lists them. An account or user that is not enabled is told 401 whatever it asks (CS-WIR-01); what it has stays,
but its VMs stop when it is disabled. A name is given to one account only here, whatever the domain.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from simulator.commands import addresses, common, vms
from simulator.commands.accounts import ROLES, USUAL_ROLES, account_view, may_manage, user_view
from simulator.model import Account, Plain, User
from simulator.refusals import Refused, refuse
from simulator.registry import ADMIN, command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
JAVA = "org.apache.cloudstack.api.command.admin."
ADMINS = ("admin", "domainadmin")
KINDS = {1: "admin", 2: "domainadmin", 0: "user"}
DEFAULTS = 2  # the accounts with the first two numbers came with the server


# --- accounts ---------------------------------------------------------------------------------------------------------

NAMED = (Param("id", "Account"), Param("account"), Param("domainid", "Domain"))


def _account(cloud: Cloud, call: Call) -> Account:
    """The account that is named by its id, or by its name and domain."""
    found: Account | None = call["id"]
    if found is None and call.has("domainid"):
        named = cloud.accounts.get(call["account"] or "")
        found = named if named is not None and named.domain_id == call["domainid"].id else None
    if found is None or found.project is not None or found.removed:
        said = f"by accountId: {_number(call['id'])} OR by name: {call['account'] or 'null'} in domain {common.domain_told(call['domainid'])}"
        raise Refused(431, f"Unable to find account {said}")
    if not may_manage(call.account, found):
        raise refuse("CS-WIR-27")
    return found


def _number(row: Account | None) -> str:
    return "null" if row is None else str(row.n)


@command(
    "createAccount",
    Param("account"),
    Param("accounttype", "int"),
    Param("roleid"),
    Param("domainid", "Domain"),
    Param("email", required=True),
    Param("firstname", required=True),
    Param("lastname", required=True),
    Param("password", required=True),
    Param("timezone"),
    Param("username", required=True),
    Param("networkdomain"),
    roles=ADMINS,
)
def create_account(cloud: Cloud, call: Call) -> Row:
    """An account with its first user, who has no keys yet."""
    if not call["password"]:
        raise Refused(431, "Empty passwords are not allowed", 9999)
    if not call.has("accounttype") and not call.has("roleid"):
        raise Refused(431, "Neither account type and role ID are not provided", 9999)
    domain: Plain = call["domainid"] or root_domain(cloud)
    if not call.account.is_root and domain.id != call.account.domain_id:
        raise refuse("CS-WIR-27")
    name = call["account"] or call["username"]
    _refuse_a_second_user(
        cloud,
        call["username"],
        domain,
        431,
        f"The user {call['username']} already exists in domain {common.domain_told(domain)}",
    )
    if name in cloud.accounts and not cloud.accounts[name].removed:
        raise Refused(431, f"The specified account: {name} already exists")
    number = 1 + max(row.n for row in cloud.accounts.values())
    made = Account(cloud.new_id(), number, name, _role(cloud, call), domain.id)
    made.domain, made.created, made.network_domain = str(domain.fields["path"]), cloud.now(), call["networkdomain"]
    made.users.append(_user(cloud, call))
    cloud.add_account(made)
    return {"account": account_view(cloud, made, call.account)}


def root_domain(cloud: Cloud) -> Plain:
    """The domain above all others."""
    return next(row for row in cloud.rows_of("Domain") if row.fields.get("level", 0) == 0)


def _role(cloud: Cloud, call: Call) -> str:
    """Our word for the role that is asked for, by kind of account or by id."""
    if not call.has("roleid"):
        return KINDS.get(call["accounttype"], "user")
    known = cloud.lists.get("listRoles", USUAL_ROLES)
    wanted = next((row for row in known if row["id"] == call["roleid"]), None)
    if wanted is None:
        raise Refused(431, "Invalid role specified")
    named = (role for role, (_, _, name) in ROLES.items() if name == wanted["name"])
    return next(named, next((role for role, (_, kind, _) in ROLES.items() if kind == wanted["type"]), "user"))


@command("updateAccount", *NAMED, Param("newname"), Param("networkdomain"), roles=ADMINS)
def update_account(cloud: Cloud, call: Call) -> Row:
    """Another network domain, another name."""
    row = _account(cloud, call)
    if call.has("newname") and call["newname"] != row.name:
        _rename(cloud, row, call["newname"])
    if call.has("networkdomain"):
        row.network_domain = call["networkdomain"] or None
    return {"account": account_view(cloud, row, call.account)}


def _rename(cloud: Cloud, row: Account, name: str) -> None:
    there = cloud.accounts.get(name)
    if there is not None and not there.removed:
        domain = common.domain_told(cloud.plain["Domain"].get(row.domain_id))
        raise Refused(
            431,
            f"The account with the proposed name '{name}' exists in the domain '{domain}' with existing account {there.told()}",
        )
    before, row.name = row.name, name
    cloud.accounts = {account.name: account for account in cloud.accounts.values()}
    for entity in (*cloud.everything(), *cloud.events):
        if entity.account == before:
            entity.account = name
    for job in cloud.jobs.rows.values():
        if job.account == before:
            job.account = name


@command("lockAccount", Param("account", required=True), Param("domainid", "Domain", required=True), roles=ADMINS)
def lock_account(cloud: Cloud, call: Call) -> Row:
    """Nothing but a refusal: disableAccount does it."""
    raise Refused(
        530, "LockAccount does not lock Accounts. Its implementation is disabled. Use DisableAccount instead.", 4250, True
    )


@command("enableAccount", *NAMED, roles=ADMINS)
def enable_account(cloud: Cloud, call: Call) -> Row:
    """Its users may call again; its VMs stay as they are."""
    row = _account(cloud, call)
    row.state = "enabled"
    return {"account": account_view(cloud, row, call.account)}


@command(
    "disableAccount",
    *NAMED,
    Param("lock", "bool", required=True),
    roles=ADMINS,
    java=JAVA + "account.DisableAccountCmd",
    asynchronous=True,
)
def disable_account(cloud: Cloud, call: Call) -> Row:
    """Its users may not call any more. Disabled, its VMs stop too; locked, they run on, and a disabled account cannot be locked."""

    def check() -> None:
        _account(cloud, call)

    def finish() -> Row:
        row = _account(cloud, call)
        barred = row.state == "disabled" if call["lock"] else row.n <= DEFAULTS
        if barred:
            said = f"by accountId: {_number(call['id'])} OR by name: {call['account'] or 'null'} in domain {common.domain_told(call['domainid'])}"
            raise Refused(530, f"Unable to {'lock' if call['lock'] else 'update'} account {row.told()} {said}")
        if call["lock"]:
            row.state = "locked"
        elif row.state != "disabled":
            row.state = "disabled"
            _stop(cloud, row)
        return {"account": account_view(cloud, row, call.account)}

    return cloud.submit(call, finish, check=check, instance=("Account", call["id"].id if call["id"] else None))


def _stop(cloud: Cloud, row: Account) -> None:
    for vm in cloud.vms.values():
        if vm.account == row.name and vm.state == "Running":
            vms.halt(cloud, vm)


@command(
    "deleteAccount",
    Param("id", "Account", required=True),
    roles=ADMIN,
    java=JAVA + "account.DeleteAccountCmd",
    asynchronous=True,
)
def delete_account(cloud: Cloud, call: Call) -> Row:
    """The account, its users and all that it has are gone."""
    row: Account = call["id"]

    def check() -> None:
        if row is call.account:
            raise Refused(
                431,
                f"Deletion of your own account is not allowed. To delete account {row.name} (ID: {row.id}, Domain: {row.domain_id}), "
                "request to another user with permissions to perform the operation.",
            )
        if row.project is not None:
            raise Refused(431, "The specified account does not exist in the system")
        if row.n <= DEFAULTS:
            raise Refused(431, "The account is default and can't be removed")
        managed = [project.n for project in cloud.rows_of("Project") if row.name in project.fields["members"]]
        if managed:
            raise Refused(
                431,
                f"Unable to delete account [{row.n}], because it manages the following project(s): {managed}. Please, remove the account from "
                "these projects or demote it to a regular project role first.",
            )
        if any(vm.protected for vm in cloud.vms.values() if vm.account == row.name and not vm.removed):
            raise Refused(431, f"Cannot delete Account '{row.name}'. One or more Instances have delete protection enabled.")

    def finish() -> Row:
        remove_account(cloud, row)
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("Account", row.id))


def remove_account(cloud: Cloud, row: Account) -> None:
    """Nothing of an account is left: its users, VMs with all their disks, networks, what lies around."""
    row.removed = True
    for user in row.users:
        user.removed, user.api_key, user.secret_key = True, None, None
    for vm in cloud.vms.values():
        if vm.account == row.name and not vm.removed:
            vms.expunged(cloud, vm)
    for network in cloud.networks.values():
        if network.account == row.name and not network.removed:
            network.state = "Destroy"
            addresses.forget_network(cloud, network)
    for entity in cloud.everything():
        if entity.account == row.name:
            entity.removed = True


# --- users ------------------------------------------------------------------------------------------------------------

ID = Param("id", "User", required=True)
TOLD = (Param("email"), Param("firstname"), Param("lastname"), Param("timezone"))


def _owner(cloud: Cloud, call: Call, user: User) -> Account:
    """The account of a user, who may be worked on by administrators and by himself."""
    row = next(account for account in cloud.accounts.values() if user in account.users)
    if not may_manage(call.account, row) or (call.account.role not in ADMINS and user is not call.user):
        raise refuse("CS-WIR-27")
    return row


def _user(cloud: Cloud, call: Call) -> User:
    made = User(cloud.new_id(), 1 + _users(cloud), call["username"], created=cloud.now())
    made.first_name, made.last_name, made.email = call["firstname"], call["lastname"], call["email"]
    made.timezone = call["timezone"]
    return made


def _users(cloud: Cloud) -> int:
    return max(user.n for account in cloud.accounts.values() for user in account.users)


def _refuse_a_second_user(cloud: Cloud, name: str, domain: Plain, code: int, text: str) -> None:
    there = (user for row in cloud.accounts.values() if row.domain_id == domain.id for user in row.users)
    if any(user.name == name and not user.removed for user in there):
        raise Refused(code, text, 4350 if code == 431 else 4250, code == 530)


@command(
    "createUser",
    Param("account", required=True),
    Param("domainid", "Domain"),
    Param("email", required=True),
    Param("firstname", required=True),
    Param("lastname", required=True),
    Param("password", required=True),
    Param("timezone"),
    Param("username", required=True),
    roles=ADMINS,
)
def create_user(cloud: Cloud, call: Call) -> Row:
    """One more user of an account that is enabled."""
    if not call["password"]:
        raise Refused(431, "Empty passwords are not allowed", 9999)
    domain: Plain = call["domainid"] or root_domain(cloud)
    row = cloud.accounts.get(call["account"])
    if row is None or row.removed or row.project is not None or row.state != "enabled" or row.domain_id != domain.id:
        raise Refused(431, f"Unable to find account {call['account']} in domain {common.domain_told(domain)} to create user")
    if not may_manage(call.account, row):
        raise refuse("CS-WIR-27")
    _refuse_a_second_user(
        cloud, call["username"], domain, 530, f"The user {call['username']} already exists in domain {domain.n}"
    )
    row.users.append(_user(cloud, call))
    return {"user": user_view(cloud, row, row.users[-1])}


@command("updateUser", ID, *TOLD, Param("username"), Param("password"), Param("userapikey"), Param("usersecretkey"))
def update_user(cloud: Cloud, call: Call) -> Row:
    """Other columns, other keys."""
    user: User = call["id"]
    row = _owner(cloud, call, user)
    if call.has("userapikey") != call.has("usersecretkey"):
        raise Refused(431, "Please provide a userApiKey/userSecretKey pair")
    for name, text in (("firstname", "Firstname"), ("lastname", "Lastname"), ("username", "Username")):
        if call.has(name) and not call[name].strip():
            raise Refused(431, f"{text} cannot be empty.")
    if call.has("userapikey"):
        user.api_key, user.secret_key = call["userapikey"], call["usersecretkey"]
    user.name = call["username"] or user.name
    user.first_name, user.last_name = call["firstname"] or user.first_name, call["lastname"] or user.last_name
    user.email, user.timezone = call["email"] or user.email, call["timezone"] or user.timezone
    return {"user": user_view(cloud, row, user)}


@command("deleteUser", ID, roles=ADMINS)
def delete_user(cloud: Cloud, call: Call) -> Row:
    """A user is gone, and his keys; what was made by him stays."""
    user: User = call["id"]
    row = _owner(cloud, call, user)
    if user is call.user:
        raise Refused(
            431,
            "The caller is requesting to delete itself. As a security measure, ACS will not allow this operation. To delete user "
            f"{user.name} (ID: {user.id}, Domain: {row.domain_id}), request to another user with permission to execute the operation.",
        )
    user.removed, user.api_key, user.secret_key = True, None, None
    return {"success": True}


@command("enableUser", ID, roles=ADMINS)
def enable_user(cloud: Cloud, call: Call) -> Row:
    """He may call again, and his account is enabled with him."""
    user: User = call["id"]
    row = _owner(cloud, call, user)
    user.state = row.state = "enabled"
    return {"user": user_view(cloud, row, user)}


@command("disableUser", ID, roles=ADMINS, java=JAVA + "user.DisableUserCmd", asynchronous=True)
def disable_user(cloud: Cloud, call: Call) -> Row:
    """He may not call any more; his account is as it was."""
    user: User = call["id"]

    def finish() -> Row:
        row = _owner(cloud, call, user)
        user.state = "disabled"
        return {"user": user_view(cloud, row, user)}

    return cloud.submit(call, finish, check=lambda: _may(cloud, call, user), instance=("User", user.id))


def _may(cloud: Cloud, call: Call, user: User) -> None:
    _owner(cloud, call, user)


@command("lockUser", ID, roles=ADMINS)
def lock_user(cloud: Cloud, call: Call) -> Row:
    """He may not call any more. When nobody else of his account may, it is locked too; a disabled user cannot be locked."""
    user: User = call["id"]
    row = _owner(cloud, call, user)
    if user.state == "disabled":
        raise Refused(530, f'Unable to lock user User {{"name":"{user.name}","uuid":"{user.id}"}}', 4250, True)
    user.state = "locked"
    if row.state == "enabled" and all(one.state != "enabled" for one in row.users if not one.removed):
        row.state = "locked"
    return {"user": user_view(cloud, row, user)}


@command("registerUserKeys", ID)
def register_keys(cloud: Cloud, call: Call) -> Row:
    """New keys; the ones before are worth nothing."""
    user: User = call["id"]
    _owner(cloud, call, user)
    user.api_key, user.secret_key = _key(cloud), _key(cloud)
    return {"userkeys": {"apikey": user.api_key, "secretkey": user.secret_key}}


def _key(cloud: Cloud) -> str:
    """Eighty-six letters and digits, of no worth outside."""
    return hashlib.sha512(cloud.new_id("key").encode()).hexdigest()[:86]


@command("getUserKeys", ID)
def user_keys(cloud: Cloud, call: Call) -> Row:
    """The keys of a user."""
    user: User = call["id"]
    _owner(cloud, call, user)
    access = {"apikeyaccess": True} if common.release(cloud) >= (4, 20, 1) else {}
    return {"userkeys": {"apikey": user.api_key, "secretkey": user.secret_key, **access}}
