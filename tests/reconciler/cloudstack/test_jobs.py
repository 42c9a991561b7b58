"""The job board: few jobs are asked for one by one, many share one read; what ended is asked for once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cloudstack import errors
from reconciler.cloudstack.jobs import FEW, LONGEST, SHORTEST, JobBoard, next_poll
from reconciler.cloudstack.outcomes import JobFailed, JobSucceeded, JobUnknown, JobVanished
from tests.reconciler.cloudstack.conftest import NOW
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


def test_a_thousand_jobs_cost_one_read_and_one_question_for_each_that_ended(client_for):
    pending = {job(n) for n in range(400)}
    with server_with(pending) as server:
        client = client_for(server.url)
        board = JobBoard(client, lambda: NOW)
        wanted = frozenset(pending)
        assert board.refresh(wanted) == wanted
        pending.clear()
        assert board.refresh(wanted) == frozenset()
        assert [board.settle(j) for j in sorted(wanted)[:3]] == [JobSucceeded({"success": True})] * 3
    assert server.commands() == ["listAsyncJobs"] * 2 + ["queryAsyncJobResult"] * 3


def test_few_jobs_are_asked_for_singly_and_their_results_kept(client_for):
    pending = {job(1)}
    with server_with(pending) as server:
        board = JobBoard(client_for(server.url), lambda: NOW)
        assert board.refresh({job(1), job(2)}) == {job(1)}
        assert (board.is_pending(job(1)), board.is_pending(job(2))) == (True, False)
        assert board.settle(job(2)) == JobSucceeded({"success": True})
    assert server.commands() == ["queryAsyncJobResult"] * 2
    assert board.refreshed_at == NOW


def test_without_jobs_nothing_is_asked(client_for):
    with server_with(set()) as server:
        assert JobBoard(client_for(server.url), lambda: NOW).refresh(()) == frozenset()
    assert server.received == []


def test_a_refresh_that_fails_leaves_what_was_known(client_for):
    replies = [envelope({"count": 1, "asyncjobs": [{"jobid": job(1)}]})]
    with odd_server(lambda _: replies.pop() if replies else error(531)) as server:
        board = JobBoard(client_for(server.url), lambda: NOW)
        wanted = {job(n) for n in range(FEW)}
        board.refresh(wanted)
        with pytest.raises(errors.LookFailed):
            board.refresh(wanted)
    assert board.is_pending(job(1))


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


def test_a_job_that_had_vanished_is_asked_for_again(client_for):
    replies = [error(431), envelope({"jobstatus": 1})]
    with odd_server(lambda _: replies.pop(0)) as server:
        board = JobBoard(client_for(server.url), lambda: NOW)
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
