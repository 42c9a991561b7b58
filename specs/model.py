"""What a person wants, validated and frozen. Made by `specs.load` (or read back by `Spec.from_json`), read by everybody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_serializer

from specs import values
from specs.values import VmRef


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
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SkipValidation(_Record):
    """Leave out the readiness checks (never the invariants), for this reason."""

    reason: str = Field(min_length=1, max_length=1000)


class Spec(_Record):
    """One VM's wanted state. `duration` is seconds in JSON; `origin` and `where` are not part of what is wanted."""

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

    @cached_property
    def digest(self) -> str:
        """`sha256:...` over what is wanted, not over where it was written."""
        return values.digest(self.model_dump(mode="json", exclude={"origin", "where", "groups"}))

    def as_json(self) -> dict[str, Any]:
        """The whole spec as plain data; `from_json` reads it back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        """Read back what `as_json` wrote. Raises ValueError for anything else."""
        return cls.model_validate(data)
