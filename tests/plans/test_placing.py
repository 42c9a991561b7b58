"""Where disks and cards go: the boot disk, devices there and at home, networks, names."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from plans import placing
from plans.observed import Disk, Network, NetworkMapping, Placement, RunFacts, Volume
from tests.plans import worlds
from tests.plans.worlds import PRODUCTION, TEST_NET


def disk(key: str, unit: int = 0) -> Disk:
    return Disk(key, 40, unit, f"volume of {key}")


def keys(disks: tuple[Disk, ...]) -> list[str]:
    return [d.key for d in disks]


@pytest.mark.parametrize(("key", "kind"), [
    ("disk-2000", "SCSI"), ("disk-2999", "SCSI"), ("disk-1999", "?"), ("disk-3000", "IDE"), ("disk-3999", "IDE"),
    ("disk-15000", "SATA"), ("disk-16000", "SATA"), ("disk-16999", "SATA"), ("disk-17000", "?"), ("disk-31000", "NVMe"),
    ("disk-31999", "NVMe"), ("disk-32000", "?"), ("disk", "?"), ("disk-²", "?"), ("2001", "SCSI"),
])  # fmt: skip
def test_the_controller_is_read_from_the_device_key(key: str, kind: str) -> None:
    assert placing.controller(disk(key)) == kind


def test_disks_are_ordered_by_the_number_of_their_key_and_those_without_one_come_last() -> None:
    disks = tuple(disk(key) for key in ("disk-2010", "disk-2009", "disk-2000"))
    assert keys(placing.in_order(disks, None)) == ["disk-2000", "disk-2009", "disk-2010"]
    assert placing.key_number("disk-x") > placing.key_number("disk-99999999")


def test_the_declared_boot_disk_comes_first_and_the_others_keep_their_order() -> None:
    disks = tuple(disk(key) for key in ("disk-3000", "disk-2001", "disk-2000"))
    assert keys(placing.in_order(disks, "disk-2001")) == ["disk-2001", "disk-2000", "disk-3000"]
    assert placing.in_order((), None) == ()


def test_a_boot_disk_that_is_none_of_the_disks_is_told_with_their_names() -> None:
    with pytest.raises(placing.Ambiguous, match=r"disk-9 is none of disk-2000, disk-2001"):
        placing.in_order((disk("disk-2001"), disk("disk-2000")), "disk-9")


def test_two_kinds_of_controller_without_a_word_of_the_operator_are_ambiguous() -> None:
    with pytest.raises(placing.Ambiguous, match=r"disk-2000 \(SCSI\), disk-31000 \(NVMe\)"):
        placing.in_order((disk("disk-31000"), disk("disk-2000")), None)


def test_data_disks_never_take_the_device_of_the_cd_rom() -> None:
    assert list(islice(placing.guest_devices(), 6)) == [0, 1, 2, 4, 5, 6]
    assert (placing.CDROM_DEVICE, placing.MAX_DATA_DISKS) == (3, 32)


def test_every_replica_is_written_down_with_where_it_hangs_and_where_it_goes() -> None:
    found = placing.placements(worlds.world(5))
    assert [(p.disk_key, p.order, p.appliance_device, p.guest_device) for p in found] == [
        ("disk-2000", 0, 1, 0), ("disk-2001", 1, 2, 1), ("disk-2002", 2, 4, 2),
        ("disk-2003", 3, 5, 4), ("disk-2004", 4, 6, 5),
    ]  # fmt: skip
    assert [p.volume_id for p in found] == [worlds.volume_id(n) for n in range(5)]
    assert [p.disk_key for p in placing.placements(worlds.world(2), "disk-2001")] == ["disk-2001", "disk-2000"]


def test_a_disk_without_a_volume_is_skipped_and_one_that_hangs_nowhere_has_no_device() -> None:
    world = worlds.world(3)
    disks = (world.source.disks[0], replace(world.source.disks[1], volume_id=None), world.source.disks[2])
    loose = replace(world.volumes[worlds.volume_id(2)], vm_id=None, device_id=None)
    volumes = {v: f for v, f in world.volumes.items() if v != worlds.volume_id(0)} | {loose.id: loose}
    found = placing.placements(replace(world, source=replace(world.source, disks=disks), volumes=volumes))
    assert [(p.disk_key, p.order, p.appliance_device, p.guest_device) for p in found] == [
        ("disk-2000", 0, -1, 0),
        ("disk-2002", 2, -1, 2),
    ]


# --- home -------------------------------------------------------------------------------------------------------------


def placement(number: int, device: int) -> Placement:
    return Placement(worlds.volume_id(number), f"disk-{2000 + number}", number, device, number)


def away(*devices: int, taken: dict[int, int] | None = None):
    """A run whose replicas hung at these devices and hang nowhere now; `taken`: others that hang on the appliance."""
    world = worlds.world(len(devices))
    loose = {worlds.volume_id(n) for n in range(len(devices))}
    volumes = {v: replace(f, vm_id=None, device_id=None) if v in loose else f for v, f in world.volumes.items()}
    for number, device in (taken or {}).items():
        other = Volume(f"other-{number}", f"other-{number}", "Ready", "DATADISK", 1, worlds.ZONE, worlds.APPLIANCE, device)
        volumes[other.id] = other
    run = RunFacts("run-1", "guest", placements=tuple(placement(n, d) for n, d in enumerate(devices)))
    return replace(world, volumes=volumes, run=run)


def test_a_replica_goes_home_to_the_device_where_it_hung() -> None:
    world = away(7, 9)
    assert [placing.home_device(world, p) for p in world.run.placements] == [7, 9]


def test_where_its_device_is_taken_it_gets_the_first_that_is_free_and_promised_to_no_other() -> None:
    world = away(1, 2, taken={0: 1, 1: 5})
    assert placing.home_device(world, world.run.placements[0]) == 4
    assert placing.home_device(world, world.run.placements[1]) == 2


@pytest.mark.parametrize("device", [0, -1])
def test_the_appliances_own_root_is_nobodys_home(device: int) -> None:
    world = away(device)
    assert placing.home_device(world, world.run.placements[0]) == 1


def test_without_an_appliance_or_a_run_nothing_is_taken() -> None:
    world = replace(away(1), appliance=None)
    assert placing.home_device(world, placement(0, 1)) == 1
    assert placing.home_device(replace(away(1, taken={0: 1}), run=None), placement(0, 1)) == 2


# --- cards ------------------------------------------------------------------------------------------------------------


def carded(override: str | None = None, *mappings: NetworkMapping, networks: dict[str, Network] | None = None):
    world = worlds.world()
    if mappings:
        world = replace(world, source=replace(world.source, mappings=mappings))
    if networks is not None:
        world = replace(world, networks=networks, test_networks=frozenset(networks))
    spec = worlds.spec(networks={"VM Network": override}) if override else worlds.spec()
    (card,) = placing.cards(spec, world)
    return card


def test_an_adapter_goes_where_its_row_of_test_mappings_says() -> None:
    card = carded()
    assert (card.adapter, card.network, card.chosen_by, card.problem) == ("VM Network", TEST_NET, "network_mappings", None)


def test_a_mapping_of_another_adapter_or_to_production_counts_for_nothing() -> None:
    others = NetworkMapping("Other", TEST_NET.id, TEST_NET.name, is_test=True)
    card = carded(None, others, NetworkMapping("VM Network", PRODUCTION.id, PRODUCTION.name, is_test=False))
    assert (card.network, card.chosen_by) == (None, "none")
    assert "has no test network" in card.problem


@pytest.mark.parametrize("wanted", [TEST_NET.id, TEST_NET.name])
def test_the_spec_names_a_network_by_id_or_by_name(wanted: str) -> None:
    card = carded(wanted)
    assert (card.network, card.chosen_by, card.problem) == (TEST_NET, "spec", None)


def test_disconnected_is_a_choice_and_no_problem() -> None:
    card = carded("disconnected")
    assert (card.network, card.chosen_by, card.problem) == (None, "spec", None)


def test_a_network_that_is_not_flagged_as_a_test_network_is_never_a_fallback() -> None:
    card = carded(PRODUCTION.name)
    assert "not flagged as a test network" in card.problem


@pytest.mark.parametrize(("state", "usable"), [
    ("Implemented", True), ("Allocated", True), ("Setup", False), ("Shutdown", False),
])  # fmt: skip
def test_a_network_takes_cards_only_when_it_is_implemented_or_allocated(state: str, usable: bool) -> None:
    network = replace(TEST_NET, state=state)
    card = carded(network.id, networks={network.id: network})
    assert (card.problem is None, card.network) == (usable, network)


def test_a_name_that_no_network_or_several_have_is_told_apart() -> None:
    assert "no such network" in carded("nowhere").problem
    twin = replace(TEST_NET, id="another")
    card = carded(TEST_NET.name, networks={TEST_NET.id: TEST_NET, twin.id: twin})
    assert ("several networks" in card.problem, card.network, card.chosen_by) == (True, None, "spec")


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_second_try_of_a_vm_has_another_name_and_a_run_keeps_its_own() -> None:
    assert placing.guest_name(worlds.world()) == "pgwintestbios-test"
    assert placing.guest_name(worlds.world(attempt=2)) == "pgwintestbios-test-2"
    assert placing.guest_name(worlds.world(attempt=2, run=RunFacts("run-1", "its own"))) == "its own"
    assert placing.guest_name(worlds.world(attempt=2, run=RunFacts("run-1", ""))) == "pgwintestbios-test-2"


@pytest.mark.parametrize(("attempt", "ending"), [(2, "a-te-2"), (10, "a-t-10"), (123, "a-123")])
def test_a_long_name_is_cut_so_that_the_number_of_the_try_fits(attempt: int, ending: str) -> None:
    name = placing.guest_name(worlds.world(attempt=attempt, source=worlds.source(name="a" * 80)))
    assert name == "a" * 57 + ending


def test_what_a_run_makes_is_named_after_guest_and_disk_the_same_in_every_pass() -> None:
    world = worlds.world()
    assert placing.point_name(world, "disk-2000") == "test-failover-pgwintestbios-test-disk-2000"
    assert placing.clone_name(world, "disk-2000") == "test-failover-pgwintestbios-test-disk-2000-clone"
    assert placing.guest_point_name(world) == "test-failover-pgwintestbios-test"
