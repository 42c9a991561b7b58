"""Everything that operators get wrong sooner or later: told clearly, with what to do, and nothing is changed anywhere."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.settings import CloudStack
from tests.cli.world import DB3, KEYS, PG, VOLUME, House, Said

ERROR, PENDING, REFUSED = 1, 2, 3
COMMANDS = (("plan", "specs"), ("apply", "--yes", "specs"))
LNX = "vm: lnx-db3\nstate: test-failover\nfor: 30m\n"
NETWORK = "source_network_name = 'VM Network'"


def said(house: House, *words: str) -> Said:
    """What a command says, none of it a trace."""
    told = house.run(*words)
    assert "Traceback" not in told.text
    return told


def flat(text: str) -> str:
    """A text without its line breaks, as a person reads it."""
    return " ".join(text.split())


# --- refused with reasons: what the database says of the VM ------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """What is wrong in the database, or which VM is meant; the code and the words that say so."""

    code: str
    says: tuple[str, ...]
    edits: tuple[str, ...] = ()
    spec: str | None = None


WRONG = {
    "an unknown VM": Wrong(
        "VM_NOT_FOUND",
        ('no replicated VM "PGWINTESTBIO"', "did you mean PGWINTESTBIOS?", "correct `vm` in specs/pgwintestbios.yaml:1"),
        spec="vm: PGWINTESTBIO\nstate: test-failover\nfor: 30m\n",
    ),
    "a live failover": Wrong(
        "NOT_OFFERED",
        ("live failover is not offered by this version", "use state: test-failover"),
        spec="vm: PGWINTESTBIOS\nstate: live-failover\nconfirm: PGWINTESTBIOS\n",
    ),
    "the end of a live failover": Wrong(
        "NOT_OFFERED",
        ("rolled-back undoes a live failover, which is not offered by this version", "say `state: protected` in specs/"),
        spec="vm: PGWINTESTBIOS\nstate: rolled-back\n",
    ),
    "two VMs of one name": Wrong(
        "VM_AMBIGUOUS",
        (f'"{PG}" is not one VM but 2', KEYS[PG], KEYS[DB3], "say its uuid"),
        (
            "update replication_jobs set source_vm_name = 'PGWINTESTBIOS'",
            "update vm_disks set display_name = 'PGWINTESTBIOS'",
        ),
    ),
    "no mapping of one adapter": Wrong(
        "NETWORK_MAPPING_MISSING",
        ('adapter "DB Net" has no test network', "map it to a test network", "`networks: {DB Net: disconnected}`"),
        ("delete from network_mappings where source_network_name = 'DB Net'",),
        LNX,
    ),
    "a test network that is not flagged": Wrong(
        "NETWORK_MAPPING_MISSING",
        ('adapter "VM Network" has no test network', "map it to a test network"),
        (
            f"delete from network_mappings where {NETWORK} and not is_test_network",
            f"update network_mappings set is_test_network = 0 where {NETWORK}",
        ),
    ),
    "a disk without volume": Wrong(
        "VOLUME_MISSING",
        ("disk-2000 has no volume in the database", "finish its first replication"),
        ("update vm_disks set ossea_volume_id = null where id = 1",),
    ),
    "two disks on one volume": Wrong(
        "VOLUME_SHARED",
        ("disk-2000, disk-2001 point to one volume", "repair vm_disks.ossea_volume_id", "needs a full sync"),
        ("update vm_disks set ossea_volume_id = 81 where id = 3",),
        LNX,
    ),
    "a volume of two VMs": Wrong(
        "VOLUME_SHARED",
        (f"volume {VOLUME} also belongs to {DB3}", "repair vm_disks"),
        ("update vm_disks set ossea_volume_id = 79 where id = 3",),
    ),
    "replication is active": Wrong(
        "ACTIVE_JOBS",
        ("replication job job-20250818-153521 is replicating, 42 %", "wait for it or cancel it", f"`failover why {PG}`"),
        ("update replication_jobs set status = 'replicating', progress_percent = 42 where id = 'job-20250818-153521'",),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_vm_that_cannot_be_tested_is_refused_with_what_to_do(
    name: str, house: House, untouched: Callable[[], None]
) -> None:
    wrong = WRONG[name]
    house.edit(*wrong.edits)
    if wrong.spec:
        house.write(wrong.spec)
    untouched()
    for words in COMMANDS:
        told = said(house, *words)
        assert told.code == REFUSED
        assert "refused, nothing was sent" in told.out
        assert f"[{wrong.code}]" in told.out
        for part in wrong.says:
            assert part in flat(told.out)
    untouched()


def test_one_vm_that_is_refused_refuses_what_is_planned_beside_it(house: House, untouched: Callable[[], None]) -> None:
    house.edit("update vm_disks set ossea_volume_id = null where id = 1")
    house.write(LNX, "lnx-db3.yaml")
    untouched()
    told = said(house, "apply", "--yes", "specs")
    assert told.code == REFUSED
    assert "Refused as a whole; nothing was sent." in told.err


# --- specs that cannot be read ----------------------------------------------------------------------------------------

TEN_MISTAKES = """\
defaults:
  auto_cleanup: yes
