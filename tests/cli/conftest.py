from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.world import Cloud, House

QUICK_JOBS = ("--durations", "0")


@pytest.fixture(scope="session")
def still() -> Iterator[Cloud]:
    """A cloud that nobody changes: every test may share it."""
    cloud = Cloud()
    yield cloud
    changes = cloud.changes()
    cloud.close()
    assert changes == {}, "a test changed the cloud that all share"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cloud of the test's own."""
    cloud = Cloud(*QUICK_JOBS)
    yield cloud
    cloud.close()


@pytest.fixture
def house(tmp_path: Path, still: Cloud) -> House:
    """A folder for the cloud that nobody changes."""
    return House(tmp_path / "house", still.url)


@pytest.fixture
def home(tmp_path: Path, cloud: Cloud) -> House:
    """A folder for the test's own cloud."""
    return House(tmp_path / "home", cloud.url)


@pytest.fixture
def untouched(still: Cloud, house: House) -> Iterator[Callable[[], None]]:
    """Asserts, at its call and at the end, that neither cloud nor database was changed since the first call."""
    before: list[str] = []

    def check() -> None:
        before.append(house.dump())
        assert before[0] == before[-1]
        assert still.changes() == {}

    yield check
    check()
