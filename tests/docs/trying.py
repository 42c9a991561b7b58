"""A trial: a fresh folder, a simulated cloud, a clock that waiting turns, and the commands of a page as a person types them.

`tests.docs.playing` leads a page through one. `failover` is called in this process with everything real but the clock, so a
page on which half an hour passes takes a moment. `python -m simulator` is started as a program of its own for what it
prints, and ended; the cloud that later commands talk to stands on the turned clock. What pages ask of its ports with `curl`,
and a replay against its address, is done in this process. Other commands go to the shell.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import requests
import yaml

from reconciler import wiring
from reconciler.cli import main
from reconciler.cli.init import SAMPLE
from reconciler.store import embedded
from reconciler.store.database import Database
from reconciler.wiring import Connected
from simulator import Cloud, TurnedClock, load_estate, serve
from simulator.__main__ import EXAMPLE, arguments
from tests import mariadb
from tests.conformance import replay
from tests.docs import pages

START = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
PATIENCE = 30.0
HOME = "127.0.0.1"
PORT, CONTROL_PORT = 8080, 9090
ENVIRONMENT = {"COLUMNS": "80", "NO_COLOR": "1", "LOGNAME": "operator"}
ENDPOINT = "FAILOVER_CLOUDSTACK__ENDPOINT"
DATABASE_HOST = "db.example.org"
HIRED = "reconciler"
SILENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Said:
    """What a command printed, on both streams in order, and its exit code."""

    text: str
    code: int

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.text.strip("\n").splitlines()]


@dataclass
class Hand:
    """The engine's clock: waiting turns it. A person presses Ctrl-C, if at all, when nothing was printed for `SILENCE`."""

    turned: TurnedClock
    impatient: bool = False
    printed: io.StringIO = field(default_factory=io.StringIO)
    _seen: int = 0
    _since: datetime = START

    def now(self) -> datetime:
        return self.turned.now()

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        self.turned.advance(max(span, timedelta(milliseconds=100)))
        if self.printed.tell() != self._seen:
            self._seen, self._since = self.printed.tell(), self.now()
        if self.impatient and self.now() - self._since > SILENCE:
            self.printed.write("^C")
            stop.set()


@dataclass
class Trial:
    """One page's world. The working folder and the environment are the process's own, and put back at the end."""

    server: mariadb.Server | None = None
    turned: TurnedClock = field(default_factory=lambda: TurnedClock(START))
    cloud: Cloud = field(init=False)
    ports: dict[str, str] = field(default_factory=dict)
    _left: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def serve(self, *options: str, volumes: Iterable[Mapping[str, Any]] = ()) -> None:
        """A cloud behind a socket, as `python -m simulator` with these options would make it, and more volumes in it."""
        given = arguments().parse_args(options)
        more = {} if given.durations is None else {"durations": given.durations}
        estate = yaml.safe_load(given.estate.read_text(encoding="utf-8"))
        estate["volumes"] = [*estate.get("volumes", ()), *volumes]
        self.cloud = load_estate(estate, self.turned, **more)
        server = self._left.enter_context(serve(self.cloud, control_port=0))
        os.environ[ENDPOINT] = server.url
        self.ports = {
            f"{HOME}:{PORT}": urlsplit(server.url).netloc,
            f"{HOME}:{CONTROL_PORT}": urlsplit(server.control_url).netloc,
        }

    def replicate(self, name: str) -> None:
        """A MariaDB database of this name with the replication system's tables and the sample VMs, until the end."""
        self._server.say(f"CREATE DATABASE {name}")
        self._left.callback(self._server.say, f"DROP DATABASE {name}", f"DROP USER IF EXISTS {HIRED}")
        database = Database(self._server.url(name))
        with database.begin() as connection:
            embedded.create(connection)
            embedded.load(connection, embedded.sample(SAMPLE))
        database.engine.dispose()

    def write(self, path: Path, text: str) -> None:
        """Write a file as the page has it; the database server that pages name is the private one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(DATABASE_HOST, self._address), encoding="utf-8")

    def execute(self, statements: str) -> None:
        """Execute SQL as whoever may: root of the server, or the owner of the embedded database's file."""
        if self.server is not None:
            self.server.say(*(s for s in statements.split(";") if s.strip()))
            return
        with contextlib.closing(sqlite3.connect("failover.db")) as connection:
            connection.executescript(statements)

    @property
    def _server(self) -> mariadb.Server:
        if self.server is None:
            raise LookupError("this page needs a MariaDB server")
        return self.server

    @property
    def _address(self) -> str:
        return f"127.0.0.1:{self.server.port}" if self.server else DATABASE_HOST

    def say(self, command: str, impatient: bool = False) -> Said:
        """Do what a command line says; `impatient`: it is interrupted when it falls silent."""
        words = pages.words(command)
        if words[0] == "failover":
            return self.failover(*words[1:], impatient=impatient)
        if words[:3] == ["python", "-m", "simulator"]:
            self.serve(*words[3:])
            return simulator(*words[3:])
        if words[0] == "curl":
            return curl(*map(self._real, words[1:]))
        if words[:3] == ["python", "-m", "tests.conformance.replay"] and "--url" in words:
            return self.replay(*map(self._real, words[3:]))
        if words[0] == "cd":
            os.chdir(words[1])
            return Said("", 0)
        if words[0] == "export":
            os.environ.update(word.split("=", 1) for word in words[1:])
            return Said("", 0)
        if words[0] == "unset":
            for word in words[1:]:
                del os.environ[word]
            return Said("", 0)
        return shell(command)

    def _real(self, word: str) -> str:
        """A word of a page with the ports that its cloud really has."""
        for shown, real in self.ports.items():
            word = word.replace(shown, real)
        return word

    def replay(self, *words: str) -> Said:
        """Call the replay tool; its pauses turn the cloud's clock."""
        printed, pauses = io.StringIO(), SimpleNamespace(sleep=self.turned.advance)
        with contextlib.redirect_stdout(printed), mock.patch.object(replay, "time", pauses):
            code = replay.main(words)
        return Said(printed.getvalue(), code)

    def failover(self, *words: str, impatient: bool = False) -> Said:
        """Call `failover` in the working folder."""
        hand = Hand(self.turned, impatient, _since=self.turned.now())
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        code: Any = 0
        try:
            with contextlib.redirect_stdout(hand.printed), contextlib.redirect_stderr(hand.printed), connecting(hand):
                main(words)
        except SystemExit as left:
            code = left.code
        finally:
            gc.enable()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        printed = hand.printed.getvalue().replace(self._address, DATABASE_HOST)
        return Said(printed, code if isinstance(code, int) else 1)


