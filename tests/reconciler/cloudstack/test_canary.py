"""Planted keys are found nowhere: not in addresses, logs, errors, outcomes, tracebacks with their locals, nor pickles.

The server echoes everything that it hears, in every place of an answer that we read.
"""

from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass
from types import FrameType
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
import requests
import requests.adapters

from reconciler.cloudstack import errors
from reconciler.cloudstack.client import Client, Endpoint, Limits, Patience
from reconciler.cloudstack.permit import Permit
from tests.reconciler.cloudstack.conftest import Hand
from tests.reconciler.cloudstack.odd_server import OddServer, Reply, odd_server

KEY, SECRET = "canary/key+8f2c==", "canary~secret 5b1d"
VM, JOB = "00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"
PERMIT = Permit("run", "test", frozenset(), frozenset(), frozenset(), VM, "guest", None, frozenset(), {})
Asked = dict[str, str]


def echo(asked: Asked) -> str:
    return " ".join((urlencode(asked), KEY, SECRET, quote(KEY, safe=""), quote_plus(SECRET), asked["signature"]))


def refusing(code: int) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(json.dumps({"x": {"errorcode": code, "errortext": echo(asked)}}).encode(), code)


def saying(content: Callable[[str], Any]) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(json.dumps({"x": content(echo(asked))}).encode())


PATHS: dict[str, Callable[[Asked], Reply]] = {
    **{f"refused {code}": refusing(code) for code in (401, 429, 431, 432, 503, 530, 531, 535)},
    "a page of a proxy": lambda asked: Reply(echo(asked).encode(), 502, "text/html"),
    "a page that is not CloudStack": lambda asked: Reply(echo(asked).encode(), 200, "text/html"),
    "a content type of its own": lambda asked: Reply(b"x", 200, f"text/{quote(KEY, safe='')}"),
    "JSON of somebody else": lambda asked: Reply(json.dumps([echo(asked)]).encode()),
    "half a JSON": lambda asked: Reply(json.dumps({"x": echo(asked)}).encode()[:-3]),
    "a body cut off": lambda asked: Reply(echo(asked).encode(), cut=20),
    "nothing": lambda _: Reply(b""),
    "too much": lambda asked: Reply(echo(asked).encode() * 100),
    "another address": lambda asked: Reply(
        b"", 307, "text/html", (("Location", f"http://127.0.0.1:9/?{urlencode(asked)}"),)
    ),
    "a name that is the key": saying(lambda told: {"count": 1, "volume": [{"id": VM, "name": told, "state": "Ready"}]}),
    "a field of a wrong type": saying(lambda told: {"count": 1, "volume": [{"id": told}]}),
    "a failed job": saying(lambda told: {"jobstatus": 2, "jobresultcode": 530, "jobresult": {"errortext": told}}),
    "a job that went well": saying(lambda told: {"jobstatus": 1, "jobresult": {"told": told}}),
    "a change that is none": saying(lambda told: {"success": told}),
    "a job id that is none": saying(lambda told: {"jobid": told}),
}
CALLS: dict[str, Callable[[Client], Any]] = {
    "a look": lambda c: c.volumes(),
    "a job": lambda c: c.job(JOB),
    "a change": lambda c: c.writer(PERMIT).stop(VM, forced=False, job_id=JOB),
    "a forbidden change": lambda c: c.writer(PERMIT).stop("17", forced=False, job_id=JOB),
    "capabilities": lambda c: c.capabilities(),
}


@pytest.fixture
def make() -> Iterator[Callable[..., Client]]:
    clients, hand = [], Hand()

    def client(url: str, **changes: Any) -> Client:
        given = {"key": KEY, "secret": SECRET, "timeout_connect": 0.5, "timeout_read": 0.5, "max_bytes": 4096, **changes}
        made = Client(
            Endpoint(url=url, **given),
            hand.now,
            patience=Patience(first_wait=0),
            limits=Limits(calls=10_000),
            wait=hand.wait,
        )
        clients.append(made)
        return made

    yield client
    for one in clients:
        one.close()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error with everything it remembers, shown or not."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_ours(frame: FrameType) -> bool:
    """Whether it is this test itself, which knows the canary."""
    return frame.f_code.co_filename == __file__


