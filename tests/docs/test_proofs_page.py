"""The page about the proofs names every rule that trials are judged by, in the rule's own words."""

from __future__ import annotations

from tests.docs import pages
from tests.simulation.invariants import CALLS, ENDS, ROUNDS, STATES, rule_text

PAGE = pages.ROOT / "docs" / "explanation" / "proofs.md"
KINDS = {"call": CALLS, "state": STATES, "round": ROUNDS, "end": ENDS}


def test_the_table_of_rules_is_that_of_the_code() -> None:
    told = [tuple(row) for row in pages.rows(pages.sections(PAGE)["Simulated trials"])]
    assert told == [(name, rule_text(name), kind) for kind, rules in KINDS.items() for name in rules]
