from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from reconciler.store.database import Database


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
