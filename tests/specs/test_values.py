"""Durations, digests, host names and references: tables, and laws on invented values."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from specs import values
from specs.values import VmRef

UUID = "4205A841-0265-f4bd-39a6-39fd92196f53"

spans = st.integers(1, 400 * 86400).map(lambda s: timedelta(seconds=s))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("4h30m", 16200), ("90m", 5400), ("90s", 90), ("1d", 86400), ("7d", 604800), ("1d2h3m4s", 93784)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert values.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "0", "0m", "-1h", "+1h", "abc", "30", "1:30", "1.5h", "30M", "30 m", " 30m", "30m4h", "1h1h", "PT15M", "٣m"],
)
def test_what_is_no_duration_is_refused_with_what_is_legal(text: str) -> None:
    with pytest.raises(ValueError, match="30m, 4h30m, 90s, 7d"):
        values.parse_duration(text)


def test_a_duration_beyond_all_time_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than any duration"):
        values.parse_duration("999999999d999999999h")


@given(spans)
def test_a_shown_duration_reads_back_as_itself(span: timedelta) -> None:
    assert values.parse_duration(values.format_duration(span).replace(" ", "")) == span


@given(spans)
def test_an_echoed_duration_reads_back_as_itself(span: timedelta) -> None:
    assert values.parse_duration(values.go_duration(span)) == span


@pytest.mark.parametrize(
    ("seconds", "shown", "echoed"),
    [
        (250, "4m 10s", "4m10s"),
        (1800, "30m", "30m0s"),
        (5400, "1h 30m", "1h30m0s"),
        (7200, "2h", "2h0s"),
        (16200, "4h 30m", "4h30m0s"),
        (604800, "7d", "168h0s"),
        (0, "0s", "0s"),
        (-5, "0s", "0s"),
        (0.9, "0s", "0s"),
    ],
)
def test_a_duration_is_shown_and_echoed(seconds: float, shown: str, echoed: str) -> None:
    span = timedelta(seconds=seconds)
    assert (values.format_duration(span), values.go_duration(span)) == (shown, echoed)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("PGWINTESTBIOS", "pgwintestbios"),
        ("My_VM@2025", "my-vm-2025"),
        ("123 Server", "vm-123-server"),
        ("Finance DB (prod)", "finance-db-prod"),
        ("Büro-Server 7", "b-ro-server-7"),
        ("___", "test-vm"),
        ("WEB.01", "web-01"),
        ("web-01", "web-01"),
        ("a--b", "a-b"),
        ("x" * 62 + "-y", "x" * 62),
        ("x" * 70, "x" * 63),
    ],
)
def test_a_vm_name_becomes_a_host_name(name: str, host: str) -> None:
    assert values.host_name(name) == host


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("PGWINTESTBIOS", "pgwintestbios-test"),
        ("___", "test-vm-test"),
        ("x" * 70, "x" * 58 + "-test"),
        ("x" * 57 + "-y", "x" * 57 + "-test"),
        ("9" * 70, "vm-" + "9" * 55 + "-test"),
    ],
)
def test_the_suffix_of_a_test_guest_survives_the_limit(name: str, host: str) -> None:
    assert values.test_host_name(name) == host


@given(st.text(max_size=300))
def test_every_host_name_is_legal(name: str) -> None:
    for host in (values.host_name(name), values.test_host_name(name)):
        assert len(host) <= 63
        assert re.fullmatch(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9]))*", host)
    assert values.test_host_name(name).endswith("-test")


@given(st.text(max_size=300))
def test_a_host_name_is_its_own_host_name(name: str) -> None:
    assert values.host_name(values.host_name(name)) == values.host_name(name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_a_digest_knows_neither_key_order_nor_spacing(value: dict) -> None:
    turned = dict(reversed(value.items()))
    spaced = json.loads(json.dumps(turned, indent=4))
    assert values.digest(value) == values.digest(turned) == values.digest(spaced)
    assert re.fullmatch("sha256:[0-9a-f]{64}", values.digest(value))


@given(json_values, json_values)
def test_equal_digests_mean_equal_json(one, other) -> None:
    canonical = [json.dumps(v, sort_keys=True) for v in (one, other)]
    assert (values.digest(one) == values.digest(other)) == (canonical[0] == canonical[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_hold_has_no_digest(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        values.digest(value)


@pytest.mark.parametrize(
    ("ref", "label", "shown"),
    [
        (VmRef(name="web-01"), "web-01", "web-01"),
        (VmRef(name="twin", vcenter="vc-b"), "twin", "twin on vc-b"),
        (VmRef(uuid=UUID), UUID.lower(), UUID.lower()),
        (VmRef(uuid=UUID, name="web-01"), "web-01", "web-01"),
    ],
)
def test_a_reference_shows_what_people_call_the_vm(ref: VmRef, label: str, shown: str) -> None:
    assert (ref.label, str(ref)) == (label, shown)


@pytest.mark.parametrize("given", [{}, {"vcenter": "vc"}, {"uuid": "4205a841"}, {"name": ""}, {"name": "a", "x": "b"}])
def test_a_reference_that_names_no_vm_cannot_be_made(given: dict) -> None:
    with pytest.raises(ValidationError):
        VmRef(**given)


def test_a_uuid_alone_makes_two_references_one_vm() -> None:
    assert VmRef(uuid=UUID, name="a").identity == VmRef(uuid=UUID.lower()).identity
    assert VmRef(name="a").identity != VmRef(name="a", vcenter="vc").identity
