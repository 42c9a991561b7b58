"""Whatever comes back is content, a no, or one typed error; a table of bodies that real servers and proxies send."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cloudstack import answers
from reconciler.cloudstack.answers import No, opened
from reconciler.cloudstack.errors import BadAnswer, CloudError, Unreachable, WrongAddress
from reconciler.cloudstack.transport import Answer

JSON = "application/json;charset=utf-8"
HTML = "text/html"


def answer(status, kind, body, retry_after="", date=""):
    return Answer(status, kind, date, retry_after, body)


@pytest.mark.parametrize(
    ("given_answer", "content"),
    [
        (answer(200, JSON, b'{"listvolumesresponse":{}}'), {}),
        (answer(200, JSON, b'{"whatever":{"jobid":"1"}}'), {"jobid": "1"}),
        (answer(200, "text/javascript; charset=UTF-8", b'{"x":{"success":"true"}}'), {"success": "true"}),
        (answer(431, JSON, b'{"x":{"errorcode":431,"errortext":"bad"}}'), No(431, "bad")),
        (answer(401, JSON, b'{"null":{"errorcode":401,"errortext":"sig"}}'), No(401, "sig")),
        (answer(432, JSON, b'{"errorresponse":{"errorcode":432,"errortext":"role"}}'), No(432, "role")),
        (answer(200, JSON, b'{"x":{"errorcode":530}}'), No(530, "")),
        (answer(530, JSON, b'{"x":{"errortext":null}}'), No(530, "")),
        (answer(401, HTML, b"<html>login</html>"), No(401, "")),
        (
            answer(429, JSON, b'{"x":{"errorcode":429,"errortext":"please retry after [250] ms."}}'),
            No(429, "please retry after [250] ms.", 0.25),
        ),
        (answer(503, JSON, b'{"x":{"errorcode":503,"errortext":"later"}}', retry_after="7"), No(503, "later", 7.0)),
        (answer(429, JSON, b'{"x":{"errorcode":429,"errortext":"[999999999] ms"}}'), No(429, "[999999999] ms", 60.0)),
    ],
)
def test_cloudstacks_yes_and_no(given_answer, content):
    assert opened(given_answer, "x at y") == content


@pytest.mark.parametrize(
    ("given_answer", "error"),
    [
        (answer(200, HTML, b"<html>welcome</html>"), WrongAddress),
        (answer(404, HTML, b"<html>not found</html>"), WrongAddress),
        (answer(404, JSON, b'{"timestamp":1,"status":404,"error":"Not Found"}'), WrongAddress),
        (answer(302, "", b""), WrongAddress),
        (answer(403, "text/plain", b"no"), WrongAddress),
        (answer(502, HTML, b"<html>bad gateway</html>"), Unreachable),
        (answer(503, HTML, b""), Unreachable),
        (answer(200, "", b""), BadAnswer),
        (answer(200, JSON, b""), BadAnswer),
        (answer(530, JSON, b"  "), BadAnswer),
        (answer(200, JSON, b'{"listvolumesresponse":{"count":2,"vol'), BadAnswer),
        (answer(200, JSON, b"\xff\xfe{}"), BadAnswer),
        (answer(200, JSON, b"[" * 100_000), BadAnswer),
        (answer(200, JSON, b"[]"), BadAnswer),
        (answer(200, JSON, b'{"a":{},"b":{}}'), BadAnswer),
        (answer(200, JSON, b'{"a":[]}'), BadAnswer),
    ],
)
def test_anything_else_is_one_typed_error(given_answer, error):
    with pytest.raises(error):
        opened(given_answer, "x at y")


def test_a_wrong_address_says_where_and_how_it_usually_ends():
    with pytest.raises(WrongAddress, match=r"listZones at http://c/.*usually ends in /client/api"):
        opened(answer(404, HTML, b""), "listZones at http://c/")


@given(st.integers(100, 599), st.sampled_from([JSON, HTML, "", "text/javascript"]), st.binary(max_size=60))
def test_no_body_makes_anything_but_content_a_no_or_a_typed_error(status, kind, body):
    with contextlib.suppress(CloudError):
        opened(answer(status, kind, body), "x at y")


def test_the_clock_hint_names_both_clocks():
    now = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
    assert (
        answers.clock_hint("Mon, 23 Nov 2026 13:30:00 GMT", now)
        == "ours says 2026-11-23 14:00:00Z, the server's 2026-11-23 13:30:00Z"
    )
    assert answers.clock_hint("", now) == "ours says 2026-11-23 14:00:00Z"
