"""Faults by rule, not by luck: what goes wrong, when, and how often; set from Python, a file or the control endpoint.

`cloud.Cloud` asks here before and after every command and when it submits work. A fault fires for a command (and, if
named, an object), from its nth matching call on, a number of times. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.jobs import Work
from simulator.refusals import Refused
from simulator.wire import Call

if TYPE_CHECKING:
    from simulator.cloud import Cloud

KINDS = {
    "refuse": "answer at once with `code`, nothing happens",
    "drop": "cut the connection before anything happens",
    "lose-answer": "do it, then cut the connection",
    "job-fails": "the job ends with `code`; nothing happens",
    "job-no-result": "the job ends as failed without a result; its effect happens if `effect` is true",
    "job-no-effect": "the job reports success; nothing happens",
    "job-hangs": "the job stays pending for ever",
    "slow": "the job takes `seconds` longer",
}


class ConnectionCut(Exception):
    """The server closes the connection without an answer."""


@dataclass
class Fault:
    """One rule: `kind` (see KINDS), the command, the id of an object that must appear in the call, from which call on."""

    kind: str
    command: str
    nth: int = 1
    times: int = 1
    object: str | None = None
    code: int = 530
    text: str = "simulated fault"
    seconds: float = 0.0
    effect: bool = False
    seen: int = 0
    fired: int = 0

    def matches(self, call: Call) -> bool:
        """Whether this call sets the fault off; counts the calls it has seen."""
        if self.command not in (call.command, "*") or self.fired >= self.times:
            return False
        if self.object is not None and self.object not in call.raw.values():
            return False
        self.seen += 1
        if self.seen < self.nth:
            return False
        self.fired += 1
        return True


class Faults:
    """The faults that are set."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.rules: list[Fault] = []

    def add(self, kind: str, command: str, **more: Any) -> Fault:
        """Set a fault. Raises ValueError for an unknown kind."""
        if kind not in KINDS:
            raise ValueError(f"no fault of kind {kind}; there are {', '.join(KINDS)}")
        made = Fault(kind, command, **more)
        self.rules.append(made)
        return made

    def load(self, rows: list[Mapping[str, Any]]) -> None:
        """Set faults from plain data, as in a file."""
        for row in rows:
            self.add(**row)

    def remove(self, fault: Fault) -> None:
        """Take a fault away again."""
        self.rules.remove(fault)

    def clear(self) -> None:
        """Take all faults away."""
        self.rules.clear()

    def before(self, call: Call) -> None:
        """Faults that strike before a command is run."""
        for fault in self._of(("refuse", "drop"), call):
            if fault.kind == "drop":
                raise ConnectionCut
            raise Refused(fault.code, fault.text, 9999)

    def after(self, call: Call, content: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Faults that strike when the command was run and its answer is on its way."""
        for _ in self._of(("lose-answer",), call):
            raise ConnectionCut

    def shaped(self, call: Call, work: Work) -> Work:
        """The work of a job as faults change it."""
        for fault in self._of(("job-fails", "job-no-result", "job-no-effect", "job-hangs", "slow"), call):
            _shape(fault, work)
        return work

    def _of(self, kinds: tuple[str, ...], call: Call) -> list[Fault]:
        return [f for f in self.rules if f.kind in kinds and f.matches(call)]


def _shape(fault: Fault, work: Work) -> None:
    work.seconds += fault.seconds
    if fault.kind == "job-hangs":
        work.seconds = 10.0**9
    elif fault.kind == "job-fails":
        work.finish = _failing(fault)
    elif fault.kind == "job-no-effect":
        work.begin, work.finish = None, dict
    elif fault.kind == "job-no-result":
        work.finish = _without_result(work, fault)


def _failing(fault: Fault):  # type: ignore[no-untyped-def]
    def finish() -> Mapping[str, Any]:
        raise Refused(fault.code, fault.text)

    return finish


def _without_result(work: Work, fault: Fault):  # type: ignore[no-untyped-def]
    effect = work.finish

    def finish() -> Mapping[str, Any]:
        if fault.effect:
            effect()
        raise Refused(530, None)

    return finish
