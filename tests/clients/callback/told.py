"""Ansible runs this: it writes what every task of a play came to as a JSON line, to the file that CLIENTS_TOLD names.

A line holds the task's name, whether it changed something or failed, which keys its result has (`keys`), and the result.
It loads what CLIENTS_LOADED names, so that the processes that Ansible forks for its tasks have it already.
"""

import importlib
import json
import os

from ansible.plugins.callback import CallbackBase

ANSIBLES_OWN = ("changed", "failed", "msg", "invocation", "diff", "exception", "warnings", "deprecations", "_ansible_no_log")

for _name in os.environ.get("CLIENTS_LOADED", "").split():
    importlib.import_module(_name)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "told"

    def v2_runner_on_ok(self, result):
        self._tell(result, False)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._tell(result, True)

    def _tell(self, result, failed):
        found = result.result
        keys = sorted(key for key in found if key not in ANSIBLES_OWN and not key.startswith("_ansible"))
        line = {"task": result.task.name, "changed": bool(found.get("changed")), "failed": failed, "keys": keys}
        with open(os.environ["CLIENTS_TOLD"], "a") as told:
            told.write(json.dumps({**line, "result": found}, default=str) + "\n")
