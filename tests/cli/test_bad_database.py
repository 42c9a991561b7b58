"""MariaDB as operators get it wrong: each fault is told with its place and what to do, and nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reconciler.store import tables
from tests.cli.test_bad_input import COMMANDS, ERROR, PENDING, REFUSED, flat, said
from tests.cli.world import PG, Cloud, House, filled
from tests.mariadb import MISSING, NO_TLS, PASSWORD, PROGRAMS, Server, program, serving
from tests.reconciler.store import generations, vms

PLAIN = "plain"
OURS = ("fr_schema_version", *sorted(tables.metadata.tables))
EVERY = (("status",), *COMMANDS, ("end", PG), ("db", "upgrade"), ("db", "check"))
Make = Callable[..., House]


def allow(server: Server, *grants: str) -> None:
    """A user that may do this and nothing else."""
    server.say(f"CREATE OR REPLACE USER {PLAIN} IDENTIFIED BY '{PASSWORD}'", *(f"GRANT {g} TO {PLAIN}" for g in grants))


@pytest.fixture
def beside(tmp_path: Path, still: Cloud, mariadb: Server) -> Iterator[Make]:
    """Folders beside databases: with the sample and our tables, or with a replication system's tables alone, or empty."""
    with ExitStack() as stack:

        def make(holds: str = "ours", grants: tuple[str, ...] = ("ALL ON {}.*",), server: Server = mariadb) -> House:
            name = stack.enter_context(server.fresh()) if server is mariadb else server.database()
            if holds == "ours":
                filled(server.url(name))
            elif holds == "theirs":
                generations.fill(server.url(name), "g3", vms.rows(vms.VMS[0]))
            allow(server, *(grant.format(name) for grant in grants))
            return House(tmp_path / "house", still.url, database=server.url(name, user=PLAIN))

        yield make


@contextmanager
def unchanged(house: House, server: Server) -> Iterator[None]:
    """Nothing is made, changed or removed meanwhile; asked as a user who may see everything."""
    watcher = House(house.folder.parent / "watcher", house.url, database=server.url(house.database.rpartition("/")[2]))
    before = watcher.dump()
    yield
    assert watcher.dump() == before


def refused(house: House, says: str, *commands: tuple[str, ...]) -> None:
    """Each of these commands ends with an error that says so, and prints nothing else."""
    for words in commands:
        told = said(house, *words)
        assert (words, told.code, told.out) == (words, ERROR, "")
        assert says in flat(told.err), words
        assert PASSWORD not in told.text


def test_a_wrong_password_is_told_and_not_repeated(beside: Make, mariadb: Server) -> None:
    house = beside()
    (house.folder / "secrets" / "database").write_text("canary-wrong-91f0\n", encoding="utf-8")
    with unchanged(house, mariadb):
        refused(
            house, "refuses its user or the password (1045): correct `database.url` and what `database.password`", *EVERY
        )
    assert all("canary" not in said(house, *words).text for words in EVERY)


def test_a_schema_that_is_not_there_or_not_ours_to_see_is_told(beside: Make, mariadb: Server) -> None:
    house = beside()
    house.set({house.database.rpartition("/")[2]: "nowhere"})
    with unchanged(house, mariadb):
        refused(house, "correct its name in `database.url`, or grant that user rights", *EVERY)


def test_a_schema_of_another_program_is_told(beside: Make, mariadb: Server) -> None:
    house = beside("empty")
    mariadb.say(f"CREATE TABLE {house.database.rpartition('/')[2]}.goods (id INT PRIMARY KEY)")
    with unchanged(house, mariadb):
        refused(house, "holds no replication tables: point `database.url` at the replication system's", *EVERY[:4])
        told = said(house, "db", "check")
    assert (told.code, "holds no replication tables" in flat(told.out)) == (ERROR, True)


LEGACY = "SELECT ON {}.*"


@pytest.mark.parametrize(
    ("grants", "lacks"),
    [
        ((LEGACY,), "INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX on fr_schema_version, fr_clones, fr_dirty, "),
        ((LEGACY, *(f"ALL ON {{}}.{t}" for t in OURS if t != "fr_steps")), "CREATE, ALTER, INDEX on fr_steps"),
        (
            (LEGACY, *(f"SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX ON {{}}.{t}" for t in OURS)),
            "user ALTER on fr_schema_",
        ),
    ],
    ids=["on none of them", "on all but one", "but one on each"],
)
def test_rights_that_our_tables_need_are_asked_for_before_any_of_them_is_made(
    grants: tuple[str, ...], lacks: str, beside: Make, mariadb: Server
) -> None:
    house = beside("theirs", grants)
    with unchanged(house, mariadb):
        told = said(house, "db", "upgrade")
        assert (told.code, told.out) == (ERROR, "")
        assert "nothing was made in the database " in flat(told.err)
        assert lacks in flat(told.err)
        refused(house, "run `failover db upgrade`", ("status",), *COMMANDS)


