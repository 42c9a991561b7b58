"""Accounts, users and domains are made, changed, barred and deleted; zones, hosts and pools are changed under them."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.wire import signature
from tests.simulator.world import HOST, NOT_YOURS, POOL, SUB_DOMAIN, ZONE, No, World, machine

PERSON = {"username": "ann", "firstname": "Ann", "lastname": "B", "email": "ann@example.org", "password": "x"}
Row = dict[str, Any]


def account(world: World, name: str, by: str = "admin") -> Row:
    (row,) = world.now("listAccounts", by, name=name, listall=True)["account"]
    return dict(row)


def the_user(world: World, name: str) -> str:
    return str(account(world, name)["user"][0]["id"])


def root(world: World) -> str:
    return str(world.cloud.accounts["dr"].domain_id)


def status(world: World, key: str | None, secret: str | None) -> int:
    params = {"command": "listZones", "response": "json", "apikey": key or ""}
    return world.cloud.call({**params, "signature": signature(params, secret or "")}).status


def may_call(world: World, name: str = "dr") -> bool:
    user = world.cloud.accounts[name].users[0]
    return status(world, user.api_key, user.secret_key) == 200


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_a_disabled_account_may_not_call_and_its_vms_stop_until_somebody_starts_them(world: World) -> None:
    vm, other = world.running("a"), world.deploy("b")
    told = world.done("disableAccount", "admin", id=account(world, "dr")["id"], lock=False)["account"]
    assert (told["state"], told["vmrunning"], told["vmstopped"]) == ("disabled", 0, 2)
    assert (may_call(world), world.vm(vm)["state"], world.vm(other)["state"]) == (False, "Stopped", "Stopped")
    enabled = world.now("enableAccount", "admin", account="dr", domainid=root(world))["account"]
    assert (enabled["state"], may_call(world), world.vm(vm)["state"]) == ("enabled", True, "Stopped")


def test_the_vms_of_a_locked_account_run_on(world: World) -> None:
    vm = world.running("a")
    assert (
        world.done("disableAccount", "admin", account="dr", domainid=root(world), lock=True)["account"]["state"] == "locked"
    )
    assert (may_call(world), world.vm(vm)["state"]) == (False, "Running")


def test_what_is_disabled_cannot_be_locked_and_what_came_with_the_server_cannot_be_disabled(world: World) -> None:
    world.done("disableAccount", "admin", account="dr", domainid=root(world), lock=False)
    locked = world.does("disableAccount", "admin", account="dr", domainid=root(world), lock=True)
    own = world.does("disableAccount", "admin", account="admin", domainid=root(world), lock=False)
    assert (locked.at, locked.code, own.at, own.code) == ("job", 530, "job", 530)
    assert (account(world, "dr")["state"], account(world, "admin")["state"]) == ("disabled", "enabled")


def test_the_job_of_an_account_names_it_only_when_the_call_did(world: World) -> None:
    dr = account(world, "dr")["id"]
    named = world.ended(world.submit("disableAccount", "admin", id=dr, lock=True))
    unnamed = world.ended(world.submit("disableAccount", "admin", account="dr", domainid=root(world), lock=True))
    assert (named["jobinstancetype"], named["jobinstanceid"]) == ("Account", dr)
    assert "jobinstanceid" not in unnamed
    assert named["cmd"] == "org.apache.cloudstack.api.command.admin.account.DisableAccountCmd"


@pytest.mark.parametrize(
    ("by", "params", "at", "code", "text"),
    [
        (
            "admin",
            {"account": "dr"},
            "call",
            431,
            "Unable to execute API command disableaccount due to missing parameter lock",
        ),
        (
            "admin",
            {"account": "nobody", "lock": True},
            "job",
            431,
            "Unable to find account by accountId: null OR by name: nobody in domain null",
        ),
        ("domadmin", {"account": "dr", "domain": True, "lock": True}, "job", 530, NOT_YOURS),
    ],
    ids=["without lock", "unknown", "another domain's"],
)
def test_an_account_that_cannot_be_barred(world: World, by: str, params: Row, at: str, code: int, text: str) -> None:
    given = {k: v for k, v in params.items() if k != "domain"} | ({"domainid": root(world)} if "domain" in params else {})
    assert world.does("disableAccount", by, **given) == No(at, code, text)
    assert account(world, "dr")["state"] == "enabled"


def test_users_do_not_manage_accounts(world: World) -> None:
    assert world.now("disableAccount", "dr", account="dr", lock=True).code == 432
    assert world.now("createUser", "dr", account="dr", **PERSON).code == 432


def test_lockAccount_only_refuses(world: World) -> None:
    text = "LockAccount does not lock Accounts. Its implementation is disabled. Use DisableAccount instead."
    assert world.now("lockAccount", "admin", account="dr", domainid=root(world)) == No("call", 530, text)


def test_a_new_account_has_a_user_without_keys_who_calls_when_he_has_them(world: World) -> None:
    made = world.now("createAccount", "admin", accounttype=0, **PERSON)["account"]
    (user,) = made["user"]
    assert (made["name"], made["rolename"], made["domainpath"], made["state"]) == ("ann", "User", "ROOT", "enabled")
    assert (user["username"], user["firstname"], user["email"]) == ("ann", "Ann", "ann@example.org")
    assert "apikey" not in user
    keys = world.now("registerUserKeys", "admin", id=user["id"])["userkeys"]
    assert len(keys["apikey"]) == len(keys["secretkey"]) == 86
    assert status(world, keys["apikey"], keys["secretkey"]) == 200
    assert world.now("getUserKeys", "ann", id=user["id"])["userkeys"] == {**keys, "apikeyaccess": True}
    world.now("registerUserKeys", "admin", id=user["id"])
    assert status(world, keys["apikey"], keys["secretkey"]) == 401
    assert status(world, "", "") == 401


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"accounttype": 0, "password": ""}, "Empty passwords are not allowed"),
        ({}, "Neither account type and role ID are not provided"),
        ({"accounttype": 0, "account": "dr"}, "The specified account: dr already exists"),
        ({"roleid": "no role"}, "Invalid role specified"),
    ],
)
def test_what_is_wrong_with_a_new_account(world: World, params: Row, text: str) -> None:
    assert world.now("createAccount", "admin", **{**PERSON, **params}) == No("call", 431, text)
    assert "ann" not in world.cloud.accounts


def test_a_user_name_is_taken_in_its_domain_only(world: World) -> None:
    taken = world.now("createAccount", "admin", accounttype=0, account="x", **{**PERSON, "username": "dr"})
    assert taken.text.startswith("The user dr already exists in domain Domain {")
    made = world.now(
        "createAccount", "admin", accounttype=2, account="x", domainid=SUB_DOMAIN, **{**PERSON, "username": "dr"}
    )
    assert (made["account"]["domainpath"], made["account"]["roletype"]) == ("ROOT/sub", "DomainAdmin")


def test_an_account_of_another_name_keeps_what_it_has(world: World) -> None:
    vm, dr = world.deploy("a"), account(world, "dr")["id"]
    world.now("updateAccount", "admin", id=dr, newname="renamed", networkdomain="example.internal")
    assert world.vm(vm)["account"] == "renamed"
    assert world.now("listVirtualMachines", "renamed")["count"] == 1
    assert account(world, "renamed")["networkdomain"] == "example.internal"
    taken = world.now("updateAccount", "admin", id=dr, newname="other")
    assert (taken.code, taken.text[:52]) == (431, "The account with the proposed name 'other' exists in")


def test_a_deleted_account_leaves_nothing(world: World) -> None:
    vm, disk = world.running("a"), world.ready("b")
    world.done("attachVolume", id=disk, virtualmachineid=vm)
    user = world.cloud.accounts["dr"].users[0]
    keys = user.api_key, user.secret_key
    world.done("deleteAccount", "admin", id=account(world, "dr")["id"])
    assert world.now("listAccounts", "admin", name="dr", listall=True) == {}
    assert world.now("listVirtualMachines", "admin", listall=True) == {}
    assert world.now("listVolumes", "admin", listall=True) == {}
    assert [row["name"] for row in world.now("listNetworks", "admin", listall=True)["network"]] == ["foreign"]
    assert status(world, *keys) == 401


def test_an_account_that_cannot_be_deleted(world: World) -> None:
    admin, dr = account(world, "admin")["id"], account(world, "dr")["id"]
    assert world.does("deleteAccount", "admin", id=admin).text.startswith("Deletion of your own account is not allowed.")
    vm = world.deploy("a")
    world.now("updateVirtualMachine", id=vm, deleteprotection=True)
    text = "Cannot delete Account 'dr'. One or more Instances have delete protection enabled."
    assert world.does("deleteAccount", "admin", id=dr) == No("job", 431, text)
    world.now("updateVirtualMachine", id=vm, deleteprotection=False)
    world.done("createProject", name="p", displaytext="p")
    assert "because it manages the following project(s): [1]." in world.does("deleteAccount", "admin", id=dr).text


# --- users ------------------------------------------------------------------------------------------------------------


def test_each_user_of_an_account_calls_with_keys_of_his_own_and_shows_in_his_jobs(world: World) -> None:
    ann = world.now("createUser", "admin", account="dr", **PERSON)["user"]
    keys = world.now("registerUserKeys", "admin", id=ann["id"])["userkeys"]
    params = {"command": "createVolume", "response": "json", "apikey": keys["apikey"], "name": "v", "zoneid": ZONE}
    params |= {"diskofferingid": "40000000-0000-4000-8000-000000000002"}
    answer = world.cloud.call({**params, "signature": signature(params, keys["secretkey"])}).json
    job = world.job(answer["createvolumeresponse"]["jobid"])
    assert (job["account"], job["userid"]) == ("dr", ann["id"])
    refused = world.cloud.call(
        {**params, "command": "listHosts", "signature": signature({**params, "command": "listHosts"}, keys["secretkey"])}
    )
    assert ann["id"] in refused.json["errorresponse"]["errortext"]


def test_disabled_users_do_not_call_and_enabling_one_enables_his_account(world: World) -> None:
    dr = the_user(world, "dr")
    assert world.done("disableUser", "admin", id=dr)["user"]["state"] == "disabled"
    assert (may_call(world), account(world, "dr")["state"]) == (False, "enabled")
    locked = world.now("lockUser", "admin", id=dr)
    assert (locked.code, locked.text[:16]) == (530, "Unable to lock u")
    world.done("disableAccount", "admin", account="dr", domainid=root(world), lock=False)
    assert world.now("enableUser", "admin", id=dr)["user"]["state"] == "enabled"
    assert (may_call(world), account(world, "dr")["state"]) == (True, "enabled")


def test_the_last_user_that_is_locked_locks_the_account(world: World) -> None:
    ann = world.now("createUser", "admin", account="dr", **PERSON)["user"]["id"]
    world.now("lockUser", "admin", id=ann)
    assert account(world, "dr")["state"] == "enabled"
    assert world.now("lockUser", "admin", id=the_user(world, "dr"))["user"]["state"] == "locked"
    assert account(world, "dr")["state"] == "locked"
    assert world.now("createUser", "admin", account="dr", **{**PERSON, "username": "c"}).text.startswith(
        "Unable to find account dr in"
    )


def test_a_user_changes_himself_and_nobody_else(world: World) -> None:
    dr, other = the_user(world, "dr"), the_user(world, "other")
    assert world.now("updateUser", "dr", id=dr, firstname="D", timezone="UTC")["user"]["timezone"] == "UTC"
    assert world.now("updateUser", "dr", id=other, firstname="D") == No("call", 531, NOT_YOURS)
    assert world.now("getUserKeys", "dr", id=other) == No("call", 531, NOT_YOURS)
    assert world.now("updateUser", "dr", id=dr, lastname=" ") == No("call", 431, "Lastname cannot be empty.")
    half = world.now("updateUser", "dr", id=dr, userapikey="k")
    assert half == No("call", 431, "Please provide a userApiKey/userSecretKey pair")
    world.now("updateUser", "dr", id=dr, userapikey="k", usersecretkey="s")
    assert (status(world, "k", "s"), status(world, "dr-key", "dr-secret")) == (200, 401)


def test_a_deleted_user_is_not_there_and_nobody_deletes_himself(world: World) -> None:
    ann = world.now("createUser", "admin", account="dr", **PERSON)["user"]["id"]
    assert [row["username"] for row in world.now("listUsers", "admin", domainid=root(world), account="dr")["user"]] == [
        "dr",
        "ann",
    ]
    assert world.now("deleteUser", "admin", id=ann) == {"success": True}
    assert [row["username"] for row in world.now("listUsers", "admin", domainid=root(world), account="dr")["user"]] == ["dr"]
    assert world.now("enableUser", "admin", id=ann).text.startswith("Unable to find UUID for id [")
    assert world.now("deleteUser", "admin", id=the_user(world, "admin")).text.startswith(
        "The caller is requesting to delete itself."
    )


def test_secrets_do_not_stand_in_the_trace(world: World) -> None:
    world.now("updateUser", id=the_user(world, "dr"), userapikey="canary-1", usersecretkey="canary-2", password="canary-3")
    assert "canary" not in str(world.cloud.trace)


# --- domains ----------------------------------------------------------------------------------------------------------


def test_domains_are_made_under_others_and_renamed_with_all_beneath(world: World) -> None:
    a = world.now("createDomain", "admin", name="a")["domain"]
    b = world.now("createDomain", "admin", name="b", parentdomainid=a["id"], networkdomain="b.internal")["domain"]
    assert (a["level"], a["path"], b["path"], b["parentdomainname"]) == (1, "ROOT/a", "ROOT/a/b", "a")
    assert b["networkdomain"] == "b.internal"
    twin = world.now("createDomain", "admin", name="a")
    assert twin == No("call", 431, "Domain with name [a] already exists for the parent with ID [1].")
    assert world.now("updateDomain", "admin", id=a["id"], name="z")["domain"]["path"] == "ROOT/z"
    assert world.now("listDomains", "admin", id=b["id"])["domain"][0]["path"] == "ROOT/z/b"
    assert [row["name"] for row in world.now("listDomainChildren", "admin")["domain"]] == ["sub", "z"]
    assert [row["name"] for row in world.now("listDomainChildren", "admin", isrecursive=True)["domain"]] == ["sub", "z", "b"]


def test_a_domain_with_somebody_in_it_goes_only_by_cleanup(world: World) -> None:
    refused = world.does("deleteDomain", "admin", id=SUB_DOMAIN)
    assert (refused.at, refused.code, refused.text[:24]) == ("job", 530, "Delete failed on domain ")
    assert world.done("deleteDomain", "admin", id=SUB_DOMAIN, cleanup=True) == {"success": True}
    assert [row["name"] for row in world.now("listDomains", "admin")["domain"]] == ["ROOT"]
    assert world.now("listAccounts", "admin", name="domadmin", listall=True) == {}
    assert world.does("deleteDomain", "admin", id=root(world)) == No("job", 530, "Can't delete ROOT domain")


# --- places -----------------------------------------------------------------------------------------------------------


def test_in_a_disabled_zone_only_root_administrators_make_something(world: World) -> None:
    assert world.now("updateZone", "admin", id=ZONE, allocationstate="Disabled")["zone"]["allocationstate"] == "Disabled"
    assert isinstance(world.now("deployVirtualMachine", **machine("a")), No)
    world.now("updateZone", "admin", id=ZONE, allocationstate="Enabled")
    assert "id" in world.now("deployVirtualMachine", **machine("a"))
    bad = world.now("updateZone", "admin", id=ZONE, allocationstate="perhaps")
    assert bad == No("call", 431, "Unable to resolve Allocation State 'perhaps' to a supported state")


def test_nothing_starts_on_a_disabled_host(world: World) -> None:
    vm = world.deploy("a")
    assert world.now("updateHost", "admin", id=HOST, allocationstate="Disable")["host"]["resourcestate"] == "Disabled"
    assert isinstance(world.does("startVirtualMachine", id=vm), No)
    world.now("updateHost", "admin", id=HOST, allocationstate="Enable", hosttags="a,b")
    assert world.now("listHosts", "admin", id=HOST)["host"][0]["hosttags"] == "a,b"
    assert world.done("startVirtualMachine", id=vm)["virtualmachine"]["state"] == "Running"
    assert world.now("updateHost", "admin", id=HOST, allocationstate="Off").code == 530


def test_nothing_new_is_put_on_a_disabled_pool(world: World) -> None:
    assert world.now("updateStoragePool", "admin", id=POOL, enabled=False, tags="ssd")["storagepool"]["state"] == "Disabled"
    vm = world.running("a")
    assert world.disk(world.root(vm))["storage"] == "nfs-b"
    assert world.now("updateStoragePool", "dr", id=POOL, enabled=True).code == 432
