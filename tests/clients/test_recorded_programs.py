"""Foreign programs run unchanged against the simulated zone, with the results that they had on the real server.

Ansible's modules run without an interpreter of their own for each; `make fidelity` runs the play as it was recorded.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environment, exchanges, programs, zone
from tests.clients.programs import PROGRAMS, Program
from tests.conformance import setup

pytestmark = [pytest.mark.skipif(bool(environment.why_not()), reason=environment.why_not()), pytest.mark.timeout(300)]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_asks_and_gets_and_tells_what_it_did_with_the_real_server(program: Program, tmp_path: Path) -> None:
    recorded = program.recording.exchanges
    with zone.opened(zone.of(program.recording)) as (url, _, ear):
        rows = program.played(url, setup.keys()[programs.CALLER], tmp_path, environment.INSIDE)
    differing = [pair for pair in exchanges.compared(recorded, ear.heard) if pair.found]
    assert rows == program.expected
    assert not differing, "\n".join(f"{p.index} {p.command}: {'; '.join(map(str, p.found))}" for p in differing)
    assert len(exchanges.lasting(ear.heard)) == len(exchanges.lasting(recorded))
