"""What the reference of specs says of this version is what the planner does."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from plans import planner
from plans.plan import Plan, Refusal
from specs import load
from specs.goal import goal_at
from specs.model import Strategy
from tests.docs import pages
from tests.plans import worlds

REFERENCE = pages.ROOT / "docs" / "reference" / "specs.md"
TOLD = {row[0]: row[1] for row in pages.rows(pages.sections(REFERENCE)["What this version does with it"])}
TESTING, VM = "state: test-failover\nfor: 30m\n", "vm: PGWINTESTBIOS\n"
SAID = {
    "state: live-failover": f"{VM}state: live-failover\nconfirm: PGWINTESTBIOS\n",
    "state: rolled-back": f"{VM}state: rolled-back\n",
    "state: protected": f"{VM}state: protected\n",
    **{f"strategy: {s}": f"{VM}{TESTING}strategy: {s}\n" for s in Strategy if s is not Strategy.NONE},
}
NOW = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
KEPT = {"notify": "notify: {mail: ops@example.org}", "skip_validation": "skip_validation: {reason: none}"}


def planned(text: str) -> Plan | Refusal:
    found = load.load_text(text, "specs.md")
    assert not found.errors, found.errors
    (spec,) = found.specs
    return planner.plan(spec, goal_at(spec, NOW, NOW).kind, worlds.world())


@pytest.mark.parametrize("said", SAID)
def test_what_is_said_to_be_refused_is_refused_and_nothing_else_is(said: str) -> None:
    found = planned(SAID[said])
    offered = not any(r.code.endswith("NOT_OFFERED") for r in found.reasons) if isinstance(found, Refusal) else True
    assert offered is not any(f"`{said}`" in row for row in TOLD)


def test_every_refusal_that_is_told_is_tried() -> None:
    refused = {words for row, then in TOLD.items() if then == "refused" for words in re.findall(r"`([^`]+)`", row)}
    assert refused <= set(SAID)


@pytest.mark.parametrize("field", KEPT)
def test_what_is_kept_but_not_acted_on_is_told_there_and_in_the_plan(field: str) -> None:
    (row,) = (row for row, then in TOLD.items() if then.startswith("kept"))
    found = planned(f"{VM}{TESTING}{KEPT[field]}\n")
    assert isinstance(found, Plan)
    assert (f"`{field}`" in row) is any(w.startswith(f"{field} is kept") for w in found.warnings)
