"""Every command that the foreign clients can say is known here: done, or refused as a role refuses, never called unknown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulator import commands
from simulator.registry import COMMANDS
from tests.clients import environment

VERBS = """
    list|query|get|find|create|delete|update|add|remove|register|assign|enable|disable|lock|attach|detach|start|stop|reboot
    |deploy|destroy|expunge|recover|restore|restart|resize|revert|extract|upload|associate|disassociate|authorize|revoke
    |activate|suspend|prepare|cancel|change|configure|migrate|scale|reset|replace
"""
SAID = re.compile(r"""["']((?:VERBS)[A-Z]\w+)["']""".replace("VERBS", "".join(VERBS.split())))
NO_COMMAND = {"extractMode"}
SPEAKERS = {
    "Ansible's collection": "collections/ansible_collections/ngine_io/cloudstack/plugins/**/*.py",
    "Libcloud's drivers": "lib/python*/site-packages/libcloud/*/drivers/cloudstack.py",
}

pytestmark = pytest.mark.skipif(bool(environment.why_not()), reason=environment.why_not())


def said(pattern: str) -> set[str]:
    sources: list[Path] = list(environment.PLACE.glob(pattern))
    return {name for path in sources for name in SAID.findall(path.read_text(encoding="utf-8"))} - NO_COMMAND


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_every_command_of_a_client_is_known(speaker: str) -> None:
    words = said(SPEAKERS[speaker])
    assert {"deployVirtualMachine", "assignToLoadBalancerRule"} < words
    assert words - COMMANDS.keys() - commands.ELSEWHERE == set()
