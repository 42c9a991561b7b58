"""Which id of the recording is which id of the server under test, learned while both answer.

The one mutable object of a replay. `learn(recorded, answered)` walks two bodies side by side; `translate(value)` rewrites a
request parameter. Internal numbers are learned the same way, from the names that contain them (`i-3-53-VM`, `ROOT-53`), and
so are the addresses that a network gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.conformance.blanking import UUID, blanked

_ADDRESS = re.compile(r"10\.1\.1\.\d{1,3}")
_NUMBERED = re.compile(r"^(?:i-\d+-|ROOT-)(\d+)(?:-VM)?$")
NAMING = ("name", "key", "username", "resourcetype", "type", "displayname")


class Identities:
    """Recorded id → id of the server under test."""

    def __init__(self, known: dict[str, str] | None = None) -> None:
        self._ids: dict[str, str] = dict(known or {})
        self._numbers: dict[str, str] = {}
        self._addresses: dict[str, str] = {}

    def copy(self) -> Identities:
        """The same knowledge, to be tried on an answer that may be looked at too early."""
        twin = Identities(self._ids)
        twin._numbers, twin._addresses = dict(self._numbers), dict(self._addresses)
        return twin

    def __contains__(self, recorded: str) -> bool:
        return recorded in self._ids

    def get(self, recorded: str) -> str | None:
        return self._ids.get(recorded)

    def learn(self, recorded: str, answered: str) -> None:
        """Keeps the first meaning of an id; a later contradiction is a difference, not a lesson."""
        if UUID.fullmatch(recorded) and UUID.fullmatch(answered):
            self._ids.setdefault(recorded, answered)
        if _ADDRESS.fullmatch(recorded) and _ADDRESS.fullmatch(answered):
            self._addresses.setdefault(recorded, answered)
        theirs, ours = _NUMBERED.match(recorded), _NUMBERED.match(answered)
        if theirs and ours:
            self._numbers.setdefault(theirs[1], ours[1])

    def translate(self, value: str) -> str:
        """A request parameter in the words of the server under test; what is unknown stays as it is."""
        if value in self._addresses:
            return self._addresses[value]
        return UUID.sub(lambda found: self._ids.get(found[0], found[0]), value)

    def number(self, value: str) -> str:
        """An internal number given where an id belongs."""
        return self._numbers.get(value, value)

    def same(self, recorded: str, answered: str) -> bool:
        """Whether the two name one object. An id never seen before is believed and learned."""
        if not UUID.fullmatch(recorded):
            return recorded == answered
        if recorded not in self._ids:
            self.learn(recorded, answered)
        return self._ids[recorded] == answered

    def pairs(self, recorded: list[Any], answered: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Members of two lists that belong together: by known id, by names, at last by position.

        `None` stands where one of the two is missing."""
        left = list(answered)
        waiting = []
        for member in recorded:
            partner = self._partner(member, left)
            if partner is None:
                waiting.append(member)
            else:
                left.remove(partner)
                yield member, partner
        yield from self._named(waiting, left)

    def _partner(self, member: Any, left: list[Any]) -> Any:
        mine = self._ids.get(member.get("id", "")) if isinstance(member, dict) else None
        return next((other for other in left if isinstance(other, dict) and other.get("id") == mine), None) if mine else None

    def _named(self, waiting: list[Any], left: list[Any]) -> Iterator[tuple[Any, Any]]:
        strangers = []
        for member in waiting:
            partner = next((other for other in left if _label(other) == _label(member)), None)
            if partner is None:
                strangers.append(member)
            else:
                left.remove(partner)
                yield member, partner
        for i in range(max(len(strangers), len(left))):
            yield (strangers[i] if i < len(strangers) else None), (left[i] if i < len(left) else None)


def _label(member: Any) -> Any:
    if not isinstance(member, dict):
        return member
    return tuple(blanked(str(member[key])) for key in NAMING if key in member)