def test_rights_that_stand_in_a_role_are_enough(beside: Make, mariadb: Server) -> None:
    house = beside("theirs", ("USAGE ON *.*",))
    name = house.database.rpartition("/")[2]
    mariadb.say("CREATE OR REPLACE ROLE failovers", f"GRANT ALL ON {name}.* TO failovers", f"GRANT failovers TO {PLAIN}")
    mariadb.say(f"SET DEFAULT ROLE failovers FOR {PLAIN}")
    assert said(house, "db", "upgrade").out == "upgraded\n"
    told = said(house, "db", "check")
    assert (told.code, "those of the role failovers" in flat(told.out)) == (0, True)


def test_a_user_who_may_only_read_can_plan_and_begins_nothing(beside: Make, mariadb: Server) -> None:
    house = beside(grants=(LEGACY,))
    with unchanged(house, mariadb):
        assert said(house, *COMMANDS[0]).code == PENDING
        told = said(house, *COMMANDS[1])
        assert told.code == ERROR
        assert "cannot be written: see that it is not read-only, and grant its user SELECT, INSERT" in flat(told.err)
        assert "INSERT on fr_specs" in flat(said(house, "db", "check").out)


def test_a_replica_that_is_read_only_can_be_planned_on_and_nothing_is_begun(beside: Make, mariadb: Server) -> None:
    house = beside()
    with unchanged(house, mariadb):
        mariadb.say("SET GLOBAL read_only = ON")
        try:
            assert said(house, *COMMANDS[0]).code == PENDING
            for words in (COMMANDS[1], ("end", PG), ("db", "downgrade", "base")):
                told = said(house, *words)
                assert (words, told.code) == (words, ERROR)
                assert "cannot be written: see that it is not read-only" in flat(told.err)
            told = said(house, "db", "check")
            assert (told.code, "the server is read-only: name the one that is written" in flat(told.out)) == (ERROR, True)
        finally:
            mariadb.say("SET GLOBAL read_only = OFF")


def test_a_server_that_is_too_old_is_refused_before_anything_is_made(beside: Make) -> None:
    if not all(map(program, PROGRAMS)):
        pytest.skip(MISSING)
    with serving(*NO_TLS, "--version=10.4.34-MariaDB") as old:
        house = beside("theirs", server=old)
        with unchanged(house, old):
            says = "is MariaDB 10.4.34, which is too old, and nothing was written: upgrade it to 10.5 or newer"
            refused(house, says, *(words for words in EVERY if words != ("db", "check")))
            told = said(house, "db", "check")
        assert told.code == ERROR
        assert "it is too old: upgrade it to 10.5 or newer" in flat(told.out)


def test_keys_that_the_database_keeps_encrypted_are_never_read_so_that_none_need_decrypt(
    beside: Make, mariadb: Server
) -> None:
    house = beside()
    house.edit("update ossea_configs set api_key = 'Zm9v/garbled==', secret_key = ''")
    with overheard(mariadb) as asked:
        assert said(house, *COMMANDS[0]).code == PENDING
    assert any("FROM ossea_configs" in text for text in asked)
    assert not [text for text in asked if "api_key" in text or "secret_key" in text]


@contextmanager
def overheard(server: Server) -> Iterator[list[str]]:
    """What the user asks meanwhile, as its server takes it down."""
    asked: list[str] = []
    server.say("SET GLOBAL log_output = 'TABLE'", "TRUNCATE mysql.general_log", "SET GLOBAL general_log = ON")
    try:
        yield asked
    finally:
        server.say("SET GLOBAL general_log = OFF")
    query = f"SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE user_host LIKE '{PLAIN}%'"
    asked += [str(text) for (text,) in server.ask(query)]


TWO = "insert into ossea_configs (id, name, zone, oma_vm_id, is_active) values (2, 'second-ossea', 'z', 'a', 1)"


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ((TWO, "update ossea_volumes set ossea_config_id = null"), "there are: primary-ossea, second-ossea"),
        (("update ossea_configs set is_active = 0",), "there are: none"),
    ],
    ids=["two", "none"],
)
def test_other_than_one_active_configuration_is_refused_by_name(
    edits: tuple[str, ...], says: str, beside: Make, mariadb: Server
) -> None:
    house = beside()
    house.edit(*edits)
    with unchanged(house, mariadb):
        for words in COMMANDS:
            told = said(house, *words)
            assert (words, told.code) == (words, REFUSED)
            assert f"exactly one CloudStack configuration must be active in ossea_configs, {says}" in flat(told.out)
            assert "leave exactly one row of ossea_configs active" in flat(told.out)


def test_of_two_active_configurations_the_one_that_the_volumes_name_counts(beside: Make) -> None:
    house = beside()
    house.edit(TWO)
    assert said(house, *COMMANDS[0]).code == PENDING


def test_a_value_that_is_longer_than_its_column_begins_nothing_and_is_told(beside: Make, mariadb: Server) -> None:
    house = beside()
    house.rows("alter table failover_jobs modify source_vm_name varchar(8) not null")
    told = said(house, *COMMANDS[1])
    assert told.code == ERROR
    assert "does not take a value: Data too long for column 'source_vm_name' at row 1 (1406)" in flat(told.text)
    assert "widen the column, or shorten the name" in flat(told.text)
    assert house.rows("select count(*) from fr_runs") == house.rows("select count(*) from failover_jobs") == [(0,)]
    assert house.rows("select state from fr_specs") == [("failed",)]
