"""A simulated cloud and `failover`, both as processes of their own, in a folder that `failover init` made.

Everything is as an operator has it: the installed program, a settings file, an embedded database, signed requests over
HTTP. What is so is read from the cloud's control port and from the database, never from what the program says.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pymysql
from sqlalchemy.engine import URL, make_url

from plans.actions import MARK
from reconciler.cli.init import SAMPLE
from reconciler.store import embedded
from reconciler.store.database import Database, upgrade

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("failover")
PG, DB3 = "PGWINTESTBIOS", "lnx-db3"
KEYS = {PG: "4205a841-0265-f4bd-39a6-39fd92196f53", DB3: "4205a841-0265-f4bd-39a6-39fd921900d3"}
VOLUME = "e915ef05-ddf5-48d5-8352-a01300609717"
APPLIANCE = "00000000-0000-4000-8000-00000000000a"
LONGEST = 60.0  # seconds: no process of a test may take longer
GLANCE = 0.05
AWAY = (2003, 2006, 2013)
"""Numbers of faults of a connection that is not to be had, or broke."""
QUICK = {
    "poll: 2s": "poll: 0.2\n  lease: 1\n  grace: 0.2\n  backoff: 0.05",
    "min_duration: 5m": "min_duration: 1s",
    "  # ca_file: ca.pem": "  calls_per_second: 1000",
}
MIGRATING = threading.Lock()
"""Alembic knows one migration a process at a time; houses are furnished side by side."""
RICH_IN_PRIVILEGES = hasattr(os, "geteuid") and os.geteuid() == 0


class Cloud:
    """A simulated cloud behind its own process; `url` is its API, `control` its control port."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "simulator", "--port", "0", "--control-port", "0", *options]
        self.process = Running(command, ROOT, os.environ)
        self.url = self.process.line(" at ").rsplit(" at ", 1)[1]
        self.control = self.process.line("control at ").split(" at ", 1)[1].split(": ", 1)[0]

    def calls(self) -> dict[str, int]:
        """How often each command was called, whoever called it and whatever came of it."""
        return self._ask("/calls")

    def changes(self) -> dict[str, int]:
        """The calls that would change anything."""
        return {c: n for c, n in self.calls().items() if not c.startswith(("list", "query"))}

    def taken(self) -> dict[str, int]:
        """Those of them that were not refused at once."""
        return {c: n for c, n in self._ask("/state")["taken"].items() if not c.startswith(("list", "query"))}

    def trace(self) -> list[dict[str, Any]]:
        """All calls that were not refused at once and would change anything, in their order, with their parameters."""
        calls: list[dict[str, Any]] = self._ask("/trace")["calls"]
        return [call for call in calls if call["status"] == 200 and not call["command"].startswith(("list", "query"))]

    def truth(self) -> dict[str, Any]:
        """All VMs, volumes and snapshots as they are."""
        return self._ask("/state")["truth"]

    def proof(self) -> dict[str, Any]:
        """What must be the same before and after: every place, state and content, and nothing marked ours."""
        truth = self.truth()
        ours = [x for kind in ("vms", "volumes", "snapshots") for x in truth[kind].values() if MARK in x["tags"]]
        return {**inventory(truth), "marked": sorted(x["name"] for x in ours if x["state"] not in GONE)}

    def turn(self, span: str) -> None:
        """Turn a clock that stands (`--turned`)."""
        self._ask("/clock", advance=span)

    def fault(self, kind: str, command: str, **more: Any) -> None:
        """Set a fault, as the simulator's `faults` names it."""
        self._ask("/faults", kind=kind, command=command, **more)

    def _ask(self, path: str, **wanted: Any) -> Any:
        data = json.dumps(wanted).encode() if wanted else None
        with urllib.request.urlopen(self.control + path, data, timeout=LONGEST) as answer:
            return json.loads(answer.read())

    def close(self) -> None:
        with self.process as process:
            process.end(signal.SIGTERM)


GONE = ("Destroyed", "Expunging")
TELLING = ("vm", "device", "kind", "state", "size", "content", "tags")


