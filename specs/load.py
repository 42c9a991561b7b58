"""Files and texts to specs: everything that is wrong in all of them at once, or frozen specs.

Called by every entry point: the command line and the daemon with paths, the REST API and Git with texts. Hands on
`Loaded`; what the specs mean for a cloud is left to `plans`.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from specs import documents, files, tree
from specs.documents import Entry
from specs.errors import BREAK, Enough, Findings, Mark, SpecError, quoted
from specs.limits import Bounds, Limits
from specs.model import Spec

__all__ = ["Bounds", "Limits", "Loaded", "load", "load_text"]

_DEFAULT_BOUNDS = Bounds()
_DEFAULT_LIMITS = Limits()
_NOT_UTF8 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What some files hold. `specs` are the VMs that no error touches; with errors, act on none of them."""

    specs: tuple[Spec, ...]
    errors: tuple[SpecError, ...]
    files: int
    vms: int


@dataclass(frozen=True, slots=True)
class _Text:
    found: Findings
    entries: tuple[Entry, ...]


def load(paths: Sequence[Path], bounds: Bounds = _DEFAULT_BOUNDS, limits: Limits = _DEFAULT_LIMITS) -> Loaded:
    """Everything under some files and folders. Never raises for what the files contain or for files that are missing."""
    texts: list[_Text] = []
    unread: list[SpecError] = []
    for file in files.found(paths, limits):
        if file.error is None:
            texts.append(_text(file.data, file.name, bounds, limits))
        else:
            unread.append(file.error)
    return _together(texts, unread)


def load_text(text: str | bytes, name: str, bounds: Bounds = _DEFAULT_BOUNDS, limits: Limits = _DEFAULT_LIMITS) -> Loaded:
    """Everything in one text; `name` stands for it in messages and origins. Never raises for what the text contains."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > limits.file_bytes:
        message = f"larger than {limits.file_bytes >> 10} KiB"
        return _together([], [SpecError(name, 0, 0, message, "split it into several texts")])
    return _together([_text(data, name, bounds, limits)], [])


def _text(data: bytes, name: str, bounds: Bounds, limits: Limits) -> _Text:
    found = Findings(name, data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace"), limits.errors)
    entries: list[Entry] = []
    with contextlib.suppress(Enough):
        if _is_utf8(data, found):
            for document in tree.documents(found, limits):
                entries += documents.read(document, found, bounds)
    return _Text(found, tuple(entries))


def _is_utf8(data: bytes, found: Findings) -> bool:
    if data.startswith(_NOT_UTF8):
        found.add(Mark(1, 1), "this text is UTF-16", "save it as UTF-8")
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = BREAK.split(data[: error.start].removeprefix(codecs.BOM_UTF8).decode("utf-8"))
        place = Mark(len(before), len(before[-1]) + 1)
        found.add(place, f"the byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8 text")
        return False
    return True


def _together(texts: Sequence[_Text], unread: Sequence[SpecError]) -> Loaded:
    entries = [entry for text in texts for entry in text.entries]
    spoilt = {*_duplicates(entries), *_circles(entries)}
    errors = [error for text in texts for error in text.found.ordered()]
    sound = (entry.spec for number, entry in enumerate(entries) if number not in spoilt)
    return Loaded(tuple(filter(None, sound)), (*unread, *errors), len(texts) + len(unread), len(entries))


def _tell(entry: Entry, mark: Mark, message: str, hint: str) -> None:
    with contextlib.suppress(Enough):  # a text with errors enough is told no more
        entry.found.add(mark, message, hint, entry.head)


def _duplicates(entries: Sequence[Entry]) -> Iterator[int]:
    """The numbers of entries whose VM stands in the files more than once; each later one is told."""
    first: dict[tuple[str, ...], int] = {}
    for number, entry in enumerate(entries):
        if entry.vm is None:
            continue
        before = first.setdefault(entry.vm.identity, number)
        if before != number:
            place = f"{entries[before].found.file}:{entries[before].head.line}"
            message = f"{quoted(entry.vm.label)} stands here and in {place}"
            _tell(entry, entry.mark, message, "keep one of them: a VM can be wanted in one state only")
            yield before
            yield number


# --- who waits for whom -----------------------------------------------------------------------------------------------


def _circles(entries: Sequence[Entry]) -> Iterator[int]:
    """The numbers of entries that wait for themselves, over others or not; every circle is told once."""
    numbers = _numbers(entries)
    edges = {
        number: [(numbers[name], mark) for name, mark in entry.after if name in numbers]
        for number, entry in enumerate(entries)
        if entry.after
    }
    settled: set[int] = set()
    for start in edges:
        for circle, mark in _circles_from(start, edges, settled):
            names = [_label(entries[number]) for number in circle]
            shown = [*names[:8], "...", names[-1]] if len(names) > 10 else names
            message = f"VMs wait for each other in a circle: {' → '.join([*shown, names[0]])}"
            _tell(entries[circle[-1]], mark, message, "leave one `after` away")
            yield from circle


def _numbers(entries: Iterable[Entry]) -> dict[str, int]:
    """Which entry a name or uuid means. A name that several VMs bear is left to planning, which knows the fleet."""
    numbers: dict[str, int] = {}
    ambiguous: set[str] = set()
    for number, entry in enumerate(entries):
        for name in filter(None, (entry.vm.name, entry.vm.uuid) if entry.vm else ()):
            if numbers.setdefault(name, number) != number:
                ambiguous.add(name)
    return {name: number for name, number in numbers.items() if name not in ambiguous}


def _circles_from(
    start: int, edges: dict[int, list[tuple[int, Mark]]], settled: set[int]
) -> Iterator[tuple[list[int], Mark]]:
    """Depth first without recursion, as chains may be as long as the fleet; `settled` is extended."""
    path: dict[int, Iterator[tuple[int, Mark]]] = {}
    if start not in settled:
        path[start] = iter(edges.get(start, ()))
    while path:
        here = next(reversed(path))
        step = next(path[here], None)
        if step is None:
            settled.add(here)
            del path[here]
        elif step[0] in path:
            order = list(path)
            yield order[order.index(step[0]) :], step[1]
        elif step[0] not in settled:
            path[step[0]] = iter(edges.get(step[0], ()))


def _label(entry: Entry) -> str:
    return quoted(entry.vm.label).strip('"') if entry.vm else ""