vms:
  - vm: PGWINTESTBIOS
    stat: test-failover
  - vm: lnx-db3
    state: test-failover
    for: 8d
  - vm: erp-1
    state: tested
  - vm: erp-2
    state: test-failover
  - vm: erp-3
    state: protected
    for: 1h
  - vm: {name: erp-4, uuid: not-a-uuid}
    state: protected
  - vm: erp-5
    state: test-failover
    for: 30m
    for: 40m
  - vm: erp-6
    state: test-failover
    for: 30m
    networks: [a, b]
  - vm: erp-7
    state: test-failover
    for: 30m
    strategy: magic
  - state: protected
"""
TOLD = (  # place, what is wrong, the hint
    ("2:17", '"yes" is neither true nor false', "in YAML 1.2 yes is a text"),
    ("5:5", 'unknown key "stat"', 'did you mean "state"?'),
    ("8:10", '"for" must lie between 1s and 7d, this is 8d', "allowed maximum: settings file, test.max_duration"),
    ("10:12", 'unknown state "tested"', "did you mean "),
    ("12:12", '"for" is missing: how long shall the test last?', "add for example `for: 30m`"),
    ("15:5", 'only a test failover has an end, the state is "protected"', "remove `for`"),
    ("16:29", '"not-a-uuid" is not a uuid', "32 hex digits"),
    ("21:5", 'the key "for" stands here twice', "first in line 20"),
    ("25:15", "keys and values are needed here", "write for example"),
    ("29:15", 'unknown strategy "magic"', "known: clone, volume-snapshot, vm-snapshot, none"),
    ("30:5", '"vm" is missing: which VM is meant?', "begin with `vm: NAME`"),
)


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_all_mistakes_of_a_spec_are_told_at_once_with_place_line_and_hint(
    command: str, house: House, untouched: Callable[[], None]
) -> None:
    untouched()
    path = house.write(TEN_MISTAKES)
    told = said(house, command, path)
    assert (told.code, told.out) == (ERROR, "")
    *blocks, last = told.err.strip().split("\n\n")
    for block, (place, text, hint) in zip(blocks, TOLD, strict=True):
        head, *shown, marked = block.splitlines()
        line, column = map(int, place.split(":"))
        assert head == f"{path}:{place}  {text}"
        assert f"{line:>5} | {TEN_MISTAKES.splitlines()[line - 1]}" in shown
        assert marked.index("^") == len("    1 | ") + column - 1
        assert hint in marked
    assert last.startswith(f"{len(TOLD)} errors in 1 of 1 file, ")
    assert last.endswith(" Nothing was sent anywhere.")


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ("for: 0", ':3:6 "for" is "0", which is not a duration'),
        ("for: -1h", ':3:6 "for" is "-1h", which is not a duration'),
        ("for: 8d", ':3:6 "for" must lie between 1s and 7d, this is 8d'),
        ("for: abc", ':3:6 "for" is "abc", which is not a duration'),
        ("for:", ':3:1 "for" has no value'),
        ("", ':2:8 "for" is missing: how long shall the test last?'),
    ],
)
def test_a_test_says_for_how_long(span: str, says: str, house: House, untouched: Callable[[], None]) -> None:
    untouched()
    house.write(f"vm: PGWINTESTBIOS\nstate: test-failover\n{span}\n")
    for words in COMMANDS:
        told = said(house, *words)
        assert (told.code, told.out) == (ERROR, "")
        assert flat(told.err).startswith(f"specs/pgwintestbios.yaml{says}")
        assert "^" in told.err
        assert "1 error in 1 of 1 file" in told.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("plan", "nowhere.yaml"), "nowhere.yaml"),
        (("apply", "--plan", "nowhere.json"), "cannot read nowhere.json: No such file or directory"),
        (("apply", "--plan", "failover.yaml"), "failover.yaml is not a file that `failover plan --out` wrote"),
        (("apply",), "say either PATH... or --plan FILE"),
        (("apply", "specs", "--plan", "p.json"), "say either PATH... or --plan FILE"),
        (("plan",), "Missing argument 'PATH...'"),
        (("daemon", "--specs", "nowhere"), "nowhere is not a folder of specs: make it, or name another one"),
        (("--settings", "nowhere.yaml", "status"), "there is no settings file nowhere.yaml: run `failover init`"),
        (("status", "NOBODY"), 'no replicated VM "NOBODY" in the database; `failover status` lists the replicated VMs'),
        (("end", "NOBODY"), 'no replicated VM "NOBODY" in the database'),
        (("why", "NOBODY"), 'no replicated VM "NOBODY" in the database'),
        (("history", "NOBODY"), 'no replicated VM "NOBODY" in the database'),
        (("frobnicate",), "No such command 'frobnicate'"),
    ],
    ids=" ".join,
)
def test_a_command_that_cannot_be_carried_out_says_why(
    words: tuple[str, ...], says: str, house: House, untouched: Callable[[], None]
) -> None:
    untouched()
    told = said(house, *words)
    assert (told.code, told.out) == (ERROR, "")
    assert says in flat(told.err)


# --- a cloud that cannot be used --------------------------------------------------------------------------------------


@contextmanager
def a_port(silent: bool = False) -> Iterator[str]:
    """An address where nobody listens; or, `silent`, where connections are accepted and nothing is ever said."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if silent:
            held.listen(64)
        yield f"http://127.0.0.1:{held.getsockname()[1]}/client/api"


