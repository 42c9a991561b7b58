"""Paths to bytes: which files a list of paths means, and what is in them, within limits. The only module that reads.

Called by `load`. Whatever cannot be read becomes an error beside the other files; what the bytes mean is left to others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from specs import values
from specs.errors import SpecError
from specs.limits import Limits

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class File:
    """A file by the name people know it by, with its bytes, or with what kept it from being read."""

    name: str
    data: bytes = b""
    error: SpecError | None = None


class _Unreadable(Exception):
    """A path that cannot be read; what is wrong, and what to do."""

    def __init__(self, path: Path, message: str, hint: str) -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def found(paths: Sequence[Path], limits: Limits) -> Iterator[File]:
    """The files that the paths mean, each once: named files as they are, folders down to every YAML file, sorted.

    In folders, what begins with a dot is left alone, and a link that leads out of the folder is an error.
    """
    seen: set[str] = set()
    total = 0
    for path in paths:
        for file in _read_all(path, seen, limits):
            total += len(file.data)
            if len(seen) > limits.files:
                yield _failed(_Unreadable(path, f"more than {limits.files} files", "hand over fewer at a time"))
                return
            if total > limits.total_bytes:
                size = f"more than {limits.total_bytes >> 20} MiB of specs"
                yield _failed(_Unreadable(path, size, "hand over fewer at a time"))
                return
            yield file


def shown(path: Path) -> str:
    """A path as messages show it: readable text on one line, whatever bytes it is made of."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join("·" if values.is_control(c) else c for c in text)


def _read_all(path: Path, seen: set[str], limits: Limits) -> Iterator[File]:
    for step in _walk(path):
        if isinstance(step, _Unreadable):
            yield _failed(step)
            continue
        try:
            real = os.path.realpath(step)
            if real not in seen:
                seen.add(real)
                yield File(shown(step), _content(step, limits))
        except _Unreadable as refused:
            yield _failed(refused)
        except OSError as error:
            yield _failed(_unreadable(step, error))


def _walk(path: Path) -> Iterator[Path | _Unreadable]:
    """The files under a path, depth first in sorted order; each folder once, so that links in a circle end."""
    passed: set[str] = set()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        try:
            _check_inside(here, path)
            if not stat.S_ISDIR(here.stat().st_mode):
                yield here
                continue
            real = os.path.realpath(here)
            below = [] if real in passed else sorted(here.iterdir(), reverse=True)
            passed.add(real)
            waiting += [entry for entry in below if _is_wanted(entry)]
        except _Unreadable as refused:
            yield refused
        except (OSError, ValueError) as error:
            yield _unreadable(here, error)


def _is_wanted(entry: Path) -> bool:
    return not entry.name.startswith(".") and (entry.suffix in SUFFIXES or entry.is_dir())


def _check_inside(path: Path, folder: Path) -> None:
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if real != root and not real.startswith(os.path.join(root, "")):
        raise _Unreadable(path, "a link that leads out of its folder", "hand over the file itself, or copy it")


def _content(path: Path, limits: Limits) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise _Unreadable(path, "not a regular file", "hand over a YAML file or a folder")
    with path.open("rb") as stream:
        data = stream.read(limits.file_bytes + 1)
    if len(data) > limits.file_bytes:
        raise _Unreadable(path, f"larger than {limits.file_bytes >> 10} KiB", "split it into several files")
    return data


def _unreadable(path: Path, error: OSError | ValueError) -> _Unreadable:
    if isinstance(error, FileNotFoundError):
        return _Unreadable(path, "no such file or folder", "check the spelling of the path")
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return _Unreadable(path, f"cannot be read: {reason.lower()}", "check the path and its permissions")


def _failed(refused: _Unreadable) -> File:
    name = shown(refused.path)
    return File(name, error=SpecError(name, 0, 0, refused.message, refused.hint))
