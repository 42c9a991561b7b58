"""Takes out of a text what differs between two installations: ids, internal numbers, generated names, addresses and times.

What is left is the server's own sentence; two texts are the same when their blanked forms are. Limits, sizes and device ids
stay: they are rules; what an account already has is its own history. What a host said is cut off at
`HOST_SAID`, since another host says something else.
"""

from __future__ import annotations

import re

UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
SYMBOL = re.compile(r"\$(?:vm|ms|v|s|net)\d+")
QUOTE = r'\\*"'

_BLANKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (UUID, "<id>"),
    (SYMBOL, "<id>"),
    (re.compile(r"\b[irsv]-\d+(-\d+)?-VM"), "<instance>"),
    (re.compile(r"(?<![a-zA-Z])ROOT-\d+"), "ROOT-<n>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"), "<time>"),
    (re.compile(r"_\d{14}\b"), "_<time>"),
    (re.compile(rf"({QUOTE}\w*[iI]d{QUOTE}:\s*)({QUOTE})?\d+({QUOTE})?"), r"\1<n>"),
    (re.compile(r"\b(id) \[-?\d+\]"), r"\1 [<n>]"),
    (re.compile(r"\b([iI]d ?= ?|[iI]d )\d+\b"), r"\1<n>"),
    (re.compile(r"\b((?:Instance|VM|vm|volume|Volume)(?::| ))\d+\b"), r"\1<n>"),
    (re.compile(r"\bcs\w+\.internal\b"), "<domain>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<mac>"),
    (re.compile(r"(Current Account Resource Amount = )(?:\([^)]*\) )?\d+"), r"\1<n>"),
    (re.compile(r"vlan:[\\/]*\d+"), "vlan://<n>"),
)

HOST_SAID = re.compile(
    r"Simulated failure|\(simulated|Failed to resize$|Failed to freeze|class com\.cloud\.agent\.api\.Answer cannot be cast"
    r"|No Instance by name|Domain not found|Unable to (?:detach|attach) volume .* on host"
)


def blanked(text: str) -> str:
    """The text with everything blanked that an installation chooses for itself."""
    for pattern, instead in _BLANKS:
        text = pattern.sub(instead, text)
    return text


def own_words(text: str) -> tuple[str, bool]:
    """The part before what a host said, and whether a host said anything."""
    said = HOST_SAID.search(text)
    return (re.sub(r"( due to)?[ ;:.]*$", "", text[: said.start()]), True) if said else (text, False)


def same_text(recorded: str, answered: str) -> bool:
    """Whether the server said the same; of a text that ends in a host's words only the beginning counts."""
    mine, host = own_words(recorded)
    if not host:
        return blanked(recorded) == blanked(answered)
    return blanked(answered).startswith(blanked(mine))
