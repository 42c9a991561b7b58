"""A list is complete or it is none: servers that cut, repeat, lose, forbid and lie about their pages."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.cloudstack import errors
from reconciler.cloudstack.client import Client, Endpoint
from tests.reconciler.cloudstack.conftest import KEY, SECRET, Hand
from tests.reconciler.cloudstack.odd_server import Reply, envelope, error, odd_server

ZONE = "00000000-0000-4000-8000-0000000000a1"


def volume(number: int) -> dict[str, object]:
    made = f"00000000-0000-4000-8000-{number:012d}"
    return {"id": made, "name": f"v{number}", "state": "Ready", "type": "DATADISK", "size": 1, "zoneid": ZONE}


@dataclass
class Pages:
    """A list command of a server: how many rows, whether all at once is allowed, how orderly its pages are."""

    rows: int
    unlimited: bool = True
    largest: int = 500
    orderly: bool = True
    tells_count: bool = True
    lies: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def __call__(self, asked: dict[str, str]) -> Reply:
        rows = [volume(n) for n in range(self.rows)]
        size, page = int(asked.get("pagesize", "500")), int(asked.get("page", "1"))
        if size == -1 and not self.unlimited:
            return error(431, "too much")
        if size > self.largest:
            return error(431, "page size")
        if not self.orderly:
            self.chance.shuffle(rows)
        part = rows if size == -1 else rows[(page - 1) * size : page * size]
        content: dict[str, object] = {"volume": part} if part else {}
        if rows and self.tells_count:
            content["count"] = len(rows) + self.lies
        return envelope(content)


@pytest.mark.parametrize(
    ("pages", "calls"),
    [
        (Pages(0), 1),
        (Pages(3), 1),
        (Pages(644), 1),
        (Pages(3, tells_count=False), 1),
        (Pages(644, unlimited=False), 3),
        (Pages(500, unlimited=False), 2),
        (Pages(250, unlimited=False, largest=100), 5),
        (Pages(45, unlimited=False, largest=20), 6),
        (Pages(644, unlimited=False, tells_count=False), 4),
    ],
)
def test_a_list_is_read_whole_in_few_calls(client_for, pages, calls):
    with odd_server(pages) as server:
        found = client_for(server.url).volumes()
    assert len({v.id for v in found}) == len(found) == pages.rows
    assert len(server.received) == calls


def test_walks_that_repeat_and_lose_rows_are_repeated_until_all_are_found(client_for):
    with odd_server(Pages(60, unlimited=False, largest=20, orderly=False)) as server:
        assert len(client_for(server.url).volumes()) == 60


def test_a_list_whose_count_is_never_reached_is_no_look(client_for):
    with (
        odd_server(Pages(30, lies=1)) as server,
        pytest.raises(errors.LookFailed, match="30 of 31 after 8 walks"),
    ):
        client_for(server.url).volumes()


def test_rows_that_vanish_between_walks_are_not_reported(client_for):
    class Shrinking(Pages):
        def __call__(self, asked):
            self.rows -= 1 if asked.get("page") == "1" and asked["pagesize"] == "20" and self.rows > 30 else 0
            return super().__call__(asked)

    with odd_server(Shrinking(33, unlimited=False, largest=20)) as server:
        found = client_for(server.url).volumes()
    assert sorted(v.name for v in found) == sorted(f"v{n}" for n in range(len(found)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 70), st.booleans(), st.sampled_from([20, 100, 500]), st.booleans(), st.integers(0, 3))
def test_a_list_is_complete_or_it_fails(rows, unlimited, largest, orderly, seed):
    pages, hand = Pages(rows, unlimited, largest, orderly, chance=random.Random(seed)), Hand()
    with odd_server(pages) as server:
        client = Client(Endpoint(url=server.url, key=KEY, secret=SECRET), hand.now, wait=hand.wait)
        try:
            found = client.volumes()
        except errors.LookFailed:
            assert not orderly
            return
        finally:
            client.close()
    assert {v.name for v in found} == {f"v{n}" for n in range(rows)}
