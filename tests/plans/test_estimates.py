"""How long is waited: by size, and by how long such steps took before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans import actions, estimates
from plans.actions import Action
from plans.estimates import GIB, Bounds
from plans.observed import Place, Volume, World
from tests.plans import worlds

DISK = "volume-1"
STEPS: tuple[Action, ...] = (
    actions.SnapshotReplica(DISK, "disk-2000", "name"),
    actions.RevertReplica(DISK, "disk-2000"),
    actions.CloneReplica(DISK, "disk-2000", "name"),
    actions.DetachReplica(DISK, "disk-2000", Place.APPLIANCE),
    actions.StartGuest(),
    actions.StopGuest(),
)
seconds = st.floats(0, 10**6, allow_nan=False)
samples = st.lists(seconds, max_size=40)
steps = st.sampled_from(STEPS)
sizes = st.integers(0, 64 * 1024 * GIB)
bounds = st.tuples(st.integers(0, 10**5), st.integers(0, 10**6)).map(
    lambda pair: Bounds(timedelta(seconds=min(pair)), timedelta(seconds=max(pair)))
)


def world(size: int) -> World:
    found = worlds.world()
    return worlds.replace(found, volumes={DISK: Volume(DISK, "disk", "Ready", "DATADISK", size, "zone")})


def took(step: Action, spans: list[float]) -> list[tuple[str, str, float]]:
    return [(step.word, DISK, span) for span in spans]


def wait(step: Action, size: int, spans: list[float], within: Bounds) -> timedelta:
    return estimates.deadline(step, world(size), estimates.paces(took(step, spans), {DISK: size}), within)


def by_size(step: Action, size: int) -> timedelta:
    return timedelta(minutes=5) + 5 * estimates.expected(step, world(size))


@given(steps, sizes, samples, bounds)
def test_a_wait_is_at_least_half_of_what_size_asks_for_and_within_the_bounds(
    step: Action, size: int, spans: list[float], within: Bounds
) -> None:
    found, half = wait(step, size, spans, within), by_size(step, size) / 2
    assert found >= half
    assert found >= within.at_least
    assert found <= max(within.at_most, by_size(step, size))


@given(steps, sizes, st.lists(seconds, max_size=2), bounds)
def test_few_steps_are_no_history(step: Action, size: int, spans: list[float], within: Bounds) -> None:
    assert wait(step, size, spans, within) == max(by_size(step, size), within.at_least)


@given(steps, sizes, st.lists(seconds, min_size=3, max_size=20), st.data(), bounds)
def test_slower_steps_never_make_a_wait_shorter(
    step: Action, size: int, spans: list[float], data: st.DataObject, within: Bounds
) -> None:
    place = data.draw(st.integers(0, len(spans) - 1))
    slower = [span + 3600 * (n == place) for n, span in enumerate(spans)]
    assert wait(step, size, slower, within) >= wait(step, size, spans, within)


@given(steps, sizes, sizes, st.lists(seconds, min_size=3, max_size=20), bounds)
def test_a_larger_disk_never_makes_a_wait_shorter(
    step: Action, size: int, more: int, spans: list[float], within: Bounds
) -> None:
    known = estimates.paces(took(step, spans), {DISK: GIB})
    small, large = (estimates.deadline(step, world(s), known, within) for s in (size, size + more))
    assert large >= small


@given(steps, sizes, st.lists(seconds, min_size=20, max_size=20), samples)
def test_only_the_newest_steps_count(step: Action, size: int, newest: list[float], older: list[float]) -> None:
    of = {DISK: size}
    assert estimates.paces(took(step, newest + older), of) == estimates.paces(took(step, newest), of)


def test_one_step_in_ten_may_be_as_slow_as_it_likes() -> None:
    assert estimates.paces(took(STEPS[4], [10.0] * 9 + [9999.0]), {}) == {"start-guest": 10.0}


@pytest.mark.parametrize(
    ("step", "size", "spans", "seconds"),
    [
        (STEPS[4], 0, [200, 200, 200], 300 + 5 * 200),
        (STEPS[4], 0, [1, 1, 1], 305),  # by size 600, half of that is less
        (STEPS[0], 10 * GIB, [100, 100, 100], 300 + 5 * 100),  # ten seconds a GiB, as it was
        (STEPS[0], 10 * GIB, [10**6] * 3, 86400),
        (STEPS[0], 1024 * GIB, [1, 1, 1], (300 + 5 * (10 + 1024 * GIB // estimates.COPY_BYTES_PER_SECOND)) / 2),
    ],
    ids=["as it was seen", "never less than the least", "by the GiB", "a day at most", "half of what size asks for"],
)
def test_a_wait_follows_what_was_seen(step: Action, size: int, spans: list[float], seconds: float) -> None:
    assert wait(step, size, spans, Bounds()) == timedelta(seconds=seconds)


def test_a_copy_of_a_volume_that_is_not_known_and_a_word_that_is_not_say_nothing() -> None:
    gone = [("snapshot-replica", "gone", 5.0)] * 5
    assert estimates.paces([*gone, *[("no-such-step", "guest", 5.0)] * 5], {DISK: GIB}) == {}
