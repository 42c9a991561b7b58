"""`failover network` as an operator has it: shown, refused with the path drawn, written in one go, told afterwards."""

from __future__ import annotations

import pytest

from tests.cli.world import DB3, KEYS, PG, Cloud, House

DONE, ERROR, REFUSED = 0, 1, 3
DMZ_ID = "00000000-0000-4000-8000-0000000000b2"
TEST, OTHER_TEST = "test-network-default", "test-network-db"
PRODUCTION, DMZ = "network-production-123", "network-dmz-456"
MAPPED = (
    "SELECT source_network_name, is_test_network, destination_network_name "
    "FROM network_mappings WHERE vm_id = '{}' ORDER BY 1, 2"
)


def mapped(home: House, vm: str = PG) -> dict[tuple[str, bool], str]:
    return {(source, bool(is_test)): name for source, is_test, name in home.rows(MAPPED.format(KEYS[vm]))}


def test_one_variant_is_changed_and_the_other_stays(home: House, cloud: Cloud) -> None:
    before = mapped(home)
    told = home.run("network", "map", PG, "VM Network", OTHER_TEST, "--test", "--yes")
    assert (told.code, told.out.count("→")) == (DONE, 1)
    assert mapped(home) == {**before, ("VM Network", True): OTHER_TEST}
    assert home.run("network", "map", PG, "VM Network", OTHER_TEST, "--test").out.endswith("it is so already\n")
    assert home.run("network", "unmap", PG, "VM Network", "--live", "--yes").code == DONE
    assert mapped(home) == {("VM Network", True): OTHER_TEST}
    assert f"production: {PRODUCTION}" in " ".join(home.run("why", PG).out.split())
    assert f'network {OTHER_TEST} (L2) for adapter "VM Network"' in " ".join(home.run("plan", "specs").out.split())
    assert cloud.changes() == {}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((PG, "VM Network", DMZ, "--test"), f"{DMZ} is a production network of some VM"),
        ((PG, "VM Network", TEST, "--live"), f"{TEST} is a test network, and can be no production network"),
        ((PG, "VM Network", "lab", "--test"), "CloudStack shows no network lab"),
        ((PG, "vm network", TEST, "--test"), 'has no adapter on "vm network"; it has: "VM Network"'),
    ],
)
def test_what_cannot_be_right_is_refused_whole(words: tuple[str, ...], why: str, home: House) -> None:
    before = home.dump()
    told = home.run("network", "map", *words, "--yes")
    assert (told.code, why in told.err) == (REFUSED, True), told.text
    assert home.dump() == before


def test_a_network_with_a_way_out_is_never_mapped_for_tests_and_the_way_is_drawn(home: House, cloud: Cloud) -> None:
    opens = {"command": "createEgressFirewallRule", "networkid": DMZ_ID, "protocol": "all"}
    cloud.fault("human", "listNetworks", do=opens)
    home.edit(f"DELETE FROM network_mappings WHERE destination_network_name = '{DMZ}'")  # nobody's production any more
    told = home.run("network", "map", PG, "VM Network", DMZ, "--test", "--yes")
    assert (told.code, f"a path leads out of {DMZ}: {DMZ} → " in told.err) == (REFUSED, True), told.text


def test_nothing_is_written_where_it_is_only_shown_or_nobody_said_yes(home: House) -> None:
    before = home.dump()
    words = ("network", "map", PG, "VM Network", OTHER_TEST, "--test")
    assert home.run(*words, "--dry-run").out.endswith("Nothing was changed.\n")
    told = home.run(*words)
    assert (told.code, "say --yes or --dry-run" in told.err) == (REFUSED, True)
    assert home.dump() == before


