from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stamina

from reconciler.cloudstack.client import Client, Endpoint, Patience

KEY, SECRET = "canary-key-8f2c", "canary-secret-5b1d"
NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Reads are tried three times, and nobody waits in between."""
    with stamina.set_testing(True, attempts=3):
        yield


ClientFor = Callable[..., Client]


@pytest.fixture
def client_for() -> Iterator[ClientFor]:
    with contextlib.ExitStack() as closing:

        def make(url: str, clock: Callable[[], datetime] = lambda: NOW, **changes: Any) -> Client:
            settings = {"key": KEY, "secret": SECRET, "timeout_connect": 2, "timeout_read": 5, **changes}
            client = Client(Endpoint(url=url, **settings), clock, patience=Patience())
            closing.callback(client.close)
            return client

        yield make
