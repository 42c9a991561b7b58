"""One field, one value: the table of what a VM, a group or `defaults` may say, and how each value is read.

Called by `documents` with a table of the tree; gives a layer: for every key the value and the place it came from. A
value that cannot be used is a fault in the findings and stays in the layer as broken, so that nobody calls it missing.
What the values mean together is left to `documents`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from pydantic import JsonValue

from specs import tree, values
from specs.errors import Fault, Findings, Mark, Told, did_you_mean, nearest, quoted, starred
from specs.limits import Bounds
from specs.model import Origin, SkipValidation, State, Strategy
from specs.tree import Broken, Listing, Node, Scalar, Table
from specs.values import VmRef

MAX_TEXT = 1000
LOST = ""
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S+")
_ADDRESS = re.compile(r"(?:mailto:)?[^\s@/:]+@[^\s@/:]+|[a-z][a-z0-9+.-]*://\S+")
_BARE = re.compile(r"[A-Za-z_][\w.()-]*(?: [\w.()-]+)*", re.ASCII)
# what people write who have another tool's words in mind
_SYNONYMS = {
    "duration": "for",
    "ttl": "for",
    "timeout": "for",
    "name": "vm",
    "uuid": "vm",
    "goal": "state",
    "depends_on": "after",
    "cleanup": "auto_cleanup",
}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a value needs: where faults go, the bounds, its layer, and the line that names its owner."""

    found: Findings
    bounds: Bounds
    by: str
    head: Mark

    def origin(self, mark: Mark) -> Origin:
        """The place of a value, as specs keep it."""
        return Origin(file=self.found.file, line=mark.line, column=mark.column, by=self.by)

    def fault(self, fault: Fault) -> None:
        """Record a fault under the line that names its owner."""
        self.found.add_fault(fault, self.head)

    def tried(self, read: Callable[..., T], *given: Any) -> T | None:
        """What `read` makes of the arguments; None once it is told why that cannot be."""
        try:
            return read(*given)
        except Fault as fault:
            self.fault(fault)
        except Told:
            pass
        return None


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody wrote: the place of its key and its own, and for a map the origin of each entry."""

    value: Any
    key: Mark
    mark: Mark
    origin: Origin
    parts: Mapping[str, Origin] = field(default_factory=dict)
    broken: bool = False


Layer: TypeAlias = Mapping[str, Given]
Reader: TypeAlias = Callable[[Node, Reading], Any]


def read_layer(table: Table, allowed: Collection[str], structure: Collection[str], reading: Reading) -> Layer:
    """All fields of a table. Keys of `structure` are known but not read; those not `allowed` here are faults.

    A key that was probably meant stays in the layer as broken; whatever else is lost stays there as `LOST`.
    """
    layer: dict[str, Given] = {} if table.whole else lost(table, reading)
    for key, value in table.entries:
        if key.text in structure:
            continue
        if key.text not in allowed:
            meant = _unknown(key, [*allowed, *structure], reading)
            layer.setdefault(meant or LOST, _broken(key.mark, reading))
        else:
            layer[key.text] = _given(key, value, reading)
    return layer


def lost(node: Node, reading: Reading) -> dict[str, Given]:
    """The layer of a table of which not everything could be read: nothing may be called missing then."""
    return {LOST: _broken(node.mark, reading)}


def _given(key: Scalar, value: Node, reading: Reading) -> Given:
    found = reading.tried(lambda: FIELDS[key.text](_present(key, value), reading))
    if found is None:
        return _broken(key.mark, reading)
    parts = {k.text: reading.origin(k.mark) for k, _ in value.entries} if isinstance(value, Table) else {}
    return Given(found, key.mark, value.mark, reading.origin(key.mark), parts)


def _broken(mark: Mark, reading: Reading) -> Given:
    return Given(None, mark, mark, reading.origin(mark), broken=True)


def _unknown(key: Scalar, known: Collection[str], reading: Reading) -> str | None:
    """Record an unknown key, and say which one was probably meant."""
    if key.text in FIELDS:
        hint = f"it belongs on the VM itself, not into {reading.by}"
        reading.fault(Fault(key.mark, f"{quoted(key.text)} cannot be inherited", hint))
        return None
    synonym = _SYNONYMS.get(key.text.lower())
    meant = synonym if synonym in known else nearest(key.text, known)
    hint = f'did you mean "{meant}"?' if meant else f"known here: {', '.join(sorted(known))}"
    reading.fault(Fault(key.mark, f"unknown key {quoted(key.text)}", hint))
    return meant


def _present(key: Scalar, value: Node) -> Node:
    if tree.is_empty(value):
        raise Fault(key.mark, f"{quoted(key.text)} has no value", "write one, or leave the key away")
    return value


# --- texts ------------------------------------------------------------------------------------------------------------


def text(node: Node, longest: int = values.MAX_NAME) -> str:
    """A text: not empty, not too long, nothing in it that cannot be seen. Raises Fault or Told."""
    scalar = _scalar(node)
    if tree.is_empty(scalar):
        raise Fault(node.mark, "no value stands here", "write one, or leave the key away")
    if not isinstance(tree.value_of(scalar), str):
        raise Fault(node.mark, f"{quoted(scalar.text)} is not text in YAML", f"write '{scalar.text[:60]}' in quotes")
    if not scalar.text.strip():
        raise Fault(node.mark, "an empty text", "write something, or leave the key away")
    if len(scalar.text) > longest:
        raise Fault(node.mark, f"a text of {len(scalar.text)} characters", f"at most {longest} are allowed")
    if any(values.is_control(c) for c in scalar.text):
        raise Fault(node.mark, "a text with a line break or another character that cannot be seen", "remove it")
    return scalar.text


def as_yaml(value: str) -> str:
    """A text as it can be pasted into a spec, in quotes where YAML needs them."""
    mark = Mark(1, 1)
    bare = _BARE.fullmatch(value) and isinstance(tree.value_of(Scalar(mark, value, True)), str)
    return value if bare else "'" + value.replace("'", "''") + "'"


def names(node: Node, _reading: Reading | None = None) -> tuple[str, ...]:
    """A list of texts, each once."""
    if isinstance(node, Broken):
        raise Told
    if not isinstance(node, Listing):
        shown = as_yaml(node.text) if isinstance(node, Scalar) and len(node.text) < MAX_TEXT else "..."
        raise Fault(node.mark, "a list is needed here", f"write [{starred(shown)[:60]}]")
    return tuple(dict.fromkeys(text(item) for item in node.items))


def _scalar(node: Node) -> Scalar:
    if isinstance(node, Broken):
        raise Told
    if not isinstance(node, Scalar):
        kind = "a list" if isinstance(node, Listing) else "a map"
        raise Fault(node.mark, f"a single value is needed here, not {kind}", "see the reference of this field")
    return node


def _choice(node: Node, kind: type[StrEnum]) -> StrEnum:
    scalar = _scalar(node)
    known = [str(member) for member in kind]
    if scalar.text not in known:
        hint = did_you_mean(scalar.text, known, f"known: {', '.join(known)}")
        raise Fault(node.mark, f"unknown {kind.__name__.lower()} {quoted(scalar.text)}", hint)
    return kind(scalar.text)


def _flag(node: Node, _reading: Reading) -> bool:
    found = tree.value_of(_scalar(node))
    if not isinstance(found, bool):
        raise Fault(node.mark, f"{quoted(_scalar(node).text)} is neither true nor false", "in YAML 1.2 yes is a text")
    return found


def _duration(node: Node, reading: Reading) -> Any:
    bounds, scalar = reading.bounds, _scalar(node)
    try:
        span = values.parse_duration(scalar.text)
    except ValueError:
        message = f'"for" is {quoted(scalar.text)}, which is not a duration'
        raise Fault(node.mark, message, values.LEGAL_DURATION) from None
    if bounds.test_min <= span <= bounds.test_max:
        return span
    least, most = (values.format_duration(b) for b in (bounds.test_min, bounds.test_max))
    end = f"maximum: {bounds.max_from}" if span > bounds.test_max else f"minimum: {bounds.min_from}"
    message = f'"for" must lie between {least} and {most}, this is {values.format_duration(span)}'
    raise Fault(node.mark, message, f"allowed {end}")


# --- maps -------------------------------------------------------------------------------------------------------------


def table_of(node: Node, example: str) -> Table:
    """The table a node is. Raises Fault or Told for everything else."""
    if isinstance(node, Broken):
        raise Told
    if not isinstance(node, Table):
        raise Fault(node.mark, "keys and values are needed here", f"write for example {example}")
    return node


def _mapped(table: Table, reading: Reading, read: Callable[[Node], Any]) -> dict[str, Any]:
    """Every entry of a table through `read`; all faults are told before the table is given up."""
    result: dict[str, Any] = {}
    for key, value in table.entries:
        try:
            result[text(key)] = read(value)
        except Fault as fault:
            reading.fault(fault)
        except Told:
            pass
    if len(result) < len(table.entries) or not table.whole:
        raise Told
    return result


def _networks(node: Node, reading: Reading) -> dict[str, str]:
    return _mapped(table_of(node, "{VM Network: test-network}"), reading, text)


def _notify(node: Node, reading: Reading) -> dict[str, str]:
    return _mapped(table_of(node, "{mail: ops@example.org}"), reading, _recipient)


def _recipient(node: Node) -> str:
    found = text(node, MAX_TEXT)
    hint = "name the variable or file that holds it: env:NAME or file:PATH"
    if starred(found) != found:
        raise Fault(node.mark, "this address carries a credential; specs are read by many", hint)
    if not _REFERENCE.fullmatch(found) and not _ADDRESS.fullmatch(found):
        raise Fault(node.mark, f"{quoted(found)} is neither an address nor a reference", f"an address, or {hint}")
    return found


def _custom(node: Node, reading: Reading) -> dict[str, JsonValue]:
    return _mapped(table_of(node, "{owner: team-db}"), reading, _json)


def _json(node: Node) -> JsonValue:
    """Any value, as JSON holds it. The tree bounds depth and size."""
    match node:
        case Scalar():
            return tree.value_of(node)
        case Listing():
            return [_json(item) for item in node.items]
        case Table(whole=True):
            return {text(key): _json(value) for key, value in node.entries}
        case _:
            raise Told


def _skip(node: Node, reading: Reading) -> SkipValidation:
    table = table_of(node, "{reason: why}")
    found = _known(table, {"reason": lambda value: text(value, MAX_TEXT)}, reading)
    if "reason" not in found:
        raise Fault(node.mark, '"skip_validation" needs a reason', "write {reason: why}; it is kept with the run")
    return SkipValidation(reason=found["reason"])


def read_vm(node: Node, reading: Reading) -> VmRef:
    """Which VM is meant: a name, or a table of uuid, name and vcenter. Raises Fault or Told."""
    if isinstance(node, Scalar):
        return VmRef(name=text(node))
    table = table_of(node, "{uuid: ...} or {name: ..., vcenter: ...}")
    found = _known(table, {"uuid": _uuid, "name": text, "vcenter": text}, reading)
    if not found.keys() & {"uuid", "name"}:
        raise Fault(node.mark, "a VM is named by its uuid or its name", "{uuid: ...} or {name: ..., vcenter: ...}")
    return VmRef(**found)


def _uuid(node: Node) -> str:
    found = text(node)
    if not values.is_uuid(found):
        raise Fault(node.mark, f"{quoted(found)} is not a uuid", "32 hex digits in groups of 8-4-4-4-12")
    return found


def _known(table: Table, readers: Mapping[str, Callable[[Node], Any]], reading: Reading) -> dict[str, Any]:
    """The values of a table with fixed keys."""
    wrong = False
    for key, _ in table.entries:
        if key.text not in readers:
            hint = did_you_mean(key.text, readers, f"known here: {', '.join(readers)}")
            reading.fault(Fault(key.mark, f"unknown key {quoted(key.text)}", hint))
            wrong = True
    if wrong or not table.whole:
        raise Told
    return {key.text: readers[key.text](_present(key, value)) for key, value in table.entries}


FIELDS: Mapping[str, Reader] = {
    "state": lambda node, _: _choice(node, State),
    "for": _duration,
    "networks": _networks,
    "boot_disk": lambda node, _: text(node),
    "strategy": lambda node, _: _choice(node, Strategy),
    "auto_cleanup": _flag,
    "confirm": lambda node, _: text(node),
    "skip_validation": _skip,
    "notify": _notify,
    "after": names,
    "custom": _custom,
}
MERGED = frozenset(("networks", "notify", "custom"))
INHERITED = frozenset(FIELDS) - {"confirm"}
