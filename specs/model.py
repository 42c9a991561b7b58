"""What a person wants of one VM, validated and frozen.

Made by `specs.load` out of files, or by `Spec.from_json` out of a database; read by everybody. Nothing here knows how
the text looked, except for the places it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_serializer, model_validator

from specs import values
from specs.values import VmRef

DISCONNECTED = "disconnected"


class State(StrEnum):
    """The states a spec can ask for."""

    PROTECTED = "protected"
    TEST_FAILOVER = "test-failover"
    LIVE_FAILOVER = "live-failover"
    ROLLED_BACK = "rolled-back"


class Strategy(StrEnum):
    """What lets all disks of a VM return to the last replicated state."""

    CLONE = "clone"
    VOLUME_SNAPSHOT = "volume-snapshot"
    VM_SNAPSHOT = "vm-snapshot"
    NONE = "none"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(_Record):
    """A place in a file; line and column count from 1. `by` names the layer: `vm`, `group NAME` or `defaults`."""

    file: str
    line: int = 1
    column: int = 1
    by: str = "vm"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SkipValidation(_Record):
    """Leave out the readiness checks, never the invariants, for a reason that is kept."""

    reason: str = Field(min_length=1)


class Spec(_Record):
    """What is wanted of one VM.

    `duration` (the key `for`) is there exactly for a test failover; seconds in JSON. `networks` maps an adapter's
    source network to a cloud network, its name or uuid, or to `disconnected`. `where` maps keys of the YAML language
    (`for`, `networks.App Net`) to the place their value came from; values nobody wrote are not in it.
    """

    vm: VmRef
    state: State
    duration: timedelta | None = None
    networks: Mapping[str, str] = {}
    boot_disk: str | None = None
    strategy: Strategy | None = None
    auto_cleanup: bool = True
    confirm: str | None = None
    skip_validation: SkipValidation | None = None
    notify: Mapping[str, str] = {}
    after: tuple[str, ...] = ()
    custom: Mapping[str, JsonValue] = {}
    groups: tuple[str, ...] = ()
    origin: Origin
    where: Mapping[str, Origin] = {}

    @field_serializer("duration")
    def _seconds(self, span: timedelta | None) -> int | None:
        return None if span is None else int(span.total_seconds())

    @model_validator(mode="after")
    def _is_whole(self) -> Spec:
        if (self.state is State.TEST_FAILOVER) != (self.duration is not None):
            raise ValueError("a test failover has a duration, and nothing else has one")
        if self.duration is not None and (self.duration <= timedelta() or self.duration.microseconds):
            raise ValueError("a duration is whole seconds, more than none")
        if self.state is State.LIVE_FAILOVER and self.confirm != self.vm.label:
            raise ValueError("a live failover is confirmed by the name of its VM")
        if self.strategy is Strategy.NONE and self.state is not State.LIVE_FAILOVER:
            raise ValueError("only a live failover may go without a rollback point")
        return self

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """`sha256:...` over what is wanted; where it was written, and through which groups, does not count."""
        return values.digest(self.model_dump(mode="json", exclude={"origin", "where", "groups"}))

    def as_json(self) -> dict[str, Any]:
        """The whole spec as plain data; `from_json` reads it back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        """Read back what `as_json` wrote. Raises ValueError for anything else."""
        return cls.model_validate(data)
