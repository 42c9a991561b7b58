"""The page on protocols names exactly the requests that the adapters send and the simulated services answer."""

from __future__ import annotations

import re
from datetime import timedelta

from reconciler.source import appliance, replication
from reconciler.source.door import MAX_BYTES
from reconciler.source.reach import reachable, said_of
from simulator.source.faults import KINDS
from simulator.source.services import ROUTES
from tests.docs import pages
from tests.reconciler.source.side import LOGIN, SOURCE, Side

PAGE = pages.ROOT / "docs" / "reference" / "source-protocol.md"
SECTIONS = pages.sections(PAGE)


def told() -> set[tuple[str, str]]:
    """Every documented request with its service."""
    found = set()
    for row in pages.rows(SECTIONS["Requests"]):
        services = ("appliance", "replication", "daemon") if row[1] == "each" else (row[1],)
        found |= {(service, row[0].strip("`")) for service in services}
    return found


def served() -> set[tuple[str, str]]:
    """Every request that the simulated services answer, written as in the page."""
    found = set()
    for name, method, pattern in ROUTES:
        service, path = name.partition(":")[0], pattern.replace("([^/]+)", "{id}")
        found.add((service, f"{method} {path.removeprefix(f'/{service}')}"))
    return found


def test_every_documented_request_is_served_and_every_served_one_documented() -> None:
    assert told() == served()


def test_every_documented_request_is_sent_by_an_adapter(side: Side) -> None:
    reachable(side.side)
    said_of(side.side, SOURCE)
    side.appliance.switch_off(SOURCE, LOGIN, force=False)
    side.appliance.switch_on(SOURCE, LOGIN)
    side.replication.sync(SOURCE, "ours", timedelta(minutes=30))
    assert set(side.server.calls) == {name for name, _, _ in ROUTES}


def test_every_fault_that_the_simulated_services_know_is_told_with_its_meaning() -> None:
    assert {row[0].strip("`"): row[1].replace("`", "") for row in pages.rows(SECTIONS["Faults"])} == {
        kind: meaning.replace("`", "") for kind, meaning in KINDS.items()
    }


def test_the_words_and_numbers_of_the_page_are_the_code_s() -> None:
    power, jobs = SECTIONS["Power"], SECTIONS["Jobs"]
    assert {*appliance.Power, *appliance.Tools} - {"unknown"} <= set(re.findall(r"`(\w+)`", power))
    assert set(replication.ENDED) <= set(re.findall(r"`(\w+)`", jobs))
    assert f"{MAX_BYTES // 1024**2} MiB" in SECTIONS["For all three"]
    assert timedelta(minutes=2) == appliance.SEEN_WITHIN
    assert timedelta(minutes=7) == appliance.REQUEST + appliance.SEEN_WITHIN
    assert (timedelta(seconds=5), timedelta(seconds=10)) == (appliance.OFF_POLL, appliance.ON_POLL)
    assert timedelta(seconds=2) == replication.POLL
