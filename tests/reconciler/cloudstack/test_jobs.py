"""The job board: few jobs are asked for one by one, many share one read; what ended is asked for once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cloudstack import errors
from reconciler.cloudstack.jobs import DOUBT, FEW, LONGEST, SHORTEST, JobBoard, next_poll
from reconciler.cloudstack.outcomes import JobFailed, JobPending, JobSucceeded, JobUnknown, JobVanished
from tests.reconciler.cloudstack.conftest import Hand
from tests.reconciler.cloudstack.odd_server import Reply, envelope, error, odd_server


def job(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def server_with(pending: set[str]):
    def answer(asked: dict[str, str]) -> Reply:
        if asked["command"] == "listAsyncJobs":
            rows = [{"jobid": j, "jobstatus": 0} for j in sorted(pending)]
            return envelope({"count": len(rows), "asyncjobs": rows} if rows else {})
        if asked["jobid"] in pending:
            return envelope({"jobid": asked["jobid"], "jobstatus": 0})
        return envelope({"jobid": asked["jobid"], "jobstatus": 1, "jobresult": {"success": True}})

    return odd_server(answer)


@pytest.fixture
def hand() -> Hand:
    return Hand()


def board_on(client_for, server, hand: Hand) -> JobBoard:
    return JobBoard(client_for(server.url), hand.now)


def test_a_thousand_jobs_cost_one_read_an_interval_and_one_question_for_each_that_ended(client_for, hand):
    pending = {job(n) for n in range(400)}
    with server_with(pending) as server:
        board = board_on(client_for, server, hand)
        wanted = frozenset(pending)
        assert board.refresh(wanted) == wanted
        hand.wait(1)
        assert board.refresh(wanted) == wanted
        hand.wait(1)
        pending.clear()
        assert board.refresh(wanted) == frozenset()
        ended = sorted(wanted)[:3]
        assert [board.settle(j) for j in (*ended, *ended)] == [JobSucceeded({"success": True})] * 6
    assert server.commands() == ["listAsyncJobs"] * 2 + ["queryAsyncJobResult"] * 3


def test_a_new_job_is_looked_for_at_once(client_for, hand):
    pending = {job(n) for n in range(FEW + 1)}
    with server_with(pending) as server:
        board = board_on(client_for, server, hand)
        board.refresh(pending - {job(0)})
        assert board.refresh(pending) == pending
    assert server.commands() == ["listAsyncJobs"] * 2


def test_few_jobs_are_asked_for_singly_and_their_results_kept(client_for, hand):
    with server_with({job(1)}) as server:
        board = board_on(client_for, server, hand)
        assert board.refresh({job(1), job(2)}) == {job(1)}
        assert (board.is_pending(job(1)), board.is_pending(job(2))) == (True, False)
        assert board.settle(job(2)) == JobSucceeded({"success": True})
    assert server.commands() == ["queryAsyncJobResult"] * 2


def test_few_jobs_are_asked_for_less_and_less_often(client_for, hand):
    asked_at = []
    with server_with({job(1)}) as server:
        board = board_on(client_for, server, hand)
        for second in range(60):
            before = len(server.received)
            board.refresh({job(1)})
            asked_at += [second] * (len(server.received) - before)
            hand.wait(1)
    assert asked_at == [0, 2, 5, 10, 17, 27, 37, 47, 57]


def test_without_jobs_nothing_is_asked(client_for, hand):
    with server_with(set()) as server:
        assert board_on(client_for, server, hand).refresh(()) == frozenset()
    assert server.received == []


def test_a_refresh_that_fails_leaves_what_was_known(client_for, hand):
    wanted = {job(n) for n in range(FEW)}
    replies = [envelope({"count": 1, "asyncjobs": [{"jobid": job(1)}]})]
    with odd_server(lambda _: replies.pop() if replies else error(531)) as server:
        board = board_on(client_for, server, hand)
        board.refresh(wanted)
        hand.wait(2)
        with pytest.raises(errors.LookFailed):
            board.refresh(wanted)
    assert board.is_pending(job(1))


@dataclass
class Cut:
    """A server that shows no more than `shown` of its pending jobs, whatever is asked for, and counts them all."""

    pending: set[str]
    shown: int
    lies: frozenset[str] = frozenset()

    def __call__(self, asked: dict[str, str]) -> Reply:
        if asked["command"] == "listAsyncJobs":
            rows = [{"jobid": j} for j in sorted(self.pending | self.lies)]
            return envelope({"count": len(rows), "asyncjobs": rows[: self.shown]})
        if asked["jobid"] in self.pending:
            return envelope({"jobid": asked["jobid"], "jobstatus": 0})
        return envelope({"jobid": asked["jobid"], "jobstatus": 1})


def test_a_job_that_the_list_does_not_show_is_followed_by_itself(client_for, hand):
    pending = {job(n) for n in range(10)}
    with odd_server(Cut(set(pending), shown=9)) as server:
        board = board_on(client_for, server, hand)
        assert board.refresh(pending) == pending - {job(9)}
        assert board.settle(job(9)) == JobPending()
        asked = server.commands().count("queryAsyncJobResult")
        for _ in range(20):
            hand.wait(1)
            assert board.refresh(pending) == pending
        assert server.commands().count("queryAsyncJobResult") - asked == 4


def test_a_job_that_a_stale_list_shows_for_ever_is_found_to_have_ended(client_for, hand):
    wanted = {job(n) for n in range(10)}
    with odd_server(Cut(set(), shown=10, lies=frozenset(wanted))) as server:
        board = board_on(client_for, server, hand)
        assert board.refresh(wanted) == wanted
        hand.wait(DOUBT.total_seconds())
        assert board.refresh(wanted) == frozenset()
        assert [board.settle(j) for j in wanted] == [JobSucceeded()] * 10
    assert server.commands().count("queryAsyncJobResult") == len(wanted)


def test_a_list_that_tells_the_truth_is_doubted_by_one_question_every_ten_seconds(client_for, hand):
    pending = {job(n) for n in range(100)}
    with server_with(pending) as server:
        board = board_on(client_for, server, hand)
        for _ in range(0, 600, 2):
            assert board.refresh(pending) == pending
            hand.wait(2)
    asked = [sent["jobid"] for sent in server.received if sent["command"] == "queryAsyncJobResult"]
    assert len(asked) == len(set(asked)) == (600 - DOUBT.total_seconds()) // LONGEST.total_seconds()


def test_a_new_process_follows_the_jobs_of_the_one_before(client_for, hand):
    pending = {job(1)}
    with server_with(pending) as server:
        assert board_on(client_for, server, hand).refresh({job(1)}) == {job(1)}
        again = board_on(client_for, server, hand)
        assert again.refresh({job(1)}) == {job(1)}
        pending.clear()
        hand.wait(2)
        assert again.refresh({job(1)}) == frozenset()
        assert again.settle(job(1)) == JobSucceeded({"success": True})


def test_jobs_of_long_ago_are_forgotten(client_for, hand):
    with server_with(set()) as server:
        board = board_on(client_for, server, hand)
        board.refresh({job(1)})
        board.refresh({job(2)})
    assert set(board._watched) == {job(2)}


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (error(431), JobVanished()),
        (error(531), JobUnknown("the job belongs to another account")),
        (
            envelope({"jobstatus": 2, "jobresultcode": 432, "jobresult": {"errortext": "role"}}),
            JobFailed(432, "role", retryable=False),
        ),
    ],
)
def test_the_answer_about_one_job_becomes_a_result(client_for, reply, result):
    with odd_server(reply) as server:
        assert client_for(server.url).job(job(1)) == result


def test_a_job_that_had_vanished_is_asked_for_again(client_for, hand):
    replies = [error(431), envelope({"jobstatus": 1})]
    with odd_server(lambda _: replies.pop(0)) as server:
        board = board_on(client_for, server, hand)
        board.refresh({job(1)})
        assert board.settle(job(1)) == JobSucceeded()


@given(st.integers(1, 2000), st.integers(0, 100))
def test_polls_are_never_closer_than_two_seconds_nor_further_than_ten(outstanding, polls):
    wait = next_poll(outstanding, polls)
    assert wait is not None
    assert SHORTEST <= wait <= LONGEST
    assert wait <= (next_poll(outstanding, polls + 1) or timedelta(0))


def test_many_jobs_are_polled_at_one_pace_and_none_not_at_all():
    assert {next_poll(FEW, polls) for polls in range(20)} == {SHORTEST}
    assert next_poll(0, 3) is None
