"""Which old runs go: by kind and age, and never one of which anything is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from plans.observed import MARK, Capabilities, Estate, VmSnapshot, VolumeSnapshot
from reconciler import retention
from reconciler.settings import Retention
from reconciler.store.retention import Ended, Made

NOW = datetime(2026, 11, 24, tzinfo=UTC)
IDS = st.frozensets(st.sampled_from("abcd"), max_size=3)
RUNS = st.builds(
    Ended,
    id=st.sampled_from(["r1", "r2", "r3"]),
    vm_key=st.just("k"),
    vm_name=st.just("vm"),
    kind=st.sampled_from(["test", "live"]),
    failed=st.booleans(),
    finished_at=st.integers(0, 800).map(lambda days: NOW - timedelta(days=days)),
    guest_name=st.sampled_from(["vm-test", "vm"]),
    made=st.builds(Made, ids=IDS, names=IDS),
    dirty=st.booleans(),
)
DAYS = st.none() | st.integers(1, 500).map(lambda days: timedelta(days=days))


def estate(ids: frozenset[str], mark: str) -> Estate:
    """Volume snapshots of these ids, and VM snapshots of these names."""
    snapshots = {i: VolumeSnapshot(i, i, "v", "BackedUp", {MARK: mark} if mark else {}) for i in ids}
    named = {f"row of {i}": VmSnapshot(f"row of {i}", i, "m", "Ready") for i in ids}
    return Estate(NOW, Capabilities(), {}, {}, snapshots, named, {})


@given(st.lists(RUNS, max_size=6), DAYS, DAYS, IDS, st.sampled_from(["", "r1", "r9"]), st.booleans())
def test_what_goes_is_old_enough_and_nothing_of_it_is_left(
    runs: list[Ended], tests: timedelta | None, live: timedelta | None, ids: frozenset[str], mark: str, failed: bool
) -> None:
    keep, there = Retention(tests=tests, live=live), estate(ids, mark)
    gone, kept = retention.chosen(runs, keep, NOW, there, failed=failed)
    for run in gone:
        age = tests if run.kind == "test" else live
        assert age is not None
        assert NOW - run.finished_at > age
        assert not (run.made.ids | run.made.names) & ids
        assert not run.dirty
        assert failed or not run.failed
        assert not (ids and mark == run.id)
    for row in kept:
        assert row.why
        assert row.run not in gone
    again, _ = retention.chosen(gone, keep, NOW, there, failed=failed)
    assert again == gone
