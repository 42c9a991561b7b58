"""The generations of the replication system's tables, and the same rows rendered for each of them.

Rows are written once, in the documented form (tables and columns as `reconciler.store.embedded` has them), and told here
as each generation would tell them: other column names, one row for each disk or one for each job, contexts or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reconciler.store import embedded

Row = dict[str, Any]
Rows = dict[str, list[Row]]
FOLDER = Path(__file__).parent
ALL = ("embedded on SQLite", "embedded", "g1", "g2", "g2-documented-names", "g3")
ORDER = ("ossea_configs", "vm_replication_contexts", "replication_jobs", "ossea_volumes", "vm_disks")
RENAMED = {"vcenter_host": "v_center_host", "vmdk_path": "vm_dk_path"}


def create(connection: sa.Connection, generation: str) -> None:
    """Make the tables of a generation; all but the embedded one need MariaDB."""
    if generation == "embedded":
        embedded.create(connection)
        return
    text = (FOLDER / f"{generation[:2]}.sql").read_text(encoding="utf-8")
    if generation == "g2-documented-names":
        for documented, theirs in RENAMED.items():
            text = text.replace(theirs, documented)
    for statement in text.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def load(connection: sa.Connection, generation: str, rows: Rows) -> None:
    """Insert rows as this generation has them."""
    rendered = RENDERED[generation](rows) if rows and generation in RENDERED else rows
    metadata = sa.MetaData()
    for name in sorted(rendered, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER)):
        table = sa.Table(name, metadata, autoload_with=connection, resolve_fks=False)
        for row in rendered[name]:
            connection.execute(table.insert().values(_values(table, row)))


def _values(table: sa.Table, row: Row) -> Row:
    """A row in the columns that this table has."""
    named = {(RENAMED.get(c, c) if c not in table.c else c): v for c, v in row.items()}
    return {c: _moment(table, c, v) for c, v in named.items() if c in table.c}


def _moment(table: sa.Table, column: str, value: Any) -> Any:
    is_time = isinstance(table.c[column].type, sa.DateTime | sa.TIMESTAMP)
    return datetime.fromisoformat(value) if is_time and isinstance(value, str) else value


# --- renderings -------------------------------------------------------------------------------------------------------


def _g1(rows: Rows) -> Rows:
    """The history names no disk, so each disk's row has its ChangeID; of two mappings of a network one is stored."""
    good = {(c["job_id"], c.get("disk_id")): c["change_id"] for c in rows["cbt_history"] if c.get("sync_success")}
    disks = [{**d, "disk_change_id": good.get((d["job_id"], d["disk_id"]))} for d in rows["vm_disks"]]
    ordered = sorted(rows["network_mappings"], key=lambda m: not m["is_test_network"])
    kept = {(m["vm_id"], m["source_network_name"]): m for m in reversed(ordered)}
    return {**rows, "vm_disks": disks, "network_mappings": list(kept.values())}


def _g3(rows: Rows) -> Rows:
    """Everything hangs on contexts, and a disk has one row, which moves on to the newest job that succeeded."""
    contexts = {c["vmware_vm_id"].lower(): c for c in _contexts(rows)}
    vm_of = {j["id"]: j["source_vm_id"].lower() for j in rows["replication_jobs"]}
    ids = {job: contexts[vm]["context_id"] for job, vm in vm_of.items()}
    finished = {j["id"]: (j["status"] == "completed", str(j.get("created_at"))) for j in rows["replication_jobs"]}
    never = (False, "")
    newest: dict[Any, Row] = {}
    for disk in sorted(rows["vm_disks"], key=lambda d: finished.get(d["job_id"], never)):
        context = ids.get(disk["job_id"]) or contexts[disk["vmware_uuid"].lower()]["context_id"]
        newest[context, disk["disk_id"]] = {**disk, "vm_context_id": context}
    return {
        **rows,
        "vm_replication_contexts": list(contexts.values()),
        "replication_jobs": [{**j, "vm_context_id": ids[j["id"]]} for j in rows["replication_jobs"]],
        "vm_disks": list(newest.values()),
        "cbt_history": [
            {**c, "vm_context_id": ids[c["job_id"]], "change_id": c["change_id"] or ""} for c in rows["cbt_history"]
        ],
        "network_mappings": [
            {**m, "vm_context_id": contexts.get(m["vm_id"].lower(), {}).get("context_id")} for m in rows["network_mappings"]
        ],
    }


def _contexts(rows: Rows) -> Iterator[Row]:
    seen = set()
    discovered = (
        {"source_vm_id": d["vmware_uuid"], "source_vm_name": d["display_name"], "context_status": "discovered"}
        for d in rows["vm_disks"]
        if d["job_id"] is None
    )
    for job in (*rows["replication_jobs"], *discovered):
        if job["source_vm_id"].lower() not in seen:
            seen.add(job["source_vm_id"].lower())
            yield {
                "context_id": f"ctx-{job['source_vm_name']}-{len(seen)}"[:64],
                "vm_name": job["source_vm_name"],
                "vmware_vm_id": job["source_vm_id"],
                "vcenter_host": job.get("vcenter_host", ""),
                "current_status": job.get("context_status", "ready_for_failover"),
            }


RENDERED: Mapping[str, Any] = {"g1": _g1, "g3": _g3}


def fill(url: str, generation: str, rows: Rows) -> None:
    """Make the tables of a generation, named as in `ALL`, with these rows in them."""
    kind, engine = generation.partition(" ")[0], sa.create_engine(url)
    try:
        with engine.begin() as connection:
            create(connection, kind)
            load(connection, kind, rows)
    finally:
        engine.dispose()
