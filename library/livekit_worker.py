#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Stop a livekit-agents worker of a host by draining it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: livekit_worker
short_description: Stop one livekit-agents worker of a host and let it finish its calls
description:
  - Finds the one worker whose log has the id, wherever it runs on the host, and tells it once to stop. It takes no new
    call from then on and ends when its calls have. Nothing kills it.
  - A container is told through Docker; a restart policy V(always) becomes V(unless-stopped) first, because it would
    come back when the Engine starts.
  - A systemd unit is stopped with a drop-in in C(/run) that takes its stop timeout away, and its own stop command with
    it; the drop-in is removed once the unit has stopped, by this run or the next. All that is done in a user's
    directory is done as that user.
  - A process that nothing keeps running gets one SIGTERM.
  - Anything else that keeps the worker running is refused.
  - What was told is remembered in C(/run/livekit-agent-deploy/evictions) until the host starts again, so that no worker
    is told twice.
options:
  worker_id:
    description: One of the worker's ids, from its log, a probe or the LiveKit server; also an earlier one, because each
      reconnect gives a new one.
    type: str
    required: true
  state:
    description: What the worker is to become.
    type: str
    default: drained
    choices: [drained]
  wait_seconds:
    description: How long to wait for its calls to end before it is left draining.
    type: float
    default: 60.0
attributes:
  check_mode:
    description: RV(commands) says what would be done.
    support: full
extends_documentation_fragment: [livekit_deploy.no_diff]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Stop the worker of somebody else
  livekit_worker:
    worker_id: AW_kavsLX8sqGQ5
    state: drained
  become: true
"""

RETURN = r"""
gone:
  description: The worker has ended.
  returned: success
  type: bool
draining:
  description: The worker takes no new call and finishes those it has.
  returned: success
  type: bool
active_jobs:
  description: Calls it still has; none when it does not answer.
  returned: success
  type: int
container:
  description: The container, or C(process <pid>).
  returned: success
  type: str
worker_ids:
  description: All ids the worker had.
  returned: success
  type: list
  elements: str
supervisor:
  description: Who kept it running, as in M(livekit_worker_info).
  returned: success
  type: dict
policy:
  description: The restart policy C(before) and C(after), none where it was not changed.
  returned: success
  type: dict
commands:
  description: What was done, or would be in check mode, as a person would type it.
  returned: success
  type: list
  elements: str
start_command:
  description: How to start it again; empty when that is not known.
  returned: success
  type: str
also_at_boot:
  description: A systemd unit that starts again at boot, or may.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.livekit_deploy.common import ids
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.machine import command, docker
from ansible.module_utils.livekit_deploy.worker import stop

ARGUMENT_SPEC: dict[str, Any] = {
    "worker_id": {"type": "str", "required": True},
    "state": {"type": "str", "default": "drained", "choices": ["drained"]},
    "wait_seconds": {"type": "float", "default": 60.0},
}
# All that is run beside the wait, where an Engine or systemd does not answer.
TOTAL_SECONDS = 300.0


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    worker_id = module.params["worker_id"]
    if not ids.worker(worker_id):
        module.fail_json(
            msg=f"found worker id {worker_id!r}, expected AW_ and letters and digits, as in the worker's log"
        )
    wait = module.params["wait_seconds"]
    run = command.Runner(total_seconds=wait + TOTAL_SECONDS)
    try:
        found = stop.Drain(run, worker_id, dry=module.check_mode).drain(wait)
    except (stop.DrainError, docker.EngineError, OSError) as error:
        module.fail_json(msg=f"worker {worker_id}: {error}")
    for text in found["warnings"]:
        module.warn(text)
    module.exit_json(**{key: value for key, value in found.items() if key != "warnings"})


if __name__ == "__main__":
    main()
