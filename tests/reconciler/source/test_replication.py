"""The replication system's API: one sync, found again by its key, proved by new ChangeIDs."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.source.errors import BadAnswer, SourceError
from reconciler.source.outcomes import Done, Outcome, Refused, Unknown
from tests.reconciler.source.side import DISKS, SOURCE, Side

WITHIN = timedelta(minutes=30)


def synced(side: Side, key: str = "ours") -> Outcome:
    return side.replication.sync(SOURCE, key, WITHIN)


def test_a_sync_is_done_when_every_disk_has_a_new_change_id(side: Side) -> None:
    done = synced(side)
    assert isinstance(done, Done)
    assert done.proof == side.vm.change_ids
    assert not set(done.proof.values()) & {d.change_id for d in DISKS}
    assert side.waited() == side.estate.syncing


def test_completed_without_a_new_change_id_is_refused(side: Side) -> None:
    side.faults.add("job-same-change-id", "replication:start")
    assert isinstance(synced(side), Refused)


def test_completed_for_one_disk_of_two_is_refused_and_names_the_other(side: Side) -> None:
    del side.vm.change_ids["disk-2001"]
    ended = synced(side)
    assert isinstance(ended, Refused)
    assert "disk-2001" in ended.why
    assert "disk-2000" not in ended.why


def test_a_vm_without_disks_proves_nothing(side: Side) -> None:
    assert isinstance(side.replication.sync(replace(SOURCE, disks=()), "ours", WITHIN), Refused)


def test_a_job_that_failed_is_refused(side: Side) -> None:
    side.faults.add("job-fails", "replication:start")
    assert isinstance(synced(side), Refused)


def test_a_job_that_hangs_is_not_known_when_its_time_is_up(side: Side) -> None:
    side.faults.add("job-hangs", "replication:start")
    assert isinstance(synced(side), Unknown)
    assert side.waited() == WITHIN.total_seconds()


def test_beside_a_job_that_is_under_way_none_is_started(side: Side) -> None:
    side.estate.sync(side.vm, "the scheduler's")
    assert isinstance(synced(side), Refused)
    assert side.server.calls["replication:start"] == 0


@pytest.mark.parametrize("word", ["pending", "analyzing", "a word of tomorrow"])
def test_any_word_that_is_not_an_end_is_a_job_under_way(side: Side, word: str) -> None:
    side.estate.sync(side.vm, "the scheduler's").outcome = word
    side.clock.wait(WITHIN, threading.Event())
    assert isinstance(synced(side), Refused)
    assert side.server.calls["replication:start"] == 0


def test_a_job_that_slips_in_between_is_a_plain_no(side: Side) -> None:
    side.faults.add("refuse", "replication:start", code=409)
    assert isinstance(synced(side), Refused)
    assert side.waited() == 0


@pytest.mark.parametrize(
    ("kind", "code"), [("lose-answer", 0), ("half-answer", 0), ("empty-body", 0), ("html", 502), ("other-vm", 0)]
)
def test_a_lost_answer_is_found_again_by_our_key(side: Side, kind: str, code: int) -> None:
    side.faults.add(kind, "replication:start", code=code)
    assert isinstance(synced(side), Done)
    assert side.changes("sync") == side.server.calls["replication:start"] == 1


@pytest.mark.parametrize(("kind", "code"), [("drop", 0), ("refuse", 500)])
def test_a_sync_that_is_not_found_by_its_key_is_not_known_and_not_sent_again(side: Side, kind: str, code: int) -> None:
    side.faults.add(kind, "replication:start", code=code)
    assert isinstance(synced(side), Unknown)
    assert side.server.calls["replication:start"] == 1


def test_a_sync_with_our_key_is_followed_and_not_started_again(side: Side) -> None:
    side.estate.sync(side.vm, "ours")
    assert isinstance(synced(side), Done)
    assert side.server.calls["replication:start"] == 0


def test_looks_that_fail_in_between_are_looked_again(side: Side) -> None:
    side.faults.add("drop", "replication:job", times=3)
    side.faults.add("html", "replication:job", nth=2, times=2, code=502)
    assert isinstance(synced(side), Done)


@pytest.mark.parametrize("kind", ["other-vm", "empty-body", "drop", "html"])
def test_where_jobs_cannot_be_listed_nothing_is_started(side: Side, kind: str) -> None:
    side.estate.sync(side.vm, "old")
    side.faults.add(kind, "replication:jobs", code=200)
    with pytest.raises(SourceError):
        synced(side)
    assert side.server.calls["replication:start"] == 0


def test_a_job_of_another_vm_is_no_answer(side: Side) -> None:
    made = side.estate.sync(side.vm, "ours")
    side.faults.add("other-vm", "replication:job")
    with pytest.raises(BadAnswer):
        side.replication.job(SOURCE, made.id)