def test_everywhere_maps_those_that_lack_it_and_leaves_the_others(home: House) -> None:
    home.edit(
        """UPDATE vm_disks SET network_config = '{"adapters":[{"network":"VM Network"}]}' WHERE cpu_count > 0""",
        f"DELETE FROM network_mappings WHERE vm_id = '{KEYS[DB3]}'",
    )
    told = home.run("network", "map", PG, "VM Network", OTHER_TEST, "--test", "--everywhere", "--yes", "--format", "json")
    assert (told.code, len(told.json["changes"]), told.json["done"]) == (DONE, 2, True)
    assert mapped(home, DB3) == {("VM Network", True): OTHER_TEST}
    home.run("network", "map", PG, "VM Network", TEST, "--test", "--everywhere", "--yes")
    assert mapped(home, DB3) == {("VM Network", True): OTHER_TEST}, "what has a mapping keeps it"


def test_the_network_of_a_test_that_runs_is_left_alone(home: House) -> None:
    assert home.run("apply", "--yes", "specs").code == DONE
    for words in (("map", PG, "VM Network", OTHER_TEST), ("unmap", PG, "VM Network")):
        told = home.run("network", *words, "--test", "--yes")
        assert (told.code, "is under way: wait until it is over" in told.err) == (REFUSED, True)
    assert home.run("network", "unmap", PG, "VM Network", "--live", "--yes").code == DONE
    assert home.run("end", PG).code == DONE


def test_check_and_suggest_name_what_is_missing_and_the_suggestion_can_be_typed(home: House) -> None:
    assert home.run("network", "unmap", DB3, "DB Net", "--test", "--yes").code == DONE
    told = home.run("network", "check")
    assert (told.code, PG in told.out, "1 of 2 VMs with something wrong" in told.out) == (REFUSED, False, True)
    (vm,) = [v for v in home.run("network", "suggest", "--format", "json").json["vms"] if v["suggestions"]]
    (missing,) = vm["suggestions"]
    assert (vm["vm"], missing["source_network_name"], missing["is_test_network"]) == (DB3, "DB Net", True)
    offered = [n["name"] for n in missing["networks"]]
    assert TEST in offered
    assert not {PRODUCTION, DMZ} & set(offered)
    assert home.run("network", "map", DB3, "DB Net", offered[0], "--test", "--yes").code == DONE
    assert home.run("network", "check").code == DONE


def test_a_mapping_that_leads_nowhere_or_belongs_to_no_adapter_is_told(home: House) -> None:
    of = f"WHERE vm_id = '{KEYS[PG]}' AND"
    home.edit(
        f"UPDATE network_mappings SET destination_network_id = 'gone' {of} is_test_network",
        f"UPDATE network_mappings SET source_network_name = 'PGWINTESTBIOS-network' {of} NOT is_test_network",
    )
    found = home.run("network", "check", PG, "--format", "json")
    assert found.code == REFUSED
    problems = {m["source_network_name"]: m["problems"] for m in found.json["vms"][0]["mappings"] if m["problems"]}
    assert problems["PGWINTESTBIOS-network"] == ["no adapter of the VM is on a network of that name"]
    told = " ".join(home.run("network", "check", PG).out.split())
    assert "gone: CloudStack shows no such network" in told


def test_a_change_is_of_one_variant_and_says_which(home: House) -> None:
    before = mapped(home)
    for words in (("map", PG, "VM Network", TEST), ("unmap", PG, "VM Network")):
        for flags in ((), ("--live", "--test"), ("--test", "--live")):
            told = home.run("network", *words, *flags, "--yes")
            assert (told.code, "say either --test or --live" in told.err) == (ERROR, True), told.text
    assert mapped(home) == before


def test_nobody_to_be_failed_over_is_not_all_well(home: House) -> None:
    home.edit(*(f"DELETE FROM {table}" for table in ("vm_disks", "replication_jobs", "network_mappings")))
    for words in (("network", "check"), ("ready",)):
        told = home.run(*words)
        assert (told.code, "no replicated VM in the database" in told.out) == (REFUSED, True), told.text
    assert home.run("ready", "--format", "json").json == {"type": "test", "is_ready": False, "vms": []}
