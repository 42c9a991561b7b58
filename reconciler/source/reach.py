"""The source side as a whole: what of it is configured, what of it answers, and what it says of one VM.

Made by `wiring.source_side`; asked by `reconciler.cli.source`, and by whatever else wants to know whether a source VM could
be switched off and synced. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from plans.observed import Source
from reconciler.source.appliance import Appliance, PowerState
from reconciler.source.daemon import Daemon
from reconciler.source.door import Login
from reconciler.source.errors import NotConfigured, NotKnown, SourceError
from reconciler.source.logins import Credential, login_for
from reconciler.source.replication import Replication, SyncJob

T = TypeVar("T")


class Service(StrEnum):
    """The services of the source side, as people call them; the settings are called the same."""

    APPLIANCE = "appliance"
    REPLICATION = "replication"
    DAEMON = "daemon"


class Reach(StrEnum):
    """Whether a service answers."""

    ANSWERS = "answers"
    NOT_CONFIGURED = "not configured"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Reached:
    """One service: whether it answers, and why not. A service that does not answer tells nothing of any VM."""

    service: Service
    reach: Reach
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What the source side says of one VM; each part is what was found, or why it could not be told."""

    power: PowerState | SourceError
    jobs: tuple[SyncJob, ...] | SourceError
    mappings: Mapping[str, str] | SourceError


@dataclass(frozen=True, slots=True)
class SourceSide:
    """Those services that are configured, and the credentials for vCenters."""

    appliance: Appliance | None = None
    replication: Replication | None = None
    daemon: Daemon | None = None
    credentials: tuple[Credential, ...] = field(default=(), repr=False)

    def power_of(self) -> Appliance:
        """The appliance. Raises `NotConfigured`."""
        if self.appliance is None:
            raise NotConfigured(Service.APPLIANCE, "the VMware appliance")
        return self.appliance

    def syncs(self) -> Replication:
        """The replication system's API. Raises `NotConfigured`."""
        if self.replication is None:
            raise NotConfigured(Service.REPLICATION, "the replication system's API")
        return self.replication

    def mapped(self) -> Daemon:
        """The volume daemon. Raises `NotConfigured`."""
        if self.daemon is None:
            raise NotConfigured(Service.DAEMON, "the volume daemon")
        return self.daemon

    def login(self, source: Source) -> Login:
        """The credential for this VM. Raises `NoLogin`."""
        return login_for(source, self.credentials)


def reachable(side: SourceSide) -> tuple[Reached, ...]:
    """Whether each service answers, asked now; one answer for each, never an exception for a service that fails."""
    asked: Mapping[Service, Callable[[], None]] = {
        Service.APPLIANCE: lambda: side.power_of().health(),
        Service.REPLICATION: lambda: side.syncs().health(),
        Service.DAEMON: lambda: side.mapped().health(),
    }
    return tuple(_reached(service, ask) for service, ask in asked.items())


def said_of(side: SourceSide, source: Source) -> Said:
    """What each service says of this VM, asked now. It is never made up: what could not be told is an error."""
    power = _told(lambda: side.power_of().power(source, side.login(source)))
    jobs = _told(lambda: side.syncs().jobs(source))
    return Said(power, jobs, _told(lambda: side.mapped().volumes(_appliance_of(source))))


def _appliance_of(source: Source) -> str:
    if source.platform is None:
        raise NotKnown(f"the appliance of {source.name}", "database, ossea_configs")
    return source.platform.appliance_id


def _reached(service: Service, ask: Callable[[], None]) -> Reached:
    try:
        ask()
    except NotConfigured as unset:
        return Reached(service, Reach.NOT_CONFIGURED, str(unset))
    except SourceError as fault:
        return Reached(service, Reach.FAILS, str(fault))
    return Reached(service, Reach.ANSWERS)


def _told(ask: Callable[[], T]) -> T | SourceError:
    try:
        return ask()
    except SourceError as fault:
        return fault
