# SPDX-License-Identifier: Apache-2.0
"""How our modules that work on the controller are run; the other files here are links to this one, by modules' names.

Such a module needs what is installed beside ansible-core. ``delegate_to: localhost`` is not enough: an inventory may
define ``localhost`` with connection and interpreter, and ``-e`` of these or ``ansible_become`` comes before a task's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

INTERPRETER = {"ansible_python_interpreter": sys.executable}
# One process, and no file with the arguments, some of which are secret.
CONNECTION = {"ansible_pipelining": True}


class ActionModule(ActionBase):
    """Runs a module as the user who started the run, with the run's own interpreter, wherever the task is delegated."""

    _supports_check_mode = True
    # ansible-core writes the arguments of a task in the background, secrets too, into a file that a killed run leaves.
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        result = dict(super().run(tmp, task_vars))
        self._connection = connection_loader.get("ansible.builtin.local", self._play_context)
        self._connection.set_options(var_options=CONNECTION)
        result |= self._execute_module(task_vars=self._here(task_vars or {}))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _here(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The variables of the task with this interpreter, also under the host that the task is delegated to."""
        delegated = {
            host: {**found, **INTERPRETER} for host, found in (task_vars.get("ansible_delegated_vars") or {}).items()
        }
        return {**task_vars, **INTERPRETER, "ansible_delegated_vars": delegated}
