"""Makes the compressed copy of the recordings that the tests read. Run by hand when a recording is added:

    python -m tests.conformance.pack FOLDER

FOLDER holds `*.jsonl` (scenarios), `walks/*.jsonl` and `clients/*`. One file becomes one `.xz`; the same input gives the
same bytes. Nothing else of the folder is taken. The tests never look at FOLDER: a fresh clone has all it needs.
"""

from __future__ import annotations

import lzma
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent / "recordings"
PATTERNS = ("*.jsonl", "walks/*.jsonl", "clients/*")


def chosen(folder: Path) -> Iterator[Path]:
    for pattern in PATTERNS:
        yield from sorted(path for path in folder.glob(pattern) if path.is_file())


def squeezed(content: bytes) -> bytes:
    """The content as an xz stream without name or time, so that packing twice changes nothing."""
    return lzma.compress(content, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=9 | lzma.PRESET_EXTREME)


def pack(folder: Path, target: Path = HERE) -> int:
    """Packs every recording of the folder; returns how many."""
    paths = list(chosen(folder))
    for path in paths:
        packed = target / path.relative_to(folder).with_name(path.name + ".xz")
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(squeezed(path.read_bytes()))
    return len(paths)


if __name__ == "__main__":
    print(f"{pack(Path(sys.argv[1]))} files packed")  # noqa: T201  a script for people