def told_by(thing: Any) -> Iterator[str]:
    """Everything that a log, a screen, a debugger or a crash report would make of it."""
    yield from (repr(thing), str(thing))
    if is_dataclass(thing) and not isinstance(thing, type):
        yield repr(asdict(thing))
    if isinstance(thing, BaseException):
        for one in chain(thing):
            yield "".join(traceback.format_exception(one))
            yield from (repr(frame.f_locals) for frame, _ in traceback.walk_tb(one.__traceback__) if not is_ours(frame))
            yield repr(vars(one)) + repr(one.args)
        yield pickle.dumps(thing.args).decode("latin-1")


def search(server: OddServer, caplog: pytest.LogCaptureFixture, *things: Any) -> list[str]:
    signatures = [p["signature"] for p in server.received]
    forms = {f(s) for s in (KEY, SECRET, *signatures) for f in (str, quote, quote_plus, lambda t: quote(t, safe=""))}
    told = [text for thing in things for text in told_by(thing)]
    told += [caplog.text, *(repr(vars(record)) for record in caplog.records), *server.paths]
    return [f"{form!r} in {text[:2000]}" for form in forms for text in told if form in text]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("path", PATHS)
def test_no_key_leaves_by_any_answer(make, caplog, path, call):
    caplog.set_level(logging.DEBUG)
    with odd_server(PATHS[path]) as server:
        client = make(server.url)
        try:
            came = CALLS[call](client)
        except errors.CloudError as failed:
            came = failed
        assert search(server, caplog, came, client, client._servers, client._servers._all[0].transport, PERMIT) == []
    assert all("canary" in json.dumps(asked) for asked in server.received), "the canary is there to be found"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/client/api", "https://127.0.0.1:9/client/api", "http://does-not-exist.invalid/client/api"],
)
def test_no_key_leaves_where_nobody_answers(make, caplog, url):
    caplog.set_level(logging.DEBUG)
    client = make(url)
    for _ in range(8):  # until the server is left alone, too
        with pytest.raises(errors.Unreachable) as failed:
            client.volumes()
        assert search(OddServer(lambda _: Reply()), caplog, failed.value, client) == []
    assert isinstance(failed.value, errors.NotAsked)


def every(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for more in kind.__subclasses__():
        yield from every(more)


KINDS = sorted(set(every(requests.RequestException)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", [*KINDS, OSError, ValueError, TimeoutError, UnicodeError], ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_underneath_becomes_one_of_ours_and_loses_what_it_carried(make, caplog, kind):
    class Broken(requests.adapters.BaseAdapter):
        def send(self, request: Any, **kwargs: Any) -> Any:
            if issubclass(kind, requests.JSONDecodeError):
                raise kind(f"{KEY} {SECRET}", "doc", 0)
            raise kind(f"{request.body} {KEY} {SECRET}")

        def close(self) -> None:
            pass

    client = make("http://127.0.0.1:9/client/api")
    client._servers.session.mount("http://", Broken())
    with pytest.raises(errors.Unreachable) as failed:
        client.volumes()
    outcome = client.writer(PERMIT).stop(VM, forced=False, job_id=JOB)
    assert search(OddServer(lambda _: Reply()), caplog, failed.value, outcome) == []
    assert list(chain(failed.value)) == [failed.value]


def test_what_holds_keys_is_neither_pickled_nor_shown(make):
    client = make("https://cloud.example.org/client/api")
    endpoint = Endpoint(url="https://cloud.example.org/client/api", key=KEY, secret=SECRET)
    for holder in (client, client._servers, client._servers._all[0].transport, endpoint):
        with pytest.raises(TypeError):
            pickle.dumps(holder)
        assert not [s for s in (KEY, SECRET) if s in repr(holder) + repr(vars(holder))]
    with pytest.raises(TypeError):
        copy.copy(client._servers._all[0].transport)
    assert not [s for s in (KEY, SECRET) if s in endpoint.model_dump_json() + repr(endpoint.model_dump())]


def test_nothing_in_memory_but_the_masked_fields_holds_the_secret_after_a_call(make):
    with odd_server(Reply(b'{"x":{}}')) as server:
        client = make(server.url)
        client.volumes()
        holders = [
            type(o).__name__
            for o in gc.get_objects()
            if isinstance(o, dict) and any(isinstance(v, str) and SECRET in v for v in o.values()) and "canary" not in o
        ]
    assert [h for h in holders if h != "dict"] == []


@pytest.mark.parametrize("url", ["http://[broken/client/api", "https://host:99999/client/api", "https://host:0/client/api"])
def test_an_address_that_cannot_be_parsed_is_refused_where_it_is_written(url):
    with pytest.raises(ValueError, match="url"):
        Endpoint(url=url, key=KEY, secret=SECRET)
