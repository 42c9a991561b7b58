"""What a server starts with: settings with their defaults by release, and how long work takes when nobody says otherwise."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What listConfigurations tells about a setting besides its value.
COLUMNS: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "configuration.toml").read_text(encoding="utf-8")
)

SECONDS: Mapping[str, float] = {
    "deployVirtualMachine": 4,
    "startVirtualMachine": 20,
    "stopVirtualMachine": 15,
    "rebootVirtualMachine": 20,
    "destroyVirtualMachine": 6,
    "expungeVirtualMachine": 6,
    "attachVolume": 4,
    "detachVolume": 5,
    "createVolume": 3,
    "createSnapshot": 30,
    "revertSnapshot": 30,
    "deleteSnapshot": 4,
    "createVMSnapshot": 6,
    "revertToVMSnapshot": 6,
    "deleteVMSnapshot": 6,
    "createTags": 1,
    "deleteTags": 1,
}
DEFAULT_SECONDS = 3.0
DEFAULTS: Mapping[str, Any] = {
    "allow.user.expunge.recover.vm": False,
    "allow.user.expunge.recover.volume": True,
    "allow.user.view.destroyed.vm": False,
    "allow.user.force.stop.vm": True,
    "api.throttling.enabled": False,
    "api.throttling.interval": 1,
    "api.throttling.max": 25,
    "custom.diskoffering.size.max": 1024,
    "custom.diskoffering.size.min": 1,
    "default.page.size": 500,
    "destroy.root.volume.on.vm.destruction": False,
    "enable.dynamic.scale.vm": True,
    "enforce.post.requests.and.timestamps": False,
    "event.purge.delay": 15,
    "expunge.delay": 86400,
    "expunge.interval": 86400,
    "job.cancel.threshold.minutes": 60,
    "job.expire.minutes": 1440,
    "snapshot.backup.to.secondary": True,
    "start.retry": 10,
    "storage.cleanup.delay": 86400,
    "storage.cleanup.interval": 86400,
    "vm.instancename.flag": False,
    "vmsnapshot.max": 10,
}
BY_RELEASE: Mapping[str, tuple[int, ...]] = {"kvm.snapshot.enabled": (4, 22), "kvm.vmstoragesnapshot.enabled": (4, 22)}
NOT_DYNAMIC = frozenset(name for name, told in COLUMNS.items() if told.get("static"))


def numbers(release: str) -> tuple[int, ...]:
    """A release as numbers that compare."""
    return tuple(int(part) for part in release.split("."))


def defaults(release: str) -> dict[str, Any]:
    """The settings of a fresh installation of that release."""
    return {**DEFAULTS, **{name: numbers(release) >= since for name, since in BY_RELEASE.items()}}


def wording_of(release: str) -> str:
    """Which wording generation a release speaks: 4.20.3 and 4.22.1 on say Instance (W2)."""
    major = numbers(release)[:3]
    return "W2" if major >= (4, 22, 1) or (4, 20, 3) <= major < (4, 21, 0) else "W1"
