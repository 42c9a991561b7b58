"""Small values of the language: durations, names, digests. Used by every module above; knows nobody."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
MAX_HOST_NAME = 63


def parse_duration(text: str) -> timedelta:
    """A positive duration from `30m`, `4h30m`, `90s`, `7d`. Raises ValueError that says what is legal."""
    match = _DURATION.fullmatch(text.strip().replace(" ", ""))
    parts = match.groups() if match else ()
    seconds = sum(int(n or 0) * size for n, size in zip(parts, UNITS.values(), strict=False))
    if seconds <= 0:
        raise ValueError(f'"{text}" is no duration: write days, hours, minutes, seconds as in 30m, 4h30m, 90s or 7d')
    return timedelta(seconds=seconds)


def format_duration(span: timedelta) -> str:
    """A duration for people: `4m 10s`, `30m`, `1h 30m`; below a second `0s`."""
    left, parts = max(0, int(span.total_seconds())), []
    for unit, size in UNITS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def go_duration(span: timedelta) -> str:
    """A duration as the REST API echoes it: hours, minutes if not zero, always seconds: `2h0s`, `30m0s`."""
    total = int(span.total_seconds())
    hours, minutes, seconds = total // 3600, total // 60 % 60, total % 60
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "") + f"{seconds}s"


def digest(value: Any) -> str:
    """`sha256:` and 64 hex digits over the canonical JSON of a value; key order and spacing do not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def host_name(name: str) -> str:
    """A legal host name for a VM name: lower case letters, digits and hyphens, at most 63, never empty."""
    return _sanitised(name, MAX_HOST_NAME)


def test_host_name(name: str) -> str:
    """The host name of a test guest; the base is shortened so that `-test` survives."""
    base = _sanitised(name, MAX_HOST_NAME - len("-test"))
    return base if base == "test-vm" and not _cleaned(name) else f"{base}-test"


test_host_name.__test__ = False  # type: ignore[attr-defined]


def _cleaned(name: str) -> str:
    return re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "-", name.lower())).strip("-")


def _sanitised(name: str, limit: int) -> str:
    cleaned = _cleaned(name)
    if cleaned[:1].isdigit():
        cleaned = f"vm-{cleaned}"
    return cleaned[:limit].rstrip("-") or "test-vm"


class VmRef(BaseModel):
    """Which VM is meant: by uuid, or by name with or without the vCenter it is unique in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=255)
    uuid: str | None = None
    vcenter: str | None = Field(default=None, max_length=255)

    @model_validator(mode="after")
    def _something(self) -> VmRef:
        if self.name is None and self.uuid is None:
            raise ValueError("a VM needs a name or a uuid")
        return self

    @property
    def label(self) -> str:
        """How people call it: its name, else its uuid."""
        return self.name or self.uuid or ""

    def __str__(self) -> str:
        return f"{self.label} on {self.vcenter}" if self.vcenter else self.label
