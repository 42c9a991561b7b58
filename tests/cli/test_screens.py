"""What commands print fits 80 columns, can be copied, and has colour only where that is wanted."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from tests.cli.world import PG, House

ESCAPE = "\x1b["
UNBREAKABLE = 80


@pytest.mark.parametrize("words", ["plan specs", "plan specs -v", "status", f"why {PG}", "validate --explain specs"])
def test_lines_fit_eighty_columns_and_a_pipe_has_no_colour(words: str, house: House, untouched: Callable[[], None]) -> None:
    untouched()
    told = house.run(*words.split())
    rows = [row for row in told.out.splitlines() if "sha256:" not in row and "(beneath: " not in row]
    assert rows
    assert [row for row in rows if len(row) > UNBREAKABLE] == []
    assert ESCAPE not in told.text
    assert ESCAPE in house.run("--color", *words.split()).out


def test_what_to_type_next_can_be_copied(house: House, untouched: Callable[[], None]) -> None:
    untouched()
    (house.folder / "my specs").mkdir()
    house.spec.rename(house.folder / "my specs" / "it's one.yaml")
    told = house.run("plan", "my specs/it's one.yaml", "--out", "my plan.json")
    apply, exactly = (row.split("   ")[0].strip() for row in told.out.splitlines()[-2:])
    assert shlex.split(apply) == ["failover", "apply", "my specs/it's one.yaml"]
    assert shlex.split(exactly) == ["failover", "apply", "--plan", "my plan.json"]


def test_a_folder_for_another_cloud_is_not_told_to_start_a_simulated_one(house: House) -> None:
    assert "python -m simulator" in house.run("init", "one").out
    assert "python -m simulator" not in house.run("init", "two", "--endpoint", "https://cloud.example.org/client/api").out