@dataclass(frozen=True)
class Cut:
    """Settings and secrets that do not lead to the cloud, and what is said."""

    says: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


USUAL_TIMEOUT = CloudStack.model_fields["read_timeout"].default.total_seconds()
UNUSABLE = {
    "unreachable": Cut(("no connection", "check that the management server runs"), {"{url}": "{closed}"}),
    "not answering": Cut(("no answer in time",), {"{url}": "{silent}\n  read_timeout: 0.5"}),
    "a wrong API key": Cut(("check API key and secret key",), secrets={"api_key": "demo-api-kex"}),
    "a wrong secret key": Cut(("check API key and secret key",), secrets={"secret_key": "demo-secret-kex"}),
    "an empty key": Cut(("is a secret reference empty?",), secrets={"api_key": "\n"}),
    "a wrong path": Cut(("HTTP 404", "check the endpoint URL", "/client/api"), {"/client/api": "/client"}),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_cloud_that_cannot_be_used_is_told_with_what_to_check(
    name: str, house: House, untouched: Callable[[], None]
) -> None:
    cut = UNUSABLE[name]
    untouched()
    with a_port() as closed, a_port(silent=True) as silent:
        known = {"url": house.url, "closed": closed, "silent": silent}
        house.set({old.format(**known): new.format(**known) for old, new in cut.settings.items()})
        for secret, text in cut.secrets.items():
            (house.folder / "secrets" / secret).write_text(text, encoding="utf-8")
        for words in COMMANDS:
            began = time.monotonic()
            told = said(house, *words)
            assert time.monotonic() - began < USUAL_TIMEOUT
            assert (told.code, told.out) == (ERROR, "")
            for part in cut.says:
                assert part in told.err
            assert not any(text.strip() and text in told.text for text in cut.secrets.values())


# --- a database that cannot be used -----------------------------------------------------------------------------------

READ_ONLY = "failover.db cannot be written: check the rights of the file and its folder"


@contextmanager
def read_only(house: House, *paths: Path) -> Iterator[None]:
    """Files and folders that nobody may write; the programs give up root's right to do so all the same."""
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(before[path] & 0o555)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def test_a_database_in_a_folder_that_is_read_only_is_told(house: House, untouched: Callable[[], None]) -> None:
    untouched()
    with read_only(house, house.folder / "failover.db", house.folder):
        for words in (("status",), *COMMANDS, ("end", PG), ("db", "upgrade")):
            with house.start(*words) as running:
                told = running.end()
            assert (words, told.code, told.out) == (words, ERROR, "")
            assert READ_ONLY in told.err


def test_a_database_file_that_is_read_only_can_be_looked_at_and_nothing_is_begun(
    house: House, untouched: Callable[[], None]
) -> None:
    untouched()
    with read_only(house, house.folder / "failover.db"):
        for words, code in ((COMMANDS[0], PENDING), (COMMANDS[1], ERROR)):
            with house.start(*words) as running:
                told = running.end()
            assert (words, told.code) == (words, code)
    assert READ_ONLY in told.err


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("gone", "there is no database"),
        ("empty", "or run `failover init` for an embedded one"),
        ("no database", "is no SQLite database, or a damaged one"),
        ("older", "run `failover db upgrade`"),
    ],
)
def test_a_database_that_is_not_ours_is_told(harm: str, says: str, house: House) -> None:
    database = house.folder / "failover.db"
    if harm == "older":
        house.edit("drop table fr_runs")
    else:
        database.unlink()
    if harm == "empty":
        database.touch()
    if harm == "no database":
        database.write_bytes(os.urandom(8192))
    for words in (("status",), *COMMANDS):
        told = said(house, *words)
        assert (words, told.code, told.out) == (words, ERROR, "")
        assert says in told.err
