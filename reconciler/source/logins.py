"""Which credential is used for a VM: its own, or the one of its vCenter; never that of another vCenter. Pure.

`reach.SourceSide` asks before the appliance is asked anything. The settings name credentials by reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plans.observed import Source
from reconciler.source.door import Login
from reconciler.source.errors import NoLogin

WHERE = "settings, source.credentials"


@dataclass(frozen=True, slots=True)
class Credential:
    """A login with the VMs (uuids, lower case) whose own it is; empty: it is for every VM of its vCenter."""

    login: Login
    vms: frozenset[str] = frozenset()


def login_for(source: Source, credentials: Sequence[Credential]) -> Login:
    """The login for this VM. Raises `NoLogin`, naming hosts and never users, where there is none or more than one."""
    own = [c.login for c in credentials if source.key in c.vms]
    host = source.vcenter.lower()
    fitting = own or [c.login for c in credentials if not c.vms and c.login.host.lower() == host]
    if not host:
        raise NoLogin(
            f"the database names no vCenter for {source.name}", WHERE, "sync the VM once, so that its row names it"
        )
    if len(fitting) != 1:
        found = "no credential" if not fitting else f"{len(fitting)} credentials"
        text = f"{found} for {source.name} on {source.vcenter}"
        raise NoLogin(text, WHERE, f"name exactly one with host {source.vcenter}, or one with this VM's uuid in `vms`")
    if fitting[0].host.lower() != host:
        text = f"the credential of {source.name} is for {fitting[0].host}, but the VM is on {source.vcenter}"
        raise NoLogin(text, WHERE, "correct `host` or `vms` of that credential; nothing was sent")
    return fitting[0]