@contextlib.contextmanager
def trial(folder: Path, server: mariadb.Server | None = None) -> Iterator[Trial]:
    """A trial in this folder; `with` it, the process stands there in a terminal of 80 columns."""
    before = dict(os.environ)
    made = Trial(server)
    try:
        with contextlib.chdir(folder), made._left:
            os.environ.update(ENVIRONMENT)
            os.environ.pop("FAILOVER_SETTINGS", None)
            yield made
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def connecting(hand: Hand) -> Iterator[None]:
    """Whatever is connected meanwhile stands on this clock, and is closed at the end."""
    opened: list[Connected] = []
    connected = wiring.connected

    def turned(found: Any, _clock: Any) -> Connected:
        opened.append(connected(found, hand))
        return opened[-1]

    try:
        with mock.patch.object(wiring, "connected", turned):
            yield
    finally:
        for one in opened:
            one.engine.client.close()
            one.database.engine.dispose()


def simulator(*options: str) -> Said:
    """What `python -m simulator` says when it is ready, with its own ports in place of free ones."""
    command = [sys.executable, "-m", "simulator", "--estate", str(EXAMPLE), *options, "--port", "0"]
    controlled = arguments().parse_args(options).control_port is not None
    command += ["--control-port", "0"] if controlled else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            said = [process.stdout.readline() for _ in range(1 + controlled)] if process.stdout else []
        finally:
            watchdog.cancel()
            process.terminate()
    ports = (PORT, CONTROL_PORT)
    return Said("".join(re.sub(rf"{HOME}:\d+", f"{HOME}:{port}", line) for port, line in zip(ports, said, strict=False)), 0)


def curl(*words: str) -> Said:
    """What `curl -s [-X METHOD] [-d BODY] URL` prints, without its progress."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("-s", action="store_true", required=True)
    parser.add_argument("-X", default="GET")
    parser.add_argument("-d")
    parser.add_argument("url")
    given = parser.parse_args(words)
    return Said(requests.request(given.X, given.url, data=given.d, timeout=PATIENCE).text, 0)


def shell(command: str) -> Said:
    """What a command of the system says; `python` is this one, and finds the checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(pages.ROOT)},
    )
    return Said(done.stdout, done.returncode)
