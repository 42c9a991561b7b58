"""What a real 4.22.1 management server said during a whole failover, replayed to our client without any server.

The cassette is made by `make_cassette` from the recording `kvm-11-dr-flow`; its variant A is the flow of this product.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import vcr
import yaml

from plans.observed import Volume
from reconciler.cloudstack.client import Client
from reconciler.cloudstack.outcomes import Accepted, Done, JobFailed, JobSucceeded, Refused
from reconciler.cloudstack.permit import Permit
from tests.reconciler.cloudstack.conftest import KEY, SECRET

CASSETTE = Path(__file__).parent / "cassettes" / "kvm-11-dr-flow.yaml"
URL = "http://127.0.0.1:8080/client/api"
INTERACTIONS = yaml.load(CASSETTE.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["interactions"]
STEPS = {i["request"]["headers"]["X-Step"][0]: i for i in INTERACTIONS}

APPLIANCE, GUEST = "dbde30dd-d8f5-44a0-9046-a88cdf4f32b7", "52c332c5-b967-458e-ba8e-da3261f06af8"
REPLICA, BLANK = "a0a97c30-2911-4ebe-9eec-d231fa1075f0", "ba335a69-ffb6-4706-89d8-3352477149d9"
POINT = "27e3b13b-bcbe-4ecd-bb4a-62d24b91dfc7"
TEST_NET, JOB = "56bea517-6ea2-4d93-a638-484fdfadb327", "00000000-0000-4000-8000-0000000000bb"
PERMIT = Permit(
    "run", "test", frozenset({REPLICA}), frozenset({REPLICA}), frozenset({APPLIANCE}), GUEST, "testvm-a", BLANK,
    frozenset({TEST_NET}), {REPLICA: 0}, {POINT: True}, points_ready=True, replication_idle=True,
)  # fmt: skip


def parameters(request) -> dict[str, str]:
    body = request.body.decode() if isinstance(request.body, bytes) else request.body
    sent = dict(parse_qsl(body))
    return {k: v for k, v in sent.items() if k not in ("listall", "signature", "apiKey", "expires", "signatureVersion")}


def asks_for_the_same(ours, recorded) -> None:
    assert parameters(recorded).items() <= parameters(ours).items()


@pytest.fixture
def client(client_for) -> Client:
    player = vcr.VCR(record_mode="none")
    player.register_matcher("same", asks_for_the_same)
    with player.use_cassette(str(CASSETTE), match_on=["method", "uri", "same"]):
        yield client_for(URL)


def answer(step: str) -> dict:
    (content,) = yaml.safe_load(STEPS[step]["response"]["body"]["string"]).values()
    return content


def job_of(step: str) -> str:
    return answer(step)["jobid"]


def test_the_recording_holds_no_key():
    text = CASSETTE.read_text().lower()
    assert not [w for w in ("apikey=", "signature=", "sessionkey=", KEY, SECRET) if w in text]


def test_the_replica_is_seen_where_the_real_server_had_it(client):
    seen = [client.volume(REPLICA) for _ in range(3)]
    assert [(v.type, v.state, v.vm_id, v.device_id, v.size) for v in seen if v] == [
        ("DATADISK", "Ready", APPLIANCE, 1, 3221225472),
        ("DATADISK", "Ready", None, None, 3221225472),
        ("ROOT", "Ready", "1e162fb0-9beb-495d-8cad-7f22ed48687d", 0, 3221225472),
    ]


def test_an_appliances_volumes_are_read_whole(client):
    root, replica = client.volumes_of(APPLIANCE)
    assert isinstance(root, Volume)
    assert (root.device_id, root.type, replica.device_id, replica.id) == (0, "ROOT", 1, REPLICA)


def test_a_running_guest_is_known_to_have_been_started(client):
    machine = client.machine("1e162fb0-9beb-495d-8cad-7f22ed48687d")
    assert machine is not None
    assert (machine.name, machine.state, machine.started) == ("testvm", "Running", True)
    assert [n.network_id for n in machine.nics] == [TEST_NET]


JOBS = [s.removesuffix("/job") for s in STEPS if s.endswith("/job") and not s.startswith("cleanup")]


@pytest.mark.parametrize("step", JOBS)
def test_every_job_of_the_flow_comes_to_what_the_server_said(client, step):
    told = answer(f"{step}/job")
    result = client.job(told["jobid"])
    if told["jobstatus"] == 1:
        assert result == JobSucceeded(told["jobresult"], told.get("jobinstanceid"))
    else:
        assert result == JobFailed(431, told["jobresult"]["errortext"], retryable=False)


DEPLOY = answer("00-list-replica")["volume"][0]["zoneid"]


def test_the_changes_of_the_flow_are_answered_as_the_server_did(client):
    new = client.writer(replace(PERMIT, guest_id=None))
    writer = client.writer(PERMIT)
    offering, template = "d4c46652-1ee1-47ce-90b1-6e86b64983f1", "19808dc1-e73e-11f1-8ad9-02fc00000001"
    made = new.deploy("testvm-a", "testvm-a", DEPLOY, template, offering, (TEST_NET,), 2, 512, uefi=False, job_id=JOB)
    assert made == Accepted(job_of("A1-deploy"), GUEST)
    assert writer.delete_volume(BLANK) == Done()
    point = writer.create_snapshot(REPLICA, "pre-test", {}, JOB)
    assert point == Accepted(job_of("A4-volume-snapshot-detached"), POINT)
    assert writer.attach(REPLICA, GUEST, 0, JOB) == Accepted(job_of("A5-attach-root"))
    assert writer.stop(GUEST, forced=False, job_id=JOB) == Accepted(job_of("A8-stop"))
    assert writer.attach(REPLICA, APPLIANCE, 1, JOB) == Accepted(job_of("00-attach-replica"))
    assert writer.delete_snapshot(POINT, JOB) == Accepted(job_of("A13-delete-snapshot"))


def test_a_detach_is_sent_after_the_look_that_shows_where_the_replica_hangs(client):
    assert client.writer(PERMIT).detach(REPLICA, JOB) == Accepted(job_of("03-detach-replica"))


def test_an_attached_blank_root_is_refused_with_the_servers_code(client):
    blank = "1fc81855-1c6e-46b3-982c-c0b5caf1688c"
    writer = client.writer(replace(PERMIT, default_root_id=blank))
    refused = writer.delete_volume(blank)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == (431, False)
    assert writer.delete_volume(blank) == Done()
