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
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pymysql
import pytest

USER, PASSWORD = "failover", "canary-password-7d1e"
PATIENCE = 30.0
PROGRAMS = ("mariadbd", "mariadb-install-db")
MISSING = "MariaDB is not installed: `apt-get install mariadb-server` lets this test run"
# Nothing has to survive these servers, so nothing is waited for until it is on the disk.
OPTIONS = (
    "--no-defaults",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-use-native-aio=0",
    "--skip-innodb-doublewrite",
    "--innodb-lock-wait-timeout=10",
)
SERVING = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--log-warnings=0",
)


@dataclass
class Server:
    """A running server. `url` makes an address for SQLAlchemy, `fresh` an empty database."""

    port: int
    _numbers: Iterator[int] = field(default_factory=count)

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
        with closing(pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)) as connection:
            for statement in statements:
                connection.cursor().execute(statement)


def program(name: str) -> str | None:
    """Where a program of the server is; Debian keeps it where ordinary users do not look."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))


NO_TLS = ("--skip-ssl",)


@contextmanager
def serving(*tls: str) -> Iterator[Server]:
    """A server with an empty data folder, and TLS by these options; killed at the end, there is nothing to keep."""
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder:
        port = _free_port()
        _install(Path(folder))
        with _launched(Path(folder), port, tls or NO_TLS):
            server = Server(port)
            server.say(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON *.* TO {USER}")
            yield server


def _install(folder: Path) -> None:
    for part in (folder, folder / "data", folder / "tmp"):
        part.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(part, "mysql")
    more = ("--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal")
    command = (str(program("mariadb-install-db")), *OPTIONS, *_own(folder), *more)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise RuntimeError(f"MariaDB could not fill {folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


@contextmanager
def _launched(folder: Path, port: int, tls: tuple[str, ...]) -> Iterator[None]:
    """The server from when it says that it is ready until it is killed."""
    where = (f"--port={port}", f"--socket={folder}/socket", f"--pid-file={folder}/pid")
    command = (str(program("mariadbd")), *OPTIONS, *SERVING, *tls, *_own(folder), *where)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        ready, said = threading.Event(), list[str]()
        listening = threading.Thread(target=_listen, args=(process.stderr, ready, said))
        listening.start()
        try:
            if not ready.wait(PATIENCE) or process.poll() is not None:
                raise RuntimeError("MariaDB did not start:\n" + "".join(said[-20:]))
            yield
        finally:
            process.kill()
            listening.join()


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


@pytest.fixture(params=("sqlite", "mariadb"))
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, once of either kind; a SQLite file is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'failover.db'}"
        return
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name:
        yield server.url(name)
