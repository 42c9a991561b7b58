"""The table of commands: each declares its parameters and who may call it, and is a function of the cloud and the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from simulator import settings
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Handler = Callable[["Cloud", Call], Mapping[str, Any]]
ADMIN = ("admin",)
EVERYBODY = ("admin", "domainadmin", "user")
READERS = (*EVERYBODY, "viewer")
LIST = (
    Param("keyword"),
    Param("page", "int"),
    Param("pagesize", "int"),
    Param("listall", "bool"),
    Param("isrecursive", "bool"),
    Param("account"),
    Param("domainid", "Domain"),
)
_OF_PROJECTS = """
    listAffinityGroups listEgressFirewallRules listEvents listFirewallRules listInstanceGroups listLoadBalancerRules listIpForwardingRules listIsos
    listNetworks listPortForwardingRules listPublicIpAddresses listSSHKeyPairs listSecurityGroups listSnapshots listTags
    listTemplates listVMSnapshot listVirtualMachines listVirtualMachinesMetrics listVolumes listVolumesMetrics
"""
OF_PROJECTS = frozenset(_OF_PROJECTS.split())
"""The lists of what a project may have."""


@dataclass(frozen=True, slots=True)
class Command:
    """One API command. `java` is the class name that jobs show; `asynchronous` commands answer with a job.

    `by_admin` commands have a class of their own for root administrators; `envelope` is for the few whose answer has another key.
    Releases before `since` do not have the command.
    """

    name: str
    params: tuple[Param, ...]
    handler: Handler
    roles: tuple[str, ...]
    java: str
    asynchronous: bool
    creates: bool
    by_admin: bool
    envelope: str
    since: str

    @property
    def reads(self) -> bool:
        """Whether the command only reads."""
        return self.name.startswith(("get", "list", "query", "find"))

    def java_for(self, is_root: bool) -> str:
        """The class name that a job of this command shows."""
        own = self.by_admin and is_root
        return self.java.replace(".command.user.", ".command.admin.") + "ByAdmin" if own else self.java


COMMANDS: dict[str, Command] = {}


@cache
def parameters(name: str, release: str, is_root: bool) -> tuple[Param, ...]:
    """The parameters that this release knows for this caller; all others are ignored without a word."""
    told = settings.numbers(release)
    seen = (p for p in COMMANDS[name].params if is_root or not p.privileged)
    return tuple(p for p in seen if not p.since or settings.numbers(p.since) <= told)


def command(
    name: str,
    *params: Param,
    roles: tuple[str, ...] | None = None,
    java: str = "",
    asynchronous: bool = False,
    creates: bool = False,
    by_admin: bool = False,
    envelope: str | None = None,
    since: str = "",
) -> Callable[[Handler], Handler]:
    """Register a function as the command of that name."""

    def register(handler: Handler) -> Handler:
        who = roles or (READERS if name.startswith(("list", "query")) else EVERYBODY)
        usual = (*LIST, Param("projectid", "Project")) if name in OF_PROJECTS else LIST
        everything = (*params, *(p for p in usual if name.startswith("list") and p.name not in {q.name for q in params}))
        if name in COMMANDS:
            raise ValueError(f"the command {name} is there twice")
        key = envelope or f"{name.lower()}response"
        COMMANDS[name] = Command(
            name, everything, handler, who, java, asynchronous or creates, creates, by_admin, key, since
        )
        return handler

    return register
