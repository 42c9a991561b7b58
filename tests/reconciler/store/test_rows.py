"""Rows as one text each: whatever stands in them, and whatever is missing, comes over as it would field by field."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from reconciler.store import joining, legacy, rows
from reconciler.store.database import Database
from tests.mariadb import Server
from tests.reconciler.store import vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.vms import Vm, uuid

NAMES = ("", " ", "straße", "web\\prod 'a' \"b\" %s :of", "mail\n🦊\ttab", "\x1e", "0", "NULL")
METADATA = sa.MetaData()
HELD = sa.Table("held", METADATA, *(sa.Column(name, sa.Text) for name in rows.ContextRow._fields))


def test_every_text_comes_over_as_it_is(empty: Database) -> None:
    with empty.begin() as connection:
        METADATA.create_all(connection)
        kept = [rows.ContextRow(str(n), name, name[::-1], "", "") for n, name in enumerate(NAMES)]
        connection.execute(HELD.insert(), [row._asdict() for row in kept])
        assert sorted(rows.Reading(HELD, rows.ContextRow).rows(connection)) == sorted(kept)
        (chosen,) = rows.Reading(HELD, rows.ContextRow, HELD.c.context_id == sa.bindparam("of")).rows(
            connection, {"of": "2"}
        )
        assert chosen.vm_name == "straße"


@pytest.mark.parametrize("separator", [rows.SEPARATOR, rows.END])
def test_a_text_that_holds_a_separator_is_read_field_by_field(separator: str, empty: Database) -> None:
    torn = rows.ContextRow("1", f"a{separator}b", "x", "", "")
    with empty.begin() as connection:
        METADATA.create_all(connection)
        bare = dict.fromkeys(rows.ContextRow._fields) | {"context_id": "2"}
        connection.execute(HELD.insert(), [torn._asdict(), bare])
        assert sorted(rows.Reading(HELD, rows.ContextRow).rows(connection)) == [torn, ("2", "", "", "", "")]


@pytest.mark.parametrize("longest", range(4, 60, 4))
def test_a_page_that_the_server_cut_is_read_field_by_field(longest: int, mariadb: Server) -> None:
    """The server cuts in silence, here at every place of a page in turn."""
    kept = [rows.ContextRow(f"{n}77", f"vm-{n}", "x" * n, "", "") for n in range(5)]
    with mariadb.fresh() as name:
        database = Database(mariadb.url(name))
        with database.begin() as connection:
            METADATA.create_all(connection)
            connection.execute(HELD.insert(), [row._asdict() for row in kept])
            connection.execute(sa.text("SET SESSION group_concat_max_len = :longest"), {"longest": longest})
            assert sorted(rows.Reading(HELD, rows.ContextRow).rows(connection)) == kept
            connection.execute(sa.text("SET SESSION group_concat_max_len = DEFAULT"))


def test_a_vm_whose_name_holds_the_separator_is_told_like_any_other(furnish: Furnish) -> None:
    odd = f"odd{rows.SEPARATOR}name"
    for generation in ("embedded on SQLite", "g1", "g3"):
        database = furnish(generation, vms.rows(Vm(90, odd), Vm(91, "plain")))
        adopted = legacy.adopt(database)
        with database.read() as connection:
            known = {s.key: s for s in adopted.sources(connection)}
        assert known[uuid(90)].name == odd
        assert known[uuid(90)].disks[0].size_gb == known[uuid(91)].disks[0].size_gb
        assert known[uuid(91)].name == "plain"


def test_a_column_that_a_generation_lacks_is_empty(empty: Database) -> None:
    old = sa.Table("old", sa.MetaData(), *(sa.Column(name, sa.Text) for name in ("context_id", "vm_name")))
    with empty.begin() as connection:
        old.create(connection)
        connection.execute(old.insert(), {"context_id": "7", "vm_name": "seven"})
        assert rows.Reading(old, rows.ContextRow).rows(connection) == [("7", "seven", "", "", "")]


@given(st.one_of(st.integers(-(2**40), 2**40), st.none(), st.decimals(-1000, 1000, places=2)))
def test_numbers_are_whole(value: object) -> None:
    assert rows.number(rows._text(value)) == int(value or 0)  # type: ignore[call-overload]


@given(
    st.sampled_from([(True, True), (1, True), (False, False), (0, False), (None, False), ("\x00", False), ("\x01", True)])
)
def test_truth_has_many_forms(case: tuple[object, bool]) -> None:
    assert rows.is_true(rows._text(case[0])) is case[1]


LATIN = "CREATE TABLE held (context_id INT, vm_name {}, vmware_vm_id {}, current_status VARCHAR(10), vcenter_host BIT(1))"
SETS = tuple(
    f"VARCHAR(60) CHARACTER SET {name}" for name in ("latin1", "latin2", "utf8mb3", "utf8mb4 COLLATE utf8mb4_bin", "ascii")
)


@pytest.mark.parametrize("one", SETS)
@pytest.mark.parametrize("other", [*SETS, "VARBINARY(60)"])
def test_columns_of_any_character_sets_stand_side_by_side(one: str, other: str, mariadb: Server) -> None:
    with mariadb.fresh() as name:
        database = Database(mariadb.url(name))
        with database.begin() as connection:
            connection.execute(sa.text(LATIN.format(one, other)))
            connection.execute(sa.text("INSERT INTO held VALUES (1, 'a', 'b', 'ü', b'1'), (2, NULL, 'b', NULL, b'0')"))
            found = sorted(rows.Reading(HELD, rows.ContextRow).rows(connection))
    assert found == [("1", "a", "b", "ü", "\x01"), ("2", "", "b", "", "\x00")]


def paged(held: list[list[str]]) -> str:
    return "".join(rows.SEPARATOR.join(fields) + rows.END for fields in held)


def a_table(alphabet: str) -> st.SearchStrategy[list[list[str]]]:
    return st.lists(st.lists(st.text(alphabet, max_size=3), min_size=2, max_size=2), max_size=5)


@given(a_table("ab\x1e\x1f"))
def test_as_many_rows_as_there_are_are_these_rows(held: list[list[str]]) -> None:
    found = rows._apart(list, 2, paged(held))
    assert len(found) != len(held) or list(found) == held


@given(a_table("ab"), st.integers(1, 40))
def test_a_page_that_was_cut_never_has_as_many_rows(held: list[list[str]], off: int) -> None:
    page = paged(held)
    assert list(rows._apart(list, 2, page)) == held
    assert not held or len(rows._apart(list, 2, page[:-off])) != len(held)


def test_a_vm_is_made_anew_only_when_its_rows_changed(furnish: Furnish) -> None:
    database = furnish("embedded on SQLite", vms.rows(Vm(92, "first"), Vm(93, "second")))
    adopted = legacy.adopt(database)

    def look() -> dict[str, object]:
        with database.read() as connection:
            return {s.key: s for s in adopted.sources(connection)}

    joining._source.cache_clear()
    before, again = look(), look()
    assert all(again[key] is before[key] for key in before)
    with database.begin() as connection:
        connection.execute(
            sa.text("UPDATE replication_jobs SET source_vm_name = 'renamed' WHERE source_vm_id = :of"), {"of": uuid(92)}
        )
    after = look()
    assert after[uuid(92)].name == "renamed"  # type: ignore[attr-defined]
    assert [key for key in before if after[key] is not before[key]] == [uuid(92)]
