"""The door: bounded time and size, no redirects, and no password or token anywhere but in the request."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import logging
import pickle
import socket
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from reconciler.source import door
from reconciler.source.appliance import Power
from reconciler.source.door import Door
from reconciler.source.errors import BadAnswer, SourceError, Unreachable
from simulator.source.estate import SourceVm
from tests.reconciler.cloudstack.odd_server import Reply, odd_server
from tests.reconciler.source.side import HOST, LOGIN, PASSWORD, SOURCE, TOKEN, USER, Side, simulated

BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
CANARIES = {
    form
    for plain in (PASSWORD, TOKEN, BASIC)
    for form in (plain, quote(plain, safe=""), quote_plus(plain), json.dumps(plain)[1:-1])
}


def leaked(text: str) -> set[str]:
    return {canary for canary in CANARIES if canary in text}


def told(fault: BaseException) -> str:
    """Everything that an error shows, with the locals of our own frames as a reporter of errors would print them."""
    frames = [f for f, _ in traceback.walk_tb(fault.__traceback__) if _is_ours(f)]
    seen = " ".join(repr(value) for frame in frames for value in frame.f_locals.values() if not isinstance(value, str))
    return " ".join((str(fault), repr(fault), repr(fault.__context__), *traceback.format_exception(fault), seen))


def _is_ours(frame: FrameType) -> bool:
    return Path(frame.f_code.co_filename).parent == Path(door.__file__).parent


@pytest.mark.parametrize("kind", ["refuse", "drop", "html", "half-answer", "empty-body", "not-found-200", "other-vm"])
def test_no_fault_holds_a_password_or_a_token(side: Side, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    side.faults.add(kind, times=100, code=500, text=" ".join(CANARIES))
    faults: list[SourceError] = []
    for ask in (
        lambda: side.appliance.power(SOURCE, LOGIN),
        lambda: side.replication.jobs(SOURCE),
        side.side.mapped().health,
    ):
        try:
            ask()
        except SourceError as fault:
            faults.append(fault)
    assert faults or kind in ("not-found-200", "other-vm")
    assert [leaked(told(fault)) for fault in faults if leaked(told(fault))] == []
    assert leaked(caplog.text) == set()


def test_an_answer_that_echoes_a_login_is_struck_out() -> None:
    echo = Reply(json.dumps({"told": [PASSWORD, BASIC, quote(PASSWORD, safe="")]}).encode())
    with odd_server(echo) as server:
        answer = Door(server.url).post("/x", {}, LOGIN)
    assert leaked(json.dumps(answer.content, ensure_ascii=False) + repr(answer)) == set()


def test_a_login_never_travels_in_an_address(side: Side) -> None:
    side.appliance.switch_off(SOURCE, LOGIN, force=False)
    side.replication.jobs(SOURCE)
    assert len(side.server.paths) > 3
    assert leaked(" ".join(side.server.paths)) == set()
    assert not any(USER in path or quote(USER, safe="") in path for path in side.server.paths)


def test_who_holds_a_secret_is_not_printed_with_it_nor_pickled_nor_copied() -> None:
    opened = Door("http://127.0.0.1:9", SecretStr(TOKEN))
    assert leaked(repr(opened) + repr(LOGIN)) == set()
    for holder in (opened, LOGIN):
        with pytest.raises(TypeError):
            pickle.dumps(holder)
        with pytest.raises(TypeError):
            copy.deepcopy(holder)


def test_a_redirect_is_not_followed() -> None:
    with odd_server(Reply(b"{}")) as there, odd_server(Reply(b"", 307, headers=(("Location", there.url),))) as here:
        assert not Door(here.url).post("/x", {}, LOGIN).is_ok
        assert there.paths == []


def test_more_than_anybody_wants_to_hold_is_no_answer() -> None:
    with odd_server(Reply(json.dumps({"x": "y" * 5000}).encode())) as server, pytest.raises(BadAnswer, match="larger"):
        Door(server.url, max_bytes=1024).post("/x", {})


def test_an_answer_nested_without_end_is_no_answer() -> None:
    with odd_server(Reply(b"[" * 100_000)) as server, pytest.raises(BadAnswer):
        Door(server.url).post("/x", {}).known()


def test_a_service_that_says_nothing_is_given_up_in_time() -> None:
    with simulated(read=0.2) as side:
        side.faults.add("slow-answer", "daemon:health", seconds=0.6)
        begun = time.monotonic()
        with pytest.raises(Unreachable) as silent:
            side.side.mapped().health()
        assert time.monotonic() - begun < 0.6
    assert silent.value.sent is True


def test_a_service_that_dribbles_is_given_up_in_time() -> None:
    ended = threading.Event()

    def dribble(listening: socket.socket) -> None:
        taken, _ = listening.accept()
        with taken, contextlib.suppress(OSError):
            taken.recv(4096)
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            while not ended.wait(0.02):
                taken.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=dribble, args=(listening,))
        serving.start()
        begun = time.monotonic()
        with pytest.raises(Unreachable) as slow:
            Door(f"http://127.0.0.1:{listening.getsockname()[1]}", connect=0.1, read=0.3).get("/x")
        took = time.monotonic() - begun
        ended.set()
        serving.join()
    assert slow.value.sent is True
    assert took < 5


def test_a_change_is_waited_for_longer_than_a_look() -> None:
    with simulated(read=0.2) as side:
        side.faults.add("slow-answer", "appliance:power-off", seconds=0.5)
        side.estate.shutdown = 0
        side.appliance.switch_off(SOURCE, LOGIN, force=False)
        assert side.waited() == 0, "the answer came, and the first look showed it"


def test_a_name_is_one_segment_of_a_path(side: Side) -> None:
    strange = replace(SOURCE, key="../a b?c/d")
    side.estate.add(SourceVm(strange.key, "strange", HOST))
    assert side.appliance.power(strange, LOGIN).power is Power.ON


@pytest.mark.parametrize(
    ("url", "is_told"),
    [("http://appliance.example.org", True), ("https://appliance.example.org", False), ("http://127.0.0.1:1", False)],
)
def test_a_login_that_would_travel_readable_is_warned_of(url: str, is_told: bool, caplog: pytest.LogCaptureFixture) -> None:
    Door(url, SecretStr(TOKEN))
    assert ("travel readable" in caplog.text) is is_told
