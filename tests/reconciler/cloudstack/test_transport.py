"""One request, one answer, over real sockets: what travels, and every way in which no good answer comes."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import subprocess
import sys
import traceback

import pytest

from reconciler.cloudstack import errors, signing
from reconciler.cloudstack.client import Client, Endpoint
from reconciler.cloudstack.leaving_out import leaving_out
from reconciler.cloudstack.outcomes import Accepted, Refused, Unknown
from reconciler.cloudstack.permit import Permit
from tests.reconciler.cloudstack.conftest import KEY, NOW, SECRET, Hand
from tests.reconciler.cloudstack.odd_server import Reply, envelope, error, odd_server

VM, JOB = "00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"
HTML = Reply(b"<html><body>It works!</body></html>", content_type="text/html")
PERMIT = Permit("run", "test", frozenset(), frozenset(), frozenset(), VM, "guest", None, frozenset(), {})


def test_a_request_is_a_signed_post_with_an_expiry_of_ten_minutes_and_no_secret(client_for):
    with odd_server(envelope({})) as server:
        client_for(server.url).volumes()
    (sent,) = server.received
    signed = {k: v for k, v in sent.items() if k != "signature"}
    assert sent["signature"] == signing.signature(signed, SECRET)
    assert (sent["signatureVersion"], sent["expires"], sent["response"]) == ("3", "2026-11-23T14:10:00+0000", "json")
    assert sent["apiKey"] == KEY
    assert server.paths == ["/client/api"]
    assert SECRET not in repr(server)


def test_cookies_are_neither_kept_nor_sent(client_for):
    with odd_server(Reply(b'{"x":{}}', headers=(("Set-Cookie", "JSESSIONID=abc; Path=/"),))) as server:
        client = client_for(server.url)
        client.volumes()
        client.volumes()
    assert all("Cookie" not in headers for headers in server.headers)


def test_a_signed_request_is_not_handed_on_to_another_address(client_for):
    with odd_server(envelope({})) as other:
        moved = Reply(b"", 307, "text/html", (("Location", other.url),))
        with odd_server(moved) as server, pytest.raises(errors.WrongAddress):
            client_for(server.url).volumes()
    assert other.received == []


@pytest.mark.parametrize(
    ("reply", "kind", "tries"),
    [
        (HTML, errors.WrongAddress, 1),
        (Reply(b"<html>404</html>", 404, "text/html"), errors.WrongAddress, 1),
        (Reply(b""), errors.BadAnswer, 3),
        (Reply(b'{"listvolumesresponse":{"count":1,"vol'), errors.BadAnswer, 3),
        (Reply(b'{"listvolumesresponse":{}}', cut=9), errors.Unreachable, 3),
        (Reply(b"<html>502</html>", 502, "text/html"), errors.Unreachable, 3),
        (Reply(b'{"x":{}}' + b" " * 5000), errors.BadAnswer, 3),
        (error(401), errors.Unauthorised, 1),
        (error(432), errors.NotAllowed, 1),
        (error(531), errors.LookFailed, 1),
        (error(535), errors.LookFailed, 1),
        (error(503), errors.LookFailed, 3),
        (error(530), errors.LookFailed, 3),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_a_read_fails_with_one_typed_error_and_is_retried_only_where_that_helps(client_for, reply, kind, tries):
    with odd_server(reply) as server, pytest.raises(kind) as failed:
        client_for(server.url, max_bytes=4096).volumes()
    assert len(server.received) == tries
    assert server.url in failed.value.where
    assert failed.value.then


def test_a_read_succeeds_when_the_fault_passes(client_for):
    faults = [error(503), Reply(b""), envelope({})]
    with odd_server(lambda _: faults.pop(0)) as server:
        assert client_for(server.url).volumes() == ()


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (envelope({"jobid": JOB}), Accepted(JOB)),
        (error(431, "bad"), Refused(431, "bad", retryable=False)),
        (error(432, "role"), Refused(432, "role", retryable=False)),
        (error(531, "not yours"), Refused(531, "not yours", retryable=False)),
        (error(535, "limit"), Refused(535, "limit", retryable=False)),
        (error(530, "oops"), Refused(530, "oops", retryable=True)),
        (error(533, "full"), Refused(533, "full", retryable=True)),
        (error(503, "later"), Refused(503, "later", retryable=True)),
        (error(401, "sig"), Refused(401, "sig", retryable=True)),
    ],
)
def test_a_change_is_sent_once_and_its_answer_becomes_an_outcome(client_for, reply, outcome):
    with odd_server(reply) as server:
        assert client_for(server.url).writer(PERMIT).stop(VM, forced=False, job_id=JOB) == outcome
    assert server.commands() == ["stopVirtualMachine"]


def test_who_is_told_to_stay_away_does_so_for_as_many_milliseconds_whatever_it_wanted(client_for):
    turned_away, hand = error(429, "after [1500] ms."), Hand()
    with odd_server(turned_away) as server:
        client = client_for(server.url, clock=hand.now, wait=hand.wait)
        with pytest.raises(errors.LookFailed) as failed:
            client.volumes()
        assert (failed.value.code, failed.value.retry_after, hand.waits) == (429, 1.5, [1.5, 1.5])
        stopped = client.writer(PERMIT).stop(VM, forced=False, job_id=JOB)
    assert stopped == Refused(429, "after [1500] ms.", retryable=True, retry_after=1.5)
    assert server.commands() == ["listVolumes"] * 3 + ["stopVirtualMachine"] * 3
    assert hand.waits == [1.5] * 5


@pytest.mark.parametrize(
    "reply",
    [
        HTML,
        Reply(b""),
        Reply(b"<html>502</html>", 502, "text/html"),
        Reply(b'{"stopvirtualmachineresponse":{"jobid":"' + JOB.encode() + b'"}}', cut=20),
        Reply(silent=True),
        envelope({"success": False}),
        envelope({}),
        envelope({"jobid": 17}),
        Reply(b'{"x":{}}' + b" " * 5000),
    ],
)
def test_a_change_whose_answer_is_lost_or_unclear_is_unknown_and_is_not_sent_again(client_for, reply):
    with odd_server(reply) as server:
        client = client_for(server.url, timeout_read=0.3, max_bytes=4096)
        assert isinstance(client.writer(PERMIT).stop(VM, forced=False, job_id=JOB), Unknown)
        server.release.set()
    assert len(server.received) == 1


def test_a_change_that_never_left_is_refused_and_worth_another_try(client_for, nobody):
    outcome = client_for(nobody).writer(PERMIT).stop(VM, forced=False, job_id=JOB)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.retryable) == (0, True)


def test_nobody_listening_is_unreachable(client_for, nobody):
    with pytest.raises(errors.Unreachable, match="no connection") as failed:
        client_for(nobody).volumes()
    assert failed.value.sent is False


def test_an_unknown_host_is_unreachable(client_for):
    with pytest.raises(errors.Unreachable):
        client_for("http://does-not-exist.invalid/client/api").volumes()


def test_silence_is_unreachable_after_the_read_timeout(client_for):
    with odd_server(Reply(silent=True)) as server:
        with pytest.raises(errors.Unreachable, match="no answer in time") as failed:
            client_for(server.url, timeout_read=0.1).volumes()
        server.release.set()
    assert failed.value.sent is True


def test_plain_http_where_tls_is_expected_is_unreachable(client_for):
    with odd_server(envelope({})) as server, pytest.raises(errors.Unreachable):
        client_for(server.url.replace("http://", "https://"), timeout_read=0.5).volumes()


def test_a_missing_ca_file_is_named_as_the_cause(client_for, tmp_path):
    with pytest.raises(errors.Unreachable, match="ca_file"):
        client_for("https://127.0.0.1:9/client/api", ca_file=tmp_path / "none.pem").volumes()


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://cloud.example.org/client/api", True),
        ("https://cloud.example.org/client/api", False),
        ("http://127.0.0.1:8080/client/api", False),
        ("http://localhost:8080/client/api", False),
        ("http://[::1]:8080/client/api", False),
    ],
)
def test_plain_http_to_another_machine_is_warned_of(client_for, caplog, url, warns):
    client_for(url)
    assert bool(caplog.records) is warns


@pytest.mark.parametrize("url", ["ftp://c/", "https://user:pass@c/", "https://c/?apikey=1", "c/client/api", "https://"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url):
    with pytest.raises(ValueError, match="url"):
        Endpoint(url=url, key=KEY, secret=SECRET)


def test_a_misspelt_command_is_no_api_call(client_for):
    assert not hasattr(client_for("https://c/client/api")._servers._all[0].transport, "destroyAllVirtualMachines")


@pytest.mark.parametrize("reply", [HTML, error(401), error(432), error(530), Reply(b""), Reply(b"{", cut=0)])
def test_keys_and_signatures_are_found_nowhere(client_for, caplog, reply):
    caplog.set_level(logging.DEBUG)
    with odd_server(reply) as server:
        client = client_for(server.url)
        with pytest.raises(errors.CloudError) as failed:
            client.volumes()
        outcome = client.writer(PERMIT).stop(VM, forced=False, job_id=JOB)
        signatures = [p["signature"] for p in server.received]
    endpoint = Endpoint(url=server.url, key=KEY, secret=SECRET)
    told = [
        *(repr(o) + str(o) for o in (failed.value, client, client._servers, outcome, endpoint, PERMIT)),
        repr(vars(client)),
        repr(vars(client._servers)),
        endpoint.model_dump_json(),
        caplog.text,
        *(repr(vars(r)) for r in caplog.records),
        "".join(traceback.format_exception(failed.value)),
    ]
    for canary in (KEY, SECRET, *signatures):
        assert not [t for t in told if canary in t]


def test_errors_survive_neither_pickling_nor_copying_with_secrets():
    lost = errors.WrongAddress("HTTP 404", "listZones at http://c/")
    assert SECRET.encode() not in pickle.dumps(lost.args)


def test_one_client_serves_many_threads_over_few_connections(client_for):
    from concurrent.futures import ThreadPoolExecutor

    with odd_server(envelope({})) as server, ThreadPoolExecutor(20) as pool:
        client: Client = client_for(server.url, connections=4)
        assert set(pool.map(lambda _: client.volumes(), range(60))) == {()}
    assert len(server.received) == 60
    assert {p["expires"] for p in server.received} == {f"{NOW:%Y-%m-%d}T14:10:00+0000"}


def test_halves_of_a_library_that_are_not_used_are_not_loaded_even_where_they_are_installed(tmp_path):
    for name in ("aiohttp", "pygments"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('loaded')", encoding="utf-8")
    load = [sys.executable, "-c", "import reconciler.cloudstack.transport, sys; sys.exit('aiohttp' in sys.modules)"]
    subprocess.run(load, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=60)


def test_what_was_left_out_can_be_loaded_afterwards_and_what_was_loaded_stays():
    with leaving_out("pickle", "colorsys"):
        importlib.import_module("pickle")
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    importlib.import_module("colorsys")
