"""Programs of our own for the same clients: modules, methods and options that the recorded ones leave out.

No real server has answered them. What must become of each step stands in the program itself, or in `COMMANDS` for the shell.
The plays run Ansible's modules without an interpreter of their own for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import environment, programs, zone
from tests.clients.zone import Ear
from tests.conformance import setup

OWN = Path(__file__).parent / "own"
PLAYS = ("accounts", "life", "machines", "networks", "people", "projects")
NAME = "further"
COMMANDS = f"""\
all zones: exit 0, 1
one offering by name: exit 0, ['custom-disk']
a list that is empty: exit 0, {{}}
volume made by POST: exit 0, Allocated
job not awaited: exit 0, ['id', 'jobid']
both listed: exit 0, ['{NAME}', '{NAME}-2']
a value with a blank and a plus: exit 0, {NAME} a+b
a value of more than one language: exit 0, {NAME}-über-日本
a region of the configuration: exit 0, 1
a region with a wrong secret: exit 1, 401
"""

pytestmark = [pytest.mark.skipif(bool(environment.why_not()), reason=environment.why_not()), pytest.mark.timeout(300)]


@pytest.fixture
def served() -> Iterator[tuple[str, Ear]]:
    recording = next(program.recording for program in programs.PROGRAMS if program.name == "libcloud")
    with zone.opened(zone.of(recording)) as (url, _, ear):
        yield url, ear


@pytest.mark.parametrize("play", PLAYS)
def test_a_play_comes_to_what_its_tasks_are_named(play: str, served: tuple[str, Ear], tmp_path: Path) -> None:
    url, _ = served
    keys = setup.keys()
    own, root = keys[programs.CALLER], keys["admin"]
    told = {"api_url": url, "key": own.key, "secret": own.secret, "root_key": root.key, "root_secret": root.secret}
    system = setup.answers("01-protocol")["listOsTypes-first"]["ostype"][0]["description"]
    variables = {**programs.VARIABLES, **told, "vm": NAME, "os_type": system}
    ended = environment.run(programs.playbook(OWN / f"{play}_play.yml", variables), url, own, tmp_path, environment.INSIDE)
    rows = programs.tasks(ended, tmp_path)
    wrong = [
        (row["task"], outcome(row), row["result"].get("msg")) for row in rows if not row["task"].startswith(outcome(row))
    ]
    assert rows
    assert not wrong


def outcome(row: programs.Row) -> str:
    return "refused:" if row["failed"] else "changed:" if row["changed"] else "same:"


def test_the_walk_with_libcloud_comes_to_what_it_says(served: tuple[str, Ear], tmp_path: Path) -> None:
    url, _ = served
    python, script, _, *rest = programs.walk(OWN / "further_walk.py")
    ended = environment.run([python, script, NAME, *rest], url, setup.keys()[programs.CALLER], tmp_path)
    steps = [json.loads(line) for line in ended.printed.splitlines()]
    assert (ended.code, ended.complained) == (0, "")
    assert [step for step in steps if step["got"] != step["wanted"]] == []


def test_the_walk_with_cs_comes_to_what_it_should(served: tuple[str, Ear], tmp_path: Path) -> None:
    url, ear = served
    where = programs.id_of("listZones-admin", "zone", programs.ZONE)
    disk = programs.id_of("listDiskOfferings-admin", "diskoffering", programs.DISK)
    program = ["bash", str(OWN / "further_walk.sh"), NAME, where, disk]
    ended = environment.run(program, url, setup.keys()[programs.CALLER], tmp_path)
    assert ended.printed == COMMANDS
    assert ("createVolume", "POST") in [(heard.command, heard.method) for heard in ear.heard]
