"""Progress on a terminal: the lines of the VMs that move, rewritten in place while time goes on, and gone when it is over.

Made by `progress.watching` where there is a terminal; the only module that loads rich, which finds out what the terminal can
do, redraws, and puts the cursor back. Every word comes from `views`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import rich.console
import rich.live
import rich.text

from reconciler.cli import screen, views
from reconciler.cli.views import Kind, Motion
from reconciler.cli.watcher import Watcher

if TYPE_CHECKING:
    from plans.render import Line
    from reconciler.wiring import Connected

TIMES_A_SECOND = 4
HINT = "Ctrl-C stops at the next safe point"
STYLES = {
    "plain": "",
    "strong": "bold",
    "verified": "green",
    "running": "blue",
    "waits": "yellow",
    "broken": "red",
    "history": "dim",
}


class Live(Watcher):
    """Rewrites the lines of all VMs it was shown. A `service` lets go of what came to rest, and leaves a line of news."""

    def __init__(self, shown: screen.Screen, connected: Connected, *, service: bool = False) -> None:
        super().__init__(shown, connected)
        self.service = service
        self.asked = ""
        self.console = rich.console.Console(
            no_color=not shown.color, highlight=False, markup=False, emoji=False, soft_wrap=True, legacy_windows=False
        )
        self.live = rich.live.Live(
            console=self.console,
            get_renderable=self._drawn,
            refresh_per_second=TIMES_A_SECOND,
            redirect_stdout=True,
            redirect_stderr=True,
            vertical_overflow="crop",
            transient=True,
        )

    def __enter__(self) -> Live:
        self.live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def news(self, vm_key: str, told: Motion) -> None:
        """The next drawing shows it; a service writes down what came to rest and lets it go."""
        if self.service and told.kind is not Kind.MOVES:
            self.motions.pop(vm_key, None)
            self.note(views.event(told, self.now()))
        self.live.refresh()

    def note(self, text: str) -> None:
        """A line that stays, above those that are rewritten."""
        self.console.print(text)

    def told_to_stop(self, text: str) -> None:
        """The next drawing says it."""
        self.asked = text

    def _drawn(self) -> rich.text.Text:
        width, height = self.console.size
        motions = tuple(self.motions.values())
        return _text(views.live_lines(motions, self.now(), width, height, self.asked or HINT))


def _text(lines: Iterable[Line]) -> rich.text.Text:
    rows = [rich.text.Text.assemble(*((s.text, STYLES[s.meaning]) for s in spans)) for spans in lines]
    return rich.text.Text("\n", no_wrap=True, overflow="crop").join(rows)
