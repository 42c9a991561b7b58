"""Estates: what is refused while one is read, how big one may be, and that the same calls always give the same bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from simulator import TurnedClock, load_estate
from simulator.estate import BadEstate
from tests.simulator.world import CUSTOM, DISK, NET, POOL, START, TEMPLATE, ZONE, World, estate

VMS, DISKS = 10_000, 3


def fleet(vms: int) -> dict[str, Any]:
    """An estate with so many VMs of three disks each."""
    machines = [
        {"id": f"aa000000-0000-4000-8000-{n:012}", "name": f"vm-{n}", "account": "dr", "zone": ZONE, "offering": CUSTOM}
        | {
            "template": TEMPLATE,
            "state": "Running",
            "nics": [{"network": NET, "mac": f"02:00:00:{n >> 16 & 255:02x}:00:00"}],
        }
        for n in range(vms)
    ]
    disks = [
        {"id": f"bb{d:06}-0000-4000-8000-{n:012}", "name": f"disk-{n}-{d}", "gib": 10, "account": "dr", "zone": ZONE}
        | {"offering": DISK, "pool": POOL, "vm": machines[n]["id"], "device": (0, 1, 2)[d]}
        for n in range(vms)
        for d in range(DISKS)
    ]
    return estate(vms=machines, volumes=disks)


def test_ten_thousand_vms_and_their_disks_are_listed_page_by_page_each_once() -> None:
    """How long that takes is for `make bench` to say."""
    user = load_estate(fleet(VMS), TurnedClock(START)).as_account("dr")
    for command, key, rows in (("listVirtualMachines", "virtualmachine", VMS), ("listVolumes", "volume", VMS * DISKS)):
        pages = [
            user.call(command, page=page, pagesize=500).json[f"{command.lower()}response"] for page in (1, 7, rows // 500)
        ]
        assert [(page["count"], len(page[key])) for page in pages] == [(rows, 500)] * 3
        assert len({row["id"] for page in pages for row in page[key]}) == 3 * 500
        assert user.call(command, page=rows // 500 + 1, pagesize=500).json == {f"{command.lower()}response": {"count": rows}}


@pytest.mark.parametrize(
    ("section", "row", "says"),
    [
        ("vms", {"id": "x", "name": "vm", "account": "nobody", "zone": ZONE}, "nobody"),
        ("vms", {"id": "x", "account": "dr", "zone": ZONE}, "name"),
        (
            "vms",
            {"id": "x", "name": "vm", "account": "dr", "zone": ZONE, "nics": [{"network": "no", "mac": "x"}]},
            "unknown network",
        ),
        (
            "volumes",
            {"id": "x", "name": "v", "gib": 1, "account": "dr", "zone": ZONE, "vm": "no", "device": 1},
            "unknown VM",
        ),
        ("volumes", {"id": "x", "name": "v", "account": "dr", "zone": ZONE}, "gib"),
        ("networks", {"id": "x", "name": "n", "account": "nobody", "type": "L2", "zone": ZONE}, "nobody"),
        ("faults", {"kind": "no-such-kind"}, "no-such-kind"),
    ],
    ids=lambda v: v if isinstance(v, str) and " " not in v else None,
)
def test_an_estate_that_names_what_it_does_not_define_is_refused(section: str, row: dict[str, Any], says: str) -> None:
    with pytest.raises(BadEstate, match=says):
        load_estate(estate(**{section: [row]}), TurnedClock(START))


def story(seed: int = 0) -> str:
    """A whole failover with its refusals, as a hash over every byte that was answered."""
    world, told = World(seed=seed, settings={"allow.user.expunge.recover.vm": True}), hashlib.sha256()

    def say(command: str, by: str = "dr", **params: Any) -> dict[str, Any]:
        reply = world.cloud.as_account(by).call(command, **params)
        told.update(repr((reply.status, sorted(reply.headers.items()), reply.body)).encode())
        world.clock.advance(7)
        inner: dict[str, Any] = next(iter(reply.json.values()))
        return inner

    vm, replica, guest = world.running("appliance"), world.ready("replica"), world.rootless("guest")
    say("attachVolume", id=replica, virtualmachineid=vm)
    say("detachVolume", id=replica)
    snapshot = say("createSnapshot", volumeid=replica)["id"]
    say("attachVolume", id=replica, virtualmachineid=guest, deviceid=0)
    say("startVirtualMachine", id=guest)
    say("detachVolume", id=replica)
    say("stopVirtualMachine", id=guest)
    row = say("createVMSnapshot", virtualmachineid=guest)
    say("revertSnapshot", id=snapshot)
    say("detachVolume", id=replica)
    say("destroyVirtualMachine", id=guest, expunge=True)
    for command in ("listVirtualMachines", "listVolumes", "listSnapshots", "listVMSnapshot", "listAsyncJobs", "listEvents"):
        say(command, "admin", listall=True)
    told.update(repr((row, sorted(world.cloud.truth()))).encode())
    return told.hexdigest()


def test_the_same_seed_and_the_same_calls_give_the_same_bytes_a_hundred_times() -> None:
    assert len({story() for _ in range(100)}) == 1


def test_another_seed_gives_other_ids() -> None:
    assert story(1) != story(2)


def test_the_trace_tells_every_call_without_secrets(world: World) -> None:
    world.now("listZones", name="x")
    seen = world.cloud.trace[-1]
    assert (seen.account, seen.command, seen.status, seen.params["name"]) == ("dr", "listZones", 200, "x")
    assert not {"apikey", "signature", "secretkey"} & {key.lower() for call in world.cloud.trace for key in call.params}
    assert world.cloud.calls["listZones"] == 1
