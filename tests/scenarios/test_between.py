"""What CloudStack leaves in between for ever: the run ends stuck, with the object's id and state, and goes home when mended.

A job ends without a verdict and nobody tidies up its rows. Nothing is sent against them meanwhile; when an operator of the
cloud has mended them, everything is taken back, and a replica that no guest ran on is not called dirty.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import operations
from reconciler.cli import trouble
from reconciler.store.journal import ENDED
from tests.scenarios.attacks import HOUR, MINUTE, live_for
from tests.scenarios.house import KEYS, PG, Drill, furnished

MENDED = {
    **dict.fromkeys(("Snapshotting", "Attaching", "RevertSnapshotting", "Reverting"), "Ready"),
    "Starting": "Stopped",
    "Creating": "Error",
}
LEFT = {
    "a snapshot in Creating": ("volume-snapshot", "createSnapshot:1", "Snapshotting"),
    "a disk in Attaching": ("volume-snapshot", "attachVolume:1", "Attaching"),
    "a guest in Starting": ("volume-snapshot", "startVirtualMachine:1", "Starting"),
    "a disk in Reverting": ("volume-snapshot", "revertSnapshot:1", "RevertSnapshotting"),
    "a disk in Attaching on its way home": ("volume-snapshot", "attachVolume:2", "Attaching"),
    "a VM snapshot in Creating": ("vm-snapshot", "createVMSnapshot:1", "Creating"),
    "a VM snapshot in Reverting": ("vm-snapshot", "revertToVMSnapshot:1", "Reverting"),
    "a clone in Attaching": ("clone", "attachVolume:2", "Attaching"),
}


def in_between(drill: Drill) -> dict[str, str]:
    """The ids of everything that the cloud has in a state that passes, with that state."""
    rows = {i: x for kind in drill.cloud.entities() for i, x in kind.items()}
    return {i: x.state for i, x in rows.items() if getattr(x, "state", None) in MENDED}


def mend(drill: Drill) -> None:
    """What an operator of the cloud does in its database."""
    for ident, state in in_between(drill).items():
        row = next(kind[ident] for kind in drill.cloud.entities() if ident in kind)
        row.state = MENDED[state]  # type: ignore[attr-defined]


def watched(drill: Drill) -> list[tuple[str, str]]:
    """The commands that `failover why` shows to watch it with."""
    run = drill.run(PG)
    world = operations.worlds(drill.connected, (run,))[run.vm_key]
    return list(trouble.of(run, operations.steps(drill.connected, run), drill.connected.settings, world).watched())


@pytest.mark.parametrize("what", LEFT)
def test_what_stays_in_between_is_told_with_its_id_and_taken_back_when_it_is_mended(what: str, tmp_path: Path) -> None:
    strategy, call, state = LEFT[what]
    command, _, nth = call.partition(":")
    with furnished(tmp_path, durations=1.0) as drill:
        drill.declare(storage="nfs")
        before = drill.proof()
        drill.cloud.faults.add("job-stuck", command, nth=int(nth))
        drill.approve(drill.plan(PG, more=f"strategy: {strategy}\n"))
        live_for(drill, PG, 20 * MINUTE)
        if drill.run(PG).state == "holding":
            drill.cloud.guest_writes(drill.guest(PG)["id"], "a person tests")
            operations.end(drill.connected, KEYS[PG], "tests")
        live_for(drill, PG, 5 * HOUR)
        left, run = in_between(drill), drill.run(PG)
        (ident, *_) = [i for i, x in left.items() if x == state]
        (*_, told) = [r["text"] for r in drill.rows("select text from fr_events where kind = 'stuck' order by id")]
        assert (run.state in ENDED, run.direction) == (False, "back")
        assert f"{ident} is {state}" in told, told
        assert f"={ident}" in " ".join(command for command, _ in watched(drill))
        mend(drill)
        live_for(drill, PG, 2 * HOUR)
        assert (drill.run(PG).state, drill.proof()) == ("completed", before), drill.run(PG).reason


@pytest.mark.parametrize(
    ("strategy", "command"), [("volume-snapshot", "stopVirtualMachine"), ("vm-snapshot", "deleteVMSnapshot")]
)
def test_what_can_be_sent_again_is_and_needs_nobody(strategy: str, command: str, tmp_path: Path) -> None:
    """A guest that stays in Stopping is stopped once more, a VM snapshot that stays in Expunging is deleted once more."""
    with furnished(tmp_path, durations=1.0) as drill:
        drill.declare(storage="nfs")
        before = drill.proof()
        drill.cloud.faults.add("job-stuck", command)
        drill.approve(drill.plan(PG, more=f"strategy: {strategy}\n"))
        live_for(drill, PG, 20 * MINUTE)
        drill.cloud.guest_writes(drill.guest(PG)["id"], "a person tests")
        operations.end(drill.connected, KEYS[PG], "tests")
        live_for(drill, PG, 5 * HOUR)
        assert drill.attempted().count(command) == 2
        assert (drill.run(PG).state, drill.proof()) == ("completed", before), drill.run(PG).reason
