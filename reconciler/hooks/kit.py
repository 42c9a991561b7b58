"""Whether a hook keeps its contract: every verb on a disk to try it on, and what it must not do.

Called by `failover hook check`. Each trial says what is promised and what was seen; the disk is an image file of the kit's
own, or a copy of one that the author of the hook has.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.hooks import process
from reconciler.hooks.process import HookFailed, Limits
from reconciler.hooks.protocol import Answer, Disk, Request, Result, Verb, Vm

SIZE = 8 << 20
VM = Vm(name="hook-trial", uuid="00000000-0000-4000-8000-000000000000", os_type="windows2019srv_64", firmware="bios")


@dataclass(frozen=True, slots=True)
class Trial:
    """One promise of the contract, whether it was kept, and what was seen."""

    promise: str
    kept: bool
    seen: str


@dataclass(frozen=True, slots=True)
class _Bench:
    """A hook, a disk to try it on, and where what it says is kept."""

    command: Sequence[str]
    disk: Path
    log: Path
    limits: Limits
    key: str = field(default="disk-2000")

    def ask(self, verb: Verb, path: Path | None = None) -> Answer:
        disk = Disk(key=self.key, size=self.disk.stat().st_size, path=str(path or self.disk))
        return process.ask(self.command, Request(verb=verb, run="trial", vm=VM, disk=disk), self.log, self.limits)

    def tell(self, verb: str, text: bytes) -> str | None:
        """What the hook answered to a text that is no question; None when it refused."""
        try:
            told = process.run(self.command, verb, text, self.log, self.limits)
        except HookFailed as refused:
            if refused.said_no:
                return None
            raise
        return told.decode(errors="replace").strip()

    def fingerprint(self) -> str:
        with self.disk.open("rb") as image:
            return hashlib.file_digest(image, "sha256").hexdigest()


def examine(command: Sequence[str], log: Path, limits: Limits, image: Path | None = None) -> Iterator[Trial]:
    """Try everything that a hook promises, in order; what cannot be tried after something failed is left out."""
    with tempfile.TemporaryDirectory(prefix="failover-hook-disk-") as folder:
        disk = Path(folder) / "disk.img"
        if image is not None:
            shutil.copyfile(image, disk)
        else:
            disk.write_bytes(b"\xeb\x3c" + bytes(508) + b"\x55\xaa" + bytes(SIZE - 512))
        bench = _Bench(command, disk, log, limits)
        try:
            yield from _verbs(bench)
            yield from _refusals(bench)
        except HookFailed as fault:
            yield Trial("every question is answered", kept=False, seen=str(fault))


def _verbs(bench: _Bench) -> Iterator[Trial]:
    before = bench.fingerprint()
    planned = bench.ask(Verb.PLAN)
    yield Trial("plan says what would be done", planned.result is not Result.IMPOSSIBLE, _told(planned))
    if planned.result is Result.IMPOSSIBLE:
        return
    needed = planned.result is Result.NEEDED
    unprepared = Result.UNPREPARED if needed else Result.PREPARED
    first = bench.ask(Verb.CHECK)
    yield Trial(f"check says {unprepared} before", first.result is unprepared, _told(first))
    yield _unchanged("plan and check change nothing", bench, before)
    done = bench.ask(Verb.DO)
    yield Trial("do does it", done.result is Result.DONE, _told(done))
    after = bench.fingerprint()
    seen = bench.ask(Verb.CHECK)
    yield Trial("check says prepared after that, so it had an effect", seen.result is Result.PREPARED, _told(seen))
    bench.ask(Verb.DO)
    yield _unchanged("do once more changes nothing", bench, after)
    undone = bench.ask(Verb.UNDO)
    yield Trial("undo undoes it", undone.result is Result.DONE, _told(undone))
    last = bench.ask(Verb.CHECK)
    yield Trial(f"check says {unprepared} after that", last.result is unprepared, _told(last))


def _refusals(bench: _Bench) -> Iterator[Trial]:
    before = bench.fingerprint()
    try:
        missing = bench.ask(Verb.DO, bench.disk.with_name("missing.img"))
        yield Trial("a disk that is not there is no success", missing.result is Result.FAILED, _told(missing))
    except HookFailed as refused:
        yield Trial("a disk that is not there is no success", kept=True, seen=refused.what)
    disk = {"key": bench.key, "size": 0, "path": str(bench.disk)}
    newer = json.dumps({"protocol": 99, "verb": "do", "run": "trial", "vm": VM.model_dump(), "disk": disk})
    for promise, verb, text in (
        ("a newer protocol is refused", "do", newer),
        ("a verb that nobody knows is refused", "dance", newer.replace("99", "1").replace('"do"', '"dance"')),
        ("what is no question is refused", "do", "{"),
    ):
        told = bench.tell(verb, text.encode())
        yield Trial(promise, told is None, "refused" if told is None else f"answered {told[:80]}")
    yield _unchanged("what is refused changes nothing", bench, before)


def _unchanged(promise: str, bench: _Bench, before: str) -> Trial:
    same = bench.fingerprint() == before
    return Trial(promise, same, "the disk is as it was" if same else "the disk was changed")


def _told(answer: Answer) -> str:
    return f"{answer.result}{f': {answer.text}' if answer.text else ''}"
