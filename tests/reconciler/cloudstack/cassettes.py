"""vcrpy cassettes made of the recordings of a real management server, so that they drive our client without any server.

The recordings (packed, under `tests/conformance`) were made with GET and hold neither keys nor signatures. A cassette holds
what our client would have sent: POST, the parameters in the body. Nothing is stored twice: `Recordings` is the persister
that makes a cassette when vcrpy asks for one. To read one as YAML:

    python -m tests.reconciler.cloudstack.cassettes kvm-11-dr-flow
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode

import vcr
import vcr.serialize
from vcr.request import Request
from vcr.serializers import yamlserializer

from tests.conformance import records

URL = "http://127.0.0.1:8080/client/api"
NAMES = tuple(sorted(path.name.removesuffix(".jsonl.xz") for path in records.HERE.glob("*.jsonl.xz")))
OURS = {"apikey", "signature", "signatureversion", "expires", "response", "listall", "sessionkey", "userapikey"}

Response = dict[str, Any]


def exchanges(name: str) -> Iterator[dict[str, Any]]:
    """The lines of a recording that were sent as they stand and answered in JSON, which is what our client asks for.

    No sums over page walks, no looks into the database.
    """
    for index, line in enumerate(records.lines(records.HERE / f"{name}.jsonl.xz")):
        if records.exchange(index, line).was_sent and "xml" not in line.get("content_type", ""):
            yield line


def interaction(line: dict[str, Any]) -> tuple[Request, Response]:
    asked, body = line["request"], line["body"]
    sent = {"command": asked.get("command"), **asked["params"]}
    text = body["_text"] if isinstance(body, dict) and set(body) == {"_text"} else json.dumps(body)
    content_type = line.get("content_type") or "application/json;charset=utf-8"
    request = Request("POST", URL, urlencode({k: v for k, v in sent.items() if v is not None}), {})
    return request, {
        "status": {"code": line["status"], "message": "recorded"},
        "headers": {"Content-Type": [content_type]},
        "body": {"string": text.encode()},
    }


class Recordings:
    """Where vcrpy gets its cassettes; nothing is ever written."""

    @staticmethod
    def load_cassette(cassette_path: Any, serializer: Any) -> tuple[list[Request], list[Response]]:
        pairs = [interaction(line) for line in exchanges(str(cassette_path))]
        return [request for request, _ in pairs], [response for _, response in pairs]

    @staticmethod
    def save_cassette(cassette_path: Any, cassette_dict: Any, serializer: Any) -> NoReturn:
        raise AssertionError("a recording is never written")


def parameters(request: Request) -> dict[str, str]:
    """What a request asks for, without what every request of ours holds."""
    body = request.body.decode() if isinstance(request.body, bytes) else request.body
    sent = dict(parse_qsl(body or "", keep_blank_values=True))
    return {k: v for k, v in sent.items() if k.lower() not in OURS}


def asks_for_the_same(ours: Request, recorded: Request) -> None:
    assert parameters(recorded) == parameters(ours)


def asks_for_no_less(ours: Request, recorded: Request) -> None:
    """As recorded and perhaps more; descriptions, which nothing reads, are not sent by us."""
    assert {k: v for k, v in parameters(recorded).items() if k != "description"}.items() <= parameters(ours).items()


@contextmanager
def playing(name: str, matcher: Any = asks_for_the_same) -> Iterator[Any]:
    """The recorded server answers, each exchange once and the same ones in order; anything else is an error."""
    player = vcr.VCR(record_mode="none")
    player.register_matcher("asked", matcher)
    player.register_persister(Recordings)
    with player.use_cassette(name, match_on=["method", "asked"]) as cassette:
        yield cassette


def main(name: str) -> None:
    requests, responses = Recordings.load_cassette(name, None)
    sys.stdout.write(vcr.serialize.serialize({"requests": requests, "responses": responses}, yamlserializer))


if __name__ == "__main__":
    main(*sys.argv[1:])
