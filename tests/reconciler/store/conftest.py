from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.store import tables
from reconciler.store.database import Database, upgrade
from tests.mariadb import Server


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
