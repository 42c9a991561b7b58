"""Which generation of the replication system's tables a database has, recognised from their columns and types.

`store.legacy` asks it once when it adopts a database, and refuses what is of none; `failover db check` shows the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

import sqlalchemy as sa

Tables = Mapping[str, sa.Table]


class Generation(StrEnum):
    """The shapes in the wild, and our own of the embedded database."""

    G1 = "G1"
    G2 = "G2"
    G2_FILES = "G2'"
    G3 = "G3"
    EMBEDDED = "embedded"


MEANING: Mapping[Generation, str] = {
    Generation.G1: "as documented in 2025-08",
    Generation.G2: "made by an object mapper, with its names of columns",
    Generation.G2_FILES: "made from migration files, with the documented names of columns",
    Generation.G3: "with VM contexts and enumerated statuses",
    Generation.EMBEDDED: "as `failover init` makes it",
}


def recognise(tables: Tables) -> Generation | tuple[str, ...]:
    """The generation, or what keeps the tables from being of any that they are nearest to."""
    short = {generation: tuple(_differences(tables, generation)) for generation in Generation}
    fewest = min(map(len, short.values()))
    nearest = [generation for generation in Generation if len(short[generation]) == fewest]
    return nearest[0] if not fewest else tuple(f"not {name}: {text}" for name in nearest for text in short[name])


def _differences(tables: Tables, generation: Generation) -> Iterator[str]:
    for (has, present, absent), expected in zip(_TRAITS, _SHAPES[generation], strict=True):
        if expected is not None and has(tables) is not expected:
            yield absent if expected else present


def _has(table: str, column: str) -> Callable[[Tables], bool]:
    return lambda tables: table in tables and column in tables[table].c


def _has_contexts(tables: Tables) -> bool:
    return "vm_replication_contexts" in tables


def _is_enumerated(tables: Tables) -> bool:
    return isinstance(tables["failover_jobs"].c.status.type, sa.Enum)


def _has_long_ids(tables: Tables) -> bool:
    """LONGTEXT has no length in its definition, and no index over the whole of it."""
    return getattr(tables["replication_jobs"].c.source_vm_id.type, "length", None) is None


# whether it is so, and how each answer is told where the other one is expected
_TRAITS: tuple[tuple[Callable[[Tables], bool], str, str], ...] = (
    (_has_contexts, "there is a table vm_replication_contexts", "there is no table vm_replication_contexts"),
    (_is_enumerated, "failover_jobs.status is an enumeration", "failover_jobs.status is no enumeration"),
    (
        _has("replication_jobs", "v_center_host"),
        "replication_jobs has a column v_center_host",
        "replication_jobs has no column v_center_host",
    ),
    (_has("vm_disks", "vm_dk_path"), "vm_disks has a column vm_dk_path", "vm_disks has no column vm_dk_path"),
    (_has("vm_disks", "vmdk_path"), "vm_disks has a column vmdk_path", "vm_disks has no column vmdk_path"),
    (_has_long_ids, "replication_jobs.source_vm_id is LONGTEXT", "replication_jobs.source_vm_id is no LONGTEXT"),
    (_has("cbt_history", "disk_id"), "cbt_history has a column disk_id", "cbt_history has no column disk_id"),
)
# in the order of the traits; None where either is found
_SHAPES: Mapping[Generation, tuple[bool | None, ...]] = {
    Generation.G1: (False, False, False, False, True, False, False),
    Generation.G2: (False, False, True, True, False, True, None),
    Generation.G2_FILES: (False, False, False, False, True, True, None),
    Generation.G3: (True, True, None, None, None, None, True),
    Generation.EMBEDDED: (None, False, False, False, True, False, True),
}
