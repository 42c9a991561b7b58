"""The cloud behind HTTP: endpoint, keep-alive, the control port, and the command line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from simulator import TurnedClock, load_estate, serve
from simulator.server import Server
from tests.simulator.signing import signed
from tests.simulator.world import NET, START, World

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "estate.yaml"
WAIT = 10.0


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    with serve(world.cloud, control_port=0) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_is_answered_by_get_and_by_post(server: Server, method: str) -> None:
    params = signed("listZones")
    given = {"params": params} if method == "GET" else {"data": params}
    reply = requests.request(method, server.url, timeout=WAIT, **given)  # type: ignore[arg-type]
    assert (reply.status_code, reply.json()["listzonesresponse"]["count"]) == (200, 2)


def test_the_trace_tells_every_call_in_order_without_keys(server: Server) -> None:
    for command in ("listZones", "listFnords"):
        requests.get(server.url, params=signed(command, keyword="zone-1"), timeout=WAIT)
    calls = requests.get(f"{server.control_url}/trace", timeout=WAIT).json()["calls"]
    assert [(call["command"], call["status"], call["params"]["keyword"]) for call in calls] == [
        ("listZones", 200, "zone-1"),
        ("listFnords", 401, "zone-1"),
    ]
    assert not {"apikey", "signature"}.intersection(key.lower() for call in calls for key in call["params"])


@pytest.mark.parametrize("path", ["/", "/client", "/client/apix", "/client/api/v1"])
def test_any_other_path_is_a_404_in_html(server: Server, path: str) -> None:
    reply = requests.get(server.url.replace("/client/api", path), params=signed("listZones"), timeout=WAIT)
    assert (reply.status_code, reply.headers["Content-Type"].startswith("text/html")) == (404, True)


def test_a_connection_is_kept(server: Server) -> None:
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=WAIT)
    for _ in range(3):
        connection.request("GET", f"{where.path}?{urlencode(signed('listZones'))}")
        reply = connection.getresponse()
        assert (reply.version, reply.status, bool(reply.read())) == (11, 200, True)
        assert connection.sock is not None
    connection.close()


@pytest.mark.parametrize("sent", [0, 1, -1], ids=["nothing of it", "one byte of it", "all but one byte of it"])
def test_a_form_whose_sender_hangs_up_before_its_end_is_no_call(server: Server, world: World, sent: int) -> None:
    form = urlencode(signed("deleteVolume", id=world.volume())).encode()
    part = form[:sent]
    where = urlsplit(server.url)
    before = (dict(world.cloud.calls), world.cloud.truth())
    head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(form)}\r\n\r\n"
    with socket.create_connection((str(where.hostname), where.port), timeout=WAIT) as line:
        line.sendall(head.encode() + part)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1) == b""
    assert (dict(world.cloud.calls), world.cloud.truth()) == before
    assert requests.post(server.url, data=signed("listZones"), timeout=WAIT).status_code == 200


def control(server: Server, method: str, path: str, **body: Any) -> requests.Response:
    return requests.request(method, f"{server.control_url}{path}", json=body or None, timeout=WAIT)


def test_the_clock_is_turned_over_the_control_port(server: Server, world: World) -> None:
    assert control(server, "GET", "/state").json()["now"] == START.isoformat()
    assert control(server, "POST", "/clock", advance="30m").json()["now"] == "2026-03-01T12:30:00+00:00"
    assert world.clock.now().minute == 30


def test_faults_are_set_and_guests_write_over_the_control_port(server: Server, world: World) -> None:
    vm = world.running()
    before = world.cloud.fingerprint(world.root(vm))
    assert control(server, "POST", "/guest-writes", vm=vm).status_code == 200
    assert world.cloud.fingerprint(world.root(vm)) != before
    assert control(server, "POST", "/faults", kind="refuse", command="listZones", code=503).status_code == 200
    assert requests.get(server.url, params=signed("listZones"), timeout=WAIT).status_code == 503
    assert requests.get(server.url, params=signed("listZones"), timeout=WAIT).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nowhere", {}),
        ("POST", "/clock", {"advance": "soon"}),
        ("POST", "/faults", {"kind": "no-such", "command": "x"}),
    ],
)
def test_a_mistake_at_the_control_port_is_told(server: Server, method: str, path: str, body: dict[str, Any]) -> None:
    reply = control(server, method, path, **body)
    assert (reply.status_code, bool(reply.json()["error"])) == (400, True)


def test_the_state_tells_everything(server: Server, world: World) -> None:
    vm = world.running()
    truth = control(server, "GET", "/state").json()["truth"]
    assert truth["vms"][vm]["state"] == "Running"
    assert {"vms", "volumes", "snapshots", "vm_snapshots", "networks", "jobs"} <= truth.keys()


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_command_line_serves_until_it_is_told_to_end(by: signal.Signals) -> None:
    process = started("--turned", "--estate", str(EXAMPLE), "--release", "4.20.3.0")
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    try:
        url = next(word for word in first.split() if word.startswith("http"))
        where = next(word for word in second.split() if word.startswith("http")).rstrip(":")
        assert requests.get(url, params=signed("listZones"), timeout=WAIT).status_code == 401
        now = requests.post(f"{where}/clock", json={"advance": "1h"}, timeout=WAIT).json()["now"]
        assert now.endswith("+00:00")
        assert json.loads(requests.get(f"{where}/state", timeout=WAIT).text)["truth"]["networks"]
    finally:
        process.send_signal(by)
        _, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [("[1, 2]", "is not a mapping"), ("accounts: []\nnetworks: [{name: x}]", "lacks"), ("accounts: [", "cannot start")],
)
def test_an_estate_that_cannot_be_built_is_told_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    estate = tmp_path / "estate.yaml"
    estate.write_text(text)
    process = started("--estate", str(estate))
    _, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, says in errors, "Traceback" in errors) == (1, True, False)


def test_a_file_that_is_not_there_is_told_in_one_line() -> None:
    process = started("--estate", "/nowhere/estate.yaml")
    _, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, "nowhere" in errors, "Traceback" in errors) == (1, True, False)


def test_the_sample_estate_is_the_sample_platform() -> None:
    cloud = load_estate(EXAMPLE, TurnedClock(START))
    failover = cloud.as_account("failover")
    volumes = failover.call("listVolumes", listall=True).json["listvolumesresponse"]["volume"]
    assert {row["deviceid"]: row["size"] // 1024**3 for row in volumes} == {0: 8, 1: 54, 2: 40, 4: 200, 5: 500}
    networks = failover.call("listNetworks", listall=True).json["listnetworksresponse"]["network"]
    assert {row["name"]: row["type"] for row in networks}["test-network-default"] == "L2"
    assert NET not in {row["id"] for row in networks}
