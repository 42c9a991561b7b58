"""Two and three engines over one database, in orders that seeds draw; more: `make simulate ENGINES=2 SEEDS=0-9999`."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cloudstack.servers import Servers
from tests.simulation import ensemble
from tests.simulation.__main__ import played
from tests.simulation.trials import Failed

CHUNK = 3


@pytest.mark.parametrize(("first", "engines"), [(0, 2), (3, 2), (6, 2), (9, 2), (12, 3), (15, 3)])
def test_engines_that_share_a_database_do_nothing_twice(first: int, engines: int) -> None:
    part = played(range(first, first + CHUNK), engines)
    assert not part.failed, "\n\n".join(text for _, text in part.failed)


def test_the_same_seed_is_the_same_order_of_engines() -> None:
    assert ensemble.trial(1, 2) == ensemble.trial(1, 2)


DIES = 3
"""A seed in which one engine dies, once."""


def test_of_several_engines_only_those_that_died_count_as_dead() -> None:
    ending = ensemble.trial(DIES, 2)
    assert (ending.lives - 1, dict(ending.together)["deaths"]) == (1, 1)


SENDS_LATE = 6
"""A seed in which an engine sleeps beyond its lease when a call's turn has come."""


def test_an_engine_that_would_send_beyond_its_lease_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    usual: Any = Servers.ask
    monkeypatch.setattr(Servers, "ask", lambda self, command, arguments, _until=None: usual(self, command, arguments))
    with pytest.raises(Failed, match=f"I4 .*\nrepeat with: make simulate ENGINES=2 SEEDS={SENDS_LATE}\n"):
        ensemble.trial(SENDS_LATE, 2)
