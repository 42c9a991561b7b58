"""`failover source`, called as people do: what it says, what it refuses, and what stands in the history afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler import at_source, operations, wiring
from reconciler.at_source import Order, Verb
from reconciler.cli import cli
from reconciler.cli.screen import REFUSED, Complaint
from reconciler.source.errors import SourceError
from reconciler.source.outcomes import Done, Refused, Unknown
from reconciler.store import journal
from reconciler.wiring import Connected
from simulator.clock import RealClock
from simulator.source.estate import OFF, ON, SourceEstate, SourceVm
from simulator.source.server import SourceServer
from tests.reconciler.source.side import APPLIANCE, HOST, KEY, PASSWORD, TOKEN, USER, VOLUME, Hand
from tests.reconciler.store import making

VM = "PGWINTESTBIOS"


@dataclass
class Home:
    folder: Path
    server: SourceServer
    vm: SourceVm

    @property
    def settings(self) -> Path:
        return self.folder / "failover.yaml"

    def failover(self, *words: str, **more: str) -> Result:
        words = ("--settings", str(self.settings), "--no-color", *words)
        return CliRunner().invoke(cli, words, standalone_mode=False, **more)

    def events(self) -> list[str]:
        connected = wiring.connect(self.settings)
        with connected.database.read() as connection:
            return [e.text for e in journal.events(connection, KEY, 10)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A folder that `failover init` made, with a source side; everything at the source side happens at once."""
    monkeypatch.setenv("SOURCE_PASSWORD", PASSWORD)
    monkeypatch.setenv("SOURCE_TOKEN", TOKEN)
    folder = tmp_path / "home"
    assert CliRunner().invoke(cli, ["init", str(folder)]).exit_code == 0
    estate = SourceEstate(RealClock(), logins={(HOST, USER): PASSWORD}, token=TOKEN, shutdown=0, syncing=0)
    estate.mappings[APPLIANCE] = {VOLUME: "/dev/vdb"}
    vm = estate.add(SourceVm(KEY, VM, HOST, change_ids={"disk-2000": "old"}))
    with SourceServer(estate) as server:
        section = {
            **{name: server.url(name) for name in ("appliance", "replication", "daemon")},
            "token": "env:SOURCE_TOKEN",
            "credentials": [{"host": HOST, "username": USER, "password": "env:SOURCE_PASSWORD"}],
        }
        with (folder / "failover.yaml").open("a", encoding="utf-8") as opened:
            opened.write(f"source: {json.dumps(section)}\n")
        yield Home(folder, server, vm)


def test_status_tells_what_answers_and_what_it_says_of_a_vm(home: Home) -> None:
    done = home.failover("source", "status", VM)
    assert done.return_value == 0, done.output
    for said in ("appliance    answers", "poweredOn, toolsOk", "no job under way", "every disk is on the appliance"):
        assert said in done.output


def test_status_as_json_says_the_same(home: Home) -> None:
    told = json.loads(home.failover("source", "status", VM, "--format", "json").output)
    assert {row["service"]: row["reach"] for row in told["services"]} == dict.fromkeys(
        ("appliance", "replication", "daemon"), "answers"
    )
    assert told["vm"]["power"] == {"state": ON, "tools": "toolsOk"}
    assert told["vm"]["mappings"] == {VOLUME: "/dev/vdb"}


def test_status_of_a_disk_that_the_daemon_does_not_have_names_it(home: Home) -> None:
    home.server.estate.mappings.clear()
    assert "the daemon does not have disk-2000" in home.failover("source", "status", VM).output


def test_a_vm_is_switched_off_and_on_and_the_history_tells_who_asked_and_what_came_of_it(home: Home) -> None:
    off = home.failover("source", "power", VM, "--off", "--yes")
    assert off.output.startswith(f"1. switch {VM} on {HOST} off, by its guest; never by force\n")
    assert (off.return_value, home.vm.power) == (0, OFF), off.output
    on = home.failover("source", "power", VM, "--on", "--yes")
    assert (on.return_value, home.vm.power) == (0, ON), on.output
    told = home.events()
    assert len(told) == 4
    assert "asked: switch" in told[1]
    assert "seen poweredOn" in told[0]