def inventory(truth: Mapping[str, Any]) -> dict[str, Any]:
    """All there is: where every volume hangs and what is on it, machines, snapshots of either kind."""
    return {
        "volumes": {i: {name: v[name] for name in TELLING} for i, v in truth["volumes"].items()},
        "machines": {i: v["state"] for i, v in truth["vms"].items() if v["state"] not in GONE},
        "snapshots": {i: s["state"] for i, s in truth["snapshots"].items() if s["state"] not in GONE},
        "vm snapshots": {i: s["state"] for i, s in truth["vm_snapshots"].items()},
    }


@dataclass(frozen=True)
class Said:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @cached_property
    def json(self) -> Any:
        """Standard output as JSON: nothing else may stand there."""
        return json.loads(self.out)


class Running:
    """A process that runs: its lines as they come, its end, signals to it. No wait is longer than `LONGEST`."""

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=folder, env=dict(env), text=True, **pipes)
        self._lines: queue.Queue[str] = queue.Queue()
        self.out: list[str] = []
        self.err: list[str] = []
        pairs = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in pairs]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], kept: list[str]) -> None:
        for line in stream:
            kept.append(line)
            self._lines.put(line)

    def line(self, part: str = "") -> str:
        """The next line, of either stream, with this text in it."""
        limit = time.monotonic() + LONGEST
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {part!r} within {LONGEST:g} s: {self.text}") from None
            if part in line:
                return line.rstrip("\n")

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stands(self) -> None:
        """Wait until it stands still, as SIGSTOP has it."""
        limit = time.monotonic() + LONGEST
        while os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
            if self.process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"{self.process.args} does not stand still: {self.text}")
            time.sleep(GLANCE)

    def end(self, number: signal.Signals | None = None) -> Said:
        """Wait for its end (after a signal, if one is given): what it printed, and its exit code."""
        if number is not None and self.process.poll() is None:
            self.tell(number)
        try:
            code = self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.args} did not end within {LONGEST:g} s: {self.text}") from None
        for reader in self._readers:
            reader.join(LONGEST)
        return Said(code, "".join(self.out), "".join(self.err))

    @property
    def text(self) -> str:
        return "".join((*self.out, *self.err))

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LONGEST)
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()


