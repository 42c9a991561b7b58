"""The recorded clients as rows of the table that `make fidelity` prints: what they told, and what crossed the wire.

`rows()` runs each program once, as the tests do, and counts. Where the clients are not installed everything is skipped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.clients import environment, exchanges, programs, zone
from tests.clients.programs import Program
from tests.conformance import setup


class Counted(NamedTuple):
    """One row: the name, then how many are equal, known to differ, different, skipped."""

    name: str
    equal: int
    known: int
    different: int
    skipped: int


def rows() -> list[Counted]:
    """Two rows a program: its results, and its exchanges."""
    return [row for program in programs.PROGRAMS for row in _of(program)]


def _of(program: Program) -> Iterator[Counted]:
    told, heard = f"{program.name} results", f"{program.name} exchanges"
    recorded = exchanges.lasting(program.recording.exchanges)
    if environment.why_not():
        yield Counted(told, 0, 0, 0, len(program.expected))
        yield Counted(heard, 0, 0, 0, len(recorded))
        return
    with tempfile.TemporaryDirectory() as folder, zone.opened(zone.of(program.recording)) as (url, _, ear):
        played = program.played(url, setup.keys()[programs.CALLER], Path(folder))
    pairs = list(exchanges.compared(program.recording.exchanges, ear.heard))
    yield _counted(
        told, [mine == theirs for mine, theirs in zip(played, program.expected, strict=False)], len(program.expected)
    )
    yield _counted(heard, [not pair.found for pair in pairs], len(recorded))


def _counted(name: str, same: Sequence[bool], whole: int) -> Counted:
    """What was expected and did not come is different too."""
    return Counted(name, sum(same), 0, max(whole, len(same)) - sum(same), 0)
