"""Faults of the source side by rule: what goes wrong with which request, from its nth on, and how often. `server` asks.

A request is named by service and verb: `appliance:power-off`, `replication:start`, `daemon:volumes`; `*` is every one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = {
    "refuse": "answer with `code` and `text`, nothing happens",
    "says": "answer with `code` and `text` as it is, nothing happens",
    "drop": "cut the connection before anything happens",
    "lose-answer": "do it, then cut the connection",
    "half-answer": "do it, then cut the connection in the middle of the answer",
    "empty-body": "do it, then answer with nothing",
    "html": "do it, then answer with the page of a proxy and `code`",
    "no-effect": "answer as if it were done; nothing happens",
    "not-found-200": "answer that there is no such VM, with status 200",
    "other-vm": "answer for another VM",
    "slow-answer": "do it, then answer after `seconds` of real time",
    "job-fails": "the sync that is started ends as failed",
    "job-hangs": "the sync that is started never ends",
    "job-same-change-id": "the sync that is started completes without a new ChangeID",
    "powers-on-again": "the VM is on again `seconds` after it was switched off",
}
PROXY = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass
class Rule:
    """One fault: `kind` (see KINDS), the request it strikes, from the `nth` matching one on, `times` of them."""

    kind: str
    request: str = "*"
    nth: int = 1
    times: int = 1
    code: int = 500
    text: str = "simulated fault"
    seconds: float = 0.0
    seen: int = 0
    fired: int = 0

    def strikes(self, request: str) -> bool:
        """Whether this request is struck; counts those it has seen."""
        if self.request not in (request, "*") or self.fired >= self.times:
            return False
        self.seen += 1
        if self.seen < self.nth:
            return False
        self.fired += 1
        return True


@dataclass
class Rules:
    """The faults that are set."""

    rows: list[Rule] = field(default_factory=list)

    def add(self, kind: str, request: str = "*", **more: int | float | str) -> Rule:
        """Set a fault. Raises ValueError for an unknown kind, TypeError for an unknown field."""
        if kind not in KINDS:
            raise ValueError(f"no fault of kind {kind}; there are {', '.join(KINDS)}")
        made = Rule(kind, request, **more)  # type: ignore[arg-type]
        self.rows.append(made)
        return made

    def struck(self, request: str) -> list[Rule]:
        """Those that strike this request."""
        return [rule for rule in self.rows if rule.strikes(request)]
