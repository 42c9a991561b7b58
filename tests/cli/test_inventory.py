"""What is known of VMs, as an operator sees it: both sides, where they differ, what is missing, and what is not known."""

from __future__ import annotations

import pytest

from tests.cli.world import APPLIANCE, DB3, KEYS, PG, VOLUME, Cloud, House

DONE, ERROR, REFUSED = 0, 1, 3


def codes(house: House, vm: str = PG) -> list[tuple[str, str]]:
    (row,) = house.run("inventory", vm, "--format", "json").json["vms"]
    return [(drift["kind"], drift["code"]) for drift in row["drifts"]]


def test_both_sides_of_a_vm_are_shown(house: House) -> None:
    told = house.run("inventory", DB3)
    text = " ".join(told.out.split())
    assert told.code == DONE
    for said in ("8 CPU, 32 GiB", "disk-2001 200 GiB, volume ", "on the appliance at device 4, synced 2025-", '"DB Net"'):
        assert said in text
    assert "the database and CloudStack say the same" in text
    (row,) = house.run("inventory", PG, "--format", "json").json["vms"]
    assert (row["vm_key"], [d["cloudstack"]["device"] for d in row["disks"]]) == (KEYS[PG], [1])
    assert "0 of 2 VMs to be mended" in house.run("inventory").out


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE vm_disks SET size_gb = 50 WHERE id = 1", ("differs", "DRIFT")),
        ("UPDATE vm_disks SET size_gb = 60 WHERE id = 1", ("differs", "VOLUME_TOO_SMALL")),
        ("UPDATE vm_disks SET cpu_count = 0", ("missing", "VM_UNDESCRIBED")),
        (
            f"UPDATE ossea_volumes SET volume_id = '{APPLIANCE}' WHERE volume_id = '{VOLUME}'",
            ("differs", "VOLUME_NOT_FOUND"),
        ),
        ("DELETE FROM cbt_history", ("missing", "NEVER_SYNCED")),
        (f"DELETE FROM network_mappings WHERE vm_id = '{KEYS[PG]}'", ("missing", "NETWORK_MAPPING_MISSING")),
        ("UPDATE ossea_configs SET is_active = 0", ("missing", "OSSEA_NOT_CONFIGURED")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_what_is_to_be_mended_is_told_with_what_to_do(statement: str, found: tuple[str, str], home: House) -> None:
    home.edit(statement)
    assert found in codes(home)
    told = home.run("inventory", PG)
    assert (told.code, f"[{found[1]}]" in told.out) == (REFUSED, True)
    assert "of 2 VMs to be mended" in home.run("inventory").out


def test_a_snapshot_that_only_the_database_remembers_is_told(home: House) -> None:
    home.edit("UPDATE ossea_volumes SET snapshot_id = 'gone-1'")
    assert codes(home) == [("differs", "SNAPSHOT_GONE")]


def test_what_somebody_took_off_the_appliance_differs_and_what_a_run_took_does_not(home: House, cloud: Cloud) -> None:
    assert home.run("apply", "--yes", "specs").code == DONE
    told = home.run("inventory", PG)
    assert (told.code, "on the guest at device 0" in " ".join(told.out.split())) == (DONE, True), told.text
    assert "has it now" in " ".join(told.out.split())
    assert home.run("end", PG).code == DONE
    cloud.fault("human", "listVolumes", do={"command": "detachVolume", "id": VOLUME})
    home.run("inventory", PG)  # the look in which it happens
    assert codes(home) == [("differs", "VOLUME_NOT_AVAILABLE")]


def test_where_cloudstack_does_not_answer_the_other_half_is_shown(home: House) -> None:
    home.edit("DELETE FROM cbt_history")
    told = home.run("inventory", FAILOVER_CLOUDSTACK__ENDPOINT="http://127.0.0.1:9/client/api")
    assert (told.code, told.out.count("has no successful sync")) == (ERROR, 2)
    assert "what CloudStack has is not known" in told.out
    assert "shows no volume" not in told.out


SHARED = "UPDATE vm_disks SET ossea_volume_id = (SELECT MIN(id) FROM ossea_volumes)"
DIRTY = f"INSERT INTO fr_dirty (volume_id, vm_key, run_id, since) VALUES ('{VOLUME}', '{KEYS[PG]}', 'r', '2099-01-01')"


def test_what_the_database_alone_tells_of_volumes_is_told_without_cloudstack(home: House) -> None:
    home.edit(SHARED, DIRTY, "UPDATE fr_dirty SET full_sync = 99999")
    nowhere = {"FAILOVER_CLOUDSTACK__ENDPOINT": "http://127.0.0.1:9/client/api"}
    told = home.run("inventory", PG, "--format", "json", **nowhere)
    assert told.code == ERROR
    assert {drift["code"] for drift in told.json["vms"][0]["drifts"]} == {"REPLICA_DIRTY", "VOLUME_SHARED"}
