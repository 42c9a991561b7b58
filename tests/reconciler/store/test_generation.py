"""Each generation of the replication system's tables is recognised, and what is of none is refused with what differs."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from reconciler.store import legacy
from reconciler.store.database import SchemaUnknown
from reconciler.store.generation import MEANING, Generation
from tests.reconciler.store import generations
from tests.reconciler.store.conftest import Furnish

NAMED = {
    "embedded on SQLite": Generation.EMBEDDED,
    "embedded": Generation.EMBEDDED,
    "g1": Generation.G1,
    "g2": Generation.G2,
    "g2-documented-names": Generation.G2_FILES,
    "g3": Generation.G3,
}
MIXED = {
    ("g2", "ALTER TABLE vm_disks RENAME COLUMN vm_dk_path TO vmdk_path"): (
        "not G2': replication_jobs has a column v_center_host"
    ),
    ("g2", "ALTER TABLE replication_jobs RENAME COLUMN v_center_host TO vcenter_host"): (
        "not G2: replication_jobs has no column v_center_host"
    ),
    ("g3", "ALTER TABLE failover_jobs MODIFY status VARCHAR(50)"): "not G3: failover_jobs.status is no enumeration",
    ("g1", "ALTER TABLE failover_jobs MODIFY status ENUM('validating','creating_vm','switching_volume','snapshotting',"
     "'powering_on','cleanup','reverting','completed','failed')"): "not G1: failover_jobs.status is an enumeration",
}  # fmt: skip


@pytest.mark.parametrize("generation", generations.ALL)
def test_a_generation_is_recognised(settled: Furnish, generation: str) -> None:
    assert legacy.adopt(settled(generation)).generation == NAMED[generation]


def test_every_generation_is_tried_and_told() -> None:
    assert set(NAMED.values()) == set(MEANING) == set(Generation)


@pytest.mark.parametrize(("generation", "statement"), MIXED)
def test_a_mixture_of_generations_is_refused_with_what_differs(furnish: Furnish, generation: str, statement: str) -> None:
    database = furnish(generation)
    with database.begin() as connection:
        connection.execute(sa.text(statement))
    with pytest.raises(SchemaUnknown) as caught:
        legacy.adopt(database)
    assert MIXED[generation, statement] in str(caught.value)
