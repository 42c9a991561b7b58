"""A comparison that cannot fail is worthless: every kind is found, and what installations choose is none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance import comparing, records
from tests.conformance.blanking import blanked, same_text
from tests.conformance.comparing import Answer, differences
from tests.conformance.identities import Identities
from tests.conformance.records import Exchange

A, B, C, D = (f"{digit * 8}-aaaa-4aaa-8aaa-aaaaaaaaaaaa" for digit in "1234")


def exchange(body: Any, status: int = 200, **more: Any) -> Exchange:
    return Exchange(
        index=0, step="x", caller="dr", command="listVolumes", params={}, method="GET", status=status, body=body, **more
    )


def volumes(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"listvolumesresponse": {"count": len(rows), "volume": list(rows)}}


def found(recorded: Any, answered: Any, ids: Identities | None = None) -> list[str]:
    return [d.field for d in differences(exchange(recorded), Answer(200, answered), ids or Identities())]


ROW = {"id": A, "name": "v1", "state": "Ready", "type": "ROOT", "virtualmachineid": B, "deviceid": 0, "path": "/x"}
OTHER = {"id": C, "name": "v1", "state": "Ready", "type": "ROOT", "virtualmachineid": D, "deviceid": 0, "path": "/y"}


def test_the_same_answer_of_another_installation_is_no_difference() -> None:
    assert found(volumes(ROW), volumes(OTHER)) == []


CHANGED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "state": ({"state": "Allocated"}, ["listvolumesresponse.volume[].state"]),
    "type": ({"type": "DATADISK"}, ["listvolumesresponse.volume[].type"]),
    "name": ({"name": "v2"}, ["listvolumesresponse.volume[].name"]),
    "device": ({"deviceid": 1}, ["listvolumesresponse.volume[].deviceid"]),
    "number as text": ({"deviceid": "0"}, ["listvolumesresponse.volume[].deviceid"]),
    "extra key": ({"extra": 1}, ["listvolumesresponse.volume[].extra"]),
    "object for a value": ({"path": {}}, ["listvolumesresponse.volume[].path"]),
    "unwatched value": ({"path": "/z"}, []),
}


@pytest.mark.parametrize(("change", "fields"), CHANGED.values(), ids=CHANGED.keys())
def test_a_change_in_an_object_is_named_by_its_place(change: dict[str, Any], fields: list[str]) -> None:
    assert found(volumes(ROW), volumes(OTHER | change)) == fields


def test_a_missing_key_is_a_difference() -> None:
    assert found(volumes(ROW), volumes({k: v for k, v in OTHER.items() if k != "path"})) == [
        "listvolumesresponse.volume[].path"
    ]


def test_a_reference_to_another_object_than_before_is_a_difference() -> None:
    ids = Identities({B: A})
    assert found(volumes(ROW), volumes(OTHER), ids) == ["listvolumesresponse.volume[].virtualmachineid"]


def test_missing_and_extra_members_are_differences_and_so_is_the_count() -> None:
    assert found(volumes(ROW), volumes(OTHER, OTHER | {"id": D})) == [
        "listvolumesresponse.count",
        "listvolumesresponse.volume[]",
    ]
    assert found(volumes(ROW), {"listvolumesresponse": {}}) == ["listvolumesresponse.count", "listvolumesresponse.volume"]


def test_members_are_paired_by_known_id_then_by_name_whatever_their_order() -> None:
    mine = [{"id": A, "name": "a", "state": "Ready"}, {"id": B, "name": "b", "state": "Allocated"}]
    theirs = [{"id": D, "name": "b", "state": "Allocated"}, {"id": C, "name": "a", "state": "Ready"}]
    assert found(volumes(*mine), volumes(*theirs)) == []
    renamed = [theirs[0], theirs[1] | {"name": "other"}]
    assert found(volumes(*mine), volumes(*renamed), Identities({A: C})) == ["listvolumesresponse.volume[].name"]


def test_another_envelope_is_a_difference() -> None:
    assert found(volumes(ROW), {"errorresponse": {}}) == ["listvolumesresponse", "errorresponse"]


REFUSED = {"errorcode": 431, "cserrorcode": 4350, "errortext": f"Unable to find UUID for id [6] of {A}", "uuidList": []}
REFUSALS: dict[str, tuple[int, dict[str, Any], bool, list[str]]] = {
    "the same with other ids": (431, {"errortext": f"Unable to find UUID for id [9] of {B}"}, True, []),
    "status": (530, {}, True, ["status"]),
    "error code": (431, {"errorcode": 530}, True, ["r.errorcode"]),
    "class number": (431, {"cserrorcode": 4250}, True, ["r.cserrorcode"]),
    "text": (431, {"errortext": "Unable to find it"}, True, ["r.errortext"]),
    "description header": (431, {}, False, ["X-Description"]),
}


@pytest.mark.parametrize(("status", "change", "described", "fields"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_differ_by_code_class_text_and_header(
    status: int, change: dict[str, Any], described: bool, fields: list[str]
) -> None:
    recorded = exchange({"r": REFUSED}, 431, described=True)
    answer = Answer(status, {"r": REFUSED | change}, described=described)
    assert [d.field for d in differences(recorded, answer, Identities())] == fields


def test_of_a_cut_list_the_length_and_the_kept_members_count() -> None:
    recorded = exchange(volumes(ROW) | {}, returned=2)
    both = volumes(OTHER, OTHER | {"id": D, "name": "v2"})
    both["listvolumesresponse"]["count"] = 1
    assert differences(recorded, Answer(200, both), Identities()) == []
    one = differences(replace(recorded, returned=3), Answer(200, both), Identities())
    assert [str(d) for d in one] == ["listvolumesresponse.volume[]: recorded 3 members, answered 2 members"]


def test_xml_is_compared_like_json() -> None:
    def xml(state: str) -> dict[str, str]:
        return {"_text": f'<?xml version="1.0"?><r><count>1</count><volume><id>{A}</id><state>{state}</state></volume></r>'}

    assert found(xml("Ready"), xml("Ready")) == []
    assert found(xml("Ready"), xml("Destroy")) == ["r.volume.state"]
    assert found(xml("Ready"), volumes(ROW)) == ["r", "listvolumesresponse"]


SAME: dict[str, tuple[str, str]] = {
    "ids": (f"Volume [id = {A}]", f"Volume [id = {B}]"),
    "symbols and ids": ("for Instance $vm1", f"for Instance {A}"),
    "instance names": ("VM:i-3-53-VM in", "VM:i-12-7-VM in"),
    "root names": ('"name":"ROOT-53"', '"name":"ROOT-1"'),
    "numbers of rows": ('{"id":53,"vmId":7}', '{"id":1,"vmId":99}'),
    "escaped rows": ('{\\"id\\":95}', '{\\"id\\":2}'),
    "numbered ids": ("id [53] of type", "id [4] of type"),
    "instances by number": ("because Instance:82 is", "because Instance:1 is"),
    "generated names": ("VM_VS_20261123133553", "VM_VS_20260101000000"),
    "domains": ("domain: cs3cloud.internal;", "domain: cs12cloud.internal;"),
    "addresses": ("10.1.1.77 in vlan:\\/\\/112", "10.1.1.3 in vlan:\\/\\/5"),
    "what a host said": (
        "Failed to detach volume v1 from VM x; Simulated failure",
        "Failed to detach volume v1 from VM x; device busy",
    ),
}
OTHERS: dict[str, tuple[str, str]] = {
    "limits": ("specify a value between 1 and 8", "specify a value between 1 and 9"),
    "device ids": ("deviceId 1 is used by", "deviceId 2 is used by"),
    "wording": ("does not have Instance Snapshots", "does not have VM snapshots"),
    "names": ("hostName a already exists", "hostName b already exists"),
    "who has none": ('"instanceId":null', '"instanceId":7'),
    "before the host's words": (
        "Failed to detach volume v1 from VM x; Simulated failure",
        "Failed to attach volume v1 to VM x",
    ),
    "sizes": ("smaller than template size (2.00 GB)", "smaller than template size (3.00 GB)"),
}


@pytest.mark.parametrize(("recorded", "answered"), SAME.values(), ids=SAME.keys())
def test_what_an_installation_chooses_is_blanked(recorded: str, answered: str) -> None:
    assert same_text(recorded, answered)


@pytest.mark.parametrize(("recorded", "answered"), OTHERS.values(), ids=OTHERS.keys())
def test_what_the_server_says_is_not_blanked(recorded: str, answered: str) -> None:
    assert not same_text(recorded, answered)


@given(st.text())
def test_blanking_twice_changes_nothing_more(text: str) -> None:
    assert blanked(blanked(text)) == blanked(text)


@pytest.mark.parametrize("name", records.scenarios())
def test_every_recording_equals_itself(name: str) -> None:
    ids = Identities()
    for recorded in records.scenario(name).exchanges:
        itself = Answer(recorded.status, recorded.body, described=recorded.described)
        assert differences(replace(recorded, returned=None), itself, ids) == []


@pytest.mark.parametrize("name", ["02-async", "kvm-11-dr-flow"])
def test_no_recorded_state_can_change_unnoticed(name: str) -> None:
    for recorded in records.scenario(name).exchanges:
        text = json.dumps(recorded.body)
        for old, new in (('"state": "', '"state": "Never'), ('"jobstatus": ', '"jobstatus": 7')):
            if old in text:
                answer = Answer(recorded.status, json.loads(text.replace(old, new)), described=recorded.described)
                assert differences(recorded, answer, Identities())


def test_the_watched_values_are_keys_that_recordings_have() -> None:
    everything = "".join(json.dumps(e.body) for name in records.scenarios() for e in records.scenario(name).exchanges)
    assert [key for key in sorted(comparing.VALUES) if f'"{key}":' not in everything] == []
