"""How each action reads: symbol, title, precondition, effect, undo and risk, one row an action type.

`plans.render` and the JSON form take every word about an action from here, so that terminal, Markdown and page cannot
disagree. A new action type without a row fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from plans import actions


class Risk(StrEnum):
    """What could be lost if the action went wrong."""

    NONE = "none"
    LOW = "low"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words for one action type; `symbol` is one of `+` create, `~` change, `-` remove, `>` move."""

    symbol: str
    title: str
    needs: str
    effect: str
    undo: str
    risk: Risk


WORDS: Mapping[type[actions.Action], Wording] = {
    actions.Reserve: Wording(
        "~",
        "reserve",
        "replication is idle, every replica on the appliance",
        "replication may not start; every device is written down",
        "release",
        Risk.NONE,
    ),
    actions.CreateGuest: Wording(
        "+",
        "create guest",
        "name free, only networks flagged as test",
        "a stopped VM with a blank disk",
        "destroy",
        Risk.NONE,
    ),
    actions.MarkGuest: Wording("~", "mark guest", "guest exists", "tagged with the run", "goes with the guest", Risk.NONE),
    actions.StopGuest: Wording(
        "~", "stop guest", "guest exists", "the guest system is shut down, then off", "start", Risk.LOW
    ),
    actions.DetachDefaultRoot: Wording(
        "-", "detach default root", "guest stopped", "device 0 is free", "destroy the guest", Risk.LOW
    ),
    actions.DeleteDefaultRoot: Wording(
        "-", "delete default root", "detached, and the one recorded at creation", "gone", "none needed: blank", Risk.LOW
    ),
    actions.DetachReplica: Wording(
        ">", "detach replica", "reserved, no VM snapshot in the way", "hangs on nothing", "attach again", Risk.DATA
    ),
    actions.RevertReplica: Wording(
        "~",
        "revert replica",
        "rollback point usable, guest stopped",
        "content as at the rollback point; the test's writes are gone",
        "none: this is the way back",
        Risk.DATA,
    ),
    actions.SnapshotReplica: Wording(
        "+", "snapshot replica", "detached, never written by a guest", "rollback point", "delete", Risk.NONE
    ),
    actions.AttachReplica: Wording(
        ">", "attach replica", "hangs on nothing, device free", "hangs at exactly this device", "detach", Risk.DATA
    ),
    actions.Resume: Wording(
        "~",
        "resume",
        "every replica home, every snapshot made",
        "replication may go on during the test",
        "none needed",
        Risk.NONE,
    ),
    actions.CloneReplica: Wording(
        "+", "clone replica", "its snapshot is usable", "a volume of the guest's own", "delete", Risk.NONE
    ),
    actions.AttachClone: Wording(
        ">", "attach clone", "guest stopped, device free", "hangs at exactly this device", "detach", Risk.NONE
    ),
    actions.SnapshotGuest: Wording(
        "+",
        "snapshot guest",
        "stopped, every disk attached and verified",
        "rollback point of all disks; they stay on the guest",
        "delete",
        Risk.LOW,
    ),
    actions.RevertGuest: Wording(
        "~",
        "revert guest",
        "stopped, rollback point usable",
        "all disks as at the rollback point; the test's writes are gone",
        "none: this is the way back",
        Risk.DATA,
    ),
    actions.DeleteGuestSnapshot: Wording(
        "-", "delete guest snapshot", "its revert is confirmed", "the disks may leave the guest", "none", Risk.DATA
    ),
    actions.DetachClone: Wording(">", "detach clone", "guest stopped", "hangs on nothing", "attach again", Risk.NONE),
    actions.DeleteClone: Wording(
        "-", "delete clone", "detached, and the one recorded when it was made", "gone", "none: made by this run", Risk.LOW
    ),
    actions.StartGuest: Wording(
        "~",
        "start guest",
        "every disk at its device, every rollback point usable, only test networks",
        "the guest runs and writes",
        "stop and revert",
        Risk.DATA,
    ),
    actions.DestroyGuest: Wording(
        "-", "destroy guest", "a fresh look shows no replica on it", "gone", "none: it was made by this run", Risk.DATA
    ),
    actions.DeleteSnapshot: Wording(
        "-", "delete snapshot", "its revert is confirmed, its replica home", "gone", "none: no longer needed", Risk.LOW
    ),
    actions.DeleteLeftover: Wording(
        "-", "delete leftover", "made by this run, its replica home and clean", "gone", "none: no longer needed", Risk.LOW
    ),
    actions.Release: Wording("~", "release", "every replica home and clean", "replication may go on", "reserve", Risk.NONE),
}


def of(action: actions.Action) -> Wording:
    """The words for this action."""
    return WORDS[type(action)]