def test_a_sync_shows_the_new_change_ids(home: Home) -> None:
    done = home.failover("source", "sync", VM, "--yes", "--format", "json")
    told = json.loads(done.output)
    assert (told["outcome"], done.return_value) == ("done", 0)
    assert told["change_ids"] == home.vm.change_ids


@pytest.mark.parametrize(("kind", "outcome", "code"), [("job-fails", "refused", 3), ("drop", "unknown", 1)])
def test_a_sync_that_is_not_done_ends_with_a_code_of_its_own(home: Home, kind: str, outcome: str, code: int) -> None:
    home.server.faults.add(kind, "replication:start")
    ended = home.failover("source", "sync", VM, "--yes", "--format", "json")
    assert (json.loads(ended.output)["outcome"], ended.return_value) == (outcome, code)
    shown = home.failover("source", "sync", VM, "--yes")
    assert shown.return_value == (0 if code == 3 else 3), (
        "another may follow only where it is known what became of the first"
    )


def test_status_fails_where_a_service_does(home: Home) -> None:
    home.server.faults.add("refuse", "daemon:health", code=500)
    assert home.failover("source", "status").return_value == 1
    home.server.faults.add("refuse", "daemon:volumes", code=500)
    assert home.failover("source", "status", VM).return_value == 1
    assert home.failover("source", "status", VM).return_value == 0


def test_nothing_is_sent_where_nobody_said_yes(home: Home) -> None:
    asked = home.failover("source", "power", VM, "--off")
    assert "say --yes" in str(asked.exception)
    assert "poweredOn, toolsOk" in asked.output
    assert home.server.estate.changes == []


@pytest.mark.parametrize("words", [("power", VM), ("power", VM, "--on", "--force", "--yes")])
def test_what_makes_no_sense_is_an_error(home: Home, words: tuple[str, ...]) -> None:
    assert home.failover("source", *words).exception
    assert home.server.calls == {}


# --- beneath the command, with a clock that is turned -----------------------------------------------------------------


@pytest.fixture
def connected(home: Home) -> Connected:
    """One process, whose waiting turns a clock."""
    return wiring.connect(home.settings, Hand())


@pytest.fixture
def order(connected: Connected) -> Callable[..., object]:
    """Carries out an order of a person, by default in that process."""

    def carry_out(verb: Verb, connected: Connected = connected, **changed: str) -> object:
        side = wiring.source_side(connected.settings, connected.engine.clock)
        source = replace(operations.resolve(connected, VM), **changed)
        return at_source.carry_out(connected, side, Order(source, verb), "me")

    return carry_out


def test_while_it_is_not_known_what_became_of_it_nothing_else_is_begun(home: Home, order: Callable[..., object]) -> None:
    home.server.faults.add("drop", "appliance:power-off")
    assert isinstance(order(Verb.OFF), Unknown)
    other = wiring.connect(home.settings, Hand())
    assert isinstance(order(Verb.OFF, connected=other), Refused)
    assert home.server.calls["appliance:power-off"] == 1


def test_what_is_known_frees_the_vm_for_others(home: Home, order: Callable[..., object]) -> None:
    home.server.faults.add("refuse", "appliance:power-off", code=409)
    assert isinstance(order(Verb.OFF), Refused)
    assert isinstance(order(Verb.OFF, connected=wiring.connect(home.settings, Hand())), Done)


@pytest.mark.parametrize("verb", Verb)
def test_while_a_run_holds_the_vm_nothing_is_done_to_it_by_hand(
    home: Home, order: Callable[..., object], connected: Connected, verb: Verb
) -> None:
    run = connected.database.written(making.opened)
    refused = order(verb)
    assert isinstance(refused, Refused)
    assert run.id in refused.why
    assert home.server.calls == {}


