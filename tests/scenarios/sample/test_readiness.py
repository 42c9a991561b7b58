"""Each of the sample VMs, by name, has the readiness that its row of the sample data expects, in three generations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from plans.readiness import Kind
from reconciler import readiness
from reconciler.readiness import Assessed
from tests.mariadb import Server
from tests.scenarios.house import Drill
from tests.scenarios.sample import house
from tests.scenarios.sample.test_vms import GENERATIONS, LONG


@dataclass(frozen=True)
class Expected:
    """The score, the checks that failed, whether it is ready, and words of a warning."""

    score: float = 100
    failed: tuple[str, ...] = ()
    ready: bool = True
    warning: str = ""


READY = Expected()
EXPECTED: dict[str, Expected] = {
    "PGWINTESTBIOS": READY,
    "lnx-db3": READY,
    "lnx-db3-gap": Expected(0, ("V-05",), ready=False),
    "web-multi-job": Expected(warning="the last sync of disk-2000 failed"),
    "no-changeid": Expected(0, ("V-03",), ready=False),
    "short-changeid": READY,
    "partial-cbt": Expected(0, ("V-03",), ready=False),
    "legacy-net": Expected(80, ("V-04",), warning='"Legacy Network" has no test network'),
    "no-testnet": Expected(80, ("V-04",), warning='"VM Network" has no test network'),
    "busy-sync": Expected(0, ("V-02",), ready=False),
    "odd-state": Expected(0, ("V-02",), ready=False),
    "stuck-pending": Expected(0, ("V-02",), ready=False),
    "snap-left": READY,
    "drifted": Expected(0, ("V-05",), ready=False),
    "nvme-boot": Expected(100, ("V-09",), ready=False),
    "discovered-only": Expected(0, ("V-01", "V-04", "V-05"), ready=False, warning="would have no network at all"),
    "spec-zero": Expected(0, ("V-01",), ready=False),
    **dict.fromkeys(("My_VM@2025", "123 Server", "Finance DB (prod)", "Büro-Server 7", "___", LONG), READY),
    **dict.fromkeys(("WEB.01", "web-01", "app1", "app10", "twin", "twin on vcenter2.example.org", "big-64"), READY),
    "shared-vol": Expected(0, ("V-05",), ready=False),
    "bad-json": Expected(80, ("V-04",), warning="would have no network at all"),
    "name-keyed": Expected(warning="stored under the name name-keyed"),
}
AGE = "V-11"
STATES = {"test-running", "test-overdue", "live-done", "half-moved", "dirty-copy"}
"""VMs in the middle of something: `test_states` brings them there."""


@pytest.fixture(scope="module", params=GENERATIONS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Assessed]]:
    """The readiness of every sample VM for a test, from one look, by VM key."""
    folder = tmp_path_factory.mktemp("sample")
    if request.param.endswith("on SQLite"):
        with house.a_house(folder) as made:
            yield asked(made)
        return
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name, house.a_house_over(server.url(name), request.param, folder) as made:
        yield asked(made)


def asked(drill: Drill, kind: Kind = Kind.TEST) -> dict[str, Assessed]:
    assessed = readiness.of(drill.connected, kind)
    assert drill.attempted() == []
    return {row.readiness.vm_key: row for row in assessed}


@pytest.mark.parametrize("vm", EXPECTED)
def test_a_sample_vm_is_as_ready_as_it_should_be(found: dict[str, Assessed], vm: str) -> None:
    row, expected = found[house.KEYS[vm]].readiness, EXPECTED[vm]
    failed = tuple(c.id for c in (*row.checks, *row.extended) if not c.passed and c.id != AGE)
    assert (row.score, failed, row.is_ready) == (expected.score, expected.failed, expected.ready), row
    warnings = [w for w in row.warnings if "the newest sync of" not in w]
    assert any(expected.warning in w for w in warnings) if expected.warning else not warnings
    assert len(row.required_actions) >= len(failed)


def test_the_syncs_of_all_of_them_are_long_ago_which_is_a_warning_and_no_more(found: dict[str, Assessed]) -> None:
    for row in (r.readiness for r in found.values()):
        (age,) = (c for c in row.extended if c.id == AGE)
        assert age.severity == "warning"
        assert age.passed or re.match(r"the newest sync of disk-\d+ is \d+d .* old, more than 1d", age.message)
    never = {house.KEYS[vm] for vm in ("no-changeid", "discovered-only", "drifted")}
    assert {k for k, r in found.items() if next(c for c in r.readiness.extended if c.id == AGE).passed} <= never


def test_every_sample_vm_has_its_readiness(found: dict[str, Assessed]) -> None:
    assert {house.KEYS[vm] for vm in (*EXPECTED, *STATES)} == set(found)


def test_a_vm_that_is_replicated_now_is_to_be_waited_for(found: dict[str, Assessed]) -> None:
    action, *_ = found[house.KEYS["busy-sync"]].readiness.required_actions
    assert "wait for it or cancel it" in action
