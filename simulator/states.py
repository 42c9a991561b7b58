"""State machines as tables: which event takes a row from which state to which.

Commands say `states.move(volume, "AttachRequested")`; what stands in no table does not happen. The tables are those of the
real server: a volume that is attached has no state of its own, attachment is the VM's id on its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Machine = Mapping[tuple[str, str], str]


class HasState(Protocol):
    """A row with a state."""

    state: str


class NoTransition(Exception):
    """The row cannot take this event in its state; the server's commands turn this into their own refusals."""


VOLUME: Machine = {
    ("Allocated", "CreateRequested"): "Creating",
    ("Ready", "CreateRequested"): "Creating",
    ("Creating", "OperationSucceeded"): "Ready",
    ("Creating", "OperationFailed"): "Allocated",
    ("Creating", "DestroyRequested"): "Destroy",
    ("Allocated", "DestroyRequested"): "Destroy",
    ("Ready", "AttachRequested"): "Attaching",
    ("Attaching", "OperationSucceeded"): "Ready",
    ("Attaching", "OperationFailed"): "Ready",
    ("Ready", "SnapshotRequested"): "Snapshotting",
    ("Snapshotting", "OperationSucceeded"): "Ready",
    ("Snapshotting", "OperationFailed"): "Ready",
    ("Ready", "RevertSnapshotRequested"): "RevertSnapshotting",
    ("RevertSnapshotting", "OperationSucceeded"): "Ready",
    ("RevertSnapshotting", "OperationFailed"): "Ready",
    ("Ready", "ResizeRequested"): "Resizing",
    ("Resizing", "OperationSucceeded"): "Ready",
    ("Resizing", "OperationFailed"): "Ready",
    ("Ready", "MigrationRequested"): "Migrating",
    ("Migrating", "OperationSucceeded"): "Ready",
    ("Migrating", "OperationFailed"): "Ready",
    ("Ready", "DestroyRequested"): "Destroy",
    ("Destroy", "RecoverRequested"): "Ready",
    ("Destroy", "ExpungingRequested"): "Expunging",
    ("Expunging", "OperationSucceeded"): "Expunged",
    ("Expunging", "OperationFailed"): "Destroy",
    ("Uploaded", "CopyRequested"): "Copying",
    ("Copying", "OperationSucceeded"): "Ready",
    ("Copying", "OperationFailed"): "Uploaded",
}

VM: Machine = {
    ("Stopped", "StartRequested"): "Starting",
    ("Starting", "OperationSucceeded"): "Running",
    ("Starting", "OperationFailed"): "Stopped",
    ("Starting", "OperationRetry"): "Starting",
    ("Running", "StopRequested"): "Stopping",
    ("Stopping", "OperationSucceeded"): "Stopped",
    ("Stopping", "OperationFailed"): "Running",
    ("Stopped", "DestroyRequested"): "Destroyed",
    ("Stopped", "ExpungeOperation"): "Expunging",
    ("Stopped", "OperationFailedToError"): "Error",
    ("Destroyed", "RecoveryRequested"): "Stopped",
    ("Destroyed", "ExpungeOperation"): "Expunging",
    ("Error", "DestroyRequested"): "Expunging",
    ("Error", "ExpungeOperation"): "Expunging",
    ("Expunging", "ExpungeOperation"): "Expunging",
    ("Expunging", "OperationFailed"): "Expunging",
    ("Expunging", "OperationFailedToError"): "Error",
    ("Running", "MigrationRequested"): "Migrating",
    ("Migrating", "OperationSucceeded"): "Running",
    ("Running", "AgentReportStopped"): "Stopped",
    ("Stopped", "AgentReportRunning"): "Running",
}

VM_SNAPSHOT: Machine = {
    ("Allocated", "CreateRequested"): "Creating",
    ("Creating", "OperationSucceeded"): "Ready",
    ("Creating", "OperationFailed"): "Error",
    ("Ready", "RevertRequested"): "Reverting",
    ("Reverting", "OperationSucceeded"): "Ready",
    ("Reverting", "OperationFailed"): "Ready",
    ("Ready", "ExpungeRequested"): "Expunging",
    ("Error", "ExpungeRequested"): "Expunging",
    ("Expunging", "ExpungeRequested"): "Expunging",
    ("Hidden", "ExpungeRequested"): "Expunging",
    ("Expunging", "OperationSucceeded"): "Removed",
    ("Expunging", "OperationFailed"): "Error",
    ("Expunging", "Hide"): "Hidden",
}

SNAPSHOT: Machine = {
    ("Allocated", "CreateRequested"): "Creating",
    ("Creating", "OperationSucceeded"): "CreatedOnPrimary",
    ("Creating", "OperationFailed"): "Error",
    ("CreatedOnPrimary", "BackupRequested"): "BackingUp",
    ("BackingUp", "OperationSucceeded"): "BackedUp",
    ("BackingUp", "OperationFailed"): "Error",
    ("BackedUp", "DestroyRequested"): "Destroying",
    ("Destroying", "OperationSucceeded"): "Destroyed",
    ("Destroying", "OperationFailed"): "BackedUp",
}


def move(row: HasState, machine: Machine, event: str) -> None:
    """Take a row through an event. Raises `NoTransition` when its state does not know the event."""
    after = machine.get((row.state, event))
    if after is None:
        raise NoTransition(f"{event} does not happen in {row.state}")
    row.state = after


def reachable(machine: Machine, state: str) -> frozenset[str]:
    """The states that follow one step after a state."""
    return frozenset(after for (before, _), after in machine.items() if before == state)
