"""Whether a call is tried again, by its verb and by what came back. Pure.

`servers` asks here after each try. A read may be asked as often as one likes. A change is sent again only when it certainly
did not arrive or was turned away at the door; whether one that may have arrived had its effect is for a look to say, and
whether one that was refused is worth another try is for the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.cloudstack.answers import No
from reconciler.cloudstack.errors import BadAnswer, CloudError, NotAsked, Unreachable

TOO_MANY = 429
CLOSED = 503
PASSING = frozenset({TOO_MANY, 500, 502, CLOSED, 504, 530, 533, 534})


class Verb(StrEnum):
    """What kind of command it is."""

    READ = "read"
    WRITE = "write"

    @classmethod
    def of(cls, command: str) -> Verb:
        """CloudStack names its reads by their first word."""
        return cls.READ if command.startswith(("list", "query", "get")) else cls.WRITE


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is tried: `attempts` of a read within `deadline` seconds, fewer of a change; `walks` bounds page walks.

    A call waits for its turn no longer than `deadline` either.
    """

    attempts: int = 5
    deadline: float = 60.0
    write_attempts: int = 3
    write_deadline: float = 15.0
    first_wait: float = 0.2
    longest_wait: float = 10.0
    walks: int = 8


def again(verb: Verb, came: No | CloudError) -> bool:
    """Whether the same server, or the next one, may be asked once more."""
    if isinstance(came, No):
        return came.code in PASSING if verb is Verb.READ else came.code == TOO_MANY
    if isinstance(came, NotAsked):
        return False
    if isinstance(came, Unreachable):
        # One that was silent had its time: whoever calls looks again later, or tells a person.
        return not came.silent and (verb is Verb.READ or not came.sent)
    return verb is Verb.READ and isinstance(came, BadAnswer)


def elsewhere(verb: Verb, came: No | CloudError) -> bool:
    """Whether another management server of the same cloud may be asked at once.

    One that is shut down for maintenance says 503 before it does anything, so a change may go elsewhere too.
    """
    if isinstance(came, No):
        return came.code == CLOSED
    return isinstance(came, Unreachable) and (verb is Verb.READ or not came.sent)
