"""Ansible runs this in place of its own way to run a module: in the process that it forks for a task, without a second one.

The module's own text runs, unchanged, with the arguments that Ansible would hand it; what it prints is read as Ansible reads
it. Only the packing, the pipe and the second interpreter are spared, which were most of a task's time.
"""

import contextlib
import importlib
import io
import json

from ansible.module_utils import basic
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase

PROFILE = "legacy"


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        namespace, collection, name = self._task.action.split(".")
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, task_vars)
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
        basic._ANSIBLE_PROFILE = PROFILE
        module = importlib.import_module(f"ansible_collections.{namespace}.{collection}.plugins.modules.{name}")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            module.main()
        told = printed.getvalue()
        return self._parse_returned_data({"rc": 0, "stdout": told, "stdout_lines": told.splitlines(), "stderr": ""}, PROFILE)
