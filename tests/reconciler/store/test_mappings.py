"""Mappings are put and taken away row by row, in every generation; both variants of a source network stand side by side."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from plans.observed import NetworkMapping, Source
from reconciler.store import journal, legacy, mappings
from reconciler.store.database import Database, ValueRefused, upgrade
from tests.reconciler.store import generations, vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.vms import Vm

NOW = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
ONE, OTHER = Vm(70, "web"), Vm(71, "db")
NAMED = Vm(72, "named", mapped_as="named")
OURS = "fr_network_mappings"


def mapping(network: str, *, is_test: bool, source: str = "VM Network") -> NetworkMapping:
    return NetworkMapping(source, network, f"name of {network}", is_test)


class Desk:
    """One database and the VMs in it."""

    def __init__(self, database: Database) -> None:
        self.database, self.adopted = database, legacy.adopt(database)
        upgrade(database)

    def source(self, vm: Vm) -> Source:
        with self.database.read() as connection:
            return next(s for s in self.adopted.sources(connection) if s.key == vms.uuid(vm.number))

    def mapped(self, vm: Vm) -> dict[tuple[str, bool], str]:
        return {(m.source, m.is_test): m.network_id for m in self.source(vm).mappings}

    def put(self, vm: Vm, wanted: NetworkMapping, source: Source | None = None) -> mappings.Stored | None:
        with self.database.begin() as connection:
            stored = mappings.held(connection, self.adopted)
            meant = source or self.source(vm)
            return mappings.put(connection, self.adopted, stored, meant, wanted, alone=True, now=NOW, by="ann")

    def take(self, vm: Vm, *, is_test: bool) -> tuple[mappings.Stored, ...]:
        with self.database.begin() as connection:
            stored, found = mappings.held(connection, self.adopted), self.source(vm)
            return mappings.take(
                connection, self.adopted, stored, found, "VM Network", is_test, alone=True, now=NOW, by="ann"
            )

    def rows(self, table: str) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            return [dict(r) for r in connection.execute(sa.text(f"select * from {table}")).mappings()]

    def told(self, vm: Vm) -> list[str]:
        with self.database.read() as connection:
            return [e.text for e in journal.events(connection, vms.uuid(vm.number), 10)]


@pytest.fixture
def desk(furnish: Furnish, generation: str) -> Desk:
    return Desk(furnish(generation, vms.rows(ONE, OTHER, NAMED)))


every_generation = pytest.mark.parametrize("generation", [g for g in generations.ALL if g != "g2-documented-names"])


@every_generation
def test_both_variants_stand_side_by_side_are_changed_and_taken_away_alone(desk: Desk, generation: str) -> None:
    others = {vm.number: desk.mapped(vm) for vm in (OTHER, NAMED)}
    for is_test in (True, False):
        desk.take(ONE, is_test=is_test)
    assert desk.mapped(ONE) == {}

    assert desk.put(ONE, mapping("prod-1", is_test=False)) is None
    assert desk.put(ONE, mapping("test-1", is_test=True)) is None
    assert desk.mapped(ONE) == {("VM Network", False): "prod-1", ("VM Network", True): "test-1"}
    assert len(desk.rows(OURS)) == (1 if generation == "g1" else 0)

    before = desk.put(ONE, mapping("test-2", is_test=True))
    assert before is not None
    assert before.mapping.network_id == "test-1"
    desk.put(ONE, mapping("prod-2", is_test=False))
    assert desk.mapped(ONE) == {("VM Network", False): "prod-2", ("VM Network", True): "test-2"}
    assert desk.told(ONE)[:2] == [
        'ann mapped "VM Network" for production: name of prod-1 (prod-1) → name of prod-2 (prod-2)',
        'ann mapped "VM Network" for test: name of test-1 (test-1) → name of test-2 (test-2)',
    ]

    (taken,) = desk.take(ONE, is_test=True)
    assert taken.mapping.network_id == "test-2"
    assert desk.mapped(ONE) == {("VM Network", False): "prod-2"}
    assert desk.take(ONE, is_test=True) == ()
    assert desk.told(ONE)[0] == 'ann mapped "VM Network" for test: name of test-2 (test-2) → nothing'
    assert {vm.number: desk.mapped(vm) for vm in (OTHER, NAMED)} == others


@every_generation
def test_a_row_under_the_name_of_a_vm_is_changed_where_it_stands(desk: Desk, generation: str) -> None:
    before = desk.rows("network_mappings")
    desk.put(NAMED, mapping("test-9", is_test=True))
    assert desk.mapped(NAMED)["VM Network", True] == "test-9"
    after = desk.rows("network_mappings")
    assert [r["id"] for r in after] == [r["id"] for r in before], generation
    assert desk.rows(OURS) == []
    (changed,) = [r for r in after if r["destination_network_id"] == "test-9"]
    assert changed["vm_id"] == "named"


@pytest.mark.parametrize("generation", ["g3"])
def test_the_newest_generation_gets_its_own_columns(desk: Desk, generation: str) -> None:
    desk.put(ONE, mapping("test-1", is_test=True, source="Second"))
    (row,) = [r for r in desk.rows("network_mappings") if r["source_network_name"] == "Second"]
    assert row["vm_context_id"] == desk.source(ONE).context_id is not None, generation
    assert row["vmware_vm_id"] == vms.uuid(ONE.number)
    assert (row["validation_status"], row["mapping_type"]) == ("valid", "test")
    assert row["last_validated"] == row["created_at"] == NOW.replace(tzinfo=None)


@pytest.mark.parametrize("generation", ["embedded on SQLite"])
def test_the_same_mapping_once_more_writes_and_tells_nothing(desk: Desk, generation: str) -> None:
    desk.put(ONE, mapping("test-1", is_test=True))
    before = desk.rows("network_mappings"), desk.told(ONE)
    desk.put(ONE, mapping("test-1", is_test=True))
    assert (desk.rows("network_mappings"), desk.told(ONE)) == before, generation


@pytest.mark.parametrize("generation", ["embedded on SQLite"])
def test_a_row_that_somebody_changed_meanwhile_is_not_overwritten(desk: Desk, generation: str) -> None:
    with desk.database.begin() as connection:
        found = desk.source(ONE)
        (row,) = [s for s in mappings.of(mappings.held(connection, desk.adopted), found, alone=True) if s.mapping.is_test]
        connection.execute(sa.text(f"update network_mappings set destination_network_id = 'theirs' where id = {row.id}"))
        with pytest.raises(mappings.MappingChanged, match=f"row {row.id} of network_mappings was changed"):
            mappings._update(connection, desk.adopted, row, mapping("ours", is_test=True), NOW)
    assert desk.mapped(ONE)["VM Network", True] == "theirs", generation


@pytest.mark.parametrize("generation", ["embedded on SQLite"])
def test_rows_under_a_name_that_others_bear_are_left_alone(desk: Desk, generation: str) -> None:
    found = desk.source(NAMED)
    with desk.database.begin() as connection:
        stored = mappings.held(connection, desk.adopted)
        assert (
            mappings.take(connection, desk.adopted, stored, found, "VM Network", True, alone=False, now=NOW, by="ann") == ()
        )
    assert ("VM Network", True) in desk.mapped(NAMED), generation


SIBLINGS = Vm(73, "siblings", mapped=(), adapters=('{"adapters":[{"network":"VM Network"},{"network":"vm network"}]}',))


@every_generation
def test_source_networks_that_a_collation_takes_for_one_are_both_mapped(furnish: Furnish, generation: str) -> None:
    desk = Desk(furnish(generation, vms.rows(SIBLINGS)))
    for number, (source, is_test) in enumerate((s, t) for s in ("VM Network", "vm network") for t in (True, False)):
        desk.put(SIBLINGS, mapping(f"net-{number}", is_test=is_test, source=source))
    assert sorted(desk.mapped(SIBLINGS).values()) == ["net-0", "net-1", "net-2", "net-3"]
    desk.put(SIBLINGS, mapping("other", is_test=True, source="vm network"))
    assert sorted(desk.mapped(SIBLINGS).values()) == ["net-0", "net-1", "net-3", "other"]


@pytest.mark.parametrize("generation", ["g3"])
def test_a_row_of_the_vm_s_context_is_the_vm_s_whatever_it_calls_it(desk: Desk, generation: str) -> None:
    with desk.database.begin() as connection:
        connection.execute(sa.text("UPDATE network_mappings SET vm_id = CONCAT('odd-', vm_id)"))
    before = len(desk.rows("network_mappings"))
    desk.put(ONE, mapping("test-9", is_test=True))
    assert (desk.mapped(ONE)["VM Network", True], len(desk.rows("network_mappings"))) == ("test-9", before), generation
    (taken,) = desk.take(ONE, is_test=True)
    assert taken.vm_id == f"odd-{vms.uuid(ONE.number)}"
    assert ("VM Network", True) not in desk.mapped(ONE)
    assert ("VM Network", True) in desk.mapped(OTHER)


@pytest.mark.parametrize("generation", ["g3"])
def test_what_a_key_refuses_elsewhere_is_told_in_a_sentence(desk: Desk, generation: str) -> None:
    gone = replace(desk.source(ONE), context_id="gone")
    wanted = mapping("x", is_test=True, source="Second")
    with pytest.raises(ValueRefused, match=r"does not take a row: .*foreign key.*\(1452\)\. nothing of it was written"):
        desk.put(ONE, wanted, source=gone)
