"""The fragments in changes/ make a changelog."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs import pages

FRAGMENTS = sorted((pages.ROOT / "changes").glob("*.md"))
KINDS = {"feature", "bugfix", "doc", "removal", "misc"}


def drafted(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "0.0.0", "--dir", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_changelog_of_the_next_version_can_be_drafted() -> None:
    done = drafted(pages.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    for fragment in FRAGMENTS:
        if ".misc." not in fragment.name:
            assert " ".join(pages.text(fragment).split()) in told, f"{fragment.name} is not in the changelog"


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda p: p.name)
def test_a_fragment_has_a_name_and_a_kind_and_says_something(fragment: Path) -> None:
    found = re.fullmatch(r"(\d+|\+[a-z0-9-]+)\.([a-z]+)(\.\d+)?\.md", fragment.name)
    assert found, "a fragment is called NAME.KIND.md"
    assert found[2] in KINDS
    assert pages.text(fragment).strip().endswith(".")


def test_fragments_are_kept_where_towncrier_looks() -> None:
    settings = tomllib.loads((pages.ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]
    assert settings["directory"] == "changes"
    assert FRAGMENTS
