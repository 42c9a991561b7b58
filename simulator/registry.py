"""The table of commands: each declares its parameters and who may call it, and is a function of the cloud and the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Handler = Callable[["Cloud", Call], Mapping[str, Any]]
EVERYBODY = ("admin", "user")
READERS = ("admin", "user", "viewer")


@dataclass(frozen=True, slots=True)
class Command:
    """One API command. `java` is the class name that jobs show; `asynchronous` commands answer with a job."""

    name: str
    params: tuple[Param, ...]
    handler: Handler
    roles: tuple[str, ...]
    java: str
    asynchronous: bool
    creates: bool

    @property
    def reads(self) -> bool:
        """Whether the command only reads."""
        return self.name.startswith(("get", "list", "query", "find"))


COMMANDS: dict[str, Command] = {}


def command(
    name: str,
    *params: Param,
    roles: tuple[str, ...] | None = None,
    java: str = "",
    asynchronous: bool = False,
    creates: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a function as the command of that name."""

    def register(handler: Handler) -> Handler:
        who = roles or (READERS if name.startswith(("list", "query")) else EVERYBODY)
        COMMANDS[name] = Command(name, params, handler, who, java, asynchronous or creates, creates)
        return handler

    return register
