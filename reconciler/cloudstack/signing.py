"""From arguments to signed parameters: strict flattening and CloudStack's signature. Pure.

Used by `transport` in place of `cs`'s own, which leaves `~` unescaped (the server then answers 401) and turns Python's
`None` and `True` inside nested values into those words.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from reconciler.cloudstack.errors import InvariantViolated

MAX_VALUE = 32 * 1024

Scalar = str | int | bool
Nested = Mapping[str, str | int]
Value = Scalar | Sequence[str] | Sequence[Nested] | Nested | None


def flattened(arguments: Mapping[str, Value]) -> dict[str, str]:
    """Arguments as the flat text parameters that travel; those that are None are left out.

    Lists of text become `a,b`, mappings and lists of mappings `name[0].key`. Raises `InvariantViolated` for control
    characters, overlong text, a comma inside a list member, and None or a bool inside a nested value.
    """
    flat = dict(pair for name, value in arguments.items() if value is not None for pair in _pairs(name, value))
    for name, text in flat.items():
        _check(name, text)
    return flat


def _pairs(name: str, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, str | int):
        yield name, _text(name, value)
        return
    members = [value] if isinstance(value, Mapping) else list(value or ())
    texts = [m for m in members if isinstance(m, str)]
    if texts and len(texts) == len(members):
        yield name, ",".join(_member(name, t) for t in texts)
        return
    for index, member in enumerate(members):
        if not isinstance(member, Mapping):
            raise InvariantViolated("CS-WIR", f"parameter {name} mixes values of different kinds")
        for key, inner in member.items():
            yield f"{name}[{index}].{key}", _inner(f"{name}[{index}].{key}", inner)


def _text(name: str, value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _inner(name, value)


def _inner(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvariantViolated("CS-WIR", f"parameter {name} holds a {type(value).__name__}, not text or a number")
    return str(value)


def _member(name: str, text: str) -> str:
    if "," in text:
        raise InvariantViolated("CS-WIR", f"a member of list parameter {name} contains a comma")
    return text


def _check(name: str, text: str) -> None:
    if len(text) > MAX_VALUE:
        raise InvariantViolated("CS-WIR", f"parameter {name} is longer than {MAX_VALUE} characters")
    if not text.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise InvariantViolated("CS-WIR-16", f"parameter {name} holds control characters or half a character")


def signature(parameters: Mapping[str, str], secret: str) -> str:
    """CloudStack's signature over flat parameters: HMAC-SHA1 of the sorted, encoded, lower-cased query, in Base64."""
    query = "&".join(f"{name}={_encoded(value)}" for name, value in sorted(parameters.items()))
    digest = hmac.new(secret.encode(), query.lower().encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _encoded(value: str) -> str:
    # Java's encoder leaves `*` as it is and escapes `~`; Python's quote does the opposite with both.
    return quote(value, safe="*").replace("~", "%7E")
