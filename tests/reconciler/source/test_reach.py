"""The source side as a whole: each service answers, is not configured, or fails with a reason; and what it says of a VM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.source.appliance import Power, PowerState
from reconciler.source.errors import BadAnswer, LookFailed, NotConfigured, NotKnown, SourceError
from reconciler.source.reach import Reach, Service, SourceSide, reachable, said_of
from tests.reconciler.source.side import APPLIANCE, SOURCE, VOLUME, Side


def test_every_service_that_answers_is_reached(side: Side) -> None:
    assert [(row.service, row.reach, row.reason) for row in reachable(side.side)] == [
        (s, Reach.ANSWERS, "") for s in Service
    ]


def test_what_has_no_address_is_not_configured_and_named() -> None:
    for row in reachable(SourceSide()):
        assert row.reach is Reach.NOT_CONFIGURED
        assert f"source.{row.service}" in row.reason


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("kind", ["drop", "refuse", "html", "empty-body"])
def test_a_service_that_fails_is_told_with_its_reason_and_others_all_the_same(side: Side, service: str, kind: str) -> None:
    side.faults.add(kind, f"{service}:health", code=200 if kind == "html" else 503)
    reached = {row.service: row for row in reachable(side.side)}
    assert {s for s, row in reached.items() if row.reach is Reach.FAILS} == {service}
    assert side.server.url(service) in reached[Service(service)].reason


def test_what_each_service_says_of_a_vm_is_told(side: Side) -> None:
    job = side.estate.sync(side.vm, "the scheduler's")
    said = said_of(side.side, SOURCE)
    assert isinstance(said.power, PowerState)
    assert said.power.power is Power.ON
    assert not isinstance(said.jobs, SourceError)
    assert [j.id for j in said.jobs] == [job.id]
    assert said.mappings == {VOLUME: "/dev/vdb"}


def test_what_could_not_be_told_is_an_error_and_never_made_up(side: Side) -> None:
    said = said_of(SourceSide(), SOURCE)
    assert all(isinstance(part, NotConfigured) for part in (said.power, said.jobs, said.mappings))
    assert isinstance(said_of(side.side, replace(SOURCE, platform=None)).mappings, NotKnown)
    side.faults.add("other-vm", "daemon:volumes")
    assert isinstance(said_of(side.side, SOURCE).mappings, BadAnswer)
    side.faults.add("refuse", "daemon:volumes", code=500)
    assert isinstance(said_of(side.side, SOURCE).mappings, LookFailed)


def test_a_machine_that_the_daemon_does_not_know_has_none_of_its_volumes(side: Side) -> None:
    del side.estate.mappings[APPLIANCE]
    assert said_of(side.side, SOURCE).mappings == {}
