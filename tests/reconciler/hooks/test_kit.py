"""The kit finds a hook that breaks its contract, names the promise, and passes one that keeps it."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.hooks import kit
from reconciler.hooks.process import Limits
from tests.reconciler.hooks.making import WORKING, hook

EXAMPLE = Path(__file__).parents[3] / "examples" / "hooks" / "nothing.py"
LIMITS = Limits(timedelta(seconds=60))


def broken(folder: Path, body: str, image: Path | None = None) -> dict[str, str]:
    """The promises that a hook with this body breaks, with what was seen."""
    return {t.promise: t.seen for t in kit.examine(hook(folder, body), folder / "log", LIMITS, image) if not t.kept}


def test_one_that_works_keeps_every_promise(tmp_path: Path) -> None:
    assert broken(tmp_path, WORKING) == {}


def test_the_example_keeps_every_promise(tmp_path: Path) -> None:
    trials = list(kit.examine([str(EXAMPLE)], tmp_path / "log", LIMITS))
    assert [t.promise for t in trials if not t.kept] == []
    assert len(trials) >= 12


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (
            ('image.write(b"done" if verb == "do" else bytes(4))', "pass"),
            "check says prepared after that, so it had an effect",
        ),
        (('image.write(b"done" if verb == "do" else bytes(4))', 'image.write(b"done")'), "check says unprepared after that"),
        (
            ('if verb in ("do", "undo"):', 'image.write(b"more")\n    if verb in ("do", "undo"):'),
            "plan and check change nothing",
        ),
        (('b"done" if verb == "do" else bytes(4)', 'os.urandom(4) if done else b"done"'), "do once more changes nothing"),
        (('asked["protocol"] != 1 or ', ""), "a newer protocol is refused"),
        (('"plan": "needed"', '"plan": "impossible"'), "plan says what would be done"),
        (('"do": "done"', '"do": "failed"'), "do does it"),
        (('"undo": "done", "check"', '"undo": "failed", "check"'), "undo undoes it"),
        (('answer("failed" if verb in', 'answer("done" if verb in'), "a disk that is not there is no success"),
    ],
)
def test_one_that_breaks_a_promise_is_told_which(change: tuple[str, str], promise: str, tmp_path: Path) -> None:
    assert WORKING.count(change[0]) == 1
    assert promise in broken(tmp_path, WORKING.replace(*change))


LENIENT = """
import json, sys
try: asked = json.load(sys.stdin)
except ValueError: asked = {}
results = {"plan": "not-needed", "check": "prepared", "do": "done", "undo": "done"}
print(json.dumps({"protocol": 1, "verb": sys.argv[1], "result": results.get(sys.argv[1], "done")}))
"""


def test_one_that_answers_what_is_no_question_is_told(tmp_path: Path) -> None:
    (tmp_path / "lenient.py").write_text(LENIENT)
    command = [sys.executable, str(tmp_path / "lenient.py")]
    assert [t.promise for t in kit.examine(command, tmp_path / "log", LIMITS) if not t.kept] == [
        "a disk that is not there is no success",
        "a newer protocol is refused",
        "a verb that nobody knows is refused",
        "what is no question is refused",
    ]


def test_a_disk_image_is_copied_and_stays_as_it_is(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"content" * 1000)
    assert broken(tmp_path, WORKING, image) == {}
    assert image.read_bytes() == b"content" * 1000


def test_one_that_gives_no_answer_ends_the_trial_and_is_told(tmp_path: Path) -> None:
    (found,) = broken(tmp_path, "sys.exit(9)").items()
    assert found[0] == "every question is answered"
    assert "exit code 9" in found[1]
