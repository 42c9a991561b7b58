"""A plan that is kept in a file: exactly that is carried out, or nothing where the world is not as the plan saw it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.world import KEYS, PG, VOLUME, Cloud, House

DONE, ERROR, PENDING, REFUSED = 0, 1, 2, 3
KEPT = "plan.json"


def kept(house: House) -> dict[str, Any]:
    assert house.run("plan", "specs", "--out", KEPT).code == PENDING
    return json.loads((house.folder / KEPT).read_text(encoding="utf-8"))


def test_exactly_what_is_in_the_file_is_carried_out(home: House, cloud: Cloud) -> None:
    (plan,) = kept(home)["plans"]
    assert cloud.changes() == {}
    home.spec.unlink()  # the file is enough
    told = home.run("apply", "--plan", KEPT, "--yes", "--format", "json")
    assert (told.code, told.json["runs"][0]["good"]) == (DONE, True)
    assert told.json["runs"][0]["plan_digest"] == plan["digest"]
    done = home.rows("select word, action from fr_steps order by seq")
    assert [word for word, _ in done] == [step["action"] for step in plan["steps"]]
    for (_, stored), step in zip(done, plan["steps"], strict=True):
        assert json.loads(stored).items() <= step.items()
    again = home.run("apply", "--plan", KEPT)
    assert again.code == REFUSED
    assert "guest.state" in again.out


def test_the_three_forms_of_a_plan_tell_the_same_steps(house: House, untouched: Callable[[], None]) -> None:
    untouched()
    (plan,) = house.run("plan", "specs", "--format", "json").json["plans"]
    text = house.run("plan", "specs").out
    told = house.run("plan", "specs", "--format", "markdown")
    assert (told.code, told.err) == (PENDING, "")
    assert told.out.startswith(f"### {PG}: protected → testing for 30m\n")
    rows = [line.split(" | ") for line in told.out.splitlines() if line.startswith("| ") and not line.startswith("| #")]
    assert [row[2] for row in rows] == [step["title"] for step in plan["steps"]]
    for step, row in zip(plan["steps"], rows, strict=True):
        assert row[0] == f"| {step['number']}"
        assert f"{step['number']:>2}  {step['symbol']}  {step['title']}" in text
    for said in (told.out, text):
        assert plan["digest"] in said


TEST_NETWORK, OTHER = "00000000-0000-4000-8000-0000000000b3", "00000000-0000-4000-8000-0000000000b5"
CHANGES = {  # what changes in the database; fact, what the spec said, what the plan saw, what is now
    "more CPUs": ("update vm_disks set cpu_count = 4 where id = 1", ("vm.cpus", "", 2, 4)),
    "another disk": (
        "update vm_disks set size_gb = 60 where id = 1",
        ("VOLUME_TOO_SMALL", "", "allowed", "disk-2000 has 60 GiB, its volume only 54 GiB"),
    ),
    "replication began": (
        "update replication_jobs set status = 'replicating', progress_percent = 3 where id = 'job-20250818-153521'",
        ("ACTIVE_JOBS", "", "allowed", "replication job job-20250818-153521 is replicating, 3 %"),
    ),
    "the network is another one": (
        f"update network_mappings set destination_network_id = '{OTHER}' where is_test_network and vm_id = '{KEYS[PG]}'",
        ("network.VM Network", "", TEST_NETWORK, OTHER),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_plan_of_another_world_is_refused_with_the_three_way_difference(
    name: str, house: House, untouched: Callable[[], None]
) -> None:
    edit, row = CHANGES[name]
    kept(house)
    house.edit(edit)
    untouched()
    told = house.run("apply", "--plan", KEPT, "--yes")
    assert told.code == REFUSED
    assert told.out.startswith(f"{PG}  the world changed since this plan was made\n\n  fact ")
    head, found = (re.split(" {3,}", line.strip()) for line in told.out.splitlines()[2:4])
    assert head == ["fact", "spec said", "plan saw", "now is"]
    assert found == [str(cell) or "·" for cell in row]
    assert "plan again, look at the new plan, then apply that one" in told.out
    assert "nothing was sent" in told.err
    told = house.run("apply", "--plan", KEPT, "--yes", "--format", "json")
    assert told.code == REFUSED
    assert told.json == {"changed": {PG: [dict(zip(("fact", "spec_said", "plan_saw", "now_is"), row, strict=True))]}}


def test_a_replica_that_somebody_moved_makes_the_plan_stale(home: House, cloud: Cloud) -> None:
    kept(home)
    cloud.fault("human", "listVolumes", do={"command": "detachVolume", "id": VOLUME})
    told = home.run("apply", "--plan", KEPT, "--yes")
    assert told.code == REFUSED
    assert "VOLUME_NOT_AVAILABLE" in told.out
    assert cloud.changes() == {"detachVolume": 1}, "more than what the person did"


@pytest.mark.parametrize(
    ("part", "other", "says"),
    [
        ('"vm_key": "4205', '"vm_key": "4206', "its content does not match its digest"),
        ('"device": 1', '"device": 2', "its content does not match its digest"),
        ('"format": 1', '"format": 9', "not a plan of format 1"),
        ('"steps"', '"stops"', "not a plan of format 1"),
        ('"action": "start-guest"', '"action": "delete-replica"', "not a plan of format 1"),
        ('{\n  "planned_at"', "", "is not a file that `failover plan --out` wrote"),
        ('"planned_at": "2', '"planned_at": "x', "is not a file that `failover plan --out` wrote"),
        ("+00:00", "", "is not a file that `failover plan --out` wrote"),
    ],
)
def test_a_file_that_was_edited_is_not_carried_out(
    part: str, other: str, says: str, house: House, untouched: Callable[[], None]
) -> None:
    untouched()
    kept(house)
    path = house.folder / KEPT
    text = path.read_text(encoding="utf-8")
    assert part in text
    path.write_text(text.replace(part, other), encoding="utf-8")
    told = house.run("apply", "--plan", KEPT, "--yes")
    assert (told.code, told.out) == (ERROR, "")
    assert says in told.err


@pytest.mark.parametrize(("at", "when"), [("2026-01-01T00:00:00+00:00", "ago"), ("9026-01-01T00:00:00+00:00", "from now")])
def test_a_plan_is_carried_out_for_a_while_and_then_no_more(
    at: str, when: str, house: House, untouched: Callable[[], None]
) -> None:
    untouched()
    data, path = kept(house), house.folder / KEPT
    path.write_text(json.dumps({**data, "planned_at": at}), encoding="utf-8")
    told = house.run("apply", "--plan", KEPT, "--yes")
    assert (told.code, told.out) == (REFUSED, "")
    assert re.match(
        rf"plan.json was planned \d+d .* {when}, and a plan is valid for 1d \(`engine.plans_valid_for`\)", told.err
    )


def test_a_refused_vm_is_not_kept(house: House, untouched: Callable[[], None]) -> None:
    untouched()
    house.write("vm: NOBODY\nstate: test-failover\nfor: 30m\n", "nobody.yaml")
    told = house.run("plan", "specs", "--out", KEPT)
    assert told.code == REFUSED
    plans = json.loads((house.folder / KEPT).read_text(encoding="utf-8"))["plans"]
    assert [plan["vm"] for plan in plans] == [PG]
