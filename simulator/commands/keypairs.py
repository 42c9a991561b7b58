"""SSH key pairs of accounts: create, register, delete, list. Nobody logs in here: a private key is made-up bytes.

`deploying` and `reset_key` write their names on VMs, in a detail that everybody sees.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import Account, Plain, Vm
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

KIND, NAMES = "SSHKeyPair", "SSH.KeyPairNames"
LONGEST_KEY = 5120
WIDTH = 64
Row = dict[str, Any]


def _of(cloud: Cloud, account: Account) -> list[Plain]:
    return [row for row in cloud.rows_of(KIND) if row.account == account.name]


def named(cloud: Cloud, account: Account, name: str) -> Plain | None:
    """The account's key pair of that name."""
    return next((row for row in _of(cloud, account) if row.name == name), None)


def fingerprint(material: bytes) -> str:
    """Of a public key, as pairs of hexadecimal digits."""
    digits = hashlib.md5(material, usedforsecurity=False).hexdigest()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


@command("createSSHKeyPair", Param("name", required=True), *common.FOR)
def create(cloud: Cloud, call: Call) -> Row:
    """A new pair; its private half is shown once."""
    account = _unused(cloud, call)
    secret = hashlib.sha512(f"{cloud.new_id()}/private".encode()).digest()
    row = _kept(cloud, call, account, hashlib.sha256(secret).digest())
    lines = base64.b64encode(secret * 8).decode()
    body = "\n".join(lines[at : at + WIDTH] for at in range(0, len(lines), WIDTH))
    private = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"
    return {"keypair": {**shown(cloud, row), "privatekey": private}}


@command(
    "registerSSHKeyPair",
    Param("name", required=True),
    Param("publickey", required=True, limit=LONGEST_KEY),
    *common.FOR,
)
def register(cloud: Cloud, call: Call) -> Row:
    """Make a public key known."""
    account = _unused(cloud, call)
    material = _material(call["publickey"])
    if any(row.fields["fingerprint"] == fingerprint(material) for row in _of(cloud, account)):
        raise Refused(431, f"A key pair with key '{call['publickey']}' already exists for this account.")
    return {"keypair": shown(cloud, _kept(cloud, call, account, material))}


def _unused(cloud: Cloud, call: Call) -> Account:
    account = common.acting_for(cloud, call)
    if named(cloud, account, call["name"]) is not None:
        raise Refused(431, f"A key pair with name '{call['name']}' already exists.")
    return account


def _material(text: str) -> bytes:
    words = text.split()
    if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
        raise Refused(431, "Public key is invalid")
    try:
        return base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise Refused(431, "Public key is invalid") from None


def _kept(cloud: Cloud, call: Call, account: Account, material: bytes) -> Plain:
    made = Plain(cloud.new_id(), cloud.number(KIND), account.name, cloud.now(), name=call["name"])
    made.fields["fingerprint"] = fingerprint(material)
    cloud.plain.setdefault(KIND, {})[made.id] = made
    return made


def asked_for(cloud: Cloud, call: Call, owner: Account) -> list[str]:
    """The names of the pairs that a call asks for; all of them must be the owner's."""
    wanted: list[str] = call["keypairs"] or ([call["keypair"]] if call.has("keypair") else [])
    missing = next((name for name in wanted if named(cloud, owner, name) is None), None)
    if missing is not None:
        raise Refused(431, f"A key pair with name '{missing}' was not found.")
    return wanted


@command("deleteSSHKeyPair", Param("name", required=True), *common.FOR)
def delete(cloud: Cloud, call: Call) -> Row:
    """Forget a pair. VMs that were made with it keep its name."""
    account = common.acting_for(cloud, call)
    row = named(cloud, account, call["name"])
    if row is None:
        text = f"A key pair with name '{call['name']}' does not exist for account {account.name} in specified domain id"
        raise Refused(431, text)
    row.removed = True
    return {"success": True}


@command("listSSHKeyPairs", Param("id", KIND), Param("name"), Param("fingerprint"), roles=READERS)
def list_pairs(cloud: Cloud, call: Call) -> Row:
    """The pairs that the caller sees."""
    rows = common.chosen(cloud, call, cloud.rows_of(KIND), KIND)
    rows = [r for r in common.by_keyword(call, rows, lambda r: r.name) if call["name"] in (None, r.name)]
    rows = [r for r in rows if call["fingerprint"] in (None, r.fields["fingerprint"])]
    return page(call, "sshkeypair", common.Views(rows, lambda row: shown(cloud, row)))


def shown(cloud: Cloud, row: Plain) -> Row:
    """A pair without its private half."""
    mine = views.owner(cloud, row)
    return {"id": row.id, "name": row.name, **mine, "fingerprint": row.fields["fingerprint"], "hasannotations": False}


@command(
    "resetSSHKeyForVirtualMachine",
    Param("id", "VirtualMachine", required=True, owned=True),
    Param("keypair"),
    Param("keypairs", "list"),
    *common.FOR,
    java="org.apache.cloudstack.api.command.user.vm.ResetVMSSHKeyCmd",
    asynchronous=True,
    by_admin=True,
)
def reset_key(cloud: Cloud, call: Call) -> Row:
    """A stopped VM gets other key pairs."""
    vm: Vm = call["id"]
    wanted = asked_for(cloud, call, cloud.accounts[vm.account])

    def check() -> None:
        if not wanted:
            raise Refused(431, "Either keypair or keypairs must be passed")
        if vm.state != "Stopped":
            raise Refused(431, f"Vm {vm.told()} should be stopped to do SSH Key reset")

    def finish() -> Row:
        vm.details[NAMES] = ",".join(wanted)
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))
