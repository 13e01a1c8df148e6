#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read the livekit-agents workers of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: livekit_worker_info
short_description: Read the livekit-agents workers that run in containers on a host
description:
  - Joins what the container was created with, what the worker logged and what it answers on its own port.
  - A worker is a container of the compose service C(agent-worker), or any that carries C(LIVEKIT_AGENT_NAME).
  - With O(registered_as) it waits until the one worker of O(project) is registered under that name.
options:
  project:
    description: Read only the workers of this compose project.
    type: str
  job_ids:
    description: Report the requests for these jobs.
    type: list
    elements: str
    default: []
  rooms:
    description: Report the requests for these rooms.
    type: list
    elements: str
    default: []
  log_patterns:
    description: Regular expressions to look for in each worker's log.
    type: list
    elements: str
    default: []
  registered_as:
    description: Wait until the worker of O(project) is registered under this agent name; fail with the reason when it cannot be.
    type: str
  wait_seconds:
    description: How long O(registered_as) waits. A start takes 4 to 7 s on 2 cores (livekit-agents 1.8.9, measured).
    type: float
    default: 60.0
attributes:
  check_mode:
    description: Only reads, so check mode changes nothing.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read all workers of the host
  livekit_worker_info:

- name: Wait until the new worker is registered
  livekit_worker_info:
    project: sidekick-20261122t101500z-0a1b2c3d
    registered_as: sidekick-agent-staging-docker
"""

RETURN = r"""
time:
  description: The host's clock in seconds since the epoch.
  returned: always
  type: float
workers:
  description:
    - One entry per worker container.
    - C(env) holds AGENT_NAME and LIVEKIT_AGENT_NAME as the container was created with; C(agent_name) is the name in effect, from the
      latest registration, none when that line is not in the log any more.
    - C(worker_id) is new at every reconnect (livekit-agents 1.8.9); C(connected) tells that no connection failure followed.
    - C(load), C(active_jobs) and C(sdk_version) come from the worker's port 8081; none when it does not answer.
  returned: always
  type: list
  elements: dict
waits:
  description: What was waited for, and the seconds.
  returned: with O(registered_as)
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.livekit_deploy import engine, worker

ARGUMENT_SPEC: dict[str, Any] = {
    "project": {"type": "str"},
    "job_ids": {"type": "list", "elements": "str", "default": []},
    "rooms": {"type": "list", "elements": "str", "default": []},
    "log_patterns": {"type": "list", "elements": "str", "default": []},
    "registered_as": {"type": "str"},
    "wait_seconds": {"type": "float", "default": 60.0},
}


def wait_registered(module: AnsibleModule, expected: str, seconds: float, **selection: Any) -> dict[str, Any]:
    """Poll until the worker is registered; ends at once when it cannot become so."""
    started = time.monotonic()
    while True:
        found = worker.readings(module.run_command, **selection)
        trouble = worker.registration_trouble(found["workers"], expected)
        if not trouble:
            return {**found, "waits": [{"what": "worker registration", "seconds": round(time.monotonic() - started, 1)}]}
        if trouble.final or time.monotonic() - started > seconds:
            module.fail_json(msg=f"{trouble.text} (after {time.monotonic() - started:.0f} s)", **found)
        time.sleep(0.3)


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, required_by={"registered_as": "project"}, supports_check_mode=True)
    p = module.params
    selection = {"project": p["project"], "job_ids": p["job_ids"], "rooms": p["rooms"], "patterns": p["log_patterns"]}
    try:
        if p["registered_as"] is not None:
            module.exit_json(changed=False, **wait_registered(module, p["registered_as"], p["wait_seconds"], **selection))
        module.exit_json(changed=False, **worker.readings(module.run_command, **selection))
    except engine.EngineError as error:
        module.fail_json(
            msg=f"found: the Docker Engine refused: {error}. Expected: an answer. Look at `systemctl status docker` on the host"
        )


if __name__ == "__main__":
    main()
