from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stamina

from reconciler.cloudstack.client import Client, Endpoint, Limits, Patience

KEY, SECRET = "canary-key-8f2c", "canary-secret-5b1d"
NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Reads are tried three times, and nobody waits in between."""
    with stamina.set_testing(True, attempts=3):
        yield


ClientFor = Callable[..., Client]
PLENTY = Limits(calls=10_000, at_once=64)


def nobody_waits(seconds: float) -> None:
    raise AssertionError(f"waited for {seconds:g} s")


class Hand:
    """A clock that only waiting turns; safe to wait on from several threads."""

    def __init__(self, start: datetime = NOW) -> None:
        self._now, self._lock, self.waits = start, threading.Lock(), list[float]()

    def now(self) -> datetime:
        return self._now

    def wait(self, seconds: float) -> None:
        with self._lock:
            self.waits.append(seconds)
            self._now += timedelta(seconds=seconds)


@pytest.fixture
def client_for() -> Iterator[ClientFor]:
    """Makes clients that may call as often as they like; where a test lets them wait, it says how time passes."""
    with contextlib.ExitStack() as closing:

        def make(
            *urls: str,
            clock: Callable[[], datetime] = lambda: NOW,
            wait: Callable[[float], None] = nobody_waits,
            limits: Limits = PLENTY,
            patience: Patience | None = None,
            **changes: Any,
        ) -> Client:
            settings = {"key": KEY, "secret": SECRET, "timeout_connect": 2, "timeout_read": 5, **changes}
            endpoints = [Endpoint(url=url, **settings) for url in urls]
            client = Client(endpoints, clock, patience=patience or Patience(), limits=limits, wait=wait)
            closing.callback(client.close)
            return client

        yield make


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/client/api"
