"""The page on readiness names every check as it is, and no other; and the other pages stay by it."""

from __future__ import annotations

from plans.readiness import RULES
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "reference" / "readiness.md"


def test_every_check_is_documented_as_it_is_and_no_other() -> None:
    told = [row[:4] for row in pages.rows(pages.prose(PAGE))]
    assert told == [[r.id, r.name, str(r.severity), ", ".join(k for k in ("test", "live") if k in r.kinds)] for r in RULES]
