"""What can go wrong between us and the source side.

    SourceError
    ├── NotConfigured   the settings name no address for this
    ├── NoLogin         no credential fits this VM's vCenter; nothing was sent
    ├── Unreachable     no answer; `sent` says whether the request may have arrived. It says nothing of the VM
    ├── Unauthorised    401 or 403
    ├── NotKnown        the other side has no such object, whether it says so with 404 or with 200
    ├── LookFailed      any other status than one that answers
    └── BadAnswer       not of the documented shape, or an answer for another object than the one asked for

Each says what happened, where, and what to do next, and none holds a password or a token. Raised by reads; changes turn
them into `outcomes`.
"""

from __future__ import annotations


class SourceError(Exception):
    """Base of all: `what` happened, `where` (request and address), `then`: what to do next."""

    def __init__(self, what: str, where: str, then: str) -> None:
        super().__init__(what, where, then)
        self.what, self.where, self.then = what, where, then

    def __str__(self) -> str:
        return f"{self.what} [{self.where}]: {self.then}"


class NotConfigured(SourceError):
    """The settings name no address for what is wanted (`name` is the setting)."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{what} is not configured", f"settings, source.{name}", f"set source.{name} to its address")
        self.name = name


class NoLogin(SourceError):
    """No credential may be used for this VM."""


class Unreachable(SourceError):
    """No answer came. `sent` is False only when the request certainly never left."""

    def __init__(self, what: str, where: str, then: str, *, sent: bool) -> None:
        super().__init__(what, where, then)
        self.sent = sent


class Unauthorised(SourceError):
    """The other side does not accept our login."""

    def __init__(self, where: str) -> None:
        super().__init__("the login was not accepted", where, "check the credential in the settings, section source")


class NotKnown(SourceError):
    """The other side has no such object."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} is not known there", where, "check that this address is the one that manages it")


class LookFailed(SourceError):
    """The other side answered, but not what was asked; `status` is HTTP's."""

    def __init__(self, status: int, where: str) -> None:
        super().__init__(f"HTTP status {status}", where, "nothing was changed; look into the log of that service")
        self.status = status


class BadAnswer(SourceError):
    """An answer that is not of the documented shape, or is about something else."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what, where, "compare the address and the release of that service with the documented protocol")
