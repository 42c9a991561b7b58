"""The three services behind HTTP on one loopback port, each beneath a path of its own. Tests start it.

One lock around the estate: requests are answered one after another.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator.source.estate import SourceEstate
from simulator.source.faults import PROXY, Rule, Rules
from simulator.source.services import MISSING, Asked, answered, routed

MAX_BODY = 1024 * 1024
STRUCK_BEFORE = ("drop", "refuse", "says")


class SourceServer:
    """A source side on a loopback port; a context manager that closes it. `calls` counts requests by name, `paths` are theirs.

    `struck` tells of each request, in order, the kinds and codes of the faults that struck it.
    """

    def __init__(self, estate: SourceEstate, port: int = 0) -> None:
        self.estate, self.faults, self.lock = estate, Rules(), threading.RLock()
        self.calls: Counter[str] = Counter()
        self.paths: list[str] = []
        self.struck: list[tuple[str, tuple[tuple[str, int], ...]]] = []
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, service: str) -> str:
        """The address of one service: `appliance`, `replication` or `daemon`."""
        return f"http://127.0.0.1:{self._http.server_port}/{service}"

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> SourceServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "source-side-simulator"
    disable_nagle_algorithm = True
    wbufsize = -1
    owner: SourceServer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """A look."""
        self._serve("GET", {})

    def do_POST(self) -> None:
        """A change, with a JSON object as its body."""
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY)
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            body = None
        self._serve("POST", body if isinstance(body, dict) else {})

    def _serve(self, method: str, body: dict[str, Any]) -> None:
        found = routed(method, urlsplit(self.path).path)
        if found is None:
            self._send(*MISSING)
            return
        owner, asked = self.owner, self._asked(found, body)
        with owner.lock:
            owner.calls[asked.name] += 1
            owner.paths.append(self.path)
            struck = owner.faults.struck(asked.name)
            owner.struck.append((asked.name, tuple((rule.kind, rule.code) for rule in struck)))
            if struck and struck[0].kind in STRUCK_BEFORE:
                told: tuple[int, dict[str, Any]] | None = None
            else:
                told = answered(owner.estate, asked, struck)
        self._answer(told, struck)

    def _asked(self, found: tuple[str, str], body: dict[str, Any]) -> Asked:
        scheme, _, sent = self.headers.get("Authorization", "").partition(" ")
        login = (str(body["username"]), str(body["password"])) if {"username", "password"} <= body.keys() else None
        if scheme == "Basic":
            user, _, password = base64.b64decode(sent).decode().partition(":")
            login = user, password
        query = dict(parse_qsl(urlsplit(self.path).query))
        return Asked(found[0], unquote(found[1]), query, body, login, sent if scheme == "Bearer" else None)

    def _answer(self, told: tuple[int, dict[str, Any]] | None, struck: list[Rule]) -> None:
        rule = struck[0] if struck else None
        kind = rule.kind if rule else ""
        if kind in ("drop", "lose-answer"):
            self.close_connection = True
        elif kind == "says" and rule is not None:
            self._write(rule.code, rule.text.encode(), "application/json")
        elif told is None and rule is not None:
            self._send(rule.code, {"error": rule.text})
        elif told is not None and kind == "html" and rule is not None:
            self._write(rule.code, PROXY, "text/html")
        elif told is not None:
            if kind == "slow-answer" and rule is not None:
                threading.Event().wait(rule.seconds)
            body = b"" if kind == "empty-body" else json.dumps(told[1]).encode()
            self._write(told[0], body, "application/json", cut=kind == "half-answer")

    def _send(self, status: int, content: dict[str, Any]) -> None:
        self._write(status, json.dumps(content).encode(), "application/json")

    def _write(self, status: int, body: bytes, content_type: str, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut
