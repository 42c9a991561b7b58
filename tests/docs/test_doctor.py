"""The page on the platform's checks names every check as it is, and no other."""

from __future__ import annotations

from plans.doctor import CHECKS
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "reference" / "doctor.md"


def test_every_check_is_documented_as_it_is_and_no_other() -> None:
    told = [[row[0].strip("`"), *row[1:]] for row in pages.rows(pages.prose(PAGE))]
    assert told == [[one.id, str(one.severity), one.why, one.mend] for one in CHECKS]
