"""Run a hook once, in a process of its own, within limits of time and output, and leave nothing of it behind.

Called by `hooks.kit`. The program gets a clean environment, an empty folder and a session of its own; everything that it
starts bears a mark in its environment, by which it is found and killed even after it left that session. What it writes to
standard error is kept in a log file up to a limit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from reconciler.hooks.protocol import Answer, Request

MARK = "FAILOVER_HOOK"
ANSWER_MOST = 1 << 20
LOG_MOST = 10 << 20
CHUNK = 1 << 16
KILLS = 100
"""So many times those that bear the mark are looked for and killed, one that starts others all the while included."""


class HookFailed(Exception):
    """A hook gave no answer: what happened, where its log is, what to do next. It `said_no` when it ended with a code."""

    def __init__(self, what: str, log: Path, then: str, *, said_no: bool = False) -> None:
        super().__init__(f"{what}; {then} (log: {log})")
        self.what, self.said_no = what, said_no


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a hook may take for one verb, and how much time it has to end by itself after that."""

    time: timedelta = timedelta(minutes=10)
    grace: timedelta = timedelta(seconds=5)


def ask(command: Sequence[str], request: Request, log: Path, limits: Limits) -> Answer:
    """One question and its answer. Raises HookFailed for a program that gives none."""
    told = run(command, request.verb, request.model_dump_json().encode(), log, limits)
    try:
        answer = Answer.model_validate_json(told)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"its answer is not one: {f'{where}: ' if where else ''}{first['msg']}"
        raise HookFailed(what, log, "see docs/reference/hooks.md for what is asked and answered") from None
    if answer.verb is not request.verb:
        raise HookFailed(f"it was asked to {request.verb}, and answered {answer.verb}", log, "answer the verb that is asked")
    return answer


def run(command: Sequence[str], verb: str, text: bytes, log: Path, limits: Limits) -> bytes:
    """What the program wrote to standard output by the time it ended well. Raises HookFailed for one that did not."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="failover-hook-") as folder, log.open("ab") as kept:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TMPDIR": folder, MARK: mark}
        try:
            program = subprocess.Popen(  # noqa: S603 - the operator's own program, without a shell
                [*command, verb],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as fault:
            raise HookFailed(f"{command[0]} cannot be run: {fault.strerror}", log, "correct the command") from None
        try:
            return _watched(program, text, kept, log, limits)
        finally:
            left = _killed(program, mark)
            for stream in (program.stdin, program.stdout, program.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            if left and program.returncode == 0:
                raise HookFailed(f"it ended and left {left} of its processes running", log, "wait for what it starts")


def _watched(program: subprocess.Popen[bytes], text: bytes, kept: IO[bytes], log: Path, limits: Limits) -> bytes:
    answer, errors = _Drain(program, program.stdout, None, ANSWER_MOST), _Drain(program, program.stderr, kept, LOG_MOST)
    writer = threading.Thread(target=_fed, args=(program.stdin, text), daemon=True)
    for thread in (answer, errors, writer):
        thread.start()
    is_late = False
    try:
        program.wait(limits.time.total_seconds())
    except subprocess.TimeoutExpired:
        is_late = True
        _signalled(program, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(limits.grace.total_seconds())
    for drain, most in ((answer, ANSWER_MOST), (errors, LOG_MOST)):
        if drain.is_full:
            raise HookFailed(f"it wrote more than {most >> 20} MiB", log, "write less")
    if is_late:
        seconds = limits.time.total_seconds()
        raise HookFailed(
            f"it did not end within {seconds:g} s and was killed", log, "see where it hangs, or give it more time"
        )
    answer.join(limits.grace.total_seconds())  # a process that it left may hold the pipe
    if program.returncode != 0:
        how = f"signal {-program.returncode}" if program.returncode < 0 else f"exit code {program.returncode}"
        raise HookFailed(f"it ended with {how}", log, "see its log", said_no=program.returncode > 0)
    return answer.text


def _fed(stream: IO[bytes] | None, text: bytes) -> None:
    """Hand over the question; a program need not read it."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError), stream:
            stream.write(text)


class _Drain(threading.Thread):
    """Reads a pipe to its end, keeping at most so many bytes; a program that writes more is killed."""

    def __init__(
        self, program: subprocess.Popen[bytes], stream: IO[bytes] | None, kept: IO[bytes] | None, most: int
    ) -> None:
        super().__init__(daemon=True)
        self._program = program
        self._stream, self._kept, self._most = stream, kept, most
        self._read = bytearray()
        self._size = 0
        self.is_full = False

    @property
    def text(self) -> bytes:
        return bytes(self._read)

    def run(self) -> None:
        if self._stream is None:
            return
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._stream.fileno(), CHUNK):
                self._size += len(chunk)
                if self._size > self._most:
                    self.is_full = True
                    _signalled(self._program, signal.SIGKILL)
                    return
                if self._kept is None:
                    self._read += chunk
                else:
                    self._kept.write(chunk)
                    self._kept.flush()


# --- nothing is left --------------------------------------------------------------------------------------------------


def _signalled(program: subprocess.Popen[bytes], what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, what)


def _killed(program: subprocess.Popen[bytes], mark: str) -> int:
    """Kill the program and all that it started; how many of these there were."""
    if program.poll() is None:
        _signalled(program, signal.SIGKILL)
        program.wait()
    found: set[int] = set()
    for _ in range(KILLS):
        marked = set(_bearing(mark))
        if not marked:
            break
        for pid in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        found |= marked
    return len(found)


def _bearing(mark: str) -> Iterator[int]:
    """The processes whose environment has this mark, and which have not ended."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)