def test_a_run_that_holds_the_vm_is_told_before_anybody_is_asked(home: Home, connected: Connected) -> None:
    run = connected.database.written(making.opened)
    refused = home.failover("source", "power", VM, "--off")
    assert isinstance(refused.exception, Complaint)
    assert refused.exception.code == REFUSED
    assert run.id in str(refused.exception)


@pytest.mark.parametrize(("verb", "kind"), [(Verb.ON, Refused), (Verb.SYNC, Refused), (Verb.OFF, Done)])
@pytest.mark.parametrize("status", ["failed_over_live", "failed_over_test"])
def test_a_vm_that_was_failed_over_is_not_switched_on_and_not_synced(
    home: Home, order: Callable[..., object], verb: Verb, kind: type, status: str
) -> None:
    assert isinstance(order(verb, context_status=status), kind)


def test_where_another_process_works_on_the_vm_nothing_is_done(
    home: Home, order: Callable[..., object], connected: Connected
) -> None:
    connected.database.written(lambda c: journal.take(c, KEY, "another", connected.engine.clock.now(), at_source.MARGIN))
    assert isinstance(order(Verb.OFF), Refused)
    assert home.server.calls == {}


def test_what_failed_before_anything_was_sent_frees_the_vm_and_is_told(home: Home, order: Callable[..., object]) -> None:
    home.server.faults.add("refuse", "appliance:power-state", code=500)
    with pytest.raises(SourceError):
        order(Verb.OFF)
    assert home.events()[0].startswith("nothing was sent")
    assert isinstance(order(Verb.OFF, connected=wiring.connect(home.settings, Hand())), Done)


def test_without_an_address_or_a_credential_nothing_is_reserved_and_the_setting_is_named(home: Home) -> None:
    text = home.settings.read_text(encoding="utf-8").partition("source: {")[0]
    home.settings.write_text(text, encoding="utf-8")
    assert "source.replication" in str(home.failover("source", "sync", VM, "--yes").exception)
    home.settings.write_text(f"{text}source: {{appliance: {home.server.url('appliance')}}}\n", encoding="utf-8")
    assert "source.credentials" in str(home.failover("source", "power", VM, "--off", "--yes").exception)
    assert home.events() == []


def test_a_password_in_the_settings_themselves_is_refused_and_not_repeated(home: Home) -> None:
    text = home.settings.read_text(encoding="utf-8").replace("env:SOURCE_PASSWORD", "hunter2-canary")
    home.settings.write_text(text, encoding="utf-8")
    told = str(home.failover("source", "status").exception)
    assert "env:NAME or file:PATH" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("kind", ["refuse", "html", "lose-answer", "empty-body"])
def test_no_secret_is_printed_or_kept(home: Home, kind: str) -> None:
    home.server.faults.add(kind, times=1000, code=409, text=f"{USER} {PASSWORD} {TOKEN}")
    said = [
        home.failover("source", *words) for words in (("status", VM), ("sync", VM, "--yes"), ("power", VM, "--off", "--yes"))
    ]
    kept = (home.folder / "failover.db").read_bytes().decode("latin-1")
    shown = " ".join(f"{one.output} {one.exception!r} {one.exception}" for one in said)
    for secret in (PASSWORD, TOKEN, USER):
        assert secret not in shown
        assert secret.encode().decode("latin-1") not in kept


@pytest.mark.parametrize("address", ["http://user@host/api", "http://host/api?x=1", "http:///api", "ftp://host"])
def test_an_address_that_is_none_is_refused(home: Home, address: str) -> None:
    text = home.settings.read_text(encoding="utf-8").replace(home.server.url("daemon"), address)
    home.settings.write_text(text, encoding="utf-8")
    assert "source.daemon" in str(home.failover("source", "status").exception)
