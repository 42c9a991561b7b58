"""Foreign programs run unchanged against the simulated zone, with the results that they had on the real server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import environment, exchanges, programs, zone
from tests.clients.programs import PROGRAMS, Program, Row
from tests.conformance import setup
from tests.conformance.records import Exchange


@dataclass(frozen=True, slots=True)
class Played:
    """A program that has run: its rows, and what was heard at the server's door."""

    program: Program
    rows: list[Row]
    heard: list[Exchange]


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    if environment.why_not():
        pytest.skip(environment.why_not())
    program: Program = request.param
    folder: Path = tmp_path_factory.mktemp(program.name)
    with zone.opened(zone.of(program.recording)) as (url, _, ear):
        rows = program.played(url, setup.keys()[programs.CALLER], folder)
    return Played(program, rows, ear.heard)


def test_results_are_those_of_the_real_server(played: Played) -> None:
    assert played.rows == played.program.expected


def test_requests_are_the_recorded_ones_and_get_the_recorded_answers(played: Played) -> None:
    recorded = played.program.recording.exchanges
    differing = [pair for pair in exchanges.compared(recorded, played.heard) if pair.found]
    assert not differing, "\n".join(f"{p.index} {p.command}: {'; '.join(map(str, p.found))}" for p in differing)
    assert len(exchanges.lasting(played.heard)) == len(exchanges.lasting(recorded))
