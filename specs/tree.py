"""Text to trees: YAML 1.2 values with the place of every key and value. The only module that knows the YAML library.

Called by `load` with one text; hands a tree a document to `documents`. The library's parser gives events, the trees are
built here: that is where the positions come from, and where tags, merge keys, repeated keys and excess are refused.
What the keys mean is left to others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import yaml

from specs.errors import BREAK, Enough, Fault, Findings, Mark, quoted
from specs.limits import Limits

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFUSED = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FRACTION = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 100

# what the library's words come to for somebody who writes YAML; the first that fits is taken
_EXPLAINED = (
    ("tab character", "a tab cannot indent", "indent with spaces"),
    ("mapping values are not allowed", 'a ": " that no key can have here', "check the indentation, or quote the value"),
    ("could not find expected ':'", "a key without its colon", "write `key: value`"),
    ("found undefined tag handle", "a tag that was never declared", "leave tags away: values are read as YAML 1.2"),
    ("unexpected end of stream", "a quotation mark that is never closed", "close it"),
    ("unknown escape character", "an escape that YAML does not know", "double the backslash, or use single quotes"),
    ("did not find expected <document start>", "text after the end of a document", "begin each document with ---"),
    ("expected ',' or", "a bracket that is not closed", "close it, or put a comma between the entries"),
    ("did not find expected key", "no key where one is expected", "check indentation and quotation marks nearby"),
    ("did not find expected '-' indicator", "no `-` where one is expected", "give all entries the same indentation"),
    ("node content", "no value where one is expected", "write one, or put the value in quotes"),
    ("nesting depth", "nested too deeply", "specs need no more than a few levels"),
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; `plain` if it was written without quotes."""

    mark: Mark
    text: str
    plain: bool
    size: int = 1
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of values; `size` and `depth` count what aliases unfold to."""

    mark: Mark
    items: tuple[Node, ...]
    size: int
    depth: int


@dataclass(frozen=True, slots=True)
class Table:
    """Keys and values as written, no key twice. Not `whole` if an entry had to be left out; an error says why."""

    mark: Mark
    entries: tuple[tuple[Scalar, Node], ...]
    size: int
    depth: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Broken:
    """A value that could not be made; an error says why."""

    mark: Mark
    size: int = 1
    depth: int = 1


Node: TypeAlias = Scalar | Listing | Table | Broken
Plain: TypeAlias = str | int | float | bool | None


def value_of(scalar: Scalar) -> Plain:
    """The value that YAML 1.2 gives a scalar: `no`, `on` and `22:22` are text, `017` is 17.

    Raises Fault for numbers that JSON or 64 bits cannot hold.
    """
    text = scalar.text
    if not scalar.plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _LONGEST_NUMBER and (_WHOLE.fullmatch(text) or _BASED.fullmatch(text)):
        return _whole(scalar)
    if _NOT_FINITE.fullmatch(text) or _FRACTION.fullmatch(text):
        return _fraction(scalar)
    return text


def _whole(scalar: Scalar) -> int:
    number = int(scalar.text, 0) if scalar.text[:2] in ("0o", "0x") else int(scalar.text)
    if not -(2**63) <= number < 2**63:
        raise Fault(scalar.mark, "a number beyond 64 bits", "put it in quotes to keep it as text")
    return number


def _fraction(scalar: Scalar) -> float:
    number = math.inf if _NOT_FINITE.fullmatch(scalar.text) else float(scalar.text)
    if math.isinf(number):
        raise Fault(scalar.mark, "a number without end", "put it in quotes to keep it as text")
    return number


def is_empty(node: Node) -> bool:
    """Whether nothing was written: no text, `~` or `null`."""
    return isinstance(node, Scalar) and node.plain and _WORDS.get(node.text, False) is None


def documents(found: Findings, limits: Limits) -> Iterator[Node]:
    """The documents of a text as trees, up to the first place that is no YAML; what is wrong goes to the findings."""
    try:
        _check_characters(found)
        builder = _Builder(found, limits)
        for event in yaml.parse(found.text, Loader=_LOADER):
            builder.take(event)
            if builder.finished is not None:
                yield builder.finished
                builder.finished = None
    except yaml.MarkedYAMLError as error:
        found.add_fault(_explained(error, found.text))
    except Fault as fault:
        found.add_fault(fault)


def _check_characters(found: Findings) -> None:
    match = _REFUSED.search(found.text)
    if match is None:
        return
    before = BREAK.split(found.text[: match.start()])
    name = f"U+{ord(match[0]):04X}"
    hint = "is this a text file?" if match[0] < " " else "remove it; it cannot be seen"
    raise Fault(Mark(len(before), len(before[-1]) + 1), f"the character {name} does not belong into a spec", hint)


def _explained(error: yaml.MarkedYAMLError, text: str) -> Fault:
    problem = error.problem or "unreadable"
    mark = error.problem_mark or error.context_mark
    if "end of stream" in problem or "nesting depth" in problem:
        mark = error.context_mark or mark  # the end of the text says nothing, the beginning of the value does
    place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
    if "cannot start any token" in problem:
        return _odd_start(place, text)
    for words, message, hint in _EXPLAINED:
        if words in problem:
            return Fault(place, f"not YAML: {message}", hint)
    return Fault(place, f"not YAML: {problem}")


def _odd_start(place: Mark, text: str) -> Fault:
    character = BREAK.split(text)[place.line - 1][place.column - 1 : place.column]
    if character == "\t":
        return Fault(place, "not YAML: a tab cannot indent", "indent with spaces")
    return Fault(place, f"not YAML: no value can begin with {character}", "put the value in quotes")


@dataclass(slots=True)
class _Open:
    """A list or a table that is not closed yet; `children` of a table are keys and values in turn."""

    mark: Mark
    anchor: str | None
    is_table: bool
    is_tagged: bool
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Events to nodes, without recursion. `finished` is a document that is complete."""

    def __init__(self, found: Findings, limits: Limits) -> None:
        self.finished: Node | None = None
        self._found, self._limits = found, limits
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._nodes = self._aliases = self._documents = 0
        self._is_foreign = False

    def take(self, event: yaml.Event) -> None:
        """One event of the parser."""
        match event:
            case yaml.ScalarEvent():
                scalar = Scalar(_mark(event), event.value, event.style in (None, ""))
                self._add(Broken(scalar.mark) if self._is_tagged(event) else scalar, event.anchor)
            case yaml.AliasEvent():
                self._add(self._unfolded(event), None)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._begin(event, is_tagged=self._is_tagged(event))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                closed = self._open.pop()
                self._add(self._closed(closed), closed.anchor, counted=False)
            case yaml.DocumentStartEvent():
                self._begin_document(event)

    def _begin_document(self, event: yaml.DocumentStartEvent) -> None:
        self._anchors.clear()
        self._is_foreign = False
        self._documents += 1
        if self._documents > self._limits.documents:
            self._stop(_mark(event), f"more than {self._limits.documents} documents in one file", "split the file")
        if event.tags or event.version not in (None, (1, 2)):
            place = Mark(_mark(event).line, 1)
            self._found.add(place, "%TAG and old %YAML directives are not read", "leave them away: this is YAML 1.2")
            self._is_foreign = True

    def _begin(self, event: yaml.CollectionStartEvent, *, is_tagged: bool) -> None:
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(_mark(event), event.anchor, isinstance(event, yaml.MappingStartEvent), is_tagged))
        self._count(_mark(event), 1)
        self._check_depth(_mark(event), 1)

    def _add(self, node: Node, anchor: str | None, *, counted: bool = True) -> None:
        if counted:
            self._count(node.mark, node.size)
            self._check_depth(node.mark, node.depth)
        if anchor:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.finished = Broken(node.mark) if self._is_foreign else node

    def _closed(self, closed: _Open) -> Node:
        node = self._table(closed) if closed.is_table else _listing(closed)
        return Broken(node.mark, node.size, node.depth) if closed.is_tagged else node

    def _unfolded(self, event: yaml.AliasEvent) -> Node:
        mark = _mark(event)
        self._aliases += 1
        if self._aliases > self._limits.aliases:
            self._stop(mark, f"more than {self._limits.aliases} aliases", "use `defaults` or `groups` for what repeats")
        name = event.anchor or ""
        node = self._anchors.get(name)
        if node is not None:
            return node
        if name in self._anchors:
            self._found.add(mark, f"*{name} contains itself", "write the value out")
        else:
            self._found.add(mark, f"*{name} has no anchor", f"anchors (&{name}) count from their line on")
        return Broken(mark)

    def _table(self, opened: _Open) -> Table:
        entries: dict[str, tuple[Scalar, Node]] = {}
        whole = True
        for key, value in zip(opened.children[::2], opened.children[1::2], strict=True):
            usable = self._key(key, entries)
            if usable is None:
                whole = False
            else:
                entries[usable.text] = (usable, _placed(usable, value))
        pairs = tuple(entries.values())
        return Table(opened.mark, pairs, _size(opened), _depth(opened), whole)

    def _key(self, key: Node, before: dict[str, tuple[Scalar, Node]]) -> Scalar | None:
        if not isinstance(key, Scalar):
            if not isinstance(key, Broken):
                self._found.add(key.mark, "a key must be one word or text", "lists and maps cannot be keys")
            return None
        if key.plain and key.text == "<<":
            self._found.add(key.mark, "merge keys (<<) are not read", "use `defaults` or `groups` for what repeats")
            return None
        if key.text in before:
            first = before[key.text][0].mark.line
            self._found.add(key.mark, f"the key {quoted(key.text)} stands here twice", f"first in line {first}")
            return None
        return key

    def _is_tagged(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> bool:
        if event.tag is None:
            return False
        shown = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._found.add(_mark(event), f"the tag {quoted(shown)} is not read", "leave it away: values are YAML 1.2")
        return True

    def _check_depth(self, mark: Mark, depth: int) -> None:
        if len(self._open) + depth - 1 > self._limits.depth:
            self._stop(mark, f"nested more than {self._limits.depth} levels deep", "specs need no more than a few")

    def _count(self, mark: Mark, size: int) -> None:
        self._nodes += size
        if self._nodes > self._limits.nodes:
            self._stop(mark, f"more than {self._limits.nodes} values, with aliases written out", "split the file")

    def _stop(self, mark: Mark, message: str, hint: str) -> None:
        self._found.add(mark, message, hint)
        raise Enough


def _listing(opened: _Open) -> Listing:
    return Listing(opened.mark, tuple(opened.children), _size(opened), _depth(opened))


def _placed(key: Scalar, value: Node) -> Node:
    """Nothing written stands nowhere: it is shown at its key."""
    nothing = isinstance(value, Scalar) and value.plain and not value.text
    return replace(value, mark=key.mark) if nothing else value


def _size(opened: _Open) -> int:
    return 1 + sum(child.size for child in opened.children)


def _depth(opened: _Open) -> int:
    return 1 + max((child.depth for child in opened.children), default=0)


def _mark(event: yaml.Event) -> Mark:
    start, end = event.start_mark, event.end_mark
    if start is None or end is None:
        return Mark(1, 1)
    width = end.column - start.column if end.line == start.line else 1 << 20
    is_collection = isinstance(event, yaml.CollectionStartEvent)
    return Mark(start.line + 1, start.column + 1, 1 if is_collection else max(1, width))
