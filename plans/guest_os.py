"""Which family of operating systems a VM runs, by the guest id that VMware gave it.

Asked by the inventory, and by whoever prepares drivers: a Windows system needs those of the hypervisor that it comes to, a
Linux one has them, and of an unknown one nobody may change the disk. Ids are those of the vSphere API ("rhel8_64Guest"),
with or without their ending, as the replication system writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ENDING = "guest"


class Family(StrEnum):
    """Families of operating systems, as far as preparing their drivers goes."""

    WINDOWS = "Windows"
    LINUX = "Linux"
    OTHER = "other"
    UNKNOWN = "unknown"


class Need(StrEnum):
    """What is to be done about the drivers of a system."""

    PREPARE = "prepare"
    SKIP = "skip"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Drivers:
    """What is to be done about a VM's drivers, and why."""

    need: Need
    why: str


_LINUX = """
almalinux amazonlinux asianux centos coreos crxpod crxsys debian fedora flatcar linux mandrake mandriva nld9 oes opensuse
oraclelinux other24xlinux other26xlinux other3xlinux other4xlinux other5xlinux other6xlinux other7xlinux otherlinux redhat
rhel rockylinux sjds sles suse turbolinux ubuntu vmwarephoton
"""
_OTHER = """
darwin dos ecomstation freebsd netware openserver os2 solaris unixware vmkernel
"""
_PREFIXES: Mapping[Family, tuple[str, ...]] = {
    Family.WINDOWS: ("win",),
    Family.LINUX: tuple(_LINUX.split()),
    Family.OTHER: tuple(_OTHER.split()),
}
_WITHOUT = ("win31", "win95", "win98", "winme")
"""Windows of a kind for which there are no such drivers."""


def family(guest_id: str) -> Family:
    """The family of a guest id; one that no rule knows, and none at all, is unknown."""
    known = guest_id.strip().lower().removesuffix(ENDING)
    if known.startswith(_WITHOUT):
        return Family.OTHER
    return next((f for f, prefixes in _PREFIXES.items() if known.startswith(prefixes)), Family.UNKNOWN)


def drivers(guest_id: str) -> Drivers:
    """What is to be done about the drivers of a VM with this guest id."""
    found = family(guest_id)
    if found is Family.WINDOWS:
        return Drivers(Need.PREPARE, f"{guest_id} is Windows, which has no drivers of its own for this hypervisor")
    if found is Family.UNKNOWN:
        named = f"nobody knows what system {guest_id} is" if guest_id.strip() else "no guest id is recorded"
        return Drivers(Need.ASK, f"{named}: its disk is not touched")
    return Drivers(Need.SKIP, f"{guest_id} is {'not Windows' if found is Family.OTHER else found}, which needs none")
