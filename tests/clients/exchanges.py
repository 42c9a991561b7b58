"""What crossed the wire while a client ran, beside what crossed it when the client was recorded.

How often a client asked after a job before it had ended is a matter of time; those requests are left out on both sides. All
others must come in the recorded order, with the recorded parameters, and get the recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.clients.zone import UNSAID
from tests.conformance.comparing import Answer, Difference, differences
from tests.conformance.identities import Identities
from tests.conformance.records import Exchange
from tests.conformance.replaying import is_pending


@dataclass(frozen=True, slots=True)
class Pair:
    """One request as it was recorded and as it was heard now, with all in which they differ."""

    command: str
    index: int
    found: tuple[Difference, ...]


def lasting(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """The exchanges without the looks at jobs that had not ended, and without what every request says."""
    kept = (e for e in exchanges if e.command != "queryAsyncJobResult" or not is_pending(Answer(e.status, e.body)))
    return [replace(e, params={k: v for k, v in e.params.items() if k.lower() not in UNSAID}) for e in kept]


def compared(recorded: Sequence[Exchange], heard: Sequence[Exchange]) -> Iterator[Pair]:
    """Recorded and heard side by side, as far as there is something on both sides."""
    ids = Identities()
    for index, (then, now) in enumerate(zip(lasting(recorded), lasting(heard), strict=False)):
        yield Pair(then.command or "", index, (*_asked(then, now, ids), *_answered(then, now, ids)))


def _asked(then: Exchange, now: Exchange, ids: Identities) -> Iterator[Difference]:
    if then.command != now.command:
        yield Difference("command", str(then.command), str(now.command))
    for name in sorted({*then.params, *now.params}):
        wanted, said = ids.translate(then.params.get(name, "")), now.params.get(name, "")
        if wanted != said:
            yield Difference(f"parameter {name}", wanted, said)


def _answered(then: Exchange, now: Exchange, ids: Identities) -> list[Difference]:
    """The recordings of clients kept no headers."""
    told = Answer(now.status, now.body, described=now.described)
    return differences(replace(then, described=now.described), told, ids)
