"""Plots that found something, made smaller, each with what was found. `test_found` plays them for ever.

A seed means another plot as soon as `plots` draws otherwise, so what a seed found is written down here as the plot itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from tests.simulation.plots import HOURS, Death, Deed, Order, Plot, Vm

IN_PLACE, APART = {"kvm.snapshot.enabled": True}, {"kvm.snapshot.enabled": False}
WAY = (
    *("deployVirtualMachine", "createTags", "detachVolume", "deleteVolume"),
    *("detachVolume", "createSnapshot", "attachVolume", "startVirtualMachine"),
)
"""The changes of the way there by volume snapshot."""
TEST = (Order(0.0, "test", 0, 5),)
KEPT = (Order(0.0, "test", 0, 5, cleanup=False),)


def _one(strategy: str | None, disks: int = 1) -> tuple[Vm, ...]:
    return (Vm(0, disks, strategy=strategy),)


def found() -> Iterator[tuple[str, Plot]]:
    """What was found, and the plot that found it."""
    for strategy in ("volume-snapshot", "vm-snapshot"):
        for nth in range(6, 13):
            what = f"{strategy}: a rollback point goes before change {nth}: lists that were taken over did not show it"
            deed = Deed("delete-point" if strategy == "volume-snapshot" else "delete-guest-point", nth)
            yield what, Plot(nth, _one(strategy, 2), IN_PLACE, durations=1.0, poll=2.0, orders=TEST, deeds=(deed,))
    for nth in (40, 43, 46, 49, 52):
        what = f"a process sleeps before call {nth} and sends what another one has done meanwhile"
        deaths = (Death("pause", nth, 300.0),)
        yield what, Plot(nth, _one("volume-snapshot", 2), durations=1.0, orders=TEST, deaths=deaths)
    for nth in (41, 42, 43):
        what = f"a process sleeps before look {nth}, the last one before it sends, and sends though its lease has lapsed"
        yield what, Plot(nth, _one("vm-snapshot"), durations=1.0, orders=TEST, deaths=(Death("pause", nth, 300.0),))
    faults: Mapping[str, object] = {"kind": "job-no-effect", "command": "createVolume", "nth": 1, "times": 1}
    yield (
        "what the cloud says it made and does not show was looked for without end",
        Plot(1, _one("clone"), IN_PLACE, durations=1.0, orders=TEST, faults=(faults,)),
    )
    faults = {"kind": "restart", "command": "deleteSnapshot", "nth": 1}
    yield (
        "a snapshot whose deletion a restart cut short was never deleted again",
        Plot(2, _one("volume-snapshot", 2), durations=4.0, orders=TEST, faults=(faults,)),
    )
    faults = {"kind": "late-duplicate", "command": "detachVolume", "nth": 4, "times": 1, "seconds": 700.0}
    yield "a detach arrives once more, much later", Plot(3, _one("volume-snapshot"), orders=TEST, faults=(faults,))
    faults = {"kind": "job-stuck", "command": "createVMSnapshot", "nth": 1, "times": HOURS, "effect": True}
    yield (
        "a VM snapshot that stays half made holds its disks; the run says so",
        Plot(4, _one("vm-snapshot"), durations=1.0, orders=TEST, faults=(faults,)),
    )
    yield "a test kept beyond its time made rounds spin", Plot(5, _one(None), durations=1.0, orders=KEPT)
    faults = {"kind": "drop", "command": "destroyVirtualMachine", "nth": 1, "times": 1}
    yield (
        "a person's own call is cut on its way",
        Plot(6, _one("volume-snapshot"), durations=1.0, orders=TEST, faults=(faults,), deeds=(Deed("destroy-guest", 5),)),
    )
    for code, nth in itertools.product((431, 530), range(1, 9)):
        what = f"a person freezes a run while change {nth} is on its way, which is refused with {code}: the freeze was lost"
        command, *before = reversed(WAY[:nth])
        faults = {"kind": "refuse", "command": command, "nth": 1 + before.count(command), "times": 1, "code": code}
        deeds = (Deed("freeze", nth),)
        yield what, Plot(nth, _one("volume-snapshot"), APART, durations=1.0, orders=TEST, faults=(faults,), deeds=deeds)
