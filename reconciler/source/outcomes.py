"""What a change on the source side came to, as frozen records; only a look says that it is so.

`appliance` and `replication` return them. The command line branches on the type, never on a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Done:
    """It is so, as a later look showed. `how` is for people, `proof` what the look found (a ChangeID for each disk)."""

    how: str
    proof: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not so and nothing is under way: the other side said no, was not asked, or did something else."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may become so yet. Nothing else is sent; a person or a later look tells."""

    why: str


Outcome = Done | Refused | Unknown
