"""Small values of the language: durations, digests, host names, which VM is meant.

Used by every module above it, by `plans` and by `reconciler`; knows nobody.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LEGAL_DURATION = "write days, hours, minutes and seconds with their units: 30m, 4h30m, 90s, 7d"
MAX_NAME = 255
MAX_HOST_NAME = 63

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TEST_SUFFIX = "-test"
_NAMELESS = "test-vm"


def parse_duration(text: str) -> timedelta:
    """A duration above zero from `30m`, `4h30m`, `90s`, `7d`: largest unit first, each once.

    Raises ValueError, saying what is legal, for everything else: no unit, a sign, a fraction, `1:30`, zero, nothing.
    """
    match = _DURATION.fullmatch(text)
    counts = match.groups(default="0") if match else ()
    seconds = sum(int(count) * size for count, size in zip(counts, _UNITS.values(), strict=False))
    if seconds == 0:
        shown = "nothing" if not text else f'"{text[:40]}"'
        raise ValueError(f"{shown} is not a duration: {LEGAL_DURATION}")
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f'"{text}" is longer than any duration can be: {LEGAL_DURATION}') from None


def format_duration(span: timedelta) -> str:
    """A duration for people, in whole seconds: `4m 10s`, `30m`, `1h 30m`, `7d`; `0s` for nothing or less."""
    left = max(0, int(span.total_seconds()))
    parts = []
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def go_duration(span: timedelta) -> str:
    """A duration as the REST API echoes it: hours and minutes if not zero, always seconds: `2h0s`, `30m0s`."""
    minutes, seconds = divmod(max(0, int(span.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "") + f"{seconds}s"


def digest(value: object) -> str:
    """`sha256:` and 64 hex digits over the canonical JSON of a value: key order and spacing do not matter.

    Raises TypeError for what is not JSON and ValueError for numbers that JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def host_name(name: str) -> str:
    """A legal host name for a VM name: lower case letters, digits and hyphens, 1 to 63 of them."""
    return _cut(name, MAX_HOST_NAME)


def test_host_name(name: str) -> str:
    """The host name of a test guest: the base is shortened, so that `-test` survives the limit of 63."""
    return _cut(name, MAX_HOST_NAME - len(_TEST_SUFFIX)) + _TEST_SUFFIX


test_host_name.__test__ = False  # type: ignore[attr-defined]  # pytest takes an imported `test_...` for a test


def _cut(name: str, limit: int) -> str:
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    prefix = "vm-" if cleaned[:1].isdigit() else ""
    return (prefix + cleaned)[:limit].rstrip("-") or _NAMELESS


def is_uuid(text: str) -> bool:
    """Whether a text has the form of a uuid, in either case."""
    return _UUID.fullmatch(text.lower()) is not None


def is_control(character: str) -> bool:
    """Whether a character would move the cursor, end a line or hide, instead of being read."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


class VmRef(BaseModel):
    """Which VM is meant: by uuid, or by name and, where names repeat, the vCenter it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)
    uuid: str | None = None
    vcenter: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)

    @field_validator("uuid")
    @classmethod
    def _lower(cls, uuid: str | None) -> str | None:
        if uuid is not None and not is_uuid(uuid):
            raise ValueError("a uuid has 32 hex digits in groups of 8-4-4-4-12")
        return uuid.lower() if uuid else uuid

    @model_validator(mode="after")
    def _names_something(self) -> VmRef:
        if self.name is None and self.uuid is None:
            raise ValueError("a VM is named by its uuid or its name")
        return self

    @property
    def label(self) -> str:
        """What people call it: its name, else its uuid."""
        return self.name or self.uuid or ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two references the same VM: the uuid alone, else name and vCenter."""
        return ("uuid", self.uuid) if self.uuid else ("name", self.label, self.vcenter or "")

    def __str__(self) -> str:
        return f"{self.label} on {self.vcenter}" if self.vcenter else self.label
