"""The replay tool reaches any server by its address: here a simulated cloud behind a port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest

from simulator import Cloud, TurnedClock, load_estate, serve
from tests.conformance import directions, records, replay, setup
from tests.conformance.doors import Keys
from tests.conformance.known import Result

# What no keys and no hand on the server are needed for.
SCENARIO = "08b-tags-encoding"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(directions.BEGAN)


@pytest.fixture
def cloud(clock: TurnedClock) -> Cloud:
    return load_estate(setup.walkground(), clock, durations=1.0)


@pytest.fixture
def url(cloud: Cloud) -> Iterator[str]:
    with serve(cloud) as server:
        yield server.url


def keys(caller: str) -> dict[str, Keys]:
    return {replay.DEFAULT_CALLER: setup.keys()[caller]}


def test_a_walk_replays_equal_over_http(url: str, clock: TurnedClock) -> None:
    lines = replay.on_server("walk-103", url, keys("walk"), clock.advance, clock.now())
    different = [line for line in lines if line.result is Result.DIFFERENT]
    assert not different, list(replay.told(different))[:5]
    assert replay.tally(lines)[Result.EQUAL] > 100


def test_what_the_walker_had_before_is_none_of_the_walk(cloud: Cloud, url: str, clock: TurnedClock) -> None:
    walker = cloud.as_account("walk")
    zone, offering = (next(iter(cloud.plain[kind])) for kind in ("Zone", "DiskOffering"))
    made = walker.call("createVolume", name="mine", zoneid=zone, diskofferingid=offering)
    clock.advance(10)
    lines = replay.on_server("walk-103", url, keys("walk"), clock.advance, clock.now())
    assert made.status == 200
    assert replay.tally(lines)[Result.DIFFERENT] == 0, list(replay.told(lines))[:5]


def test_a_scenario_replays_over_http_as_far_as_no_hand_is_needed(url: str, clock: TurnedClock) -> None:
    lines = replay.on_server(SCENARIO, url, setup.keys(), clock.advance, clock.now() - timedelta(days=1))
    counts = replay.tally(lines)
    assert counts[Result.EQUAL] > len(records.scenario(SCENARIO).exchanges) * 0.9
    assert counts[Result.DIFFERENT] == 0, list(replay.told(lines))


def test_callers_without_keys_are_skipped(url: str, clock: TurnedClock) -> None:
    lines = replay.on_server("20-cleanupdetails", url, keys("dr"), clock.advance, clock.now())
    assert "no keys of admin" in {line.skipped for line in lines}


def test_the_command_line_names_what_differs_and_says_so_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([SCENARIO]) == 0
    assert f"{SCENARIO}: " in capsys.readouterr().out


def test_each_difference_and_each_exchange_that_was_skipped_has_lines_of_its_own(
    url: str, clock: TurnedClock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "time", SimpleNamespace(sleep=clock.advance))
    assert replay.main(["--url", url, "--key", "key-of-dr", "--secret", "secret-of-dr", "08-tags"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "08-tags:createTags-foreign skipped, no keys of other" in lines
    assert any(line.startswith("    ") and "recorded 'Simulator', answered 'KVM'" in line for line in lines)
    assert lines[-1].startswith("08-tags: ")


def test_an_address_needs_keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSTACK_KEY", raising=False)
    with pytest.raises(SystemExit):
        replay.arguments(["--url", "http://127.0.0.1:1/client/api"])
    assert "needs --key and --secret" in capsys.readouterr().err
