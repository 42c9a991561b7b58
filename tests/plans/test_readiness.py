"""Readiness: the score as documented, every reason sorted into one check, and nothing that could not be seen passes."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans import guards, readiness
from plans.observed import ActiveJob, RunFacts, World
from plans.readiness import Check, Fresh, Kind, Readiness, Severity
from tests.plans import worlds

CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING
checks = st.lists(
    st.builds(
        Check,
        id=st.just("V-00"),
        name=st.just("a check"),
        severity=st.sampled_from(Severity),
        passed=st.booleans(),
        message=st.text(max_size=5),
        actions=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    ),
    max_size=6,
).map(tuple)


def check(severity: Severity, passed: bool) -> Check:
    return Check("V-00", "a check", severity, passed, "said")


def assessed(world: World, kind: Kind = Kind.TEST, **options: object) -> Readiness:
    return readiness.assess(worlds.spec(), kind, world, **options)  # type: ignore[arg-type]


def failed(found: Readiness) -> list[str]:
    return [c.id for c in (*found.checks, *found.extended) if not c.passed]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], 0.0),
        ([check(CRITICAL, True)] * 5, 100.0),
        ([check(CRITICAL, True)] * 4 + [check(WARNING, False)], 80.0),
        ([check(WARNING, False)] + [check(CRITICAL, False)] + [check(CRITICAL, True)] * 3, 0.0),
    ],
)
def test_the_score_is_as_documented(rows: list[Check], expected: float) -> None:
    assert readiness.score(rows) == expected


@given(checks)
def test_a_failed_critical_check_makes_the_score_0_and_each_passed_one_counts_alike(rows: tuple[Check, ...]) -> None:
    found = readiness.score(rows)
    if any(not c.passed and c.severity is CRITICAL for c in rows) or not rows:
        assert found == 0.0
    else:
        assert found == pytest.approx(100 * sum(c.passed for c in rows) / len(rows))


@given(checks, checks)
def test_further_checks_only_take_readiness_away_and_never_change_the_score(
    scored: tuple[Check, ...], further: tuple[Check, ...]
) -> None:
    alone = Readiness("vm", "key", Kind.TEST, scored)
    found = Readiness("vm", "key", Kind.TEST, scored, further)
    assert found.score == alone.score
    assert not found.is_ready or alone.is_ready
    assert found.is_ready == (alone.is_ready and not any(not c.passed and c.severity is CRITICAL for c in further))


@given(checks, checks)
def test_an_action_is_required_once_and_only_for_a_check_that_failed(
    scored: tuple[Check, ...], further: tuple[Check, ...]
) -> None:
    found = Readiness("vm", "key", Kind.TEST, scored, further)
    needed = [a for c in (*scored, *further) if not c.passed for a in c.actions]
    assert list(found.required_actions) == list(dict.fromkeys(needed))


def test_every_reason_against_a_test_fails_a_check() -> None:
    said = set(re.findall(r'Reason\(\s*"([A-Z_]+)"', inspect.getsource(guards)))
    assert said - {"NOT_OFFERED"} <= {code for rule in readiness.RULES for code in rule.codes}
    assert len(said) > 20


def test_a_vm_with_everything_in_place_is_ready_and_nothing_is_required() -> None:
    found = assessed(worlds.world(3))
    assert (found.score, found.is_ready, found.required_actions) == (100.0, True, ())
    assert [c.id for c in found.checks] == ["V-01", "V-02", "V-03", "V-04", "V-05"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cpus": 0}, ["V-01"]),
        ({"active_jobs": (ActiveJob("j", "replication", "replicating", 42.0),)}, ["V-02"]),
        ({"mappings": ()}, ["V-04"]),
        ({"adapters": ()}, ["V-04"]),
    ],
)
def test_a_fault_flips_its_check_and_no_other(change: dict[str, object], expected: list[str]) -> None:
    assert failed(assessed(worlds.world(source=worlds.source(1, **change)))) == expected


def test_a_run_of_ours_is_an_active_job() -> None:
    assert failed(assessed(worlds.world(run=RunFacts("run-1", "pgwintestbios-test")))) == ["V-02"]


def test_what_could_not_be_seen_has_failed_and_says_why() -> None:
    found = assessed(worlds.world(2), unseen="no connection")
    assert failed(found) == ["V-04", "V-05", "V-06", "V-07", "V-08", "V-12"]
    assert found.score == 0.0
    assert all("no connection" in text for text in found.errors)


def test_live_needs_production_networks_and_the_source_side_and_no_test_network() -> None:
    only_tests = worlds.source(1, mappings=tuple(m for m in worlds.source(1).mappings if m.is_test))
    found = assessed(worlds.world(source=only_tests), Kind.LIVE, source_side=("the appliance does not answer",))
    assert failed(found) == ["V-04", "V-10"]
    assert "has no production network" in found.warnings[0]
    assert "V-06" not in [c.id for c in found.extended]


def test_a_disk_that_grew_in_the_cloud_has_drifted_and_is_a_warning() -> None:
    world = worlds.world(1)
    volume = next(v for v in world.volumes.values() if v.type == "DATADISK")
    found = assessed(replace(world, volumes={**world.volumes, volume.id: replace(volume, size=volume.size * 2)}))
    assert (failed(found), found.score, found.is_ready) == (["V-12"], 100.0, True)


# --- how old a sync may be --------------------------------------------------------------------------------------------

AT = datetime(2026, 11, 24, 14, tzinfo=UTC)
DAY = timedelta(days=1)


def synced(*ages: timedelta | None) -> World:
    """A world whose disks were synced so long before `AT`."""
    source = worlds.source(len(ages))
    disks = (replace(d, synced_at=None if a is None else AT - a) for d, a in zip(source.disks, ages, strict=True))
    return worlds.world(len(ages), source=replace(source, disks=tuple(disks)))


@pytest.mark.parametrize(
    ("world", "says"),
    [
        (synced(DAY), None),
        (synced(timedelta()), None),
        (synced(-DAY), None),
        (synced(DAY + timedelta(seconds=1)), "the newest sync of disk-2000 is 1d 1s old, more than 1d"),
        (synced(DAY, 3 * DAY + timedelta(hours=2, minutes=9)), "the newest sync of disk-2001 is 3d 2h old, more than 1d"),
        (synced(9 * DAY, None), "nobody recorded when disk-2001 was last synced"),
    ],
)
def test_the_oldest_sync_counts_and_a_warning_takes_nothing_away(world: World, says: str | None) -> None:
    found = assessed(world, fresh=Fresh(AT, DAY))
    (age,) = (c for c in found.extended if c.id == "V-11")
    assert (age.message, age.passed) == (says or "passed", says is None)
    assert (found.score, found.is_ready) == (100.0, True)
    assert any("failover source sync" in a for a in found.required_actions) is not age.passed


def test_what_was_never_synced_is_another_check_and_nobody_asks_without_a_moment() -> None:
    source = worlds.source()
    world = worlds.world(source=replace(source, disks=tuple(replace(d, change_id=None) for d in source.disks)))
    assert "V-11" not in failed(assessed(world, fresh=Fresh(AT, DAY)))
    assert "V-11" not in {c.id for c in assessed(synced(None)).extended}
