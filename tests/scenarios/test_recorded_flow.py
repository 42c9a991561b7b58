"""The requests of a run beside those that a real management server took in the recorded failover, strategy by strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conformance import records
from tests.scenarios.house import PG, is_mutating
from tests.scenarios.test_strategies import CASES, a_house

RECORDING = "kvm-11-dr-flow"


@dataclass(frozen=True)
class Variant:
    """Which steps of the recording are the flow, and what is different in ours, each with its reason.

    `left_out` are recorded steps that we do not do, `ours` commands of ours that were not recorded, by position in ours.
    """

    case: str
    first: str
    last: str
    left_out: dict[str, str]
    ours: dict[int, str]


DESTROYED = "ours expunges in the same call where the account may"
VARIANTS = [
    Variant(
        "vm-snapshot",
        "01-deploy-test-vm-bootmode",
        "14b-expunge-test-vm-admin",
        {
            "02a-delete-attached-blank-root": "shows the refusal of deleting an attached root",
            "07-detach-while-testing": "shows the refusal of a detach under way",
            "09b-detach-before-delete": "shows the refusal of a detach while there is a VM snapshot",
            "14b-expunge-test-vm-admin": DESTROYED,
        },
        {1: "createTags: the guest is marked as ours"},
    ),
    Variant(
        "volume-snapshot",
        "A1-deploy",
        "cleanup-destroy",
        {
            "A7-revert-while-running": "shows the refusal of a revert under a running guest",
            "A9-revert-attached-stopped": "shows that a revert works on the stopped guest, too; ours reverts once, detached",
            "A13-delete-snapshot": "recorded before the destroy; ours deletes it last, when nothing can be lost any more",
        },
        {1: "createTags: the guest is marked as ours", 13: "deleteSnapshot: last of all"},
    ),
    Variant(
        "clone, snapshots in place",
        "B1-snapshot-attached-running",
        "B9-delete-snapshot",
        {
            "B1-snapshot-attached-running": "recorded first; ours makes the guest first, to know early that it can be made",
            "B2-create-clone": "follows its snapshot",
        },
        {
            1: "createTags: the guest is marked as ours",
            4: "createSnapshot: after the guest is made",
            5: "createVolume: follows its snapshot",
            8: "stopVirtualMachine: recorded was a destroy of the running guest; ours lets its system shut down",
            9: "detachVolume: the clone does not go with the guest unasked",
            11: "deleteVolume: the clone is deleted by its recorded id",
        },
    ),
]


def recorded(variant: Variant) -> list[tuple[str, str]]:
    """Step and command of every mutating request of the variant, in order."""
    steps = [
        (e.step, e.command)
        for e in records.scenario(RECORDING).exchanges
        if e.command and not e.step.endswith((records.JOB, records.PENDING))
    ]
    names = [step for step, _ in steps]
    begin = names.index(variant.first)
    end = names.index(variant.last, begin)
    return [(step, command) for step, command in steps[begin : end + 1] if is_mutating(command)]


def sent(variant: Variant, folder: Path) -> list[str]:
    """The mutating commands of a whole run of ours."""
    with a_house(variant.case, folder) as drill:
        drill.approve(drill.plan(PG, more=CASES[variant.case][0]))
        drill.drive(PG)
        drill.advance(timedelta(minutes=31))
        drill.drive(PG)
        assert drill.run(PG).state == "completed"
        return drill.mutations()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.case)
def test_a_run_sends_what_was_recorded_but_for_what_is_explained(variant: Variant, tmp_path: Path) -> None:
    theirs = [command for step, command in recorded(variant) if step not in variant.left_out]
    ours = sent(variant, tmp_path)
    assert [c for n, c in enumerate(ours) if n not in variant.ours] == theirs


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.case)
def test_every_explained_difference_is_one(variant: Variant, tmp_path: Path) -> None:
    assert set(variant.left_out) <= {step for step, _ in recorded(variant)}
    ours: Sequence[str] = sent(variant, tmp_path)
    for place, reason in variant.ours.items():
        assert reason.startswith(f"{ours[place]}: ")
