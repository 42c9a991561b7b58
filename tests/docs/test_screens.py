"""README, tutorial and howtos, played from top to bottom: they show what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.store.tables import metadata
from tests import mariadb
from tests.docs import pages, playing, screens
from tests.docs.playing import Exchange, agrees
from tests.docs.trying import Said

MARIADB = pages.ROOT / "docs" / "howto" / "mariadb.md"


def exchanges(page: Path, request: pytest.FixtureRequest) -> list[Exchange]:
    server: mariadb.Server | None = request.getfixturevalue("mariadb") if page in screens.NEEDS_MARIADB else None
    return screens.played(page, server)


@pytest.mark.parametrize("page", screens.PAGES, ids=pages.name)
def test_a_page_shows_what_its_commands_print(page: Path, request: pytest.FixtureRequest) -> None:
    played = exchanges(page, request)
    assert played, f"{pages.name(page)} has no command"
    for one in played:
        where = f"{one.block.where}: $ {one.command}"
        assert one.said.code in one.expected, f"{where} ended with {one.said.code}:\n{one.said.text}"
        told = "\n".join(one.said.lines)
        assert one.told, f"{where} printed this; `python -m tests.docs.screens` renews the page:\n{told}"


def test_the_plan_in_the_readme_is_the_plan_to_the_letter(request: pytest.FixtureRequest) -> None:
    played = exchanges(playing.README, request)
    assert [(e.command, list(e.shown)) for e in played] == [
        ("failover plan specs/pgwintestbios.yaml", e.said.lines) for e in played
    ]
    assert playing.renewed(playing.README, played) == pages.text(playing.README)


def test_every_howto_and_the_tutorial_is_played() -> None:
    guides = {p for p in pages.PAGES if p.parent.name == "howto" or p.name == "tutorial.md"}
    assert guides < set(screens.PAGES)
    assert set(playing.BEFORE) <= {pages.name(p) for p in screens.PAGES}


def test_the_howto_grants_every_table_of_ours() -> None:
    (granted, *_) = pages.blocks(MARIADB, "sql")
    ours = {*metadata.tables, "fr_schema_version"}
    assert {word for word in granted.text.replace(".", " ").split() if word.startswith("fr_")} == ours


SAID = ["16:31:16  WEB  0/7  stop guest", "", "took 1h 2m, run 4205a841-0265-f4bd-39a6-39fd92196f53-1795624253"]


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        (["09:00:01  WEB  0/7  stop guest", "", "took 16s, run 00000000-0265-f4bd-39a6-39fd92196f53-1234567890"], True),
        (["09:00:01  WEB  1/7  stop guest", "", "took 16s, run 00000000-0265-f4bd-39a6-39fd92196f53-1234567890"], False),
        (["09:00:01  WEB  0/7  stop guest", "…"], True),
        (["09:00:01  DB  0/7  stop guest", "…"], False),
        (["…", "took 1s, run 00000000-0265-f4bd-39a6-39fd92196f53-1234567890"], True),
        (["…", "took 1s, run PGWINTESTBIOS"], False),
        (["09:00:01  WEB  0/7  stop guest", ""], False),
        (["09:00:01  WEB  0/7  stop guest", "", "…", "took 1s, run 00000000-0265-f4bd-39a6-39fd92196f53-1234567890"], False),
        ([], False),
    ],
)
def test_what_is_shown_is_what_was_printed_but_for_moments_and_ids(shown: list[str], fits: bool) -> None:
    assert agrees(tuple(shown), SAID) is fits


def test_a_renewed_page_differs_in_the_screen_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# One\n\n```console\n$ failover status\nold\n…\n$ cd x\n```\n\n```yaml\na: 1\n```\n", encoding="utf-8")
    (block,) = pages.blocks(page, "console")
    done = [
        Exchange(block, 0, "failover status", ("old", "…"), Said("new\nmore\n", 0), None),
        Exchange(block, 1, "cd x", (), Said("", 0), None),
    ]
    assert playing.renewed(page, done) == pages.text(page).replace("old", "new")
