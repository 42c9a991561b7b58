"""Settings and the server's own life as the API shows them: list and change settings, prepare for shutdown, take it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from simulator import settings
from simulator.commands import common
from simulator.model import Plain
from simulator.refusals import Refused
from simulator.registry import ADMIN, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

PLAIN = {"category": "Advanced", "group": "Miscellaneous", "subgroup": "Others", "component": "management-server"}
SCOPES = {"zoneid": "zone", "clusterid": "cluster", "storageid": "storagepool", "accountid": "account", "domainid": "domain"}
SCOPE = (
    Param("zoneid", "Zone"),
    Param("clusterid", "Cluster"),
    Param("storageid", "StoragePool"),
    Param("accountid", "Account"),
    Param("domainid", "Domain"),
)


# --- settings ---------------------------------------------------------------------------------------------------------


@command("listConfigurations", Param("name"), Param("category"), Param("group"), *SCOPE, roles=ADMIN)
def list_configurations(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Settings with the value that is stored, which need not be the one in force (CS-SNP-14)."""
    scope = next((told for name, told in SCOPES.items() if call.has(name)), None)
    rows = [row for row in _settings(cloud, scope) if _chosen(call, row)]
    return page(call, "configuration", rows)


def _settings(cloud: Cloud, scope: str | None) -> Iterator[dict[str, Any]]:
    for name in sorted({**settings.COLUMNS, **cloud.settings}):
        told = settings.COLUMNS.get(name, {})
        if scope is None or told.get("scope") == scope:
            yield _row(cloud, name, scope)


def _row(cloud: Cloud, name: str, scope: str | None = None) -> dict[str, Any]:
    told = settings.COLUMNS.get(name, {})
    usual = settings.defaults(cloud.release).get(name, told.get("default"))
    value = cloud.settings.get(name, usual)
    columns = {key: told.get(key, plain) for key, plain in PLAIN.items()}
    return {
        "category": columns["category"],
        "group": columns["group"],
        "subgroup": columns["subgroup"],
        "name": name,
        "value": _text(value),
        "defaultvalue": _text(usual),
        "scope": scope,
        "description": told.get("description"),
        "isdynamic": not told.get("static", name in settings.NOT_DYNAMIC),
        "component": columns["component"],
        "parent": told.get("parent"),
        "displaytext": name.replace(".", " ").capitalize(),
        "type": told.get("type", _type(usual)),
        "options": told.get("options"),
    }


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    return "Number" if isinstance(value, int) else "String"


def _chosen(call: Call, row: Mapping[str, Any]) -> bool:
    same = all(call[name] in (None, row[name]) for name in ("name", "category", "group"))
    return same and (call["keyword"] is None or call["keyword"].lower() in row["name"])


@command("updateConfiguration", Param("name", required=True), Param("value", limit=4095), *SCOPE, roles=ADMIN)
def update_configuration(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Store a value; one of a setting that is not dynamic comes into force at the next start (CS-SNP-14)."""
    name, text = call["name"], call["value"]
    if name not in cloud.settings and name not in settings.COLUMNS:
        raise Refused(431, f"Config parameter with name {name} doesn't exist")
    if text is not None:
        cloud.configure(name, _read(cloud.settings.get(name), text))
    return {"configuration": _row(cloud, name)}


def _read(before: Any, text: str) -> Any:
    """The text as a value of the setting's own type."""
    if isinstance(before, bool):
        if text.lower() not in ("true", "false"):
            raise Refused(431, "Please enter either 'true' or 'false'.")
        return text.lower() == "true"
    if isinstance(before, int):
        try:
            return int(text)
        except ValueError:
            raise Refused(431, f"There was an error trying to parse the integer value for: {text}") from None
    return text


# --- the server -------------------------------------------------------------------------------------------------------

SERVER = Param("managementserverid", "ManagementServer", required=True)


def _pending(cloud: Cloud) -> int:
    return len(cloud.jobs.pending)


@command("listManagementServers", Param("id", "ManagementServer"), Param("name"), roles=ADMIN)
def management_servers(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The one management server."""
    agents = [row.id for row in cloud.rows_of("Host")]
    own = _server(cloud)
    row = {
        "id": own.id,
        "name": own.name,
        "version": cloud.release,
        "agents": agents,
        "lastagents": agents,
        "agentscount": len(agents),
        **own.fields,
        "pendingjobscount": _pending(cloud),
        "state": _state(cloud),
    }
    return page(call, "managementserver", [row] if call["name"] in (None, row["name"]) else [])


def _server(cloud: Cloud) -> Plain:
    row = cloud.server()
    if row is None:
        raise Refused(530, "This cloud was furnished without a management server", masked=True)
    return row


def _state(cloud: Cloud) -> str:
    return "PreparingForShutDown" if cloud.maintenance else "Up"


def _shutdown(cloud: Cloud) -> dict[str, Any]:
    agents = [row.id for row in common.hosts(cloud)]
    return {
        "managementserverid": _server(cloud).id,
        "state": _state(cloud),
        "maintenanceinitiated": False,
        "shutdowntriggered": cloud.maintenance,
        "readyforshutdown": cloud.maintenance and not _pending(cloud),
        "pendingjobscount": _pending(cloud),
        "agentscount": len(agents),
        "agents": agents,
    }


@command("prepareForShutdown", SERVER, roles=ADMIN)
def prepare_for_shutdown(cloud: Cloud, call: Call) -> dict[str, Any]:
    """From now on no new jobs are taken (CS-JOB-17)."""
    if cloud.maintenance:
        raise Refused(530, "Shutdown has already been triggered", masked=True)
    cloud.maintenance = True
    return {"prepareforshutdown": _shutdown(cloud)}


@command("readyForShutdown", SERVER, roles=ADMIN)
def ready_for_shutdown(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Whether any job is still under way."""
    return {"readyforshutdown": _shutdown(cloud)}


@command("cancelShutdown", SERVER, roles=ADMIN)
def cancel_shutdown(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Jobs are taken again."""
    if not cloud.maintenance:
        raise Refused(530, "Shutdown has not been triggered", masked=True)
    cloud.maintenance = False
    return {"cancelshutdown": _shutdown(cloud)}