class Warm:
    """A process that has everything imported, and forks a child for each command (`tests.crashes.nursery`)."""

    _made: Warm | None = None

    @classmethod
    def one(cls) -> Warm:
        """The one of this test process; it ends with it."""
        cls._made = cls._made or cls()
        return cls._made

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crashes.nursery"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, env=environment({}), **pipes)
        self.folder = tempfile.TemporaryDirectory(prefix="said-")
        atexit.register(self.close)

    def run(self, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> Said:
        """One command in this folder, to its end."""
        out, err = (Path(self.folder.name) / name for name in ("out", "err"))
        wanted = {"arguments": list(words), "env": dict(env), "folder": str(folder), "timeout": LONGEST}
        told = json.dumps({**wanted, "out": str(out), "err": str(err)})
        self.process.stdin.write(told + "\n")
        self.process.stdin.flush()
        code = int(json.loads(self.process.stdout.readline())["code"])
        said = Said(code, *(path.read_text(encoding="utf-8") for path in (out, err)))
        if code < 0:
            raise AssertionError(
                f"{' '.join(words)} was ended by signal {-code} or took longer than {LONGEST:g} s: {said.text}"
            )
        out.unlink()
        err.unlink()
        return said

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(LONGEST)
        self.process.stdout.close()
        self.folder.cleanup()


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: 80 columns, and nothing of this machine's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FAILOVER_", "COLUMNS", "LINES"))}
    return {**kept, "COLUMNS": "80", **more}


@dataclass
class House:
    """A folder with settings, database and specs, as `failover init` makes it, for one cloud.

    With an address of MariaDB as `database` that one is used, as it is; its password is a secret of the folder.
    """

    folder: Path
    url: str
    env: dict[str, str] = field(default_factory=dict)
    database: str | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _furnish(self.folder)
        self.set({"http://127.0.0.1:8080/client/api": self.url, **QUICK})
        if self.database is not None:
            self._adopt(make_url(self.database))

    def _adopt(self, database: URL) -> None:
        (self.folder / "failover.db").unlink()
        (self.folder / "secrets" / "database").write_text(f"{database.password}\n", encoding="utf-8")
        (self.folder / "secrets" / "database").chmod(0o600)
        login = {"username": database.username, "host": database.host, "port": database.port}
        shown = URL.create(database.drivername, **login, database=database.database).render_as_string()
        self.set({"url: sqlite:///failover.db": f"url: {shown}\n  password: file:secrets/database"})

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, *words: str, **env: str) -> Said:
        """Run a command to its end, as a process that has the modules loaded already: the same, but quicker."""
        return Warm.one().run(words, self.folder, {**self.env, **env})

    def start(self, *words: str, **env: str) -> Running:
        """Start the installed program with a command."""
        return Running(self.command(*words), self.folder, self.environment(env))

    def command(self, *words: str) -> list[str]:
        """The command line; root's right to overrule permissions is given up, so that they mean something."""
        plain = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if RICH_IN_PRIVILEGES else ()
        return [*plain, str(PROGRAM), *words]

    def standing(self, where: str, *words: str) -> Running:
        """Start a command that stands still when it passes a crash point (`tests.cli.standing`)."""
        command = [sys.executable, "-m", "tests.cli.standing", where, *words]
        return Running(command, self.folder, self.environment({"PYTHONPATH": str(ROOT)}))

    def environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        return environment({**self.env, **more})

    # --- files and rows -----------------------------------------------------------------------------------------------

    @property
    def spec(self) -> Path:
        return self.folder / "specs" / "pgwintestbios.yaml"

    def write(self, text: str, name: str = "pgwintestbios.yaml") -> str:
        """Write a spec file; its path, as a command takes it."""
        (self.folder / "specs" / name).write_text(text, encoding="utf-8")
        return f"specs/{name}"

    def set(self, changes: Mapping[str, str]) -> None:
        """Change texts of the settings file."""
        path = self.folder / "failover.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text, f"the settings do not say {old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def edit(self, *statements: str) -> None:
        """Change the database behind everybody's back."""
        with self._cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                assert cursor.rowcount != 0, f"changes nothing: {statement}"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers; its server may be away for a moment."""
        limit = time.monotonic() + LONGEST
        while True:
            try:
                with self._cursor() as cursor:
                    cursor.execute(query)
                    return [tuple(row) for row in cursor.fetchall()]
            except pymysql.OperationalError as fault:
                if fault.args[0] not in AWAY or time.monotonic() > limit:
                    raise
            time.sleep(GLANCE)

    def until(self, query: str, *wanted: tuple[Any, ...]) -> None:
        """Wait until the database answers so."""
        limit = time.monotonic() + LONGEST
        while (found := self.rows(query)) != list(wanted):
            if time.monotonic() > limit:
                raise AssertionError(f"{query}: {found} instead of {list(wanted)} after {LONGEST:g} s")
            time.sleep(GLANCE)

    def dump(self) -> str:
        """The whole database as text."""
        if self.database is None:
            with self._file() as connection:
                return "\n".join(connection.iterdump())
        names = sorted(name for (name,) in self.rows("show tables"))
        return "\n".join(
            f"{name}: {row}" for name in names for row in sorted(map(repr, self.rows(f"select * from `{name}`")))
        )

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor of a connection of its own, which commits by itself."""
        if self.database is None:
            with self._file() as connection:
                yield connection.cursor()
            return
        url = make_url(self.database)
        login = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
        with closing(pymysql.connect(**login, database=url.database, autocommit=True)) as connection:
            yield connection.cursor()

    @contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.folder / "failover.db", isolation_level=None, timeout=LONGEST)) as connection:
            yield connection


def filled(url: str, rows: Mapping[str, list[dict[str, Any]]] | None = None) -> None:
    """Have an empty database hold the embedded tables with these rows, else the sample's, and our own tables."""
    store = Database(url, create=True)
    with store.begin() as connection:
        embedded.create(connection)
        embedded.load(connection, embedded.sample(SAMPLE) if rows is None else rows)
    with MIGRATING:
        upgrade(store)
    store.engine.dispose()


_MADE: list[Path] = []


def _furnish(folder: Path) -> None:
    """What `failover init` makes; made once in a test process and copied from there."""
    if not _MADE:
        first = folder.parent / f"init-{os.getpid()}"
        subprocess.run([PROGRAM, "init", str(first)], check=True, capture_output=True, timeout=LONGEST)
        _MADE.append(first)
    shutil.copytree(_MADE[0], folder, dirs_exist_ok=True)
