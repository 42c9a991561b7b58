"""A real HTTP server that answers what a test tells it, rightly or not: HTML, halves, silence, pages that lose rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Reply:
    """What to send. `cut` closes the connection after so many bytes of the body; `silent` sends nothing at all."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json;charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None
    silent: bool = False


Script = Callable[[dict[str, str]], Reply]


def envelope(content: Any, status: int = 200, command: str = "x") -> Reply:
    return Reply(json.dumps({f"{command}response": content}).encode(), status)


def error(code: int, text: str = "no") -> Reply:
    return envelope({"uuidList": [], "errorcode": code, "cserrorcode": 9999, "errortext": text}, code)


@dataclass
class OddServer:
    script: Script
    received: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    release: threading.Event = field(default_factory=threading.Event)

    def commands(self) -> list[str]:
        return [p["command"] for p in self.received]


@contextmanager
def odd_server(script: Script | Reply) -> Iterator[OddServer]:
    server = OddServer(script if callable(script) else lambda _: script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            server.received.append(dict(parse_qsl(body, keep_blank_values=True)))
            server.paths.append(self.path)
            server.headers.append(dict(self.headers))
            self._reply(server.script(server.received[-1]))

        def _reply(self, reply: Reply) -> None:
            if reply.silent:
                server.release.wait(10)
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}/client/api"
        try:
            yield server
        finally:
            server.release.set()
            http.shutdown()
            thread.join()
