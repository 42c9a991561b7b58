"""Links, and the form of the decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import pages

DECISIONS = sorted((pages.ROOT / "docs" / "decisions").glob("*.md"))
HEADINGS = ["Question", "What was measured", "Decision", "What was left out", "When to look again"]


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_relative_link_resolves(page: Path) -> None:
    for link in pages.LINK.finditer(pages.prose(page)):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{pages.name(page)}: {target} is not there"
        if anchor:
            assert anchor in pages.anchors(found), f"{pages.name(page)}: {target} has no heading #{anchor}"


@pytest.mark.parametrize("page", sorted((pages.ROOT / "docs").rglob("*.md")), ids=pages.name)
def test_every_page_is_reached_from_the_readme(page: Path) -> None:
    seen, left = set[Path](), [pages.ROOT / "README.md"]
    while left:
        one = left.pop()
        seen.add(one)
        for link in pages.LINK.finditer(pages.prose(one)):
            target = (one.parent / link["target"].partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in seen:
                left.append(target)
    assert page in seen, f"nothing leads to {pages.name(page)}"


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(d.name[:4]) for d in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("decision", DECISIONS, ids=pages.name)
def test_every_decision_has_the_same_headings(decision: Path) -> None:
    number = int(decision.name[:4])
    assert pages.text(decision).startswith(f"# {number}. ")
    assert "\nStatus: " in pages.text(decision)
    found = [title.partition(" of ")[0] for title in pages.sections(decision)]
    assert found == HEADINGS, f"{pages.name(decision)} has {found}"
