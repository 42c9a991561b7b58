"""Every command ends with the codes that its page documents, and its JSON is JSON and nothing else."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from migrations.run import head
from reconciler.cli.demo import Proof
from tests.cli.world import LONGEST, PG, ROOT, House
from tests.docs import pages

PAGE = pages.sections(ROOT / "docs" / "reference" / "commands.md")
AS_WANTED = "vm: PGWINTESTBIOS\nstate: protected\n"
BROKEN = "vm: PGWINTESTBIOS\nstate: tested\n"
NEWEST = head()
UNKNOWN = "vm: NOBODY\nstate: test-failover\nfor: 30m\n"


@dataclass(frozen=True)
class Situation:
    """A command in a folder with this spec, and how it ends; what it prints as JSON holds this key."""

    words: str
    code: int
    spec: str = ""
    key: str = ""

    @property
    def command(self) -> str:
        """Its name in the page."""
        named = self.words.removeprefix("--settings nowhere.yaml ")
        return " ".join(named.split()[: 2 if named.startswith(("db ", "hook ", "network ", "source ")) else 1])

    def __str__(self) -> str:
        return f"{self.words} ends with {self.code}"


SITUATIONS = (
    Situation("init new", 0),
    Situation("init failover.yaml/new", 1),
    Situation("validate specs", 0, key="specs"),
    Situation("validate specs", 1, BROKEN, key="errors"),
    Situation("schema", 0),
    Situation("plan specs", 0, AS_WANTED, key="plans"),
    Situation("plan specs", 1, BROKEN, key="error"),
    Situation("plan", 1, key="error"),
    Situation("plan specs", 2, key="plans"),
    Situation("plan specs", 3, UNKNOWN, key="plans"),
    Situation("apply specs", 0, AS_WANTED, key="runs"),
    Situation("apply specs", 1, BROKEN, key="error"),
    Situation("apply specs", 3, UNKNOWN, key="plans"),
    Situation("status", 0, key="vms"),
    Situation("status NOBODY", 1, key="error"),
    Situation(f"ready {PG}", 0, key="vms"),
    Situation("ready NOBODY", 1, key="error"),
    Situation(f"ready {PG} --type live", 3, key="vms"),
    Situation(f"end {PG}", 0, key="runs"),
    Situation("end NOBODY", 1, key="error"),
    Situation("inventory", 0, key="vms"),
    Situation("inventory NOBODY", 1, key="error"),
    Situation("history", 0, key="runs"),
    Situation("history NOBODY", 1, key="error"),
    Situation(f"why {PG}", 0, key="told"),
    Situation("why NOBODY", 1, key="error"),
    Situation(f"freeze {PG}", 1, key="error"),
    Situation("resolve no-run 1 --as done", 1, key="error"),
    Situation("network list", 0, key="vms"),
    Situation("network list NOBODY", 1, key="error"),
    Situation(f"network check {PG}", 0, key="vms"),
    Situation("network check NOBODY", 1, key="error"),
    Situation("network suggest", 0, key="vms"),
    Situation("network suggest NOBODY", 1, key="error"),
    Situation(f"network map {PG} Nowhere lab --test", 3, key="error"),
    Situation(f"network map {PG} Nowhere lab", 1, key="error"),
    Situation(f"network unmap {PG} Nowhere --test", 3, key="error"),
    Situation(f"network unmap {PG} Nowhere", 1, key="error"),
    Situation("source status", 0, key="services"),
    Situation("source status NOBODY", 1, key="error"),
    Situation(f"source power {PG}", 1, key="error"),
    Situation(f"source power {PG} --off", 3, key="error"),
    Situation("source sync NOBODY --yes", 1, key="error"),
    Situation(f"source sync {PG}", 3, key="error"),
    Situation("daemon --once --specs specs", 0, AS_WANTED),
    Situation("daemon --once --specs nowhere", 1),
    Situation("db create", 1),
    Situation("db upgrade", 0),
    Situation("--settings nowhere.yaml db upgrade", 1),
    Situation(f"db downgrade {NEWEST}", 0),
    Situation("db downgrade 9", 1),
    Situation("db current", 0, key="version"),
    Situation("--settings nowhere.yaml db current", 1, key="error"),
    Situation("db check", 0, key="findings"),
    Situation("--settings nowhere.yaml db check", 1, key="error"),
    Situation("db prune", 0, key="removed"),
    Situation("--settings nowhere.yaml db prune", 1, key="error"),
)
ELSEWHERE = {
    "demo": {0, 1},
    "freeze": {0},
    "resolve": {0, 3},
    "doctor": {0, 1, 2},
    "hook check": {0, 1, 3},
    "inventory": {3},
    "network check": {3},
    "network map": {0},
    "network unmap": {0},
    "source power": {0},
    "source sync": {0},
    "db create": {0},
    "db downgrade": {3},
    "db prune": {3},
}
"""Codes that tests of their own show: further down, in `test_troubled_runs`, in `stuck-step.md`, which is played, in
`tests/reconciler/source/test_command.py`, in `test_our_tables`, `test_networks`, `test_hook`,
`test_inventory` and `test_doctor`.
"""


def documented() -> dict[str, set[int]]:
    """The exit codes of every command that the page tells them of."""
    told = {
        name.removeprefix("failover "): re.search(r"Exit codes?:(.*?)(\n\n|\Z)", text, re.S) for name, text in PAGE.items()
    }
    return {name: {int(n) for n in re.findall(r"\b\d\b", found[1])} for name, found in told.items() if found}


def test_every_exit_code_that_is_documented_is_seen_and_no_other() -> None:
    seen: dict[str, set[int]] = {name: set(codes) for name, codes in ELSEWHERE.items()}
    for situation in SITUATIONS:
        seen.setdefault(situation.command, set()).add(situation.code)
    assert seen == documented()


def test_codes_mean_the_same_for_all() -> None:
    assert [row[0] for row in pages.rows(PAGE["Exit codes"])] == ["0", "1", "2", "3"]
    assert {code for codes in documented().values() for code in codes} == {0, 1, 2, 3}


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_a_command_ends_as_documented(situation: Situation, house: House, untouched: Callable[[], None]) -> None:
    untouched()
    if situation.spec:
        house.write(situation.spec)
    told = house.run(*situation.words.split())
    assert told.code == situation.code, told.text
    if situation.code == 1:
        assert told.out == ""
        assert told.err
    untouched()


@pytest.mark.parametrize("situation", [s for s in SITUATIONS if s.key], ids=str)
def test_json_is_json_and_nothing_else(situation: Situation, house: House, untouched: Callable[[], None]) -> None:
    untouched()
    if situation.spec:
        house.write(situation.spec)
    told = house.run(*situation.words.split(), "--format", "json")
    assert told.code == situation.code, told.text
    assert situation.key in told.json
    if situation.key == "error":
        assert told.json["exit_code"] == situation.code
        assert told.json["error"] in told.err
    untouched()


@pytest.mark.parametrize("words", [("-h",), ("plan", "--help"), ("--version",)], ids=" ".join)
def test_help_and_version_end_with_0(words: tuple[str, ...], house: House) -> None:
    told = house.run(*words)
    assert (told.code, told.err) == (0, "")
    assert told.out


# --- the demo ---------------------------------------------------------------------------------------------------------

PAGE_OF_MEMORY = 4096
HEEDS_INTERRUPTS = ("env", "--default-signal=INT")
"""Whoever runs these tests in the background of a shell has them ignored, for every child, too."""
ELSEWHERE_SAID = {
    "FAILOVER_CLOUDSTACK__ENDPOINT": "http://127.0.0.1:9/client/api",
    "FAILOVER_DATABASE__URL": "sqlite:///x.db",
}


def test_the_demo_plays_on_its_own_cloud_whatever_the_environment_says(house: House) -> None:
    told = house.run("demo", **ELSEWHERE_SAID)
    assert told.code == 0, told.text
    assert "1 replica(s) of PGWINTESTBIOS back on the appliance" in told.out
    assert "replication is idle and allowed again" in told.out


def test_a_demo_that_is_interrupted_ends_with_1(house: House) -> None:
    """Of its story only the first words are read until then, and the pipe holds less than the rest: it cannot be over."""
    ends = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "pipesize": PAGE_OF_MEMORY}
    command, env = [*HEEDS_INTERRUPTS, *house.command("demo")], dict(house.environment())
    with subprocess.Popen(command, bufsize=0, cwd=house.folder, env=env, **ends) as running:
        assert running.stdout is not None
        assert running.stdout.read(1) == b"\n", "a read of more may end after one: the demo writes in pieces"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=LONGEST)
    assert (running.returncode, err.decode().strip()) == (1, "stopped")
    assert b"The proof" not in out


AS_BEFORE = Proof("mark", {"disk": ("appliance", 1)}, {"disk": "f1"}, (), ())


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (Proof("mark", {"disk": ("guest", 0)}, {"disk": "f1"}, (), ()), "disk: was at ('appliance', 1), is at ('guest', 0)"),
        (Proof("mark", {}, {"disk": "f1"}, (), ()), "disk: was at ('appliance', 1), is at None"),
        (Proof("mark", {"disk": ("appliance", 1)}, {"disk": "f2"}, (), ()), "disk: its content is not as before"),
        (Proof("mark", {**AS_BEFORE.places, "new": (None, None)}, {"disk": "f1"}, (), ()), "new is new and still there"),
        (Proof("mark", AS_BEFORE.places, {"disk": "f1"}, ("guest",), ()), "guest is marked mark and still there"),
        (Proof("mark", AS_BEFORE.places, {"disk": "f1"}, (), ("run",)), "run has not ended; replication is blocked"),
    ],
)
def test_the_demo_s_proof_says_what_is_not_as_before(after: Proof, says: str) -> None:
    assert AS_BEFORE.differs_from(AS_BEFORE) == []
    assert after.differs_from(AS_BEFORE) == [says]
