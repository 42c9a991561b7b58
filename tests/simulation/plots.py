"""What will happen, out of one number: VMs and their disks, the cloud, what operators want, faults, deaths and people.

`trials` asks for the plot of a seed and plays it on a `stage`. A plot is data: the same seed gives the same plot in every
process and on every machine, and a plot can be changed by hand to make a found one smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from reconciler.crashpoints import Point
from simulator.faults import HOST_WORK

READS = (
    *("listVirtualMachines", "listVolumes", "listSnapshots", "listVMSnapshot", "listAsyncJobs", "queryAsyncJobResult"),
    *("listNetworks", "listCapabilities"),
)
ON_DISKS = ("detachVolume", "attachVolume", "createSnapshot", "revertSnapshot", "deleteSnapshot", "deleteVolume")
ON_GUESTS = ("deployVirtualMachine", "createTags", "startVirtualMachine", "stopVirtualMachine", "destroyVirtualMachine")
BY_STRATEGY = {
    "clone": ("createVolume",),
    "volume-snapshot": (),
    "vm-snapshot": ("createVMSnapshot", "revertToVMSnapshot", "deleteVMSnapshot"),
}
ON_THE_WAY = ("refuse", "drop", "lose-answer", "empty-body", "html", "half-answer")
OF_LISTS = ("stale-list", "lost-row", "repeated-row")
OF_JOBS = (
    *("job-fails", "job-no-result", "job-no-effect", "job-code-0", "job-purged", "job-hangs", "job-stuck", "slow"),
    "late-duplicate",
)
CODES = (401, 429, 430, 431, 503, 530, 533)
OF_PROXIES = (500, 502, 503, 504)
HOURS = 10**9
SKIPPING = 0.2
DEEDS = (
    *("detach", "attach-home", "delete-point", "stop-guest", "start-guest", "power-off", "destroy-guest"),
    *("snapshot-guest", "snapshot-appliance", "delete-guest-point", "revert-point", "production-card", "strange-disk"),
    *("delete-clone", "replicate", "context", "untag", "restart"),
)
COMMANDS = ("freeze", "freeze", "roll-back", "approve", "resolve")
COMMANDED = 0.4


@dataclass(frozen=True, slots=True)
class Vm:
    """A replicated VM: how many disks it has, which appliance they hang on, the strategy its specs ask for."""

    number: int
    disks: int
    appliance: int = 0
    strategy: str | None = None

    @property
    def name(self) -> str:
        return f"vm-{self.number}"

    @property
    def key(self) -> str:
        return f"42000000-0000-4000-8000-{self.number:012d}"

    @property
    def volumes(self) -> tuple[str, ...]:
        """The ids of its replicas, the boot disk first."""
        return tuple(f"{self.number:08x}-{disk:04x}-4000-8000-0000000000d0" for disk in range(self.disks))


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator does after so many seconds: `test` (for so many minutes), `end` or `protect`.

    `skips` is whether the spec of a test asks for checks to be left out.
    """

    at: float
    what: str
    vm: int
    minutes: int = 0
    cleanup: bool = True
    skips: bool = False


