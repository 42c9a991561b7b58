"""What is sent: flat text, signed as Java would."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cloudstack import signing
from reconciler.cloudstack.errors import InvariantViolated

JAVA_LEAVES = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*")


def java_encoded(text: str) -> str:
    """java.net.URLEncoder with `+` made `%20`, byte by byte."""
    return "".join(chr(b) if b in JAVA_LEAVES else f"%{b:02X}" for b in text.encode())


def server_signature(parameters: dict[str, str], secret: str) -> str:
    query = "&".join(f"{k}={java_encoded(parameters[k])}" for k in sorted(parameters)).lower()
    return base64.b64encode(hmac.digest(secret.encode(), query.encode(), hashlib.sha1)).decode()


@given(
    st.dictionaries(st.from_regex(r"[a-zA-Z][a-zA-Z0-9\[\].]{0,12}", fullmatch=True), st.text(max_size=30), max_size=6),
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_the_signature_is_the_servers(parameters, secret):
    assert signing.signature(parameters, secret) == server_signature(parameters, secret)


@pytest.mark.parametrize("value", ["a~b", "ä ö ü", "1+1=2 & more", "star*", "日本", "%7E", "'\"<>"])
def test_values_that_other_encoders_get_wrong(value):
    assert signing.signature({"v": value}, "s") == server_signature({"v": value}, "s")


@pytest.mark.parametrize(
    ("arguments", "flat"),
    [
        ({"id": "x", "gone": None}, {"id": "x"}),
        ({"listall": True, "startvm": False}, {"listall": "true", "startvm": "false"}),
        ({"deviceid": 0}, {"deviceid": "0"}),
        ({"networkids": ["a", "b"]}, {"networkids": "a,b"}),
        ({"ids": []}, {}),
        ({"details": {"cpuNumber": 2, "memory": 512}}, {"details[0].cpuNumber": "2", "details[0].memory": "512"}),
        (
            {"tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]},
            {"tags[0].key": "a", "tags[0].value": "1", "tags[1].key": "b", "tags[1].value": "2"},
        ),
    ],
)
def test_arguments_become_flat_text(arguments, flat):
    assert signing.flattened(arguments) == flat


@pytest.mark.parametrize(
    "arguments",
    [
        {"details": {"a": None}},
        {"details": {"a": True}},
        {"tags": [{"key": "k", "value": None}]},
        {"tags": [{"key": "k", "value": 1.5}]},
        {"ids": ["a", None]},
        {"ids": ["a", {"b": "c"}]},
        {"ids": ["a,b"]},
        {"name": "line\nbreak"},
        {"name": "half \ud800"},
        {"name": "x" * 40_000},
    ],
)
def test_what_would_travel_as_something_else_is_refused(arguments):
    with pytest.raises(InvariantViolated) as refused:
        signing.flattened(arguments)
    assert refused.value.inv.startswith("CS-WIR")
