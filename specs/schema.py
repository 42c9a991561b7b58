"""What a file may contain, as JSON Schema, so that editors complete and check while somebody types.

Printed by `failover schema`, and kept as `docs/reference/specs.schema.json`, which the examples name in their first line.
A document that the schema accepts can still be refused by `load`, which knows inheritance, bounds and the other files.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from specs import values
from specs.fields import FIELDS, INHERITED, MAX_TEXT
from specs.model import DISCONNECTED, State, Strategy

Schema: TypeAlias = dict[str, Any]

TITLE = "Specs of the failover reconciler"
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": values.MAX_NAME}
_DURATION = "^(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def json_schema() -> Schema:
    """The schema of one document, draft 2020-12: nothing, a single VM, or a fleet."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        "description": "One document: a single VM, or a fleet with defaults, groups and VMs. Empty: no opinion.",
        "oneOf": [{"type": "null"}, {"$ref": "#/$defs/single"}, {"$ref": "#/$defs/fleet"}],
        "$defs": {
            "vm": _vm(),
            "name": {**_NAME, "description": "A text without control characters."},
            "names": {"type": "array", "items": {"$ref": "#/$defs/name"}},
            "fields": {"type": "object", "properties": _fields(), "description": "What a VM, a group or defaults say."},
            "single": _single(),
            "fleet": _fleet(),
            "entry": _entry(),
            "group": _group(),
            "defaults": _object({name: _field(name) for name in sorted(INHERITED)}, nullable=True),
        },
    }


def _vm() -> Schema:
    described = {
        "uuid": {"type": "string", "pattern": _UUID, "description": "The uuid of the VM in its vCenter."},
        "name": {"$ref": "#/$defs/name"},
        "vcenter": {"$ref": "#/$defs/name", "description": "Needed where two vCenters have a VM of this name."},
    }
    table = {**_object(described), "anyOf": [{"required": ["uuid"]}, {"required": ["name"]}]}
    return {"description": "Which VM is meant: its name, its uuid, or its name and vCenter.", "anyOf": [_NAME, table]}


def _fields() -> Schema:
    """One entry a field, in the order of the reference."""
    known: Schema = {
        "state": {"enum": [str(s) for s in State], "description": "What is wanted of the VM."},
        "for": {
            "type": "string",
            "pattern": _DURATION,
            "description": "How long a test failover lasts, counted from when its guest runs: 30m, 4h30m, 7d.",
        },
        "networks": _map("Source network of an adapter to a cloud network, by name or uuid, or disconnected.", _NAME),
        "boot_disk": {**_NAME, "description": "The key of the disk that boots, as in disk-2000."},
        "strategy": {"enum": [str(s) for s in Strategy], "description": "How the way back is kept open."},
        "auto_cleanup": {"type": "boolean", "default": True, "description": "Take a test back when its time is up."},
        "confirm": {**_NAME, "description": "The name of the VM again: without it no live failover."},
        "skip_validation": _skip(),
        "notify": _map(
            "Channel to an address, or to a reference env:NAME or file:PATH.",
            {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
        ),
        "after": {"$ref": "#/$defs/names", "description": "VMs that are to be ready before this one begins."},
        "custom": {"type": "object", "description": "Anything; kept with the runs and never read."},
    }
    known["networks"]["examples"] = [{"VM Network": "test-network", "Backup": DISCONNECTED}]
    return {name: known[name] for name in FIELDS}


def _field(name: str) -> Schema:
    return {"$ref": f"#/$defs/fields/properties/{name}"}


def _map(description: str, value: Schema) -> Schema:
    return {"type": "object", "description": description, "propertyNames": _NAME, "additionalProperties": value}


def _skip() -> Schema:
    reason = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    return {
        **_object({"reason": reason}, required=["reason"]),
        "description": "Leave out the readiness checks, never the invariants, for a reason that is kept.",
    }


def _object(properties: Schema, *, required: list[str] | None = None, nullable: bool = False) -> Schema:
    kind = ["object", "null"] if nullable else "object"
    found: Schema = {"type": kind, "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _on_vm() -> Schema:
    return {"vm": {"$ref": "#/$defs/vm"}, **{name: _field(name) for name in FIELDS}}


def _single() -> Schema:
    return {
        **_object(_on_vm(), required=["vm", "state"]),
        "allOf": [
            _when(State.TEST_FAILOVER, {"required": ["for"]}, {"properties": {"for": False}}),
            _when(State.LIVE_FAILOVER, {"required": ["confirm"]}, {}),
        ],
    }


def _when(state: State, then: Schema, otherwise: Schema) -> Schema:
    is_it = {"properties": {"state": {"const": str(state)}}, "required": ["state"]}
    return {"if": is_it, "then": then, **({"else": otherwise} if otherwise else {})}


def _entry() -> Schema:
    described = {
        "group": {"$ref": "#/$defs/name", "description": "The group this VM inherits from."},
        "groups": {"$ref": "#/$defs/names", "description": "Several groups; the later one wins."},
    }
    return {**_object({**_on_vm(), **described}, required=["vm"]), "not": {"required": ["group", "groups"]}}


def _group() -> Schema:
    extends = {"$ref": "#/$defs/name", "description": "The group this one inherits from."}
    return _object({**{name: _field(name) for name in sorted(INHERITED)}, "extends": extends}, nullable=True)


def _fleet() -> Schema:
    parts: Schema = {
        "defaults": {"$ref": "#/$defs/defaults", "description": "For every VM of this document."},
        "groups": {
            "type": ["object", "null"],
            "description": "Names and what their members inherit, within this document.",
            "propertyNames": _NAME,
            "additionalProperties": {"$ref": "#/$defs/group"},
        },
        "vms": {"type": ["array", "null"], "description": "The VMs.", "items": {"$ref": "#/$defs/entry"}},
    }
    return {**_object(parts), "minProperties": 1}