@dataclass(frozen=True, slots=True)
class Death:
    """Where the process dies: at the nth passing of a point, before or after its nth call.

    With `pause` it only sleeps so many seconds, while another one may take over: before its nth call, if that is a look
    (`pause`), or with its nth change already on the wire (`late`).
    """

    where: str
    nth: int
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody else does, or an operator by a command, when the process has made so many changing calls."""

    what: str
    nth: int


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that is decided before the curtain rises. Spans are seconds."""

    seed: int
    vms: tuple[Vm, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    declared: str | None = "nfs"
    durations: float = 3.0
    poll: float = 5.0
    grace: float = 30.0
    tries: int = 4
    retries: int = 1
    max_runs: int = 5
    orders: tuple[Order, ...] = ()
    faults: tuple[Mapping[str, Any], ...] = ()
    deaths: tuple[Death, ...] = ()
    deeds: tuple[Deed, ...] = ()
    replication: float = 0.0
    quiet: float = 5400.0

    def told(self) -> str:
        """The plot in a few lines, for whoever reduces it."""
        vms = ", ".join(f"{v.name} ({v.disks} disks, {v.strategy or 'any'})" for v in self.vms)
        rows = [f"seed {self.seed}: {vms}; {dict(self.settings)}; tries {self.tries}, retries {self.retries}"]
        rows += [f"  {row}" for row in (*self.orders, *self.faults, *self.deaths, *self.deeds)]
        return "\n".join(rows)


def plot_of(seed: int) -> Plot:
    """The plot of a seed."""
    luck = Random(seed)
    vms = _vms(luck)
    strategies = {vm.strategy for vm in vms}
    commands = (*ON_DISKS, *ON_GUESTS, *(c for s, more in BY_STRATEGY.items() if s in strategies for c in more))
    number = luck.choices((0, 1, 2, 3), (1, 4, 6, 1))[0]
    durations, orders = luck.choice((1.0, 4.0, 12.0)), _skipping(Random(f"skips {seed}"), _orders(luck, vms))
    return Plot(
        seed=seed,
        vms=vms,
        settings={
            "kvm.snapshot.enabled": luck.random() < 0.5,
            "allow.user.expunge.recover.vm": luck.random() < 0.8,
        },
        declared=None if "vm-snapshot" not in strategies and luck.random() < 0.3 else "nfs",
        durations=durations,
        poll=durations * luck.choice((1.0, 2.0, 2.0, 4.0)),
        grace=luck.choice((5.0, 30.0)),
        tries=luck.choice((2, 4)),
        retries=luck.choice((1, 1, 3)),
        max_runs=luck.choice((1, 2, 5)),
        orders=orders,
        faults=tuple(_fault(luck, commands) for _ in range(number)),
        deaths=tuple(_death(luck) for _ in range(luck.choices((0, 1, 2, 3), (3, 4, 2, 1))[0])),
        deeds=(*(_deed(luck) for _ in range(luck.choices((0, 1, 2), (6, 3, 1))[0])), *_commands(Random(f"commands {seed}"))),
        replication=luck.choice((0.0, 0.0, 600.0)),
        quiet=max(order.at for order in orders) + luck.choice((600.0, 1800.0)),
    )


def _vms(luck: Random) -> tuple[Vm, ...]:
    number = luck.choices((1, 2, 3), (7, 3, 1))[0]
    appliances = luck.choice((1, 1, 2))
    strategies = (None, "clone", "volume-snapshot", "vm-snapshot")
    return tuple(
        Vm(n, luck.choices((1, 2, 3, 4), (4, 4, 2, 1))[0], n % appliances, luck.choice(strategies)) for n in range(number)
    )


def _orders(luck: Random, vms: tuple[Vm, ...]) -> tuple[Order, ...]:
    found: list[Order] = []
    for vm in vms:
        at = luck.choice((0.0, 0.0, 0.0, luck.uniform(0, 600)))
        found.append(Order(at, "test", vm.number, luck.choice((5, 5, 10, 30)), luck.random() < 0.9))
        for _ in range(luck.choices((0, 1, 2), (5, 4, 1))[0]):
            what = luck.choice(("end", "end", "test", "protect"))
            at += luck.uniform(5, 900)
            found.append(Order(at, what, vm.number, luck.choice((5, 7, 20))))
    return tuple(sorted(found, key=lambda order: (order.at, order.vm)))


def _skipping(luck: Random, orders: tuple[Order, ...]) -> tuple[Order, ...]:
    return tuple(replace(order, skips=order.what == "test" and luck.random() < SKIPPING) for order in orders)


def _fault(luck: Random, commands: tuple[str, ...]) -> Mapping[str, Any]:
    family = luck.choices(("way", "list", "job", "host", "restart", "clock"), (6, 2, 9, 3, 2, 1))[0]
    nth, times = luck.randint(1, 5), luck.choices((1, 2, 3, HOURS), (6, 2, 1, 1))[0]
    often = {"nth": nth, "times": times}
    if family == "way":
        command = luck.choice((*READS, *commands, *commands))
        kind = luck.choice(ON_THE_WAY)
        code = luck.choice(OF_PROXIES if kind == "html" else CODES)
        return {"kind": kind, "command": command, "code": code, **often}
    if family == "list":
        return {"kind": luck.choice(OF_LISTS), "command": luck.choice(READS[:5]), **often, "times": luck.randint(1, 6)}
    if family == "job":
        seconds = luck.choice((20.0, 120.0, 700.0))
        kind, effect = luck.choice(OF_JOBS), luck.random() < 0.5
        code = luck.choice(CODES)
        return {"kind": kind, "command": luck.choice(commands), "seconds": seconds, "effect": effect, "code": code, **often}
    if family == "host":
        kind = luck.choice(("host-fails", "host-slow"))
        return {"kind": kind, "command": luck.choice(HOST_WORK), "seconds": luck.choice((30.0, 400.0)), **often}
    if family == "restart":
        when = {"command": "*", "after": luck.uniform(1, 200)} if luck.random() < 0.5 else {"command": luck.choice(commands)}
        return {"kind": "restart", **when, "nth": nth if "after" not in when else 1}
    return {
        "kind": "clock-ahead",
        "command": "*",
        "seconds": 700.0,
        "nth": luck.randint(1, 60),
        "times": luck.randint(1, 30),
    }


def _death(luck: Random) -> Death:
    where = luck.choice((*Point, "before-call", "after-call", "pause"))
    if where == "pause":
        return Death("pause", luck.randint(5, 100), luck.choice((20.0, 70.0, 300.0)))
    if where in ("before-call", "after-call"):
        return Death(where, luck.randint(1, 150))
    return Death(str(where), luck.randint(1, 12))


def _deed(luck: Random) -> Deed:
    return Deed(luck.choice(DEEDS), luck.randint(0, 25))


def _commands(luck: Random) -> Iterator[Deed]:
    """What operators do in the midst of a run."""
    while luck.random() < COMMANDED:
        yield Deed(luck.choice(COMMANDS), luck.randint(1, 12))
