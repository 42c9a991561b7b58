from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from reconciler.store import tables
from reconciler.store.database import Database, upgrade
from tests.mariadb import Server
from tests.reconciler.store import generations, vms


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
    """Makes databases with the tables of a generation and some rows in them."""
    with ExitStack() as stack:

        def make(generation: str, rows: generations.Rows | None = None) -> Database:
            if generation.endswith("on SQLite"):
                url = f"sqlite:///{tmp_path / 'replication.db'}"
            else:
                server: Server = request.getfixturevalue("mariadb")
                url = server.url(stack.enter_context(server.fresh()))
            generations.fill(url, generation, rows or {})
            return opened(url)

        yield make


@pytest.fixture(scope="session")
def furnished_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Addresses of databases of each generation with three VMs and our tables in them, made when first asked for."""

    @cache
    def address(generation: str) -> str:
        if generation.endswith("on SQLite"):
            url = f"sqlite:///{tmp_path_factory.mktemp('generation') / 'replication.db'}"
        else:
            server: Server = request.getfixturevalue("mariadb")
            url = server.url(server.database())
        generations.fill(url, generation, vms.rows(vms.VMS[0]))
        database = Database(url)
        upgrade(database)
        database.engine.dispose()
        return url

    return address


@pytest.fixture
def settled(furnished_once: Callable[[str], str], opened: Callable[..., Database]) -> Iterator[Furnish]:
    """Opens the one database of a generation, for tests that leave its tables and its VMs as they are."""
    used: list[Database] = []

    def open_(generation: str) -> Database:
        used.append(opened(furnished_once(generation)))
        return used[-1]

    yield open_
    for database in used:
        with database.begin() as connection:
            _as_before(connection)


def _as_before(connection: sa.Connection) -> None:
    for table in (*tables.metadata.tables, "failover_jobs"):
        connection.execute(sa.text(f"DELETE FROM {table}"))
    if sa.inspect(connection).has_table("vm_replication_contexts"):
        values = "current_status = 'ready_for_failover', last_status_change = '2025-08-18 16:00:00'"
        connection.execute(sa.text(f"UPDATE vm_replication_contexts SET {values}"))
