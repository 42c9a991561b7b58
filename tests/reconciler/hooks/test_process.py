"""A hook is a program of somebody else: whatever it does, it ends in time, is told of, and leaves nothing behind."""

from __future__ import annotations

import os
import select
import time
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.hooks import process
from reconciler.hooks.process import HookFailed, Limits
from reconciler.hooks.protocol import Disk, Request, Result, Verb, Vm
from tests.reconciler.hooks.making import hook

VM = Vm(name="web 01", uuid="u", os_type="windows2019srv_64", firmware="uefi")
PATIENT, HASTY = Limits(timedelta(seconds=60)), Limits(timedelta(seconds=1), timedelta(seconds=0.2))
FOREVER = "time.sleep(3600)"


def asked(verb: Verb = Verb.DO) -> Request:
    return Request(verb=verb, run="run-1", vm=VM, disk=Disk(key="disk-2000", size=1, path="/nowhere"))


def failure(folder: Path, body: str, limits: Limits = PATIENT) -> HookFailed:
    with pytest.raises(HookFailed) as failed:
        process.ask(hook(folder, body), asked(), folder / "log", limits)
    return failed.value


def ends(pid: int) -> bool:
    """Whether a process is gone, or about to be: one that was killed needs a moment to give back what it holds."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 10)[0])
    finally:
        os.close(watched)


def test_it_is_asked_and_answers_and_what_it_writes_to_the_side_is_kept(tmp_path: Path) -> None:
    body = "sys.stderr.write(\"looking\\n\"); answer(\"done\", f\"{asked['vm']['name']} {sys.argv[1]} {asked['attempt']}\")"
    for _ in range(2):
        told = process.ask(hook(tmp_path, body), asked(), tmp_path / "log", PATIENT)
        assert (told.result, told.text) == (Result.DONE, "web 01 do 1")
    assert (tmp_path / "log").read_text() == "looking\nlooking\n"


def test_it_sees_nothing_of_our_environment_and_works_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILOVER_CLOUDSTACK__SECRET_KEY", "the secret")
    body = 'answer("done", " ".join(sorted(os.environ)) + " " + os.getcwd() + " " + str(os.listdir()))'
    told = process.ask(hook(tmp_path, body), asked(), tmp_path / "log", PATIENT).text
    assert "SECRET" not in told
    names, folder, content = told.rsplit(" ", 2)
    assert set(names.split()) <= {"FAILOVER_HOOK", "LANG", "LC_CTYPE", "PATH", "TMPDIR"}
    assert content == "[]"
    assert not Path(folder).exists()


def test_one_that_hangs_is_killed_and_told_of(tmp_path: Path) -> None:
    began = time.monotonic()
    found = failure(tmp_path, FOREVER, HASTY)
    assert "did not end within 1 s" in str(found)
    assert str(tmp_path / "log") in str(found)
    assert time.monotonic() - began < 30


def test_one_that_does_not_mind_being_asked_to_end_is_killed_all_the_same(tmp_path: Path) -> None:
    assert "killed" in str(failure(tmp_path, f"import signal; signal.signal(15, signal.SIG_IGN); {FOREVER}", HASTY))


DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("{pid}", "w").write(str(os.getpid()))
        for stream in (0, 1, 2): os.close(stream)
        time.sleep(3600)
    os._exit(0)
while not os.path.exists("{pid}") or not open("{pid}").read(): time.sleep(0.01)
"""


@pytest.mark.parametrize(("ending", "limits"), [('answer("done")', PATIENT), (FOREVER, HASTY), ("sys.exit(3)", PATIENT)])
def test_what_it_started_is_killed_even_outside_its_session(ending: str, limits: Limits, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    found = failure(tmp_path, DAEMON.format(pid=pid) + ending, limits)
    assert ends(int(pid.read_text()))
    assert ("left 1 of its processes" in str(found)) is ("answer" in ending)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_one_that_writes_a_gigabyte_is_killed_and_the_log_stays_small(stream: str, tmp_path: Path) -> None:
    body = f"for _ in range(1024): sys.{stream}.write('x' * (1 << 20))"
    assert "it wrote more than" in str(failure(tmp_path, body))
    assert (tmp_path / "log").stat().st_size <= process.LOG_MOST


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "its answer is not one"),
        ("print('{}')", "its answer is not one: protocol"),
        ("print('done')", "its answer is not one"),
        ("answer('prepared')", "do is answered by done, failed, not by prepared"),
        ("verb = 'undo'; answer('done')", "it was asked to do, and answered undo"),
        ("answer('done', 'x' * 501)", "text: String should have at most 500"),
        ("answer('done', secret=1)", "secret: Extra inputs"),
        ("sys.exit(7)", "it ended with exit code 7"),
        ("answer('done'); sys.exit(1)", "it ended with exit code 1"),
        ("os.kill(os.getpid(), 9)", "it ended with signal 9"),
    ],
)
def test_what_is_no_answer_is_none_whatever_its_exit_code(body: str, why: str, tmp_path: Path) -> None:
    assert why in str(failure(tmp_path, body))


def test_one_that_reads_no_question_may_answer(tmp_path: Path) -> None:
    script = tmp_path / "mute"
    script.write_text('#!/bin/sh\necho \'{"protocol": 1, "verb": "do", "result": "failed"}\'\n')
    script.chmod(0o755)
    assert process.ask([str(script)], asked(), tmp_path / "log", PATIENT).result is Result.FAILED


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for name in ("missing", "text"):
        with pytest.raises(HookFailed, match="cannot be run"):
            process.ask([str(tmp_path / name)], asked(), tmp_path / "log", PATIENT)


def test_no_descriptor_of_ours_is_open_in_it(tmp_path: Path) -> None:
    with (tmp_path / "ours").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        body = 'answer("done", str([f for f in os.listdir("/proc/self/fd") if int(f) > 3]))'
        assert process.ask(hook(tmp_path, body), asked(), tmp_path / "log", PATIENT).text == "[]"
