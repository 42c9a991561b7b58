"""What can go wrong between us and CloudStack.

    CloudError
    ├── Unreachable         no answer; `sent` says whether the request may have arrived
    │   └── NotAsked        we did not even try: the server is left alone for a while, or too many calls wait
    ├── WrongAddress        something answered, but it is not CloudStack's API
    ├── Unauthorised        401: key, secret, signature or clock
    ├── NotAllowed          432: the account's role lacks the command
    ├── LookFailed          a read was refused or stayed incomplete: there is no look
    ├── BadAnswer           CloudStack's answer is not of the documented shape
    └── InvariantViolated   a call that must never be made; nothing was sent

Each says what happened, where, and what to do next. None ever holds a key, a secret or a signature. Raised in this
package only; the engine turns them into outcomes, the command line into text.
"""

from __future__ import annotations


class CloudError(Exception):
    """Base of all: `what` happened, `where` (endpoint and command), `then`: what to do next."""

    def __init__(self, what: str, where: str, then: str) -> None:
        super().__init__(what, where, then)
        self.what, self.where, self.then = what, where, then

    def __str__(self) -> str:
        return f"{self.what} [{self.where}]: {self.then}"


class Unreachable(CloudError):
    """No usable answer came. `sent` is False only when the request certainly never left; `silent`: its time ran out."""

    def __init__(self, what: str, where: str, then: str, *, sent: bool, silent: bool = False) -> None:
        super().__init__(what, where, then)
        self.sent, self.silent = sent, silent


class NotAsked(Unreachable):
    """Nothing was sent: the server did not answer the last calls and is left alone, or this call's turn never came."""

    def __init__(self, what: str, where: str, then: str) -> None:
        super().__init__(what, where, then, sent=False)

    def __reduce__(self) -> tuple[type[NotAsked], tuple[str, str, str]]:
        return NotAsked, (self.what, self.where, self.then)


class WrongAddress(CloudError):
    """Something answers at this URL that is not CloudStack's API."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what, where, "check the endpoint URL; CloudStack's API usually ends in /client/api")


class Unauthorised(CloudError):
    """CloudStack did not accept the signature (401)."""

    def __init__(self, where: str, clock_hint: str) -> None:
        causes = (
            "check API key and secret key, that user and account are enabled and may use API keys, "
            f"and that the clocks agree ({clock_hint})"
        )
        super().__init__("CloudStack does not accept our signature", where, causes)


class NotAllowed(CloudError):
    """The role of this account lacks the command (432)."""

    def __init__(self, command: str, where: str) -> None:
        super().__init__(
            f"this account's role may not use {command}", where, f"add {command} to the role, or use another account"
        )


class LookFailed(CloudError):
    """A read was refused (`code` is CloudStack's) or could not be completed (`code` 0)."""

    def __init__(self, what: str, where: str, *, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(what, where, "nothing was changed; it is looked again on the next pass")
        self.code, self.retry_after = code, retry_after


class BadAnswer(CloudError):
    """An answer that is empty, cut off, too large or of another shape than documented."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what, where, "try again; if it stays, compare the server's release with the supported ones")


class InvariantViolated(CloudError):
    """A call that must never be made: `inv` is the rule's id. It was stopped here, before anything was sent."""

    def __init__(self, inv: str, text: str) -> None:
        super().__init__(f"{inv}: {text}", "refused before sending", "this is a fault in the plan: stop and report it")
        self.inv, self.text = inv, text
