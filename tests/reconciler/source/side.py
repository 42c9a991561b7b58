"""A simulated source side with one VM of two disks, and the adapters connected to it. Only waiting turns the clock."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from plans.observed import Disk, Platform, Source
from reconciler.source.appliance import Appliance
from reconciler.source.daemon import Daemon
from reconciler.source.door import Door, Login
from reconciler.source.logins import Credential
from reconciler.source.reach import SourceSide
from reconciler.source.replication import Replication
from simulator.source.estate import SourceEstate, SourceVm
from simulator.source.faults import Rules
from simulator.source.server import SourceServer

KEY, HOST = "4205a841-0265-f4bd-39a6-39fd92196f53", "vcenter.example.org"
APPLIANCE, VOLUME = "00000000-0000-4000-8000-00000000000a", "e915ef05-ddf5-48d5-8352-a01300609717"
USER, PASSWORD, TOKEN = "failover@vsphere.local", 'canary/pass+8f2c=="é', "canary~token-5b1d"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
DISKS = (Disk("disk-2000", 40, 0, VOLUME, "old/1"), Disk("disk-2001", 10, 1, "v-2", "old/2"))
PLATFORM = Platform("primary", "zone", "template", "offering", APPLIANCE)
SOURCE = Source(KEY, "lnx", HOST, 2, 2048, "ubuntu64Guest", "bios", (), DISKS, platform=PLATFORM)
LOGIN = Login(HOST, USER, SecretStr(PASSWORD))


class Hand:
    """A clock that only waiting turns, and not for ever."""

    def __init__(self) -> None:
        self._now, self._waits = NOW, 0

    def now(self) -> datetime:
        return self._now

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        self._now += span
        self._waits += 1
        assert self._waits < 2000, "an endless wait"


@dataclass
class Side:
    server: SourceServer
    estate: SourceEstate
    vm: SourceVm
    side: SourceSide
    clock: Hand

    @property
    def faults(self) -> Rules:
        return self.server.faults

    @property
    def appliance(self) -> Appliance:
        return self.side.power_of()

    @property
    def replication(self) -> Replication:
        return self.side.syncs()

    def changes(self, verb: str) -> int:
        return [taken for taken, _ in self.estate.changes].count(verb)

    def waited(self) -> float:
        return (self.clock.now() - NOW).total_seconds()


@contextlib.contextmanager
def simulated(**door: Any) -> Iterator[Side]:
    clock = Hand()
    estate = SourceEstate(clock, logins={(HOST, USER): PASSWORD}, token=TOKEN, mappings={APPLIANCE: {VOLUME: "/dev/vdb"}})
    vm = estate.add(SourceVm(KEY, "lnx", HOST, change_ids={d.key: str(d.change_id) for d in DISKS}))
    with SourceServer(estate) as server:
        opened = {service: Door(server.url(service), **door) for service in ("appliance",)}
        opened |= {s: Door(server.url(s), SecretStr(TOKEN), **door) for s in ("replication", "daemon")}
        side = SourceSide(
            Appliance(opened["appliance"], clock),
            Replication(opened["replication"], clock),
            Daemon(opened["daemon"]),
            (Credential(LOGIN),),
        )
        yield Side(server, estate, vm, side, clock)
