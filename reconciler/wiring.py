"""Settings to everything connected: the only place that constructs.

Called by the command line, the daemon and tests. It fails here, with a sentence that says what to do, or everything works.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from reconciler import settings as settings_module
from reconciler.clock import Clock, SystemClock
from reconciler.cloudstack.client import Client, Limits
from reconciler.cloudstack.endpoint import Endpoint
from reconciler.loop import Engine
from reconciler.settings import Settings, SettingsError
from reconciler.store import legacy
from reconciler.store.database import Database
from specs.load import Bounds

if TYPE_CHECKING:
    from reconciler.source.reach import SourceSide


def settings_path() -> Path:
    """Where the settings are when nobody says: `FAILOVER_SETTINGS`, else `failover.yaml` in the working folder."""
    return Path(os.environ.get("FAILOVER_SETTINGS", settings_module.FILE_NAME))


def settings(path: Path | None) -> Settings:
    """The settings from this file, or from where they are when nobody says."""
    return settings_module.load(path or settings_path())


def database(found: Settings) -> Database:
    """The database, connected; nothing is created and nothing migrated."""
    section = found.database
    password = found.secret(section.password) if section.password else None
    return Database(found.database_url, password=password, ca_file=_anchored(found, section.ca_file))


def client(found: Settings, clock: Clock) -> Client:
    """The CloudStack client; the keys are read here and go nowhere else."""
    section = found.cloudstack
    key, secret = found.secret(section.api_key), found.secret(section.secret_key)
    try:
        endpoints = [
            Endpoint(
                url=url,
                key=pydantic.SecretStr(key),
                secret=pydantic.SecretStr(secret),
                ca_file=_anchored(found, section.ca_file),
                timeout_connect=section.connect_timeout.total_seconds(),
                timeout_read=section.read_timeout.total_seconds(),
                connections=section.concurrent_calls,
            )
            for url in (section.endpoint, *section.standby)
        ]
    except pydantic.ValidationError as faulty:
        names = ", ".join(".".join(map(str, e["loc"])) for e in faulty.errors(include_input=False))
        raise SettingsError(f"cloudstack: {names} cannot be used; is a secret reference empty?") from None
    limits, never = Limits(calls=section.calls_per_second, at_once=section.concurrent_calls), threading.Event()
    return Client(endpoints, clock.now, limits=limits, wait=lambda s: clock.wait(timedelta(seconds=s), never))


def source_side(found: Settings, clock: Clock) -> SourceSide:
    """The source side's services that are configured; the token and the passwords are read here and go nowhere else."""
    from reconciler.source import appliance, daemon, door, logins, reach, replication

    section = found.source
    token = pydantic.SecretStr(found.secret(section.token)) if section.token else None

    def opened(url: str, *, with_token: bool) -> door.Door:
        return door.Door(
            url.rstrip("/"),
            token if with_token else None,
            _anchored(found, section.ca_file),
            section.connect_timeout.total_seconds(),
            section.read_timeout.total_seconds(),
        )

    credentials = tuple(
        logins.Credential(
            door.Login(row.host, row.username, pydantic.SecretStr(found.secret(row.password))),
            frozenset(vm.lower() for vm in row.vms),
        )
        for row in section.credentials
    )
    return reach.SourceSide(
        appliance.Appliance(opened(section.appliance, with_token=False), clock) if section.appliance else None,
        replication.Replication(opened(section.replication, with_token=True), clock) if section.replication else None,
        daemon.Daemon(opened(section.daemon, with_token=True)) if section.daemon else None,
        credentials,
    )


def bounds(found: Settings, path: Path | None = None) -> Bounds:
    """The bounds that specs are checked against, naming where they come from."""
    where = str(path or settings_module.FILE_NAME)
    return Bounds(
        found.test.min_duration,
        found.test.max_duration,
        f"settings file, test.min_duration ({where})",
        f"settings file, test.max_duration ({where})",
    )


def owner() -> str:
    """What this process calls itself in leases: machine, process, and a chance number (containers number theirs alike)."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Connected:
    """Everything a command needs."""

    settings: Settings
    database: Database
    engine: Engine


def connect(path: Path | None, clock: Clock | None = None) -> Connected:
    """Everything connected, from a settings file."""
    return connected(settings(path), clock or SystemClock())


def connected(found: Settings, clock: Clock) -> Connected:
    """Everything connected, from settings."""
    store = database(found)
    adopted = legacy.adopt(store)
    engine = Engine(store, client(found, clock), clock, found, owner(), adopted)
    return Connected(found, store, engine)


def _anchored(found: Settings, path: Path | None) -> Path | None:
    return None if path is None else found.base / path
