"""The cloud behind HTTP on loopback, and the control endpoint that turns its clock and sets its faults.

One lock around the cloud: requests are answered one after another, in the order in which they take it.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator.clock import TurnedClock
from simulator.cloud import Cloud
from simulator.faults import ConnectionCut
from simulator.wire import Reply

PATH = "/client/api"
MAX_BODY = 1024 * 1024
ROUTES = "GET /state, /calls, /trace, /faults; POST /clock, /faults, /guest-writes; DELETE /faults"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Apache-CloudStack-simulator"
    disable_nagle_algorithm = True
    wbufsize = -1
    owner: _Owner

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the cloud keeps its own trace."""

    def do_GET(self) -> None:
        """Parameters in the query."""
        self._serve("GET", urlsplit(self.path).query)

    def do_POST(self) -> None:
        """Parameters in the form, or in the query."""
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY)
        body = self.rfile.read(length)
        if len(body) < length:  # whoever sent it has died meanwhile: half a form is no request
            self.close_connection = True
            return
        form = body.decode("utf-8", "replace")
        query = urlsplit(self.path).query
        self._serve("POST", f"{query}&{form}" if query and form else query or form)

    def do_DELETE(self) -> None:
        """Only at the control port."""
        self._serve("DELETE", "")

    def _serve(self, method: str, text: str) -> None:
        try:
            reply = self.owner.answer(urlsplit(self.path).path, method, text)
        except ConnectionCut:
            self.close_connection = True
            return
        if reply.delay:
            threading.Event().wait(reply.delay)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) * (2 if reply.cut else 1)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = self.close_connection or reply.cut


class Server:
    """A cloud on a loopback port. `url` is the API address; a context manager that closes it."""

    def __init__(self, cloud: Cloud, port: int = 0, control_port: int | None = None) -> None:
        self.cloud, self.lock = cloud, threading.RLock()
        self._http = self._listen(port, self.answer_api)
        self.url = f"http://127.0.0.1:{self._http.server_port}{PATH}"
        self._control = self._listen(control_port, self.answer_control) if control_port is not None else None
        self.control_url = f"http://127.0.0.1:{self._control.server_port}" if self._control else None

    def _listen(self, port: int, answers: Any) -> _Http:
        handler = type("Handler", (_Handler,), {"owner": _Owner(answers)})
        http = _Http(("127.0.0.1", port), handler)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return http

    def answer_api(self, path: str, method: str, text: str) -> Reply:
        """An API request."""
        if path != PATH:
            body = b"<html><head><title>404</title></head><body>Not Found</body></html>"
            return Reply(404, {"Content-Type": "text/html"}, body)
        params = dict(parse_qsl(text, keep_blank_values=True))
        with self.lock:
            return self.cloud.call(params, method)

    def answer_control(self, path: str, method: str, text: str) -> Reply:
        """A control request, one of `ROUTES`; bodies are JSON."""
        try:
            wanted = json.loads(text) if text else {}
            with self.lock:
                return _told(200, _control(self.cloud, method, path, wanted))
        except (ValueError, KeyError, TypeError) as fault:
            return _told(400, {"error": f"{type(fault).__name__}: {fault}"})

    def close(self) -> None:
        """Stop listening."""
        for http in filter(None, (self._http, self._control)):
            http.shutdown()
            http.server_close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Owner:
    """What a handler class answers with."""

    def __init__(self, answers: Any) -> None:
        self.answer = answers


def serve(cloud: Cloud, port: int = 0, control_port: int | None = None) -> Server:
    """Put a cloud behind HTTP on 127.0.0.1; port 0 takes a free one."""
    return Server(cloud, port, control_port)


def _control(cloud: Cloud, method: str, path: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    if (method, path) == ("GET", "/state"):
        taken = Counter(row.command for row in cloud.trace if row.status == 200)
        now = cloud.clock.now().isoformat()
        return {"now": now, "calls": dict(cloud.calls), "taken": dict(taken), "truth": cloud.truth()}
    if (method, path) == ("GET", "/calls"):
        return dict(cloud.calls)
    if (method, path) == ("GET", "/trace"):
        return {"calls": [{**asdict(row), "at": row.at.isoformat()} for row in cloud.trace]}
    if (method, path) == ("POST", "/clock"):
        if not isinstance(cloud.clock, TurnedClock):
            raise ValueError("this clock runs by itself; start with --turned to turn it")
        cloud.clock.advance(_span(wanted["advance"]))
        cloud.jobs.run(cloud.clock.now())
        return {"now": cloud.clock.now().isoformat()}
    if path == "/faults":
        return _faults(cloud, method, wanted)
    if (method, path) == ("POST", "/guest-writes"):
        cloud.guest_writes(wanted["vm"], str(wanted.get("what", "guest")))
        return {"written": True}
    raise KeyError(f"{method} {path}; there are {ROUTES}")


def _faults(cloud: Cloud, method: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """POST sets one, DELETE takes all away, GET tells what is set and how often it struck."""
    if method == "POST":
        cloud.faults.add(**wanted)
    elif method == "DELETE":
        cloud.faults.clear()
    rows = [{"kind": f.kind, "command": f.command, "seen": f.seen, "fired": f.fired} for f in cloud.faults.rules]
    return {"faults": len(rows), "rules": rows}


def _span(text: str | float) -> timedelta:
    if isinstance(text, int | float):
        return timedelta(seconds=text)
    return timedelta(seconds=float(text[:-1]) * UNITS[text[-1]])


def _told(status: int, content: Mapping[str, Any]) -> Reply:
    body = json.dumps(content, default=str, indent=2).encode() + b"\n"
    return Reply(status, {"Content-Type": "application/json"}, body)
