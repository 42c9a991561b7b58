"""What a hook is asked and what it answers: one JSON document on its standard input, one on its standard output.

`hooks.process` carries both; docs/reference/hooks.md is for those who write hooks. A verb is also the program's last
argument, so that one that reads no JSON can refuse. An answer that does not fit its verb is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

VERSION = 1
LONGEST = 500
MOST = 50


class Verb(StrEnum):
    """What a hook can be asked: what it would do, to do it, to undo it, whether it is done."""

    PLAN = "plan"
    DO = "do"
    UNDO = "undo"
    CHECK = "check"


class Result(StrEnum):
    """What a hook can answer."""

    NEEDED = "needed"
    NOT_NEEDED = "not-needed"
    IMPOSSIBLE = "impossible"
    DONE = "done"
    FAILED = "failed"
    PREPARED = "prepared"
    UNPREPARED = "unprepared"


FITTING: Mapping[Verb, frozenset[Result]] = {
    Verb.PLAN: frozenset({Result.NEEDED, Result.NOT_NEEDED, Result.IMPOSSIBLE}),
    Verb.DO: frozenset({Result.DONE, Result.FAILED}),
    Verb.UNDO: frozenset({Result.DONE, Result.FAILED}),
    Verb.CHECK: frozenset({Result.PREPARED, Result.UNPREPARED}),
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Vm(_Record):
    """The VM whose drivers are prepared: as VMware calls it, and what it runs."""

    name: str
    uuid: str
    os_type: str
    firmware: Literal["bios", "uefi"]


class Disk(_Record):
    """The disk that may be changed. `path` is a block device or an image file on the machine that runs the hook."""

    key: str
    size: int = Field(ge=0, description="Bytes.")
    path: str


class Request(_Record):
    """One question. `attempt` counts from 1; before the second one the disk was reverted."""

    protocol: int = VERSION
    verb: Verb
    run: str
    attempt: int = Field(default=1, ge=1)
    vm: Vm
    disk: Disk


class Answer(_Record):
    """One answer. `text` is for people; `changes` says what would be, or was, changed on the disk."""

    protocol: Literal[1]
    verb: Verb
    result: Result
    text: str = Field(default="", max_length=LONGEST)
    changes: tuple[str, ...] = Field(default=(), max_length=MOST)

    @model_validator(mode="after")
    def _fits(self) -> Answer:
        if self.result not in FITTING[self.verb]:
            raise ValueError(f"{self.verb} is answered by {', '.join(sorted(FITTING[self.verb]))}, not by {self.result}")
        return self
