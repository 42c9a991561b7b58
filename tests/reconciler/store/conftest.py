from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reconciler.store import tables
from reconciler.store.database import Database, upgrade
from tests.mariadb import Server
from tests.reconciler.store import generations


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Opens databases and closes their connections when the test is over."""
    made: list[Database] = []

    def open_(url: str, **options: object) -> Database:
        made.append(Database(url, **{"create": True, **options}))
        return made[-1]

    yield open_
    for database in made:
        database.engine.dispose()


@pytest.fixture
def empty(database_url: str, opened: Callable[..., Database]) -> Database:
    """An empty database, of either kind."""
    return opened(database_url)


@pytest.fixture(scope="session")
def our_mariadb(mariadb: Server) -> Iterator[str]:
    """A database with our tables in it, made once; `store` empties it."""
    with mariadb.fresh() as name:
        database = Database(mariadb.url(name))
        upgrade(database)
        database.engine.dispose()
        yield mariadb.url(name)


@pytest.fixture(params=("sqlite", "mariadb"))
def store(request: pytest.FixtureRequest, tmp_path: Path, opened: Callable[..., Database]) -> Iterator[Database]:
    """A database of either kind with our tables, all of them empty."""
    if request.param == "sqlite":
        database = opened(f"sqlite:///{tmp_path / 'failover.db'}")
        upgrade(database)
        yield database
        return
    database = opened(request.getfixturevalue("our_mariadb"))
    yield database
    with database.begin() as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())


Furnish = Callable[..., Database]


@pytest.fixture
def furnish(request: pytest.FixtureRequest, tmp_path: Path, opened: Callable[..., Database]) -> Iterator[Furnish]:
    """Makes databases with the tables of a generation, some rows in them, and our own tables."""
    with ExitStack() as stack:

        def make(where: str, rows: generations.Rows | None = None) -> Database:
            url = stack.enter_context(_address(request, tmp_path, where))
            with generations.transaction(url) as connection:
                generations.create(connection, where.partition(" ")[0])
                generations.load(connection, where.partition(" ")[0], rows or {})
            database = opened(url)
            upgrade(database)
            return database

        yield make


@contextmanager
def _address(request: pytest.FixtureRequest, folder: Path, where: str) -> Iterator[str]:
    if where.endswith("on SQLite"):
        yield f"sqlite:///{folder / 'replication.db'}"
        return
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name:
        yield server.url(name)
