"""A private MariaDB server for tests, and the fixture that runs a test on SQLite and on MariaDB.

One server a test process (so one a worker of pytest-xdist), started when the first test asks for it, on a free port of
127.0.0.1 and with a data folder of its own that is thrown away. Every test gets a database of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.cursors import Cursor

USER, PASSWORD = "failover", "canary-password-7d1e"
PATIENCE, GLANCE = 30.0, 0.02
PROGRAMS = ("mariadbd", "mariadb-install-db")
MISSING = "MariaDB is not installed: `apt-get install mariadb-server` lets this test run"
OPTIONS = (
    "--no-defaults",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-use-native-aio=0",
    "--innodb-lock-wait-timeout=10",
)
# Nothing has to survive these servers, so nothing is waited for until it is on the disk.
FLEETING = ("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")
# These lose nothing that was committed when they are killed, for the machine goes on.
LASTING = ("--innodb-flush-log-at-trx-commit=2",)
SERVING = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--log-warnings=0",
)


@dataclass
class Server:
    """A server. `url` makes an address for SQLAlchemy, `fresh` an empty database; `start` and `kill` bound its lives."""

    port: int
    folder: Path
    options: tuple[str, ...]
    _numbers: Iterator[int] = field(default_factory=count)
    _process: subprocess.Popen[str] | None = None
    _listening: threading.Thread | None = None

    def start(self) -> None:
        """Have it serve, with what its folder holds; it is ready when this comes back."""
        where = (f"--port={self.port}", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid")
        command = (str(program("mariadbd")), *OPTIONS, *SERVING, *self.options, *_own(self.folder), *where)
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        ready, said = threading.Event(), list[str]()
        self._listening = threading.Thread(target=_listen, args=(self._process.stderr, ready, said))
        self._listening.start()
        if not ready.wait(PATIENCE) or self._process.poll() is not None:
            self.kill()
            raise RuntimeError("MariaDB did not start:\n" + "".join(said[-20:]))

    def kill(self) -> None:
        """It is gone at once, as with `kill -9`; `start` has it come back on the same port."""
        if self._process is not None and self._listening is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._listening.join()
            self._process.stderr.close()  # type: ignore[union-attr]
            self._process = None

    @property
    def is_gone(self) -> bool:
        """Whether it was started, and has ended by itself or by somebody else's hand."""
        return self._process is not None and self._process.poll() is not None

    @contextmanager
    def kept_up(self) -> Iterator[Counter[str]]:
        """Meanwhile it comes back whenever somebody kills it; `back` counts how often it did."""
        told, over = Counter[str](), threading.Event()

        def keep() -> None:
            while not over.wait(GLANCE):
                if self.is_gone:
                    self.kill()
                    self.start()
                    told["back"] += 1

        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            yield told
        finally:
            over.set()
            keeper.join()

    def url(self, name: str, *, password: str = f":{PASSWORD}", user: str = USER) -> str:
        return f"mysql+pymysql://{user}{password}@127.0.0.1:{self.port}/{name}"

    def database(self) -> str:
        """The name of a new empty database, which is there as long as the server is."""
        name = f"test_{next(self._numbers)}"
        self.say(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
        return name

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The name of a new empty database, which is dropped at the end."""
        name = self.database()
        yield name
        self.say(f"DROP DATABASE {name}")

    def say(self, *statements: str) -> None:
        """Execute statements as root."""
        with self._root() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def ask(self, query: str) -> Sequence[tuple[Any, ...]]:
        """The rows that root sees."""
        with self._root() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    @contextmanager
    def _root(self) -> Iterator[Cursor]:
        with closing(pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)) as connection:
            yield connection.cursor()


def program(name: str) -> str | None:
    """Where a program of the server is; Debian keeps it where ordinary users do not look."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))


NO_TLS = ("--skip-ssl",)


@contextmanager
def serving(*tls: str, lasting: bool = False, where: Path | None = None) -> Iterator[Server]:
    """A server with an empty data folder in `where`, and TLS by these options; killed at the end, there is nothing to keep.

    One that is `lasting` may be killed before, and comes back with everything that was committed.
    """
    with tempfile.TemporaryDirectory(prefix="mariadb-", dir=where) as folder:
        _install(Path(folder))
        server = Server(_free_port(), Path(folder), (*(LASTING if lasting else FLEETING), *(tls or NO_TLS)))
        server.start()
        try:
            server.say(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON *.* TO {USER}")
            yield server
        finally:
            server.kill()


def _install(folder: Path) -> None:
    for part in (folder, folder / "data", folder / "tmp"):
        part.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(part, "mysql")
    more = ("--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal")
    command = (str(program("mariadb-install-db")), *OPTIONS, *FLEETING, *_own(folder), *more)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise RuntimeError(f"MariaDB could not fill {folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _own(folder: Path) -> tuple[str, ...]:
    """Folders nobody else uses (servers that share one for temporary files destroy each other's), and an account."""
    identity = ("--user=mysql",) if os.geteuid() == 0 else ()
    return (f"--datadir={folder}/data", f"--tmpdir={folder}/tmp", *identity)


def _listen(stream: Iterable[str], ready: threading.Event, said: list[str]) -> None:
    """Read what the server says for as long as it lives: a full pipe would stop it."""
    for line in stream:
        said.append(line)
        if "ready for connections" in line:
            ready.set()
    ready.set()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """The server of this test process; tests that need it are skipped where it is not installed."""
    if not all(map(program, PROGRAMS)):
        pytest.skip(MISSING)
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def mortal() -> Iterator[Server]:
    """A server of this test process that tests may kill; each of them leaves it running."""
    if not all(map(program, PROGRAMS)):
        pytest.skip(MISSING)
    with serving(lasting=True) as server:
        yield server


@pytest.fixture(params=("sqlite", "mariadb"))
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, once of either kind; a SQLite file is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'failover.db'}"
        return
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name:
        yield server.url(name)
